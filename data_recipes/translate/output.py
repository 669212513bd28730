"""What a translation run leaves: rows by translator, rows set aside, a report."""

from collections import Counter
from dataclasses import asdict
from typing import Any

from ..ask import Spent
from ..ask.rows import Funnel, row_files
from ..common.files import write_json_atomically
from ..common.statistics import wilson
from ..filter.profiles import KOREAN
from .config import COPIED, TranslateConfig
from .rows import PROVENANCE, Row, cut, put_together
from .stage import TranslationPrompts

_ASIDE = ""  # no translator's name


def names(config: TranslateConfig) -> list[str]:
    """Name whose rows there are: the translators', and those with nothing to translate."""
    return [*config.translators, COPIED]


def write_rows(
    config: TranslateConfig, funnel: Funnel[Row], prompts: TranslationPrompts
) -> dict[str, Any]:
    """Write the rows that are kept and those that are set aside; gives the report.

    Raises:
        RecipeError: a round is not through, or the disk is full.
    """
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in names(config)}
    folder = config.output_dir
    paths = {name: folder / "kept" / f"{name}.jsonl" for name in names(config)}
    paths[_ASIDE] = folder / "set_aside.jsonl"
    kept = total = 0
    with row_files(paths) as write:
        for row, history in funnel.fates():
            total += 1
            for outcome in history:
                reasons = {flaw["reason"] for flaw in outcome["flaws"]} or {"accepted"}
                outcomes[outcome["translator"]].update(reasons)
                outcomes[outcome["translator"]]["judged"] += 1
            last = history[-1]
            if last["flaws"]:
                write(_ASIDE, row | {PROVENANCE: history})
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
            write(name, row | fields | {"language": KOREAN, PROVENANCE: provenance})
    spent = sum((funnel.spent(stage) for stage in funnel.stages), Spent())
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
    """Format the report as lines; a row with several flaws counts under each."""
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
