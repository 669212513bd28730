"""The scores that KORMo's model card gives for nine models."""

from functools import cache
from pathlib import Path
from typing import Literal, Self

from pydantic import model_validator

from data_recipes.common.config_files import Strict, load_config

_FILE = Path(__file__).parent / "published.yaml"

Language = Literal["english", "korean"]
Match = Literal["same", "unknown", "other"]


class PublishedRow(Strict):
    """One benchmark.

    Attributes:
        scores: percent, in the order of `Published.models`.
        shots: solved examples, if known.
        metric: lm-eval's name, if known.
        basis: how shots and metric are known.
    """

    scores: tuple[float, ...]
    shots: int | None = None
    metric: str | None = None
    basis: str | None = None

    @model_validator(mode="after")
    def _known_or_not(self) -> Self:
        given = {value is None for value in (self.shots, self.metric, self.basis)}
        if len(given) > 1:
            raise ValueError("shots, metric and basis are given together or not at all")
        return self

    def match(self, shots: int, metric_key: str) -> Match:
        """Whether a score of ours was measured in the way of this row.

        Args:
            shots: of ours.
            metric_key: of ours, e.g. `acc,none`.
        """
        if self.shots is None:
            return "unknown"
        same = (self.shots, self.metric) == (shots, metric_key.partition(",")[0])
        return "same" if same else "other"


class Published(Strict):
    """The card's table.

    Attributes:
        source: where the numbers stand.
        models: columns.
        english: rows by name.
        korean: rows by name.
    """

    source: str
    models: tuple[str, ...]
    english: dict[str, PublishedRow]
    korean: dict[str, PublishedRow]

    @model_validator(mode="after")
    def _rectangular(self) -> Self:
        for name, row in self.rows().items():
            if len(row.scores) != len(self.models):
                raise ValueError(f"{name}: {len(row.scores)} scores of {len(self.models)} models")
        return self

    def rows(self) -> dict[str, PublishedRow]:
        """All rows, of both languages."""
        return {**self.english, **self.korean}

    def averages(self, language: Language) -> dict[str, float]:
        """Unweighted mean over the rows of a language, in percent, by model."""
        columns = zip(*(row.scores for row in getattr(self, language).values()))
        return {name: sum(own) / len(own) for name, own in zip(self.models, columns)}


@cache
def load_published() -> Published:
    """The table that is shipped."""
    return load_config(_FILE, Published, [])
