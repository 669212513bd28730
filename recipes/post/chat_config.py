"""Schemas of the YAML of SFT and preference tuning, whose parts other chat stages share."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Licence, Strict

from ..config import BatchConfig, FlashKernel
from ..shared_config import AdamWConfig, RunLoggingConfig, Seed, ShardingConfig


class AdapterConfig(Strict):
    """LoRA (arXiv 2106.09685) instead of all weights.

    Attributes:
        rank: of the update.
        alpha: the update is scaled by `alpha / rank`.
        dropout: on the adapter's input.
        quantize: keep the frozen weights in 4-bit NormalFloat (QLoRA, arXiv 2305.14314); needs a
            GPU and bitsandbytes.
    """

    rank: int = Field(gt=0)
    alpha: float = Field(gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    quantize: Literal["nf4"] | None = None


class ChatModelConfig(Strict):
    """What is trained.

    Attributes:
        init_from: model directory, a stage's `final/`, or Hub id with optional `@revision`; KORMo's
            or any other causal language model.
        chat_template: file to use in place of the tokenizer's own.
        attention: attention backend; `varlen` is ours and works for every family.
        flash_kernel: as in pretraining (`recipes/config.py`).
        activation_checkpointing: recompute every layer in the backward pass.
        adapter: train a LoRA adapter; `final/` has it merged, `adapter/` apart.
    """

    init_from: str
    chat_template: Path | None = None
    attention: Literal["varlen", "sdpa", "eager", "flash_attention_2", "flash_attention_3"] = (
        "varlen"
    )
    flash_kernel: FlashKernel = None
    activation_checkpointing: bool = False
    adapter: AdapterConfig | None = None


class TextModelConfig(ChatModelConfig):
    """Adds what needs text alone.

    Attributes:
        compile: `torch.compile` each layer. SFT then fills its windows up to one shape.
    """

    compile: bool = False


class ChatSource(Strict):
    """A data set.

    Attributes:
        path: file, directory or glob (JSONL, JSON array, Parquet), or
            `hub://owner/name[@revision][:config[:split]]`.
        language: code.
        licence: for the model card.
        where: columns and the values that a row may have there, such as levels of difficulty; all
            rows by default.
        max_rows: rows to take from the start of those, at most.
    """

    path: str
    language: str
    licence: Licence
    where: dict[str, list[str | int | bool]] = {}
    max_rows: int | None = Field(default=None, gt=0)


class ChatDataConfig(Strict):
    """What it is trained on.

    Attributes:
        sources: data sets; equal rows are not looked for.
        thinking_share: share of conversations whose answer comes with reasoning; `None` takes the
            data as they are, as do data without any reasoning.
        balance: column whose values are made equally frequent, such as a difficulty; `None` takes
            the data as they are.
        overlong: `cut` whole exchanges at the end of a conversation longer than the window, or
            `drop` it.
        heldout_rows: conversations kept apart to measure on.
        audit_rows: conversations whose loss mask is checked at the start.
        learn_empty_thinking: let the empty think block of an answer without reasoning carry loss,
            to see what that does; KORMo's template alone.
        recipe: data recipe that makes the sources at `tiny`.
        seed: order, choice and held-out split.
    """

    sources: list[ChatSource] = Field(min_length=1)
    thinking_share: float | None = Field(default=None, ge=0, le=1)
    balance: str | None = None
    overlong: Literal["cut", "drop"] = "cut"
    heldout_rows: int = Field(gt=0)
    audit_rows: int = Field(default=1000, gt=0)
    learn_empty_thinking: bool = False
    recipe: Path | None = None
    seed: Seed = 42


class ChatScheduleConfig(Strict):
    """Warm-up and decay.

    Attributes:
        epochs: passes over the data.
        steps: in their place, so that runs on other data are equally long.
        warmup_fraction: share of the steps that the learning rate rises over.
        decay_type: shape of the fall from there to the end; `none` stays at the peak.
        min_lr_ratio: where warm-up starts and decay ends, as a share of the peak.
    """

    epochs: float = Field(gt=0)
    steps: int | None = Field(default=None, gt=0)
    warmup_fraction: float = Field(default=0.03, ge=0, lt=1)
    decay_type: Literal["linear", "cosine", "none"] = "cosine"
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1)


class ChatLoggingConfig(RunLoggingConfig):
    """Where results go and how often.

    Attributes:
        quick_eval_every_tokens: tokens between evaluations of the suite `quick`; `None` is never.
        eval_every: steps between measurements on held-out conversations.
        save_every: steps between checkpoints.
    """

    quick_eval_every_tokens: int | None = Field(default=None, gt=0)
    eval_every: int = Field(gt=0)
    save_every: int = Field(gt=0)


class ChatStageConfig(Strict):
    """What SFT and preference tuning have in common."""

    size: str
    model: ChatModelConfig
    batch: BatchConfig
    schedule: ChatScheduleConfig
    optimizer: AdamWConfig
    parallelism: ShardingConfig
    logging: ChatLoggingConfig

    @model_validator(mode="after")
    def _quantized_needs_gpu(self) -> "ChatStageConfig":
        adapter = self.model.adapter
        if adapter and adapter.quantize and not self.parallelism.require_gpu:
            raise ValueError("model.adapter.quantize needs parallelism.require_gpu: true")
        return self


class SFTStageConfig(ChatStageConfig):
    """Supervised fine-tuning, in the order a reader meets it."""

    stage: Literal["sft"]
    model: TextModelConfig
    data: ChatDataConfig


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
    seed: Seed = 42


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
