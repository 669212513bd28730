"""What was found: per task, per stage, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_recipes.common.files import write_json_atomically
from data_recipes.common.page import Bullets, Heading, Page, Paragraph, Table
from data_recipes.decontaminate.config import DecontaminateConfig
from data_recipes.decontaminate.index import Index
from data_recipes.decontaminate.items import read_items

REPORT, PAGE = "report.json", "report.md"
_SHOWN_CHARACTERS = 120
_SHOWN_ITEMS = 20  # per task on the page; the JSON has all


def make_report(
    config: DecontaminateConfig,
    index: Index,
    found: dict[str, dict[str, Any]],
    stages: dict[str, list[str]],
    unknown_parent: str | None,
) -> dict[str, Any]:
    """Put finds together.

    Args:
        config: of the search.
        index: of the search.
        found: by corpus, as `Search.run` returns it.
        stages: name of each stage -> the corpora it was trained on, first stage first.
        unknown_parent: model from elsewhere that the first stage began with.
    """
    texts: dict[str, list[list[str]]] = {}
    for own in config.sets():
        texts.setdefault(own.task, []).extend(read_items(own))
    tasks = {}
    for task, known in index.record["tasks"].items():
        overlapping: dict[str, Any] = {}
        for stage, names in stages.items():
            for name in names:
                for item, find in found[name]["found"].get(task, {}).items():
                    entry = overlapping.setdefault(
                        item,
                        {"text": _short(texts[task][int(item)]), "stages": [], "where": {}},
                    )
                    if stage not in entry["stages"]:
                        entry["stages"].append(stage)
                    entry["where"][name] = find
        searchable = known["items_searchable"]
        tasks[task] = {
            "items": known["items"],
            "items_searchable": searchable,
            "items_too_short": known["items_too_short"],
            "items_boilerplate_only": known["items_boilerplate_only"],
            "items_overlapping": len(overlapping),
            "share_of_searchable": len(overlapping) / searchable,
            "by_stage": {
                stage: sum(stage in entry["stages"] for entry in overlapping.values())
                for stage in stages
            },
            "overlapping": dict(sorted(overlapping.items(), key=lambda pair: int(pair[0]))),
        }
    return {
        "sizes": config.sizes(),
        "unknown_parent": unknown_parent,
        "stages": {
            stage: {name: found[name]["documents"] for name in names}
            for stage, names in stages.items()
        },
        "tasks": tasks,
    }


def _short(texts: list[str]) -> str:
    text = " ".join(" ".join(texts).split())
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"


def table(report: dict[str, Any]) -> list[list[str]]:
    """Header and rows: a task's items, those that overlap, and how many by each stage."""
    stages = list(report["stages"])
    rows = [["task", "items", "searchable", "overlapping", "share", *stages]]
    for task, own in report["tasks"].items():
        counts = [own["items"], own["items_searchable"], own["items_overlapping"]]
        rows.append(
            [task, *(f"{count:,}" for count in counts), f"{own['share_of_searchable']:.2%}"]
            + [f"{own['by_stage'][stage]:,}" for stage in stages]
        )
    return rows


def _items(own: dict[str, Any]) -> list[str]:
    """Say of some items of a task where they were found."""
    lines = []
    for item, entry in list(own["overlapping"].items())[:_SHOWN_ITEMS]:
        lines.append(f"item {item} ({', '.join(entry['stages'])}): {entry['text']}")
        for name, find in entry["where"].items():
            first = find["named"][0]
            more = f" and {find['documents'] - 1:,} more" if find["documents"] > 1 else ""
            lines.append(f'– in {name}, {first["document"]}{more}: "{first["text"]}"')
    if len(own["overlapping"]) > _SHOWN_ITEMS:
        lines.append(f"and {len(own['overlapping']) - _SHOWN_ITEMS:,} more items, in {REPORT}")
    return lines


def build_page(report: dict[str, Any], model: str) -> Page:
    """Lay out the report."""
    (words, least_words), (letters, least_letters) = report["sizes"].values()
    page = Page(f"Evaluation items in the training data of {model}")
    page.add(
        Paragraph(
            f"An item counts as overlapping if one of its texts, or its question and choices as "
            f"one, has {words} words in a row in common with a document of a source that a stage "
            f"read, or {letters} letters if it is Korean (all of a text of {least_words} words or "
            f"{least_letters} letters or more), upper and lower case, punctuation and, in Korean, "
            "spaces aside. Shorter items, and those whose words many items share, cannot be "
            "searched for, and neither can paraphrases and translations be found. Sources count "
            "whole, also where a stage read only a part of them."
        )
    )
    if report["unknown_parent"]:
        page.add(
            Paragraph(
                f"Not searched: what {report['unknown_parent']} was trained on before these "
                "stages. Its data is not known here.",
                tone="bad",
            )
        )
    head, *rows = table(report)
    page.add(Table([head[0], *(f"{name}>" for name in head[1:])], rows))
    for task, own in report["tasks"].items():
        if own["overlapping"]:
            page.add(Heading(task), Bullets(_items(own)))
    return page


def write_report(report: dict[str, Any], model: str, out: Path) -> None:
    """Write `report.json`, and `report.md` and `report.html` for people."""
    write_json_atomically(out / REPORT, report)
    build_page(report, model).write_both(out / "report.html")
