"""Schema of the preference-tuning YAML."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict

from .sft_config import ChatSource, ChatStageConfig, TextModelConfig


class PairDataConfig(Strict):
    """What it is trained on.

    Attributes:
        sources: data sets with `prompt`, `chosen` and `rejected`.
        heldout_rows: pairs kept apart to measure on.
        recipe: data recipe that makes the sources at `tiny`.
        seed: order and held-out split.
    """

    sources: list[ChatSource] = Field(min_length=1)
    heldout_rows: int = Field(gt=0)
    recipe: Path | None = None
    seed: int = 42


class PreferenceConfig(Strict):
    """The loss.

    Attributes:
        beta: strength of the tie to the model that it starts from.
        loss_type: `sigmoid` is DPO (arXiv 2305.18290), `ipo` its regularised form (2310.12036).
        sft_weight: weight of the chosen answers' own cross-entropy beside it, which keeps their
            likelihood from falling (arXiv 2404.19733); 0 is off.
    """

    beta: float = Field(default=0.1, gt=0)
    loss_type: Literal["sigmoid", "ipo"] = "sigmoid"
    sft_weight: float = Field(default=0.0, ge=0)


class DPOStageConfig(ChatStageConfig):
    """Preference tuning. Of the batch, a window is a pair, `sequence_length` its longest side."""

    stage: Literal["dpo"]
    model: TextModelConfig
    data: PairDataConfig
    preference: PreferenceConfig

    @model_validator(mode="after")
    def _comparable(self) -> "DPOStageConfig":
        if self.model.attention == "varlen":
            raise ValueError(
                "model.attention varlen needs packed rows, and pairs are padded: use sdpa"
            )
        if self.model.adapter and self.model.adapter.dropout:
            raise ValueError(
                "model.adapter.dropout: likelihoods are compared with the reference's, which "
                "dropout would move; leave it out"
            )
        return self
