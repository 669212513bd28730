"""datatrove's own filters on our documents: URL block lists, C4 rules and whatever it has."""

import inspect
from typing import Any

from datatrove.data import Document
from datatrove.pipeline import filters
from datatrove.pipeline.filters.base_filter import BaseFilter, get_filter_result

from ..common.errors import RecipeError

_NAME = "filter"
# Rejected documents have a shard of their own here.
_NOT_OURS = {"self", "exclusion_writer"}


def _class(name: str) -> type[BaseFilter] | None:
    found = getattr(filters, str(name), None)
    usable = inspect.isclass(found) and issubclass(found, BaseFilter) and found is not BaseFilter
    return found if usable else None


def check_filter(entry: dict[str, Any]) -> None:
    """Raise unless an entry `{filter: <class>, <parameter>: <value>, ...}` names what exists.

    Raises:
        ValueError: no such filter, or a parameter that it does not take.
    """
    name = entry.get(_NAME, "")
    found = _class(name)
    if found is None:
        known = sorted(n for n in dir(filters) if _class(n))
        raise ValueError(f"unknown filter {name!r}; datatrove has {', '.join(known)}")
    known = [p for p in inspect.signature(found.__init__).parameters if p not in _NOT_OURS]
    if unknown := sorted(set(entry) - {_NAME} - set(known)):
        raise ValueError(f"{name}: unknown parameter {unknown[0]!r}; it takes {', '.join(known)}")


class DatatroveFilters:
    """Some filters, made.

    Args:
        entries: as `check_filter` takes them.

    Raises:
        RecipeError: one cannot be made: a package is missing, or a value is not what it takes.
    """

    def __init__(self, entries: list[dict[str, Any]]) -> None:
        self._filters: list[tuple[str, BaseFilter]] = []
        for entry in entries:
            name = entry[_NAME]
            try:
                made = _class(name)(**{k: v for k, v in entry.items() if k != _NAME})
            except (ImportError, TypeError, ValueError) as error:
                raise RecipeError(f"datatrove filter {name}: {error}") from error
            self._filters.append((name, made))

    def apply(self, text: str, id: str, metadata: dict[str, Any]) -> tuple[str, str | None, str]:
        """Judge one document; a filter may also change its text (C4QualityFilter drops lines).

        Args:
            text: the document.
            id: of the document.
            metadata: what URL filters and the like look into.

        Returns:
            The text, the reason to reject it or `None`, and a sentence about that.

        Raises:
            RecipeError: a filter fails on the document, as URLFilter does without a URL.
        """
        document = Document(text=text, id=id, metadata=metadata)
        for name, own in self._filters:
            try:
                kept, reason = get_filter_result(own.filter(document))
            except (AssertionError, KeyError, LookupError, ImportError) as error:
                raise RecipeError(f"{id}: datatrove filter {name}: {error}") from error
            if not kept:
                return text, f"{name}.{reason}" if reason else name, f"datatrove's {name}"
        return document.text, None, ""
