"""`python -m data_recipes translate`: rows translated, compared with their source, kept or not."""

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ..chain import only_run
from ..client import Spent
from ..documents import disk_full_is_an_error
from ..errors import RecipeError
from ..filters.profiles import KOREAN
from ..intervals import wilson
from ..manifest import sha256_file, write_json_atomically
from ..steps import claim
from ..strict_yaml import find_config, load_config
from .checks import Checker
from .config import CONFIGS, COPIED, TranslateConfig
from .rounds import Outcome, Prompts, Round, Row
from .segments import cut, put_together

PROVENANCE = "translation"  # the column that is added


def read_rows(path: Path) -> Iterator[Row]:
    """Rows of JSONL.

    Raises:
        RecipeError: no such file, or a line that is no row, with its number.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _row(line, f"{path}:{number}")
    except OSError as error:
        raise RecipeError(f"items: {path}: {error.strerror}") from error


def _row(line: bytes, where: str) -> Row:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise RecipeError(f"{where}: not a row of JSON ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("id"), str):
        raise RecipeError(f"{where}: every row needs an `id`, a text")
    if PROVENANCE in row:
        raise RecipeError(f"{where}: has a column {PROVENANCE!r}: it is translated already")
    return row


def _check_rows(config: TranslateConfig) -> int:
    """Read all rows once, before anything is asked; gives their number.

    Raises:
        RecipeError: a bad row, two with one id, a field that no row has, or no rows.
    """
    known: set[str] = set()
    unseen = {field for field, policy in config.fields.items() if policy == "translate"}
    for row in read_rows(config.items):
        if row["id"] in known:
            raise RecipeError(f"{config.items}: two rows have the id {row['id']!r}")
        known.add(row["id"])
        unseen -= row.keys()
        cut(row, config.fields)
    if not known:
        raise RecipeError(f"{config.items}: no rows in it")
    if unseen:
        raise RecipeError(
            f"{config.items}: no row has the field {', '.join(sorted(unseen))}, which `fields` "
            "wants translated; set it to keep, or correct its name"
        )
    return len(known)


def _claim(config: TranslateConfig, prompts: Prompts) -> None:
    back = config.back_translation
    claim(
        config.outcomes_dir,
        {
            "items": sha256_file(config.items),
            "fields": dict(config.fields),
            # What decides what is written; not where the servers are.
            "translators": {
                name: [t.identity, t.weight, t.sampling.fields()]
                for name, t in config.translators.items()
            },
            "prompt": prompts.translate.sha256,
            "checks": config.checks.model_dump(mode="json"),
            "back_translation": back
            and [
                back.endpoint.identity,
                back.endpoint.sampling.fields(),
                prompts.back.sha256,
                back.min_chrf,
            ],
        },
    )


def _fates(config: TranslateConfig, rounds: list[Round]) -> Iterator[tuple[Row, list[Outcome]]]:
    """Every row with its outcomes, the last of which is the one that counts."""
    logs = [r.log.rows() for r in rounds]
    for row in read_rows(config.items):
        history: list[Outcome] = []
        for log, own in zip(logs, rounds):
            outcome = next(log, None)
            if outcome is None or outcome["id"] != row["id"]:
                raise RecipeError(f"{own.log.path}: not whole; run the same command to go on")
            history.append(outcome)
            if not outcome["flaws"]:
                break
        yield row, history


def names(config: TranslateConfig) -> list[str]:
    """Whose rows there are: the translators', and those with nothing to translate."""
    return [*config.translators, COPIED]


class _Files:
    """`kept/<translator>.jsonl` and `set_aside.jsonl`, under their names when whole."""

    def __init__(self, config: TranslateConfig, opened: ExitStack) -> None:
        folder = config.output_dir
        self.paths = {name: folder / "kept" / f"{name}.jsonl" for name in names(config)}
        self.paths[""] = folder / "set_aside.jsonl"
        self._files: dict[str, BinaryIO] = {}
        for name, path in self.paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files[name] = opened.enter_context(self._temporary(path).open("wb"))

    def write(self, name: str, row: Row) -> None:
        with disk_full_is_an_error(self.paths[name]):
            self._files[name].write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def finish(self) -> None:
        for name, path in self.paths.items():
            with disk_full_is_an_error(path):
                self._files[name].flush()
                os.fsync(self._files[name].fileno())
            os.replace(self._temporary(path), path)

    def _temporary(self, path: Path) -> Path:
        return path.with_name(path.name + ".tmp")


