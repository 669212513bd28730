"""Schema of the YAML of pretraining: model, data, batch, schedule, and what stages have besides."""

from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from data_recipes.common.config_files import Strict
from data_recipes.tokens.mixture import Mixture, Packing
from data_recipes.tokens.mixture_plan import load_mixture

from .growth_config import GrowthConfig
from .rope_config import RopeScalingConfig
from .shared_config import AdamWConfig, RunLoggingConfig, Seed, ShardingConfig

LadderStage = Literal["stage1", "stage2", "midtrain_long", "midtrain_reasoning"]
STAGES: tuple[str, ...] = get_args(LadderStage)
PretrainingStage = LadderStage | Literal["grow", "expand"]
Pairs = Literal["together", "apart"]
# Sizes whose recipes make what they lack, from the embedded corpus.
SELF_CONTAINED = ("tiny", "small")
FlashKernel = Literal["FA3"] | None


class ShapeConfig(Strict):
    """Shape of the model; the vocabulary comes from the tokenizer."""

    hidden_size: int = Field(gt=0)
    intermediate_size: int = Field(gt=0)
    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int = Field(gt=0)
    head_dim: int = Field(gt=0)
    vocab_size: int = Field(gt=0)
    tie_word_embeddings: bool = False

    @model_validator(mode="after")
    def _heads(self) -> "ShapeConfig":
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(
                f"{self.num_attention_heads} attention heads cannot share "
                f"{self.num_key_value_heads} key/value heads evenly: change num_attention_heads or "
                "num_key_value_heads"
            )
        if self.head_dim % 2:
            raise ValueError(f"head_dim {self.head_dim} is odd, and RoPE rotates halves of it")
        return self


class ViewsConfig(Strict):
    """Multi-token prediction: tokens after the next are predicted too, in training alone.

    Attributes:
        kind: `parallel` (Gloeckle et al., arXiv 2404.19737), `sequential` (DeepSeek-V3) or `same`,
            the next token's own logits. The paper's "1 view" reads as the first.
        count: later tokens that are predicted.
        weight: of each one's loss: 1 as Gloeckle et al.; DeepSeek-V3 has 0.3, then 0.1.
    """

    kind: Literal["parallel", "sequential", "same"] = "parallel"
    count: int = Field(default=1, gt=0)
    weight: float = Field(default=1.0, gt=0)


