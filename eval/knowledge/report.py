"""Shares of right answers by what was new in a question, beside those of blind answerers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_recipes.common.files import write_json_atomically
from data_recipes.common.page import (
    Bullets,
    Details,
    Heading,
    Page,
    Paragraph,
    Picture,
    Table,
    made,
)
from data_recipes.common.statistics import mean_interval

RESULTS = "results.json"
# How rows are taken together, besides all of a kind of novelty.
_GROUPS: dict[str, Callable[[dict[str, Any]], str]] = {
    "language": lambda row: row["language"],
    "hops": lambda row: f"{row['hops']} hops",
    "wording": lambda row: f"wording {row.get('wording', 'unknown')}",
    "answer": lambda row: "answer trained" if row["answer_seen"] else "answer never trained",
    "relation": lambda row: row["relation"],
}
_TITLES = {
    "seen": "Facts that training asked for",
    "unseen_triples": "Unseen facts of seen entities",
    "unseen_entities": "Facts of entities that training only named",
}
_SHOWN = 24  # rows of the contact sheet


def share(rows: list[dict[str, Any]], right: list[bool]) -> dict[str, Any]:
    """Return the share of right answers, with an interval that takes each entity as one item."""
    values = [float(r) for r in right]
    low, high = mean_interval(values, [row["entity"] for row in rows])
    return {"items": len(rows), "share": sum(values) / len(values), "interval": [low, high]}


def consistency(rows: list[dict[str, Any]], right: list[bool]) -> dict[str, int]:
    """Count items by the languages in which they were answered rightly."""
    items: dict[str, dict[str, bool]] = {}
    for row, own in zip(rows, right, strict=True):
        items.setdefault(row["item"], {})[row["language"]] = own
    pairs = [(own["ko"], own["en"]) for own in items.values() if {"ko", "en"} <= own.keys()]
    names = {(True, True): "both", (True, False): "ko only", (False, True): "en only"}
    counts = dict.fromkeys(("both", "ko only", "en only", "neither"), 0)
    for pair in pairs:
        counts[names.get(pair, "neither")] += 1
    return counts


def summarise(rows: list[dict[str, Any]], right: dict[str, list[bool]]) -> dict[str, Any]:
    """Add up.

    Args:
        rows: asked.
        right: which were answered rightly, by who answered.

    Returns:
        By novelty: shares `all` and by group, each by who answered, and Korean-English consistency
        of the first of them.
    """
    summary: dict[str, Any] = {}
    main = next(iter(right))
    for novelty in dict.fromkeys(row["novelty"] for row in rows):
        picks = {"all": [n for n, row in enumerate(rows) if row["novelty"] == novelty]}
        for key in _GROUPS.values():
            for n in picks["all"]:
                picks.setdefault(key(rows[n]), []).append(n)
        own = {
            group: {
                who: share([rows[n] for n in chosen], [marks[n] for n in chosen])
                for who, marks in right.items()
            }
            for group, chosen in picks.items()
        }
        chosen = picks["all"]
        pairs = consistency([rows[n] for n in chosen], [right[main][n] for n in chosen])
        summary[novelty] = {"shares": own, "consistency": pairs}
    return summary


def build_page(
    results: dict[str, Any], rows: list[dict[str, Any]], answers: list[dict[str, Any]], folder: Path
) -> Page:
    """Lay the report out, with some of the pictures, questions and answers."""
    page = Page(f"Knowledge: {results['settings']['model']['name']}")
    page.add(made(), Paragraph("Intervals of 95 %, each entity taken as one item."))
    for novelty, own in results["novelty"].items():
        page.add(Heading(_TITLES[novelty]))
        who = list(own["shares"]["all"])
        table = []
        for group, shares in own["shares"].items():
            low, high = shares[who[0]]["interval"]
            cells = [f"{shares[name]['share']:.1%}" for name in who]
            cells[0] += f" ({low:.1%} to {high:.1%})"
            table.append([group, f"{shares[who[0]]['items']:,}", *cells])
        page.add(Table(["questions", "number>", *(f"{name}>" for name in who)], table))
        pairs = own["consistency"]
        total = sum(pairs.values())
        if total:
            said = ", ".join(f"{name} {count / total:.1%}" for name, count in pairs.items())
            page.add(Bullets([f"same item in Korean and English, {total:,} pairs: {said}"]))
    page.add(Details("Some of the answers", list(_contact_sheet(rows, answers, folder))))
    settings = [[key, str(value)] for key, value in results["settings"].items()]
    page.add(Details("Settings", [Table(["setting", "value"], settings)]))
    return page


def _contact_sheet(rows: list, answers: list, folder: Path) -> list[Any]:
    step = max(1, len(rows) // _SHOWN)
    blocks: list[Any] = []
    for number in range(0, len(rows), step):
        row, own = rows[number], answers[number]
        question = row["messages"][0]["content"][-1]["text"]
        image = (folder / row["images"][0]).read_bytes()
        blocks.append(Picture(image, f"{row['entity']}"))
        mark = "right" if own["right"] else f"wrong; {' or '.join(row['answers'])}"
        blocks.append(Paragraph(f"{question} {own['answer']} ({mark}; {row['novelty']})"))
    return blocks


def write_report(
    out: Path,
    settings: dict[str, Any],
    rows: list[dict[str, Any]],
    right: dict[str, list[bool]],
    answers: list[dict[str, Any]],
    folder: Path,
) -> dict[str, Any]:
    """Write `results.json`, `report.md` and `report.html`; return what is in the first."""
    told = {name: share(rows, [own[name] for own in answers]) for name in ("entity", "path")}
    results = {"settings": settings, "told": told, "novelty": summarise(rows, right)}
    write_json_atomically(out / RESULTS, results)
    page = build_page(results, rows, answers, folder)
    for name in ("report.md", "report.html"):
        page.write(out / name)
    return results
