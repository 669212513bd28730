"""Configuration of the KORMo model family (arXiv 2510.09426; shapes as in its repository)."""

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

NormPlacement = Literal["pre", "mix", "post", "deepnorm"]


@strict
class KORMoConfig(PreTrainedConfig):
    """Shape and hyper-parameters of a KORMo decoder.

    The defaults are those of KORMo-10B. Old-style `config.json` files load unchanged: `rope_theta`
    and `rope_scaling` are folded into `rope_parameters`, and keys without effect (`mask_type`,
    `pretraining_tp`) are kept as plain attributes.

    Args:
        vocab_size: rows of the embedding, padded beyond the tokenizer's entries.
        hidden_size: width of the residual stream.
        intermediate_size: width of the SwiGLU hidden layer.
        num_hidden_layers: decoder layers.
        num_attention_heads: query heads.
        num_key_value_heads: key/value heads (grouped-query attention).
        head_dim: width of one head; `None` means `hidden_size // num_attention_heads`.
        hidden_act: activation of the gate projection.
        max_position_embeddings: longest sequence the model is meant for, in tokens.
        initializer_range: standard deviation of the normal initialisation.
        embedding_std: that of the embedding's weights; `None` is `initializer_range`, as in KORMo.
            A Pre-LN stream begins with the embedding and every layer adds about as much as its
            norms let through, so a small embedding drowns within a few steps of training.
        norm_placement: where the norms of a layer stand. `pre`, KORMo's: before what they feed,
            beside the residual stream. `post`: on the stream, after each addition. `mix`: the first
            layers post, the others pre (Mix-LN, arXiv 2412.13795). `deepnorm`: post, with the
            stream scaled up and the first weights scaled down (arXiv 2203.00555). The norm before
            the head stays in all of them.
        mix_ln_alpha: share of the layers that are post in `mix`, rounded down.
        rms_norm_eps: added to the mean square before the root.
        use_cache: return key/value states for generation (ignored for packed batches).
        tie_word_embeddings: share the embedding with the output head.
        rope_parameters: rotary embedding settings; base 500,000 when not given.
        rope_frequencies_in_model_dtype: round the rotary frequencies to the dtype of the hidden
            states, as the published code does in bf16. False keeps them fp32, so that a model
            trained in mixed precision sees the same angles wherever it runs later.
        attention_bias: biases on the attention projections.
        attention_dropout: dropout probability on attention weights.
        mlp_bias: biases on the MLP projections.
        growing: the weights are in the middle of a growth (growth_masks.py): no model is built of
            them but by the run that grows it, because without its masks it would be another one.

    Raises:
        ValueError: heads that do not divide into key/value groups, an odd `head_dim`, an
            `embedding_std` where the output head is the same matrix, or a share that is none.
    """

    model_type = "kormo"
    keys_to_ignore_at_inference = ["past_key_values"]
    default_theta = 500_000.0

    base_model_tp_plan = {
        "layers.*.self_attn.q_proj": "colwise",
        "layers.*.self_attn.k_proj": "colwise",
        "layers.*.self_attn.v_proj": "colwise",
        "layers.*.self_attn.o_proj": "rowwise",
        "layers.*.mlp.gate_proj": "colwise",
        "layers.*.mlp.up_proj": "colwise",
        "layers.*.mlp.down_proj": "rowwise",
    }
    base_model_pp_plan = {
        "embed_tokens": (["input_ids"], ["inputs_embeds"]),
        "layers": (["hidden_states", "attention_mask"], ["hidden_states"]),
        "norm": (["hidden_states"], ["hidden_states"]),
    }

    vocab_size: int = 125_184
    hidden_size: int = 4096
    intermediate_size: int = 16_384
    num_hidden_layers: int = 40
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 131_072
    initializer_range: float = 0.02
    embedding_std: float | None = None
    norm_placement: NormPlacement = "pre"
    mix_ln_alpha: int | float = 0.25
    rms_norm_eps: float = 1e-5
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = 125_030
    eos_token_id: int | list[int] | None = 125_031
    tie_word_embeddings: bool = False
    rope_parameters: dict | None = None
    rope_frequencies_in_model_dtype: bool = True
    attention_bias: bool = False
    attention_dropout: int | float | None = 0.0
    mlp_bias: bool = False
    growing: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        super().__post_init__(**kwargs)

    def validate_architecture(self) -> None:
        """Part of the `@strict` validation: run on every construction."""
        if self.num_attention_heads % self.num_key_value_heads != 0:
            raise ValueError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of "
                f"num_key_value_heads ({self.num_key_value_heads})"
            )
        if self.head_dim % 2 != 0:
            raise ValueError(f"head_dim ({self.head_dim}) must be even: RoPE rotates it in halves")
        if self.tie_word_embeddings and self.embedding_std is not None:
            raise ValueError(
                f"embedding_std ({self.embedding_std}) would be that of the output head as well: "
                "leave it out, or untie the two (tie_word_embeddings)"
            )
        if not 0 <= self.mix_ln_alpha <= 1:
            raise ValueError(f"mix_ln_alpha ({self.mix_ln_alpha}) must lie between 0 and 1")

    @property
    def post_norm_layers(self) -> int:
        """How many of the layers, from the first, have their norms on the stream."""
        layers = self.num_hidden_layers
        # A share such as 0.29 of 100 layers must not lose one to its last binary digit.
        mixed = int(self.mix_ln_alpha * layers + 1e-9)
        return {"pre": 0, "mix": mixed, "post": layers, "deepnorm": layers}[self.norm_placement]

    @property
    def residual_scale(self) -> float:
        """DeepNorm's factor of the stream, `(2 layers)^(1/4)` in a decoder; 1 elsewhere."""
        return (2 * self.num_hidden_layers) ** 0.25 if self.norm_placement == "deepnorm" else 1.0

    @property
    def initial_scale(self) -> float:
        """DeepNorm's factor of the first weights of all matrices but queries and keys."""
        return (8 * self.num_hidden_layers) ** -0.25 if self.norm_placement == "deepnorm" else 1.0


def require_pre_norm(config: PreTrainedConfig, purpose: str) -> None:
    """Refuse a model with norms on the stream where that would be lost without a word.

    Args:
        config: of any model.
        purpose: what is asked for, as the subject of a sentence.

    Raises:
        ValueError: names the field and what to do instead.
    """
    placement = getattr(config, "norm_placement", "pre")
    if placement != "pre":
        raise ValueError(
            f"norm_placement is {placement}: {purpose} knows norms before the layers only (pre), "
            "and its result would be another model; use the checkpoint as it is, with "
            "trust_remote_code, or train one with norm_placement pre"
        )