def _write(config: TranslateConfig, rounds: list[Round], prompts: Prompts) -> dict[str, Any]:
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in names(config)}
    kept = total = 0
    with ExitStack() as opened:
        files = _Files(config, opened)
        for row, history in _fates(config, rounds):
            total += 1
            for outcome in history:
                reasons = {flaw["reason"] for flaw in outcome["flaws"]} or {"accepted"}
                outcomes[outcome["translator"]].update(reasons)
                outcomes[outcome["translator"]]["judged"] += 1
            last = history[-1]
            if last["flaws"]:
                files.write("", row | {PROVENANCE: history})
                continue
            kept += 1
            name = last["translator"]
            provenance = {
                "translator": name,
                "model": None if name == COPIED else config.translators[name].identity,
                "round": len(history),
                "fields": dict(config.fields),
                "prompt_sha256": prompts.translate.sha256,
                **({"chrf": last["chrf"]} if "chrf" in last else {}),
            }
            fields = put_together(cut(row, config.fields), last["texts"])
            files.write(name, row | fields | {"language": KOREAN, PROVENANCE: provenance})
        files.finish()
    spent = sum((r.spent() for r in rounds), Spent())
    report = {
        "rows": total,
        "kept": kept,
        "interval": wilson(kept, total),
        "translators": {name: dict(counts) for name, counts in outcomes.items()},
        "spent": asdict(spent),
    }
    write_json_atomically(config.output_dir / "report.json", report)
    return report


def table(report: dict[str, Any]) -> str:
    """The report as lines; a row with several flaws counts under each."""
    low, high = report["interval"]
    lines = []
    for name, counts in report["translators"].items():
        reasons = Counter({r: n for r, n in counts.items() if r not in ("judged", "accepted")})
        said = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common()) or "none"
        judged, accepted = counts.get("judged", 0), counts.get("accepted", 0)
        lines.append(f"{name}: {judged:,} rows, {accepted:,} accepted; flaws: {said}")
    spent = report["spent"]
    lines.append(
        f"{report['kept']:,} of {report['rows']:,} rows kept ({low:.1%} to {high:.1%}), "
        f"{report['rows'] - report['kept']:,} set aside; {spent['answers']:,} answers, "
        f"{spent['completion_tokens']:,} tokens written, cost {spent['cost']:,.4f}"
    )
    return "\n".join(lines)


def translate(config: TranslateConfig) -> dict[str, Any]:
    """Run a recipe to its end, or go on with it; gives the report.

    Raises:
        RecipeError: bad settings or rows, an endpoint that does not answer, the cap. What was
            answered is kept, and the same call goes on.
    """
    with only_run(config.output_dir):
        total = _check_rows(config)
        prompts = Prompts.of(config)
        _claim(config, prompts)
        checker = Checker(config.checks, prompts.translate.instructions(text=""))
        rounds: list[Round] = []
        rows: Callable[[], Iterator[Row]] = partial(read_rows, config.items)
        for number in range(len(config.translators)):
            rounds.append(Round(config, number, rows, prompts, checker))
            rows = rounds[-1].left
        for own in rounds:
            cap = config.cap
            if cap is not None:
                cap = max(0.0, cap - sum(r.spent().cost for r in rounds if r is not own))
            own.run(total, cap)
            total = sum(1 for _ in own.left())
        return _write(config, rounds, prompts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--config", required=True, help="YAML file, or its name in data_recipes/configs/translate"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")


def run(args: argparse.Namespace) -> None:
    """The command."""
    config = load_config(find_config(args.config, CONFIGS), TranslateConfig, args.overrides)
    print(table(translate(config)))
    print(f"kept: {config.output_dir / 'kept'}, set aside: {config.output_dir / 'set_aside.jsonl'}")
