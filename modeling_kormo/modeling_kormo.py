"""KORMo: a Pre-LN, grouped-query, SwiGLU decoder with rotary embeddings (arXiv 2510.09426).

In fp32 it equals Llama with two norms renamed. In bf16 it does not: the published model multiplies
the RMSNorm weight and the rotary factors in fp32 and casts afterwards, and so does this file.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import GenerationMixin, PreTrainedModel
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache
from transformers.masking_utils import create_causal_mask
from transformers.modeling_layers import (
    GenericForSequenceClassification,
    GenericForTokenClassification,
    GradientCheckpointingLayer,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS, dynamic_rope_update
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama.modeling_llama import eager_attention_forward, rotate_half
from transformers.processing_utils import Unpack
from transformers.utils import TransformersKwargs, can_return_tuple
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .attention_kormo import check_flex, register_varlen
from .configuration_kormo import KORMoConfig
from .loss_kormo import IGNORE_INDEX, linear_cross_entropy

register_varlen()


class KORMoRMSNorm(nn.Module):
    """RMSNorm whose product with the weight happens in fp32."""

    def __init__(self, hidden_size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(hidden_size))
        self.variance_epsilon = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        states = hidden_states.float()
        states = states * torch.rsqrt(states.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return (self.weight * states).to(hidden_states.dtype)


class KORMoRotaryEmbedding(nn.Module):
    """Cosines and sines of the rotary angles, in fp32."""

    def __init__(self, config: KORMoConfig) -> None:
        super().__init__()
        self.config = config
        self.max_seq_len_cached = config.max_position_embeddings
        self.original_max_seq_len = config.max_position_embeddings
        self.rope_type = config.rope_parameters["rope_type"]
        inv_freq, self.attention_scaling = self._init_frequencies()
        self.register_buffer("inv_freq", inv_freq, persistent=False)
        self.register_buffer("original_inv_freq", inv_freq.clone(), persistent=False)

    def _init_frequencies(self) -> tuple[torch.Tensor, float]:
        if self.rope_type == "default":
            return self.compute_default_rope_parameters(self.config)
        return ROPE_INIT_FUNCTIONS[self.rope_type](self.config)

    def _apply(self, fn: Callable, recurse: bool = True) -> "KORMoRotaryEmbedding":
        """Keep the buffers fp32 wherever they move: `bfloat16()` must not decide the rounding."""
        super()._apply(fn, recurse)
        if self.inv_freq.dtype != torch.float32:
            frequencies = self._init_frequencies()[0].to(self.inv_freq.device)
            self.inv_freq, self.original_inv_freq = frequencies, frequencies.clone()
        return self

    @staticmethod
    def compute_default_rope_parameters(
        config: KORMoConfig, **kwargs: object
    ) -> tuple[torch.Tensor, float]:
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float) / config.head_dim
        return 1.0 / (config.rope_parameters["rope_theta"] ** exponents), 1.0

    @torch.no_grad()
    @dynamic_rope_update
    def forward(
        self, x: torch.Tensor, position_ids: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        frequencies = self.inv_freq
        if self.config.rope_frequencies_in_model_dtype:
            frequencies = frequencies.to(x.dtype).float()
        angles = position_ids[..., None].float() * frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos() * self.attention_scaling, angles.sin() * self.attention_scaling


def apply_rotary_pos_emb(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate [batch, heads, tokens, head_dim] queries and keys in fp32; dtype is kept."""
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    q_float, k_float = q.float(), k.float()
    q_rotated = q_float * cos + rotate_half(q_float) * sin
    k_rotated = k_float * cos + rotate_half(k_float) * sin
    return q_rotated.to(q.dtype), k_rotated.to(k.dtype)


class KORMoMLP(nn.Module):
    def __init__(self, config: KORMoConfig) -> None:
        super().__init__()
        hidden, inner, bias = config.hidden_size, config.intermediate_size, config.mlp_bias
        self.gate_proj = nn.Linear(hidden, inner, bias=bias)
        self.up_proj = nn.Linear(hidden, inner, bias=bias)
        self.down_proj = nn.Linear(inner, hidden, bias=bias)
        self.act_fn = ACT2FN[config.hidden_act]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


