"""Asking about pictures from the questions to the page: what vision and knowledge share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.files import write_json_atomically

if TYPE_CHECKING:
    from .answers import Answerer, Sight
    from .blind import Key
    from .items import PictureQuestion


@dataclass(frozen=True)
class Inquiry:
    """What is asked of a kind of model, and how its answers are laid out.

    Attributes:
        title: of the page.
        splits: what is new in the questions, by split.
        blind: who answers without looking: the keys of `Commonest`, by name.
        blind_means: what they do, for the page.
        groups: ways to take questions together, besides language and kind.
    """

    title: str
    splits: Mapping[str, str]
    blind: Mapping[str, Sequence[Key]]
    blind_means: str
    groups: Mapping[str, Key] = field(default_factory=dict)


def inquire(
    inquiry: Inquiry,
    items: Mapping[str, list[PictureQuestion]],
    trained: Sequence[PictureQuestion],
    model: Callable[[], Answerer],
    sights: Sequence[Sight],
    out: Path,
    names: tuple[str, str],
    batch: int,
) -> dict[str, Any]:
    """Ask, score and report.

    Args:
        inquiry: what is asked.
        items: questions by split.
        trained: with the answers that the blind may learn.
        model: loads it, once there is something to ask.
        sights: what it is shown, first `seen`.
        out: of the run.
        names: of the model, and of the set.
        batch: questions at a time.

    Returns:
        The results by split.

    Raises:
        RecipeError: a bad picture, or none to swap with.
    """
    from .answers import answers_to
    from .blind import Commonest
    from .report import build_page, terminal_table
    from .scores import score

    blind = {name: Commonest(trained, keys) for name, keys in inquiry.blind.items()}
    results, answers = {}, {}
    for split, own in items.items():
        given = {sight: answers_to(own, sight, model, out, batch) for sight in sights}
        texts = {
            sight: {name: row["answer"] for name, row in rows.items()}
            for sight, rows in given.items()
        }
        answers[split] = texts | {
            name: {item.id: who.answer(item) for item in own} for name, who in blind.items()
        }
        results[split] = score(own, answers[split], inquiry.groups) | {"told": _told(given["seen"])}
    found = {"model": names[0], "set": names[1], "splits": results}
    write_json_atomically(out / "results.json", found)
    page = build_page(inquiry, *names, results, dict(items), answers)
    page.write_both(out / "report.html")
    print(terminal_table(results))
    print(f"\nPercent. Report: {out / 'report.html'}, report.md beside it")
    return results


def _told(given: Mapping[str, dict[str, Any]]) -> dict[str, float]:
    """Share of rows in which each other thing that a model tells is right."""
    rows = list(given.values())
    names = [name for name in rows[0] if name != "answer"]
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}
