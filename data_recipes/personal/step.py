"""The step that masks personal data: every document stays, and only numbers are written down."""

from collections import Counter
from pathlib import Path

import pyarrow as pa

from ..engine.steps import Outcome, ShardStep, decide
from . import Kind, PersonalConfig
from .mask import mask


class PersonalStep(ShardStep):
    """Masks personal data in the text of every document.

    Counted: `personal`, how many were masked by kind, and `personal_documents`, texts that had any.

    Args:
        inputs: folder of the step before, by source name.
        output_dir: `<output_dir>/personal`.
        config: the step.
    """

    name = "Personal data"

    def __init__(self, inputs: dict[str, Path], output_dir: Path, config: PersonalConfig) -> None:
        super().__init__(inputs, output_dir)
        self.config = config

    def process(self, batch: pa.RecordBatch) -> Outcome:
        """Mask one batch."""
        place = batch.schema.get_field_index("text")
        counts: Counter[Kind] = Counter()
        texts, documents = [], 0
        for text in batch.column(place).to_pylist():
            masked, found = mask(text, self.config.kinds)
            texts.append(masked)
            counts += found
            documents += bool(found)
        if documents:
            field = batch.schema.field(place)
            batch = batch.set_column(place, field, pa.array(texts, field.type))
        rows = batch.num_rows
        return decide(
            batch,
            [None] * rows,
            [""] * rows,
            personal=dict(counts),
            personal_documents=documents,
        )