class KORMoAttention(nn.Module):
    def __init__(self, config: KORMoConfig, layer_idx: int) -> None:
        super().__init__()
        self.config = config
        self.layer_idx = layer_idx
        self.head_dim = config.head_dim
        self.num_key_value_groups = config.num_attention_heads // config.num_key_value_heads
        self.scaling = self.head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = True
        queries = config.num_attention_heads * self.head_dim
        keys = config.num_key_value_heads * self.head_dim
        bias = config.attention_bias
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=bias)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=bias)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=bias)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=bias)

    def forward(
        self,
        hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        input_shape = hidden_states.shape[:-1]
        # -1 instead of the head count: under tensor parallelism a rank holds a part of the heads.
        heads = (*input_shape, -1, self.head_dim)
        query = self.q_proj(hidden_states).view(heads).transpose(1, 2)
        key = self.k_proj(hidden_states).view(heads).transpose(1, 2)
        value = self.v_proj(hidden_states).view(heads).transpose(1, 2)
        query, key = apply_rotary_pos_emb(query, key, *position_embeddings)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.layer_idx)

        attention = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        output, weights = attention(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.o_proj(output.reshape(*input_shape, -1).contiguous()), weights


class KORMoDecoderLayer(GradientCheckpointingLayer):
    """A block; Pre-LN, or with its norms on the residual stream (`KORMoConfig.norm_placement`).

    Norms on the stream have names of their own, so that code which does not know them misses its
    own norms instead of taking these for them.
    """

    def __init__(self, config: KORMoConfig, layer_idx: int) -> None:
        super().__init__()
        self.post_norm = layer_idx < config.post_norm_layers
        self.residual_scale = config.residual_scale
        self.self_attn = KORMoAttention(config, layer_idx)
        self.mlp = KORMoMLP(config)
        norms = (KORMoRMSNorm(config.hidden_size, config.rms_norm_eps) for _ in range(2))
        if self.post_norm:
            self.attention_output_layernorm, self.mlp_output_layernorm = norms
        else:
            self.pre_attention_layernorm, self.pre_mlp_layernorm = norms
        # DeepNorm's feed-forward has two matrices; that the gate counts as well is our choice.
        own, mlp = self.self_attn, self.mlp
        for part in (own.v_proj, own.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj):
            part.initial_scale = config.initial_scale  # for `_init_weights`

    def forward(
        self, hidden_states: torch.Tensor, **kwargs: Unpack[TransformersKwargs]
    ) -> torch.Tensor:
        if self.post_norm:
            attention, _ = self.self_attn(hidden_states, **kwargs)
            stream = self.residual_scale * hidden_states + attention
            hidden_states = self.attention_output_layernorm(stream)
            stream = self.residual_scale * hidden_states + self.mlp(hidden_states)
            return self.mlp_output_layernorm(stream)
        attention, _ = self.self_attn(self.pre_attention_layernorm(hidden_states), **kwargs)
        hidden_states = hidden_states + attention
        return hidden_states + self.mlp(self.pre_mlp_layernorm(hidden_states))


class KORMoPreTrainedModel(PreTrainedModel):
    config: KORMoConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["KORMoDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _can_compile_fullgraph = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": KORMoDecoderLayer, "attentions": KORMoAttention}

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        factor = getattr(module, "initial_scale", 1.0)
        if isinstance(module, nn.Embedding) and self.config.embedding_std is not None:
            factor = self.config.embedding_std / self.config.initializer_range
        if factor != 1 and not getattr(module.weight, "_is_hf_initialized", False):
            # Scaled, not drawn anew: every other matrix of the same seed stays what it is.
            module.weight.mul_(factor)


def _positions_restart(position_ids: torch.Tensor) -> bool:
    return bool((position_ids.diff(dim=-1) != 1).any())


class KORMoModel(KORMoPreTrainedModel):
    """The decoder without a head."""

    def __init__(self, config: KORMoConfig) -> None:
        if config.growing:
            raise ValueError(
                "these weights are in the middle of a growth, and without its masks another model: "
                "end the run that grows it, and use its final/"
            )
        super().__init__(config)
        self.padding_idx = config.pad_token_id
        self.vocab_size = config.vocab_size
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, self.padding_idx)
        self.layers = nn.ModuleList(
            KORMoDecoderLayer(config, i) for i in range(config.num_hidden_layers)
        )
        self.norm = KORMoRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = KORMoRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    def layer_inputs(
        self,
        inputs_embeds: torch.Tensor,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor | None,
        past_key_values: Cache | None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Arguments that every layer is called with: mask, rotary factors, and what is passed on.

        Args:
            inputs_embeds: [batch, tokens, hidden_size], for their shape, dtype and device.
            position_ids: int64 [batch, tokens].
            attention_mask: of padded batches.
            past_key_values: of generation.
            **kwargs: of packed documents among others.
        """
        mask = None
        if self.config._attn_implementation == "flex_attention":
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            queries = inputs_embeds.shape[1]
            check_flex(queries, seen + queries, self.config.head_dim, inputs_embeds.device)
        packed = kwargs.get("cu_seq_lens_q") is not None
        if not packed or self.config._attn_implementation != "varlen":
            mask = create_causal_mask(
                config=self.config,
                inputs_embeds=inputs_embeds,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                position_ids=position_ids,
            )
        return {
            "attention_mask": mask,
            "position_embeddings": self.rotary_emb(inputs_embeds, position_ids),
            "position_ids": position_ids,
            "past_key_values": past_key_values,
            **kwargs,
        }

    @merge_with_config_defaults
    @capture_outputs
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        use_cache: bool | None = None,
        cu_seq_lens_q: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> BaseModelOutputWithPast:
        """Hidden states of the last layer, [batch, tokens, hidden_size].

        Packed documents: rows flattened to [1, tokens], `position_ids` restarting at 0 at each
        document, `cu_seq_lens_q/k` (int32), `max_length_q/k` (int), no `attention_mask`.

        Raises:
            ValueError: neither or both of `input_ids` and `inputs_embeds`; a packed batch with an
                `attention_mask` or a cache, either of which would let documents see each other.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        if inputs_embeds is None:
            inputs_embeds = self.embed_tokens(input_ids)

        if cu_seq_lens_q is not None:
            if attention_mask is not None or past_key_values is not None:
                raise ValueError(
                    "packed documents (cu_seq_lens_q) exclude attention_mask and past_key_values: "
                    "either would let documents attend to each other; drop it"
                )
            if position_ids is None:
                raise ValueError("packed documents (cu_seq_lens_q) need position_ids")
            use_cache = False
            kwargs["cu_seq_lens_q"] = cu_seq_lens_q
        elif use_cache and past_key_values is None and position_ids is not None:
            # transformers drops the document mask as soon as a cache exists.
            use_cache = not (attention_mask is None and _positions_restart(position_ids))

        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device) + seen
            position_ids = position_ids.unsqueeze(0)

        layer_inputs = self.layer_inputs(
            inputs_embeds, position_ids, attention_mask, past_key_values, **kwargs
        )
        hidden_states = inputs_embeds
        for layer in self.layers[: self.config.num_hidden_layers]:
            hidden_states = layer(hidden_states, use_cache=use_cache, **layer_inputs)
        return BaseModelOutputWithPast(
            last_hidden_state=self.norm(hidden_states), past_key_values=past_key_values
        )


