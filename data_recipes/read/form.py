"""How the text of a document is made from the fields of a row."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from .rows import Row, SetAside, sample, to_row


class NoText(Exception):
    """A row that gives no document.

    Args:
        reason: as in `SetAside`.
        detail: a sentence.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Form(Protocol):
    """Makes a text of a row.

    Attributes:
        remedy: what to correct if no row has the columns.
    """

    remedy: str

    def missing(self, names: Collection[str]) -> str | None:
        """What is not among the columns of a row, as the beginning of a sentence."""

    def take(self, fields: dict[str, Any]) -> Any:
        """The text; the columns that it is made of are removed from `fields`.

        Raises:
            NoText: the row has none.
        """


@dataclass(frozen=True)
class Column:
    """The text is one column as it stands."""

    name: str
    remedy = "Name the text column with text_column"

    def missing(self, names: Collection[str]) -> str | None:
        return None if self.name in names else f"no column {self.name!r}"

    def take(self, fields: dict[str, Any]) -> Any:
        return fields.pop(self.name)


def as_form(form: "str | Form") -> Form:
    """The name of a text column as the form it stands for; a form as it is."""
    return Column(form) if isinstance(form, str) else form


def listed(missing: str, names: Collection[str]) -> str:
    """What is missing, and the columns there are."""
    return f"{missing}; columns are {', '.join(map(repr, names))}"


def row_of(
    form: Form, fields: dict[str, Any], place: int, limit: int, length: int | None = None
) -> Row | SetAside:
    """A row in a form, or why it gives no document; arguments as in `to_row`."""
    try:
        if missing := form.missing(fields):
            raise NoText("no_text", listed(missing, fields))
        text = form.take(fields)
    except NoText as error:
        return SetAside(place, length or 0, error.reason, error.detail, sample(str(fields)))
    return to_row(text, fields, place, limit, length)
