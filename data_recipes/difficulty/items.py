"""Questions whose right answer is known."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..common.config_files import Strict, list_mistakes
from ..common.errors import RecipeError
from ..read.conversations import read_rows
from ..toy import LANGUAGES
from ..toy.items import unique_items

ItemType = Literal["value", "choice", "free"]
PROVENANCE = "difficulty"  # the column that the filter adds


class DifficultyItem(BaseModel):
    """A question. Other columns of its row go along unchanged.

    Attributes:
        id: unique; by default a hash of the question.
        type: how answers are checked: `value` by value, `choice` by the letter, `free` by a
            grader.
        domain: what retention is counted by.
        question: without the choices.
        answer: the right one; of a choice, its letter.
        choices: of a choice question, in the order of their letters from A on.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    id: str = ""
    type: ItemType
    domain: str = Field(min_length=1)
    question: str = Field(min_length=1)
    answer: str
    choices: Annotated[list[str], Field(max_length=10)] = []

    @field_validator("type", mode="before")
    @classmethod
    def _no_code(cls, given: Any) -> Any:
        if given == "code":
            raise ValueError(
                "type code is no longer judged: running programs safely is a promise that this "
                "project cannot keep, and KORMo's filter is of mathematics and STEM; leave these "
                "items out"
            )
        return given

    @model_validator(mode="after")
    def _whole(self) -> "DifficultyItem":
        if PROVENANCE in (self.model_extra or {}):
            raise ValueError(
                f"a column {PROVENANCE!r}: the filter writes one; give rows it has not yet seen"
            )
        if not self.answer.strip():
            raise ValueError(f"type {self.type}: no answer")
        if self.type == "choice":
            if len(self.choices) < 2:
                raise ValueError("type choice: fewer than two choices")
            if self.answer not in self.letters:
                raise ValueError(
                    f"type choice: the answer {self.answer!r} is none of {', '.join(self.letters)}"
                )
        elif self.choices:
            raise ValueError(f"type {self.type}: choices are for type choice")
        return self

    @property
    def letters(self) -> list[str]:
        """Of the choices."""
        return [chr(ord("A") + i) for i in range(len(self.choices))]

    @property
    def lettered(self) -> list[str]:
        """The choices with their letters, as a question shows them."""
        return [f"{letter}. {text}" for letter, text in zip(self.letters, self.choices)]

    @property
    def key(self) -> str:
        """Its id."""
        return self.id or hashlib.sha256(self.question.encode()).hexdigest()[:16]

    def row(self) -> dict[str, Any]:
        """Return its row as it was read, with an id."""
        return self.model_dump(exclude_unset=True) | {"id": self.key}


class EmbeddedItems(Strict):
    """Items of this project's own, to try a recipe out on.

    Attributes:
        count: items of each language.
        split: `train`, `validation` or `test`.
        seed: selects them.
    """

    count: int = Field(gt=0)
    split: Literal["train", "validation", "test"]
    seed: int = 0


class ItemsConfig(Strict):
    """Where items come from: one of the two.

    Attributes:
        path: a JSONL file with the fields of `DifficultyItem` as columns.
        embedded: made on the spot.
    """

    path: Path | None = None
    embedded: EmbeddedItems | None = None

    @model_validator(mode="after")
    def _one(self) -> "ItemsConfig":
        if (self.path is None) == (self.embedded is None):
            raise ValueError("give either `path` or `embedded`")
        return self

    def read(self) -> Iterator[DifficultyItem]:
        """Yield all items, in order.

        Raises:
            RecipeError: no such file, or a row that is no item, with its line.
        """
        if self.embedded is not None:
            yield from _embedded(self.embedded)
            return
        for where, row in read_rows(str(self.path)):
            yield _item(row, where)


def _item(row: dict[str, Any], where: str) -> DifficultyItem:
    try:
        return DifficultyItem.model_validate(row)
    except ValidationError as error:
        raise RecipeError(f"{where}: {list_mistakes(error)[0]}") from error


def _embedded(config: EmbeddedItems) -> Iterator[DifficultyItem]:
    for language in LANGUAGES:
        try:
            for made in unique_items(language, config.split, config.count, config.seed):
                yield DifficultyItem(
                    id=made.id,
                    type="value",
                    domain=f"{made.kind}_{language}",
                    question=made.question,
                    answer=made.value,
                    reasoning=made.reasoning,
                    language=language,
                )
        except ValueError as error:
            raise RecipeError(f"items.embedded: {error}; lower count") from error


@dataclass(frozen=True, slots=True)
class Census:
    """What the items are.

    Attributes:
        domains: number of items in each.
        types: that occur.
    """

    domains: dict[str, int]
    types: set[str]

    @property
    def items(self) -> int:
        return sum(self.domains.values())


def take_census(config: ItemsConfig) -> Census:
    """Read all items once, before anything is asked.

    Raises:
        RecipeError: a row is no item, two share an id, or there are none.
    """
    domains: dict[str, int] = {}
    types: set[str] = set()
    known: set[bytes] = set()  # 16 bytes an item, whatever their ids look like
    for item in config.read():
        digest = hashlib.sha256(item.key.encode()).digest()[:16]
        if digest in known:
            raise RecipeError(
                f"{config.path or 'items.embedded'}: two items have the id {item.key!r}; without "
                "ids of their own, two have the same question"
            )
        known.add(digest)
        domains[item.domain] = domains.get(item.domain, 0) + 1
        types.add(item.type)
    if not domains:
        raise RecipeError(f"{config.path}: no items in it")
    return Census(domains, types)
