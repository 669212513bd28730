"""What a run has done so far."""

from dataclasses import dataclass


@dataclass
class Totals:
    """Counts of this run alone.

    Attributes:
        stored: requests whose answers were in the store.
        answered: requests answered.
        refused: requests that the server would not have.
        failed: requests without an answer in all attempts.
        retries: further tries.
        prompt_tokens: read, unusable answers included.
        completion_tokens: written, likewise.
        cost: by the endpoints' prices, likewise.
    """

    stored: int = 0
    answered: int = 0
    refused: int = 0
    failed: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0

    @property
    def settled(self) -> int:
        """Requests that are done with."""
        return self.stored + self.answered + self.refused + self.failed

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(*(a + b for a, b in zip(vars(self).values(), vars(other).values())))
