"""How many answers are accepted, and the floor below which a run stops."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ..common.errors import RecipeError
from ..engine.steps import add_counts
from .config import FloorConfig

ACCEPTED = "accepted"
_REASONS = 4  # named in a message


@dataclass
class Acceptance:
    """Counts of outcomes.

    Attributes:
        counts: by synthesizer, style and outcome: `accepted`, or the reason of a rejection.
    """

    counts: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)

    def add(self, synthesizer: str, style: str, reason: str | None) -> None:
        """Count an outcome; a reason of `None` is an acceptance."""
        add_counts(self.counts, {synthesizer: {style: {reason or ACCEPTED: 1}}})

    def __add__(self, other: "Acceptance") -> "Acceptance":
        return Acceptance(add_counts(add_counts({}, self.counts), other.counts))

    def rows(self) -> Iterator[tuple[str, str, dict[str, int]]]:
        """Synthesizer, style and outcomes, sorted."""
        for synthesizer in sorted(self.counts):
            for style in sorted(self.counts[synthesizer]):
                yield synthesizer, style, self.counts[synthesizer][style]

    def of(self, synthesizer: str) -> dict[str, int]:
        """Outcomes of a synthesizer over all styles."""
        total: dict[str, int] = {}
        for outcomes in self.counts.get(synthesizer, {}).values():
            add_counts(total, outcomes)
        return total

    def check(self, floor: FloorConfig) -> None:
        """Stop a run that is not worth going on with.

        Raises:
            RecipeError: a synthesizer's share of accepted answers is below the floor.
        """
        for synthesizer in self.counts:
            outcomes = self.of(synthesizer)
            judged = sum(outcomes.values())
            share = outcomes.get(ACCEPTED, 0) / judged
            if judged >= floor.after and share < floor.acceptance:
                raise RecipeError(
                    f"synthesizer {synthesizer!r}: {share:.1%} of {judged:,} answers are accepted, "
                    f"below floor.acceptance={floor.acceptance:.1%} ({reasons(outcomes)}). Look at "
                    "its answers (`--show 3` asks for none, and prints prompts), change prompt, "
                    "sampling, validation or model, or lower the floor; answers are kept"
                )


def reasons(outcomes: dict[str, int]) -> str:
    """The most frequent reasons, with their counts."""
    rejected = sorted(((n, r) for r, n in outcomes.items() if r != ACCEPTED), reverse=True)
    return ", ".join(f"{reason} {count:,}" for count, reason in rejected[:_REASONS]) or "none"
