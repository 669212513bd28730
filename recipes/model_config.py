"""Schema of `model:` in pretraining: shape, views, RoPE, start, and how it is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict

if TYPE_CHECKING:
    from modeling_kormo import KORMoConfig

FlashKernel = Literal["FA3"] | None
# Parameters of each type as transformers computes it (modeling_rope_utils.py): those it needs, and
# those it may have.
_PARAMETERS: dict[str, tuple[set[str], set[str]]] = {
    "linear": ({"factor"}, set()),
    "dynamic": ({"factor", "original_max_position_embeddings"}, set()),
    "yarn": (
        {"factor", "original_max_position_embeddings"},
        {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"},
    ),
    "llama3": (
        {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"},
        set(),
    ),
    "longrope": (
        {"factor", "original_max_position_embeddings", "short_factor", "long_factor"},
        {"attention_factor"},
    ),
}


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
    def _heads(self) -> ShapeConfig:
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


class RopeScalingConfig(Strict):
    """Scaling of the rotary angles, recorded in the checkpoint's config.

    Attributes:
        rope_type: `linear` (arXiv 2306.15595), `dynamic` NTK, `yarn` (arXiv 2309.00071), `llama3`
            (arXiv 2407.21783) or `longrope` (arXiv 2402.13753).
        factor: new length over the old.
        original_max_position_embeddings: the old length, in tokens: that of the windows before.
        attention_factor: on the attention logits' root; `None` follows from `factor`.
        beta_fast: YaRN leaves frequencies alone that turn at least so often in the old length.
        beta_slow: YaRN divides those by `factor` that turn at most so often.
        mscale: YaRN's attention factor as DeepSeek computes it, with `mscale_all_dim`.
        mscale_all_dim: see `mscale`.
        truncate: YaRN rounds the bounds of its ramp to whole dimensions.
        low_freq_factor: Llama 3 divides wavelengths above old length / this by `factor`.
        high_freq_factor: Llama 3 leaves wavelengths below old length / this alone.
        short_factor: LongRoPE's divisor of each frequency in text up to the old length.
        long_factor: the same in longer text.
    """

    rope_type: Literal["linear", "dynamic", "yarn", "llama3", "longrope"]
    factor: float | None = Field(default=None, ge=1)
    original_max_position_embeddings: int | None = Field(default=None, gt=0)
    attention_factor: float | None = Field(default=None, gt=0)
    beta_fast: float | None = Field(default=None, gt=0)
    beta_slow: float | None = Field(default=None, gt=0)
    mscale: float | None = Field(default=None, gt=0)
    mscale_all_dim: float | None = Field(default=None, gt=0)
    truncate: bool | None = None
    low_freq_factor: float | None = Field(default=None, gt=0)
    high_freq_factor: float | None = Field(default=None, gt=0)
    short_factor: list[float] | None = None
    long_factor: list[float] | None = None

    @model_validator(mode="after")
    def _parameters_of_its_type(self) -> RopeScalingConfig:
        needed, possible = _PARAMETERS[self.rope_type]
        given = set(self.parameters()) - {"rope_type"}
        if missing := sorted(needed - given):
            raise ValueError(f"rope_type {self.rope_type} needs {', '.join(missing)}")
        if foreign := sorted(given - needed - possible):
            allowed = ", ".join(sorted(needed | possible))
            raise ValueError(
                f"rope_type {self.rope_type} has no {', '.join(foreign)}; it has {allowed}"
            )
        if self.rope_type == "llama3" and self.high_freq_factor <= self.low_freq_factor:
            raise ValueError("high_freq_factor must be larger than low_freq_factor")
        if (self.beta_fast or 32) <= (self.beta_slow or 1):
            raise ValueError("beta_fast (32 by default) must be larger than beta_slow (1)")
        if (self.mscale is None) != (self.mscale_all_dim is None):
            raise ValueError("mscale and mscale_all_dim go together")
        return self

    def parameters(self) -> dict[str, Any]:
        """What is given, as it stands in a checkpoint's `rope_parameters`."""
        return self.model_dump(exclude_none=True)

    def check_shape(self, head_dim: int, sequence_length: int) -> None:
        """Compare it with what it is to scale.

        Args:
            head_dim: of the model.
            sequence_length: tokens of a training window.

        Raises:
            ValueError: lists of another length than the frequencies, or windows in which the angles
                of a document would depend on the longest one beside it.
        """
        for name in ("short_factor", "long_factor"):
            factors = getattr(self, name)
            if factors is not None and len(factors) != head_dim // 2:
                raise ValueError(
                    f"{name} has {len(factors)} numbers, the model {head_dim // 2} frequencies "
                    "(shape.head_dim / 2)"
                )
        # transformers takes the longest position of the batch for the length of the text.
        by_length = self.rope_type in ("dynamic", "longrope")
        if by_length and sequence_length > self.original_max_position_embeddings:
            raise ValueError(
                f"rope_type {self.rope_type} chooses its angles by the longest document of a "
                f"batch, so those of one packed beside it would change in windows of "
                f"{sequence_length:,} tokens, longer than original_max_position_embeddings "
                f"({self.original_max_position_embeddings:,}): train with yarn, llama3 or linear"
            )

    def scale(self, config: KORMoConfig) -> None:
        """Write it into the config that a model is made from; the base of the angles stays.

        `max_position_embeddings` follows where engines and transformers take it for the scaled
        length (`yarn`, `longrope`), or for the one that is scaled from (`dynamic`).
        """
        parameters = self.parameters()
        if self.rope_type in ("yarn", "longrope"):
            config.max_position_embeddings = round(
                self.factor * self.original_max_position_embeddings
            )
        elif self.rope_type == "dynamic":
            config.max_position_embeddings = parameters.pop("original_max_position_embeddings")
        config.rope_parameters = {
            "rope_theta": config.rope_parameters["rope_theta"],
            **parameters,
        }


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
    def _recomputes_something(self) -> ModelConfig:
        if self.selective_checkpointing and not self.activation_checkpointing:
            raise ValueError(
                "selective_checkpointing is about layers that are recomputed: set "
                "activation_checkpointing, too"
            )
        return self

    @model_validator(mode="after")
    def _initialised(self) -> ModelConfig:
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
