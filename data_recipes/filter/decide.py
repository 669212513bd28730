"""From statistics and limits to the first reason to reject a document."""

from dataclasses import dataclass

import numpy as np

from .profiles import Limit
from .statistics import STATISTICS


@dataclass
class Verdicts:
    """Reasons so far, by document; the first one found stays.

    Attributes:
        reasons: machine-readable name, `None` for a document that has passed everything so far.
        details: a sentence with the value and the limit; empty where there is no reason.
    """

    reasons: list[str | None]
    details: list[str]

    @staticmethod
    def none(documents: int) -> "Verdicts":
        return Verdicts([None] * documents, [""] * documents)

    def passed(self) -> np.ndarray:
        """Rows without a reason, int64."""
        return np.flatnonzero([reason is None for reason in self.reasons])

    def reject(self, row: int, reason: str, detail: str) -> None:
        """Give a document a reason, unless it has one."""
        if self.reasons[row] is None:
            self.reasons[row], self.details[row] = reason, detail

    def limit(
        self, name: str, meaning: str, values: np.ndarray, limit: Limit, rows: np.ndarray
    ) -> None:
        """Reject what lies outside a limit, as `low_<name>` or `high_<name>`.

        Args:
            name: of the statistic.
            meaning: the same in words.
            values: one per row of `rows`, float64.
            limit: the limit.
            rows: which documents the values belong to.
        """
        for side, beyond, edge, words in (
            ("low", np.less, limit.min, "at least"),
            ("high", np.greater, limit.max, "at most"),
        ):
            if edge is None:
                continue
            for place in np.flatnonzero(beyond(values, edge)):
                detail = f"{meaning}: {values[place]:.4g}, {words} {edge:g} is kept"
                self.reject(int(rows[place]), f"{side}_{name}", detail)

    def limits(
        self, found: dict[str, np.ndarray], limits: dict[str, Limit], rows: np.ndarray
    ) -> None:
        """Apply limits in their order.

        Args:
            found: statistics, as `measure` gives them, one value per row of `rows`.
            limits: by statistic.
            rows: which documents the values belong to.
        """
        for name, limit in limits.items():
            self.limit(name, STATISTICS[name][1], found[name], limit, rows)