class ModelConfig(Strict):
    """What is trained.

    Attributes:
        shape: the model's shape; a start from weights must have the same.
        init_from: model directory, a stage's `final/`, or Hub id with optional `@revision`; `None`
            is a random initialisation.
        embedding_std: standard deviation of the embedding's weights at a random initialisation;
            `None` is that of every other matrix, KORMo's 0.02 (docs/experiments.md).
        norm_placement: of every layer's two norms (`KORMoConfig`): `pre` as KORMo, or `mix`, `post`
            or `deepnorm`, which no other layout can hold. A start from weights must have the same.
        mix_ln_alpha: share of the layers, from the first, whose norms are post in `mix`.
        views: multi-token prediction; its modules stay out of `final/`.
        rope_theta: base of the rotary frequencies; `None` keeps the parent's (500,000 at the
            start). Recorded in the checkpoint's config.
        rope_scaling: how the angles are stretched to longer text; `None`
            keeps the parent's.
        attention: attention backend.
        flash_kernel: kernel that `varlen` and `sdpa` call on a GPU in place of torch's own
            FlashAttention 2; `FA3` needs a Hopper GPU and its package.
        activation_checkpointing: recompute every n-th layer in the backward pass; 0 recomputes
            none, 1 all.
        selective_checkpointing: of the layers that are recomputed, keep attention and every second
            product: more memory, and about a third of the recomputation.
        compile: `torch.compile` each layer.
        liger: Liger's fused RMSNorm, SwiGLU and rotary kernels (needs a GPU).
    """

    shape: ShapeConfig
    init_from: str | None = None
    embedding_std: float | None = Field(default=None, gt=0)
    norm_placement: Literal["pre", "mix", "post", "deepnorm"] = "pre"
    mix_ln_alpha: float = Field(default=0.25, ge=0, le=1)
    views: ViewsConfig | None = None
    rope_theta: float | None = Field(default=None, gt=1)
    rope_scaling: RopeScalingConfig | None = None
    attention: Literal[
        "varlen", "sdpa", "eager", "flex_attention", "flash_attention_2", "flash_attention_3"
    ] = "varlen"
    flash_kernel: FlashKernel = None
    activation_checkpointing: int = Field(default=0, ge=0)
    selective_checkpointing: bool = False
    compile: bool = False
    liger: bool = False

    @model_validator(mode="after")
    def _recomputes_something(self) -> "ModelConfig":
        if self.selective_checkpointing and not self.activation_checkpointing:
            raise ValueError(
                "selective_checkpointing is about layers that are recomputed: set "
                "activation_checkpointing, too"
            )
        return self

    @model_validator(mode="after")
    def _initialised(self) -> "ModelConfig":
        if self.embedding_std is not None and self.init_from is not None:
            raise ValueError(
                "embedding_std belongs to a random initialisation, and init_from loads weights: "
                "set one of the two to null"
            )
        if self.embedding_std is not None and self.shape.tie_word_embeddings:
            raise ValueError(
                "embedding_std would be that of the output head as well: set it to null, or "
                "shape.tie_word_embeddings to false"
            )
        if self.norm_placement != "pre" and self.liger:
            raise ValueError(
                f"liger: its kernels know no norms of norm_placement {self.norm_placement}; set "
                "liger to false"
            )
        return self

    def norms(self) -> dict[str, Any]:
        """Where the norms stand, in the words of the model's config."""
        alpha = {"mix_ln_alpha": self.mix_ln_alpha} if self.norm_placement == "mix" else {}
        return {"norm_placement": self.norm_placement, **alpha}


class BatchConfig(Strict):
    """Tokens per step. The accumulation follows from the number of ranks.

    Attributes:
        sequence_length: tokens per window.
        micro_batch: windows per rank and forward pass, at most: the largest divisor of a rank's
            share of the step is taken.
        tokens_per_step: tokens per optimizer step over all ranks.
    """

    sequence_length: int = Field(gt=1)
    micro_batch: int = Field(gt=0)
    tokens_per_step: int = Field(gt=0)

    @model_validator(mode="after")
    def _whole_windows(self) -> "BatchConfig":
        if self.tokens_per_step % self.sequence_length:
            raise ValueError(
                f"tokens_per_step ({self.tokens_per_step:,}) must be a multiple of "
                f"sequence_length ({self.sequence_length:,})"
            )
        return self

    @property
    def windows_per_step(self) -> int:
        return self.tokens_per_step // self.sequence_length


