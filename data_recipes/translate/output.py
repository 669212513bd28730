"""What a translation run leaves: rows by translator, rows set aside, a report."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ..ask import Spent
from ..common.errors import RecipeError
from ..common.files import disk_full_is_an_error, write_json_atomically
from ..common.statistics import wilson
from ..filter.profiles import KOREAN
from .config import COPIED, TranslateConfig
from .rounds import Outcome, Prompts, Round
from .rows import PROVENANCE, Row, read_rows
from .segments import cut, put_together


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


def write_rows(config: TranslateConfig, rounds: list[Round], prompts: Prompts) -> dict[str, Any]:
    """Write the rows that are kept and those that are set aside; gives the report.

    Raises:
        RecipeError: a round is not through, or the disk is full.
    """
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
