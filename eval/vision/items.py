"""Questions of a picture set, and the answers that need no eyes."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.read.pictures import PictureRow, read_picture_rows

TRAIN = "train"
_NO_QUESTIONS = (TRAIN, "scenes")
_AROUND = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True)
class Item:
    """A question with exact answers.

    Attributes:
        id: of the row.
        split: file it stands in.
        item: the same for one question in several languages.
        kind: as the set names it.
        language: its code.
        pictures: files.
        messages: up to the question.
        question: the text of all turns so far, which is what someone without eyes has.
        answers: all that is right; the first is the set's.
        truth: of a question of yes or no, else `None`.
        ask: which question of its kind it is, where the set says so.
    """

    id: str
    split: str
    item: str
    kind: str
    language: str
    pictures: tuple[Path, ...]
    messages: list[dict[str, Any]]
    question: str
    answers: tuple[str, ...]
    truth: bool | None
    ask: str = ""


def normalise(answer: str) -> str:
    """Bring answers to one form: no case, no punctuation around, one space between words."""
    return _AROUND.sub("", " ".join(unicodedata.normalize("NFC", answer).casefold().split()))


def _texts(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def _item(row: PictureRow, split: str) -> Item:
    fields, messages = row.fields, row.messages[:-1]
    answers = fields.get("answers") or [_texts(row.messages[-1])]
    if not isinstance(answers, list) or not all(isinstance(text, str) for text in answers):
        raise RecipeError(f"{row.where}: `answers` is {answers!r}; it must be a list of texts")
    name = str(fields.get("id", row.where))
    return Item(
        name,
        split,
        str(fields.get("item", name)),
        fields.get("kind", "question"),
        fields.get("language", "unknown"),
        tuple(row.pictures),
        messages,
        "\n".join(_texts(message) for message in messages),
        tuple(answers),
        fields.get("truth"),
        fields.get("ask", ""),
    )


def _rows(folder: Path, split: str) -> Iterable[Item]:
    for row in read_picture_rows(folder / f"{split}.jsonl"):
        # A caption can be right in more ways than a set can list.
        if row.fields.get("kind") != "caption" and row.pictures:
            yield _item(row, split)


def splits_of(folder: Path) -> list[str]:
    """Name the splits of a set that can be asked about.

    Raises:
        RecipeError: there are none.
    """
    found = sorted(path.stem for path in folder.glob("*.jsonl"))
    splits = [name for name in found if name not in _NO_QUESTIONS]
    if not splits:
        raise RecipeError(
            f"{folder}: no picture set: it has no questions beside those of training; "
            "`kormo data pictures --config tiny` makes one"
        )
    return splits


def read_items(folder: Path, split: str, limit: int | None) -> list[Item]:
    """Read the questions of a split, at most `limit` of each kind and language.

    Raises:
        RecipeError: a row that is none, or two with one id, under which answers are kept.
    """
    items = list(_rows(folder, split))
    for name, count in Counter(item.id for item in items).items():
        if count > 1:
            raise RecipeError(f"{folder / split}.jsonl: two rows or more have the id {name!r}")
    return at_most(items, limit)


def at_most(items: list[Item], limit: int | None) -> list[Item]:
    """Take `limit` questions of each kind, evenly spread; one in several languages counts once."""
    if limit is None:
        return items
    names: dict[str, list[str]] = defaultdict(list)
    for item in items:
        if item.item not in names[item.kind]:
            names[item.kind].append(item.item)
    kept = {
        own[i * len(own) // min(limit, len(own))]
        for own in names.values()
        for i in range(min(limit, len(own)))
    }
    return [item for item in items if item.item in kept]


class QuestionOnly:
    """Answers by what was most often right for the same words, in training.

    A question whose words were never seen gets the most frequent answer to the same question of
    other things, else of its kind, in its language.

    Args:
        folder: of the set. Without rows for training it has nothing to go by, and says nothing.
    """

    def __init__(self, folder: Path) -> None:
        self._by_words: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self._by_ask: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        self._by_kind: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        if (folder / f"{TRAIN}.jsonl").is_file():
            for item in _rows(folder, TRAIN):
                self._by_words[item.language, item.question][item.answers[0]] += 1
                self._by_ask[item.language, item.kind, item.ask][item.answers[0]] += 1
                self._by_kind[item.language, item.kind][item.answers[0]] += 1

    def answer(self, item: Item) -> str:
        """Answer without the picture."""
        seen = self._by_words.get((item.language, item.question))
        seen = seen or self._by_ask.get((item.language, item.kind, item.ask))
        seen = seen or self._by_kind.get((item.language, item.kind))
        return min(seen, key=lambda text: (-seen[text], text)) if seen else ""


def swapped(items: list[Item]) -> dict[str, tuple[Path, ...]]:
    """Give every question pictures of another one, half the list further on, by id.

    Raises:
        RecipeError: there are no others, and its own would be called swapped.
    """
    shift = max(1, len(items) // 2)
    others: dict[str, tuple[Path, ...]] = {}
    for place, item in enumerate(items):
        order = (items[(place + shift + step) % len(items)] for step in range(len(items)))
        fits = (
            o.pictures
            for o in order
            if o.pictures != item.pictures and len(o.pictures) == len(item.pictures)
        )
        if (other := next(fits, None)) is None:
            raise RecipeError(
                f"{item.id}: no other question of {item.split} has as many pictures, or others, to "
                "swap with; raise --limit"
            )
        others[item.id] = other
    return others
