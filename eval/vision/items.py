"""Questions of a picture set, and what answers them rightly."""

import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data_recipes.answers.text import as_seen, clean
from data_recipes.common.errors import RecipeError
from data_recipes.read.pictures import PictureRow, read_picture_rows

TRAIN = "train"
_NO_QUESTIONS = (TRAIN, "scenes")
_AROUND = re.compile(r"^(?:(?!-[\d.])[\W_])+|[\W_]+$")  # -5 is not 5
_WORD = re.compile(r"\w[\w/'’-]*")  # yes/no is neither
# An option's letter that an answer begins with (MMStar's rule; here it stands alone).
_OPTION = re.compile(r"(?:option |the answer is )?\(?([a-z])(?![a-z])", re.I)
LETTER = "letter"
_ARTICLE = re.compile(r"^(?:the|an?)\s+")


@dataclass(frozen=True)
class PictureQuestion:
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
        fields: everything else that the row says.
        votes: how many people gave each of the answers; empty where all are equally right.
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
    fields: dict[str, Any] = field(default_factory=dict)
    votes: tuple[int, ...] = ()

    @property
    def subject(self) -> Hashable:
        """What is asked about: answers about one thing depend on each other."""
        return self.fields.get("entity", self.pictures)


def normalise(answer: str, endings: bool = True) -> str:
    """Bring answers to one form: no case, article or punctuation around, and no verb ending.

    An answer of signs alone stays what it is.
    """
    text = " ".join(clean(answer, endings).casefold().replace("’", "'").split())
    return _ARTICLE.sub("", _AROUND.sub("", text)) or text


def readings(answer: str) -> set[str]:
    """Read an answer in all ways: 이 is a part of 고양이예요's noun, and none of 책이에요's."""
    short, whole = normalise(answer), normalise(answer, endings=False)
    found = {short, whole}
    if whole.startswith(f"{short}이"):
        found.add(f"{short}이")
    return found


def first_word(answer: str) -> str:
    """Read yes or no, whatever follows it."""
    word = _WORD.search(as_seen(answer))
    return normalise(word[0]) if word else ""


def score_of(item: PictureQuestion, answer: str) -> float:
    """Score an answer from 0 to 1, as VQA's authors do where several people answered (`votes`).

    An answer is right that three others gave: min(1, those who gave it / 3), averaged over the
    ways to leave one person out (arXiv 1505.00468 and its evaluation code). The spellings that
    count as equal are `readings`, not the authors' table of contractions and numerals.
    """
    if not item.votes:
        return float(is_right(item, answer))
    given, people = readings(answer), sum(item.votes)
    said = sum(n for text, n in zip(item.answers, item.votes) if normalise(text) in given)
    of_these, of_others = min(1.0, max(0, said - 1) / 3), min(1.0, said / 3)
    return (said * of_these + (people - said) * of_others) / people


def is_right(item: PictureQuestion, answer: str) -> bool:
    """Compare an answer with all that is right; of yes and no the first word decides.

    Where the letter of an option is asked for (`ask`), the one that the answer begins with does.
    """
    given = {first_word(answer)} if item.truth is not None else readings(answer)
    if item.ask == LETTER and (option := _OPTION.match(answer.strip())):
        given = {normalise(option[1])}
    return not given.isdisjoint(normalise(right) for right in item.answers)


def _texts(message: dict[str, Any]) -> str:
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def _item(row: PictureRow, split: str) -> PictureQuestion:
    fields, messages = row.fields, row.messages[:-1]
    answers = fields.get("answers") or [_texts(row.messages[-1])]
    if not isinstance(answers, list) or not all(isinstance(text, str) for text in answers):
        raise RecipeError(f"{row.where}: `answers` is {answers!r}; it must be a list of texts")
    votes = fields.get("votes", [])
    if votes and (len(votes) != len(answers) or not all(type(n) is int and n > 0 for n in votes)):
        raise RecipeError(f"{row.where}: `votes` is {votes!r}; it must count each of `answers`")
    name = str(fields.get("id", row.where))
    return PictureQuestion(
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
        fields.get("ask", fields.get("relation", "")),
        fields,
        tuple(votes),
    )


def read_split(folder: Path, split: str) -> Iterator[PictureQuestion]:
    """Read the questions of a split.

    Raises:
        RecipeError: no such file, or a row that is none.
    """
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


def read_items(folder: Path, split: str, limit: int | None) -> list[PictureQuestion]:
    """Read the questions of a split, at most `limit` of each kind and language.

    Raises:
        RecipeError: a row that is none, or two with one id, under which answers are kept.
    """
    items = list(read_split(folder, split))
    for name, count in Counter(item.id for item in items).items():
        if count > 1:
            raise RecipeError(f"{folder / split}.jsonl: two rows or more have the id {name!r}")
    return at_most(items, limit)


def at_most(items: list[PictureQuestion], limit: int | None) -> list[PictureQuestion]:
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
