"""The step that applies the profile of each document's language."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from ..engine.steps import Outcome, ShardStep, add_counts, decide
from .config import FilterConfig
from .judge import Judge


class FilterStep(ShardStep):
    """Keeps what passes every check of its language's profile.

    Counted: `histograms` of every statistic, of kept and rejected documents. A statistic is known
    of the documents that passed the checks before it was measured: language identification sees
    all but empty ones, the language model only those that passed everything else.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/filter`.
        config: the step.
    """

    name = "Filter"

    def __init__(self, inputs: dict[str, Path], output_dir: Path, config: FilterConfig) -> None:
        super().__init__(inputs, output_dir)
        self.config = config

    def setup(self) -> None:
        """Load the profiles.

        Raises:
            RecipeError: a model or package is missing or of the wrong kind.
        """
        self._judges = {language: Judge(p) for language, p in self.config.profiles.items()}

    def process(self, batch: pa.RecordBatch) -> Outcome:
        languages = np.array(batch.column("language").to_pylist(), dtype=object)
        reasons: list[str | None] = [None] * batch.num_rows
        details = [""] * batch.num_rows
        texts = batch.column("text").to_pylist()
        changed = False
        counts = {"histograms": {}}
        for language in sorted(set(languages)):
            rows = np.flatnonzero(languages == language)
            profile = self.config.profile(language, str(batch.column("id")[rows[0]]))
            judged = self._judges[language].judge(batch.take(pa.array(rows)))
            add_counts(counts["histograms"], judged.histograms)
            changed |= bool(profile.datatrove)
            for place, row in enumerate(rows):
                reasons[row] = judged.verdicts.reasons[place]
                details[row] = judged.verdicts.details[place]
                texts[row] = judged.texts[place]
        outcome = decide(batch, reasons, details, **counts)
        if not changed:
            return outcome
        # A rejected document is written as it came.
        kept = outcome.kept.set_column(
            batch.schema.get_field_index("text"),
            batch.schema.field("text"),
            pa.array([t for t, r in zip(texts, reasons) if r is None], pa.large_string()),
        )
        return Outcome(kept, outcome.rejected, outcome.counts)
