"""Schema of the YAML of the stages that learn to see."""

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from data_recipes.common.config_files import Strict

from ..shared_config import AdamWConfig, Seed, ShardingConfig
from .chat_config import ChatLoggingConfig, ChatModelConfig, ChatScheduleConfig, ChatStageConfig


class TowerShape(Strict):
    """Shape of a SigLIP tower, under transformers' names.

    Attributes:
        image_size: edge of the square of pixels that it reads.
        patch_size: edge of what becomes a feature.
    """

    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    image_size: int = Field(gt=0)
    patch_size: int = Field(gt=0)


class PictureSource(Strict):
    """A file of a picture set.

    Attributes:
        path: JSONL beside its `images/`.
        languages: codes of the rows to take.
        kinds: of the rows to take; all by default.
        licence: for the model card.
        max_rows: rows to take from its start, at most.
    """

    path: str
    languages: list[str] = Field(min_length=1)
    kinds: list[str] | None = None
    licence: str
    max_rows: int | None = Field(default=None, gt=0)


class PictureDataConfig(Strict):
    """What it is trained on.

    Attributes:
        sources: files of picture sets.
        heldout_rows: pictures kept apart, with all that is said of them, to measure on.
        audit_rows: rows whose loss mask is checked at the start.
        recipe: of pictures, that makes the sources at `tiny` and `small`.
        workers: loader processes per rank, which open pictures; 0 opens them in the training
            process.
        seed: order and held-out split.
    """

    sources: list[PictureSource] = Field(min_length=1)
    heldout_rows: int = Field(gt=0)
    audit_rows: int = Field(default=200, gt=0)
    recipe: Path | None = None
    workers: int = Field(default=0, ge=0)
    seed: Seed = 42


class RowBatchConfig(Strict):
    """Rows per step. A row is one chat about its pictures, padded to the longest beside it.

    Attributes:
        sequence_length: longest row in tokens, those of its pictures included; longer ones lose
            their last exchanges, or are left out: pictures are never cut.
        micro_batch: rows per rank and forward pass.
        rows_per_step: rows per optimizer step over all ranks.
        packing: several rows in a window. TRL does not pack pictures, so it is refused.
    """

    sequence_length: int = Field(gt=1)
    micro_batch: int = Field(gt=0)
    rows_per_step: int = Field(gt=0)
    packing: bool = False

    @model_validator(mode="after")
    def _not_packed(self) -> "RowBatchConfig":
        if self.packing:
            raise ValueError("packing: TRL packs no rows with pictures; leave it false")
        return self

    @property
    def windows_per_step(self) -> int:
        return self.rows_per_step

    @property
    def tokens_per_step(self) -> int:
        """At most."""
        return self.rows_per_step * self.sequence_length


class SeeingModelConfig(ChatModelConfig):
    """What is trained: a model that sees.

    Attributes:
        attention: of the language model; rows are padded, not packed.
    """

    attention: Literal["sdpa", "eager", "flash_attention_2", "flash_attention_3"] = "sdpa"


class AlignModelConfig(SeeingModelConfig):
    """What is put together; the projector between is trained alone.

    Attributes:
        init_from: the language model.
        tower: directory or Hub id of a SigLIP.
        tower_shape: of the tower, for `--dry-run`; another one is refused.
        kind: `llava`, one square a picture; `onevision`, also its tiles.
    """

    tower: str
    tower_shape: TowerShape
    kind: Literal["llava", "onevision"] = "llava"

    @model_validator(mode="after")
    def _no_adapter(self) -> "AlignModelConfig":
        if self.adapter:
            raise ValueError("adapter: only the projector is trained here; leave it out")
        return self


class SeeingLoggingConfig(ChatLoggingConfig):
    """Where results go and how often; no suite is asked while it trains."""

    @field_validator("quick_eval_every_tokens")
    @classmethod
    def _not_evaluated_in_text(cls, tokens: int | None) -> None:
        if tokens is not None:
            raise ValueError("the suite asks in text alone; leave it out and evaluate final/")


class SeeingStageConfig(ChatStageConfig):
    """What alignment and instruction tuning have in common."""

    data: PictureDataConfig
    batch: RowBatchConfig
    logging: SeeingLoggingConfig


class VisionAlignConfig(SeeingStageConfig):
    """Alignment: the projector learns to say pictures in the language model's terms."""

    stage: Literal["vision_align"]
    model: AlignModelConfig


class VisionSFTConfig(SeeingStageConfig):
    """Visual instruction tuning: language model and projector."""

    stage: Literal["vision_sft"]
    model: SeeingModelConfig

    @model_validator(mode="after")
    def _not_quantized(self) -> "VisionSFTConfig":
        if self.model.adapter and self.model.adapter.quantize:
            raise ValueError("model.adapter.quantize: not with pictures; leave it out")
        return self


class TowerModelConfig(Strict):
    """What is trained: a tower from random weights.

    Attributes:
        init_from: language model whose embeddings the words of captions start from.
        shape: of the tower.
    """

    init_from: str
    shape: TowerShape


class TowerBatchConfig(Strict):
    """Pictures per step; each is held against the captions of all."""

    rows_per_step: int = Field(gt=1)

    @property
    def windows_per_step(self) -> int:
        return self.rows_per_step

    @property
    def tokens_per_step(self) -> int:
        """Of rows: what the record of a run compares."""
        return self.rows_per_step


class VisionTowerConfig(Strict):
    """A tower for sizes that no public one fits, trained by SigLIP's loss."""

    stage: Literal["vision_tower"]
    size: str
    model: TowerModelConfig
    data: PictureDataConfig
    batch: TowerBatchConfig
    schedule: ChatScheduleConfig
    optimizer: AdamWConfig
    parallelism: ShardingConfig
    logging: SeeingLoggingConfig
