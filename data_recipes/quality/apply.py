"""The step that scores documents and takes out those below the threshold."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..engine.documents import by_outcome
from ..engine.steps import Outcome, ShardStep, decide
from .classifier import REPORT, Classifier
from .config import QualityConfig
from .train import model_dir

LOW_QUALITY = "low_quality"
QUALITY = pa.field("quality", pa.float32())


class QualityStep(ShardStep):
    """Keeps documents with a score from the threshold of their language on.

    Kept rows gain the column `quality`, float32; null in languages that pass without a score.
    Counted: a histogram of the scores per language (`engine/documents.py`), and documents that
    `passed` without a score.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/quality`, with the classifiers that `train_classifiers` made.
        config: the filter.
    """

    name = "Quality filter"

    def __init__(self, inputs: dict[str, Path], output_dir: Path, config: QualityConfig) -> None:
        super().__init__(inputs, output_dir)
        self.config = config

    def setup(self) -> None:
        """Load the classifiers.

        Raises:
            RecipeError: one is missing, damaged, or not the one that its recipe describes.
        """
        self._classifiers, self._thresholds = {}, {}
        for language in self.config.classifiers:
            directory = model_dir(self.output_dir, language)
            self._classifiers[language] = Classifier(directory)
            report = json.loads((directory / REPORT).read_text(encoding="utf-8"))
            self._thresholds[language] = report["threshold"]

    def schema(self, schema: pa.Schema) -> pa.Schema:
        return schema.append(QUALITY)

    def process(self, batch: pa.RecordBatch) -> Outcome:
        languages = np.array(batch.column("language").to_pylist(), dtype=object)
        texts = batch.column("text").to_pylist()
        scores = np.full(len(texts), np.nan, np.float32)
        lowest = np.full(len(texts), np.nan, np.float32)
        counts = {"histograms": {}, "passed": {}}
        for language in sorted(set(languages)):
            rows = np.flatnonzero(languages == language)
            self.config.check_language(language, str(batch.column("id")[rows[0]]))
            if language in self._classifiers:
                scores[rows] = self._classifiers[language].scores([texts[row] for row in rows])
                lowest[rows] = self._thresholds[language]
                counts["histograms"][f"quality_{language}"] = by_outcome(
                    "fraction", scores[rows], scores[rows] >= lowest[rows]
                )
            else:
                counts["passed"][language] = len(rows)
        low = scores < lowest  # false where there is no score
        outcome = decide(
            batch,
            [LOW_QUALITY if is_low else None for is_low in low],
            [f"quality {s:.6f}, at least {t:.6f} is kept" for s, t in zip(scores, lowest)],
            **counts,
        )
        column = pa.array(scores[~low], QUALITY.type, mask=np.isnan(scores[~low]))
        kept = outcome.kept.append_column(QUALITY, column)
        return Outcome(kept, outcome.rejected, outcome.counts)