class KORMoLMHead(nn.Linear):
    """Output projection; with labels it returns losses and never builds the whole logits.

    The loss lives in this module's `forward`, not beside it, so that whatever hooks the weight
    (FSDP2's gather above all) sees an ordinary call.

    Attributes:
        compile_loss: compute the loss in compiled kernels; set where the layers are compiled.
    """

    compile_loss = False

    def forward(
        self,
        hidden_states: torch.Tensor,
        labels: torch.Tensor | None = None,
        z_loss_weight: float = 0.0,
        row_weights: torch.Tensor | None = None,
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if labels is None:
            return super().forward(hidden_states)
        return linear_cross_entropy(
            hidden_states.flatten(0, -2),
            self.weight,
            labels.flatten(),
            z_loss_weight,
            self.compile_loss,
            None if row_weights is None else row_weights.flatten(),
        )


@dataclass
class KORMoCausalLMOutput(CausalLMOutputWithPast):
    """Adds what training measures.

    Attributes:
        z_loss: fp32 scalar, the summed z-loss inside `loss` (only with `reduce_loss="sum"`).
        token_nll: fp32 [batch, tokens], cross-entropy of each token in nats; 0 where not scored.
        views_loss: fp32 scalar, the summed cross-entropy of the views of multi-token prediction,
            unweighted and divided by their number (only in training with views).
    """

    z_loss: torch.Tensor | None = None
    token_nll: torch.Tensor | None = None
    views_loss: torch.Tensor | None = None


class KORMoForCausalLM(KORMoPreTrainedModel, GenerationMixin):
    """The language model.

    Attributes:
        views: of multi-token prediction, while it is trained with them (views_kormo.py).
    """

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}
    _tp_plan = {"lm_head": "colwise_gather_output"}
    _pp_plan = {"lm_head": (["hidden_states"], ["logits"])}
    _fsdp_plan = {"lm_head": "keep_full_weight"}
    # Checkpoints of a run with views have their weights; the model does without.
    _keys_to_ignore_on_load_unexpected = [r"^views\."]

    def __init__(self, config: KORMoConfig) -> None:
        super().__init__(config)
        self.model = KORMoModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = KORMoLMHead(config.hidden_size, config.vocab_size, bias=False)
        self.views: nn.Module | None = None
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        sum_loss: bool = False,
        z_loss_weight: float = 0.0,
        documents: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> KORMoCausalLMOutput:
        """Logits, or a loss, or both.

        Args:
            input_ids: int64 [batch, tokens]; see `KORMoModel.forward` for packed documents.
            labels: int64 [batch, tokens], not shifted; -100 is not scored.
            logits_to_keep: only the logits of the last so many positions (0: all), or an index.
            sum_loss: return the *sum* of the token losses without ever holding the logits. The
                caller divides by its own count, because an average over ranks and accumulation
                steps needs a denominator that no single forward knows.
            z_loss_weight: weight of the squared log partition function, with `sum_loss`.
            documents: int64 [batch, tokens], one number for all tokens of a document; needed, as
                are `labels` and `position_ids`, where views are trained, and ignored elsewhere.

        Returns:
            `loss` (mean over scored tokens, or their sum), `logits` [batch, kept, vocab] or `None`,
            the cache, and with `sum_loss` also `z_loss` and `token_nll`. With views, `loss` has
            theirs added, weighted.

        Raises:
            ValueError: a loss without labels, or views without boundaries of documents.
        """
        views = self.views if sum_loss and self.training else None
        if views is not None:
            if documents is None or position_ids is None or input_ids is None:
                raise ValueError("views need input_ids, position_ids and documents")
            kwargs["output_hidden_states"] = True
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            **kwargs,
        )
        hidden_states = outputs.last_hidden_state
        loss = logits = z_loss = token_nll = views_loss = None
        if sum_loss:
            if labels is None:
                raise ValueError("sum_loss=True needs labels")
            shifted = nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
            rows = None
            if views is not None:
                kwargs.pop("output_hidden_states")
                # One call of the head: each would keep a gradient of its weight until the end.
                hidden_states, shifted, rows = views(
                    self.model,
                    outputs.hidden_states,
                    input_ids,
                    labels,
                    documents,
                    position_ids,
                    **kwargs,
                )
            loss, z_loss, nll = self.lm_head(hidden_states, shifted, z_loss_weight, rows)
            nll, later = nll.view_as(shifted).split(
                [labels.shape[1], shifted.shape[1] - labels.shape[1]], dim=1
            )
            token_nll = nn.functional.pad(nll[:, :-1], (1, 0))
            if views is not None:
                views_loss = later.sum() / views.count
        else:
            keep = (
                slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            )
            logits = self.lm_head(hidden_states[:, keep, :])
            if labels is not None:
                loss = self.loss_function(
                    logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
                )
        return KORMoCausalLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            z_loss=z_loss,
            token_nll=token_nll,
            views_loss=views_loss,
        )


class KORMoForSequenceClassification(GenericForSequenceClassification, KORMoPreTrainedModel):
    pass


class KORMoForTokenClassification(GenericForTokenClassification, KORMoPreTrainedModel):
    pass