class StageDataConfig(Strict):
    """What it is trained on.

    Attributes:
        recipe: data recipe that makes `shards` and `tokenizer`.
        shards: directory with one folder per source.
        tokenizer: tokenizer directory; its hash must be the one that made the shards.
        mixture: share of tokens per source, or the name of a mixture's YAML, whose shares are
            taken (below data_recipes/configs/mixtures if it is shipped).
        packing: `concat` cuts the stream of documents into windows, as KORMo did; `best_fit` keeps
            documents whole where they fit, and pads. Held-out text is measured in windows of the
            stream either way, so that runs can be compared.
        document_masking: documents in a window do not see each other (paper section 3).
        pairs: set for shards of sources with `pair`, whose segments are two documents, in different
            languages as a rule: `together`, the second one sees the first (cross-lingual document
            attention, as reported of Trillion-7B, arXiv 2504.15431), or `apart`. What is
            scored is the same either way.
        short_document_tokens: a document is short up to this length: that of the stages before.
        min_short_share: share of tokens that short documents must have, without which math and
            code degrade in long-context training (paper section 4).
        allow_single_synthesizer: accept Korean synthetic text from one synthesizer in stage 2.
        heldout: sources that bits per byte are measured on, so that runs on other text can be
            compared; those of the mixture by default.
        heldout_shards: where those are, by default in `shards`; so that runs on text that was
            cleaned in other ways are measured on the same.
        heldout_tokens: held-out tokens per source that bits per byte are measured on, at most;
            `null` takes all whole windows: under any tokenizer the same text, but for less than a
            window at the end of each source.
        heldout_positions: places in a document, ascending: bits per byte are measured apart between
            them, too (`position_bits`), which says how far back a model reads.
        workers: loader processes per rank; 0 reads in the training process.
        seed: order of the windows, and the random initialisation.
    """

    recipe: Path
    shards: Path
    tokenizer: Path
    mixture: dict[str, float]
    packing: Packing = "concat"
    document_masking: bool = True
    pairs: Pairs | None = None
    short_document_tokens: int | None = Field(default=None, gt=0)
    min_short_share: float | None = Field(default=None, gt=0, lt=1)
    allow_single_synthesizer: bool = False
    heldout: list[str] = []
    heldout_shards: Path | None = None
    heldout_tokens: int | None = Field(gt=0)
    heldout_positions: list[int] = []
    workers: int = Field(default=0, ge=0)
    seed: Seed = 42

    @field_validator("mixture", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return load_mixture(value).shares() if isinstance(value, str) else value

    def open(self, sequence_length: int, pad_token_id: int | None) -> Mixture:
        """Open the shards, in the order in which windows of so many tokens are trained on.

        Raises:
            RecipeError: missing or corrupt ones.
        """
        return Mixture(
            self.shards, self.mixture, sequence_length, self.seed, self.packing, pad_token_id
        )


class ScheduleConfig(Strict):
    """Warm-up, stable, decay, all in tokens.

    Attributes:
        total_tokens: length of the stage.
        warmup_fraction: share of `total_tokens` that the learning rate rises over.
        decay_tokens: length of the decay at the end; 0 keeps the rate constant.
        decay_type: shape of the decay.
        min_lr_ratio: where warm-up starts and decay ends, as a share of the peak.
        branch_from: a `checkpoint-N` of another run of this recipe, whose weights, optimizer and
            data position this run goes on from, e.g. to decay from a stable checkpoint.
    """

    total_tokens: int = Field(gt=0)
    warmup_fraction: float = Field(default=0.03, ge=0, le=1)
    decay_tokens: int = Field(default=0, ge=0)
    decay_type: Literal["linear", "cosine", "1-sqrt"] = "linear"
    min_lr_ratio: float = Field(default=0.05, ge=0, le=1)
    branch_from: Path | None = None


class UnfreezingConfig(Strict):
    """What is trained first after an expansion of the vocabulary; then everything is.

    Attributes:
        new_rows_tokens: tokens that train the new rows of embedding and head alone.
        matrices_tokens: tokens after those that train all rows of both, and nothing else.
    """

    new_rows_tokens: int = Field(ge=0)
    matrices_tokens: int = Field(ge=0)


class OptimizerConfig(AdamWConfig):
    """AdamW and the guards around it, in pretraining and mid-training.

    Attributes:
        weight_decay: as in every stage, with KORMo's value.
        z_loss_weight: weight of the squared log partition function; 0 is off.
        skip_sigma: an update whose loss or gradient norm lies this many standard deviations above
            the mean of the last `skip_window` steps is skipped.
        skip_window: steps in that window; nothing is skipped before half of it is filled.
    """

    weight_decay: float = Field(default=0.033, ge=0)
    z_loss_weight: float = Field(default=0.0, ge=0)
    skip_sigma: float = Field(default=6.0, gt=0)
    skip_window: int = Field(default=128, ge=4)


class ParallelismConfig(ShardingConfig):
    """Precision and sharding and, for planning, the machine.

    Attributes:
        shard_gpus: GPUs that share a copy of the model, if there are so many: those of a node, or
            of several nodes for a model that one does not hold.
        planned_mfu: model FLOPs utilisation that the GPU-hours assume.
        gpu_hour_usd: price of one GPU-hour.
    """

    shard_gpus: int = Field(default=8, gt=0)
    planned_mfu: float = Field(default=0.4, gt=0, le=1)
    gpu_hour_usd: float = Field(default=0.0, ge=0)


class LoggingConfig(RunLoggingConfig):
    """Where results go and how often, in pretraining and mid-training.

    Attributes:
        quick_eval_every_tokens: tokens between evaluations of the suite `quick`; `None` is never.
        eval_every_tokens: tokens between measurements of bits per byte.
        average_tokens: measure the running average of the weights as well, in which a share halves
            in so many tokens: what a decay of the rate would come to, and `kormo average --ema` can
            have. `None` keeps none.
        save_every_tokens: tokens between checkpoints.
        keep_every_tokens: tokens between checkpoints that are kept for good, beside the newest
            `keep_checkpoints`: what a decay or a study of training can start from later. `None`
            keeps the newest only.
    """

    quick_eval_every_tokens: int | None = Field(default=None, gt=0)
    eval_every_tokens: int = Field(gt=0)
    average_tokens: int | None = Field(default=None, gt=0)
    save_every_tokens: int = Field(gt=0)
    keep_every_tokens: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _keeps_what_is_saved(self) -> "LoggingConfig":
        if self.keep_every_tokens and self.keep_every_tokens < self.save_every_tokens:
            raise ValueError(
                f"keep_every_tokens ({self.keep_every_tokens:,}) is less than save_every_tokens "
                f"({self.save_every_tokens:,}): nothing is there to be kept so often"
            )
        return self


class StageConfig(Strict):
    """One training stage, in the order a reader meets it."""

    stage: PretrainingStage
    size: str
    model: ModelConfig
    growth: GrowthConfig | None = None
    data: StageDataConfig
    batch: BatchConfig
    schedule: ScheduleConfig
    unfreezing: UnfreezingConfig | None = None
    optimizer: OptimizerConfig
    parallelism: ParallelismConfig
    logging: LoggingConfig

    @model_validator(mode="after")
    def _scales_its_shape(self) -> "StageConfig":
        if self.model.rope_scaling:
            try:
                self.model.rope_scaling.check_shape(
                    self.model.shape.head_dim, self.batch.sequence_length
                )
            except ValueError as error:
                raise ValueError(f"model.rope_scaling: {error}") from error
        return self

    @model_validator(mode="after")
    def _parts_its_windows(self) -> "StageConfig":
        places = [0, *self.data.heldout_positions, self.batch.sequence_length]
        if any(place >= after for place, after in zip(places, places[1:])):
            said = "do not ascend from 1 on, below batch.sequence_length"
            raise ValueError(f"data.heldout_positions: {places[1:-1]} {said} ({places[-1]:,})")
        return self

    @model_validator(mode="after")
    def _views_alone(self) -> "StageConfig":
        for name in ("growth", "unfreezing"):
            if self.model.views is not None and getattr(self, name) is not None:
                raise ValueError(f"{name}: it knows no views; set model.views to null")
        return self

    @model_validator(mode="after")
    def _ends_grown(self) -> "StageConfig":
        if self.growth is None:
            return self
        if self.logging.average_tokens and self.growth.how == "masks":
            raise ValueError(
                "logging.average_tokens: weights under masks that rise are of different models, "
                "which have no mean; set it to null"
            )
        per_step = self.batch.tokens_per_step
        if not self.growth.is_over(self.schedule.total_tokens // per_step * per_step):
            raise ValueError(
                f"growth: its ramps are not over in the last step of the stage's "
                f"{self.schedule.total_tokens:,} tokens: final/ would be half-grown; shorten them "
                "or raise schedule.total_tokens"
            )
        if self.model.liger and self.growth.how == "masks":
            raise ValueError("model.liger: its norm knows no masks; set model.liger=false")
        if self.model.norm_placement != "pre":
            raise ValueError(
                f"growth: it knows no norms of model.norm_placement {self.model.norm_placement}; "
                "set it to pre"
            )
        return self
