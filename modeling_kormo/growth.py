"""Growth of a trained model that keeps its function: deeper, wider, or both.

Depth, as LLaMA-Pro (arXiv 2401.02415): a copy of every k-th layer behind it, whose `o_proj` and
`down_proj` are zero, so that it adds nothing until it has learned to. Logits stay equal to the bit.

Width, as Masked Structure Growth (arXiv 2305.02869): hidden size, MLP width, query heads and groups
of key/value heads. New units are normally initialised and stand under a mask that rises from 0 to 1
(growth_masks.py); at 1 the model is a plain one. Or without masks (`how="zeros"`; our form of it):
whatever leads out of a new unit is zero, and norm weights and epsilon are rescaled by the larger
width. Heads keep their size, because RoPE and the scale of attention depend on it.

For `KORMoForCausalLM` and `LlamaForCausalLM`. One map of indices places weights and the moments of
the optimizer alike, and works on one tensor at a time, so that a checkpoint need not fit in memory.
"""

import copy
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from .configuration_kormo import require_pre_norm

How = Literal["masks", "zeros"]
# What grows; "keys" follow the heads, whose mask covers them: a new one is read by new queries.
AXES = ("hidden", "ffn", "heads")
_SIZES = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
# What a config says of all that; the size of heads because it follows from others if left out.
CONFIG_SIZES = ("num_hidden_layers", *_SIZES, "head_dim", "rms_norm_eps")
# Dimensions of a parameter, by the module that it belongs to; what is not here is a norm.
_DIMENSIONS: dict[str, tuple[str | None, str]] = {
    "embed_tokens": (None, "hidden"),
    "lm_head": (None, "hidden"),
    "q_proj": ("heads", "hidden"),
    "k_proj": ("keys", "hidden"),
    "v_proj": ("keys", "hidden"),
    "o_proj": ("hidden", "heads"),
    "gate_proj": ("ffn", "hidden"),
    "up_proj": ("ffn", "hidden"),
    "down_proj": ("hidden", "ffn"),
}
NORMS = ("pre_attention_layernorm", "pre_mlp_layernorm", "input_layernorm")
NORMS += ("post_attention_layernorm", "norm")
# Where a sublayer writes to the residual stream.
_OUTPUTS = ("o_proj", "down_proj")
_FAMILIES = ("kormo", "llama")


def head_placement(queries: int, keys: int, new_queries: int, new_keys: int) -> list[int]:
    """Return the place of each old query head among the new ones.

    Query head i reads key/value head i // (queries per group). A group that gets more queries gets
    them at its end; appended after the last group they would shift what every later head reads.
    """
    group, new_group = queries // keys, new_queries // new_keys
    return [(head // group) * new_group + head % group for head in range(queries)]


def stream_of(seed: int, name: str) -> torch.Generator:
    """Make the stream of random numbers of one parameter: no order of parameters matters."""
    stream = hashlib.sha256(f"{seed} {name}".encode()).digest()[:8]
    return torch.Generator().manual_seed(int.from_bytes(stream) >> 1)


def _refuse(condition: object, message: str) -> None:
    if condition:
        raise ValueError(message)


def _check(old: PreTrainedConfig) -> None:
    family = getattr(old, "model_type", None)
    _refuse(
        family not in _FAMILIES,
        f"model_type {family!r} cannot grow: only KORMo's and Llama's layouts are known",
    )
    _refuse(
        getattr(old, "quantization_config", None),
        "a quantized model cannot grow: quantize it afterwards, from the full weights",
    )
    _refuse(
        old.tie_word_embeddings,
        "tie_word_embeddings: a model whose head is its embedding cannot grow: the two need "
        "different values in new dimensions; untie them first",
    )
    require_pre_norm(old, "growth")
    _refuse(getattr(old, "growing", False), "it is in the middle of a growth: end that one first")


@dataclass(frozen=True)
class Growth:
    """A growth, as a map from the old parameters to the new.

    Attributes:
        old: config of the model.
        new: config of the grown model; without masks its `rms_norm_eps` is smaller.
        sources: for each new layer the old one that it is, or is a copy of.
        new_layers: which of them are copies.
        how: new width under masks, or as zeros.
        seed: of new weights, each from its own stream, so that the order does not matter.
    """

    old: PreTrainedConfig
    new: PreTrainedConfig
    sources: tuple[int, ...]
    new_layers: tuple[int, ...]
    how: How
    seed: int

    @cached_property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Units before and after, by axis; those of `heads` and `keys` are dimensions of heads."""
        old, new, size = self.old, self.new, self.old.head_dim
        return {
            "hidden": (old.hidden_size, new.hidden_size),
            "ffn": (old.intermediate_size, new.intermediate_size),
            "heads": (old.num_attention_heads * size, new.num_attention_heads * size),
            "keys": (old.num_key_value_heads * size, new.num_key_value_heads * size),
        }

    @property
    def wider(self) -> bool:
        """Whether it is not in depth alone."""
        return any(new > old for old, new in self.counts.values())

    @cached_property
    def heads(self) -> list[int]:
        """Place of each old query head among the new ones."""
        counts = [(c.num_attention_heads, c.num_key_value_heads) for c in (self.old, self.new)]
        return head_placement(*counts[0], *counts[1])

    def places(self, axis: str) -> torch.Tensor:
        """Place of each old unit among the new ones, int64: at the beginning, but for heads."""
        if axis != "heads":
            return torch.arange(self.counts[axis][0])
        size = self.old.head_dim
        return (torch.tensor(self.heads)[:, None] * size + torch.arange(size)).flatten()

    def source(self, name: str) -> str:
        """Return the old parameter that a new one is made of, `model.layers.N` renumbered."""
        prefix, dot, rest = name.partition("layers.")
        number, _, inner = rest.partition(".")
        return f"{prefix}layers.{self.sources[int(number)]}.{inner}" if dot else name

    def names(self, old_names: Iterable[str]) -> Iterator[str]:
        """List the new parameters in the order of the old, layers from first to last."""
        inner: dict[str, None] = {}
        before, after = [], []
        for name in old_names:
            prefix, dot, rest = name.partition("layers.")
            if dot:
                inner[f"{prefix}layers.*.{rest.partition('.')[2]}"] = None
            else:
                (after if inner else before).append(name)
        yield from before
        for layer in range(len(self.sources)):
            yield from (pattern.replace("*", str(layer), 1) for pattern in inner)
        yield from after

    def is_new(self, name: str) -> bool:
        """Whether a parameter belongs to a new layer."""
        rest = name.partition("layers.")[2]
        return bool(rest) and int(rest.partition(".")[0]) in self.new_layers

    def _dimensions(self, name: str, ndim: int) -> tuple[str | None, ...]:
        module = name.rsplit(".", 2)[-2]
        if module in NORMS:
            return ("hidden",)
        _refuse(module not in _DIMENSIONS, f"{name}: growth knows no such parameter")
        return _DIMENSIONS[module][:ndim]

    def _shape(self, old: torch.Tensor, axes: tuple[str | None, ...], after: int) -> list[int]:
        return [s if axis is None else self.counts[axis][after] for axis, s in zip(axes, old.shape)]

    def _place(self, old: torch.Tensor, new: torch.Tensor, axes: tuple[str | None, ...]) -> None:
        for dimension, size in enumerate(old.shape):
            if axes[dimension] != "heads":
                new = new.narrow(dimension, 0, size)
        if "heads" in axes:
            new.index_copy_(axes.index("heads"), self.places("heads"), old)
        else:
            new.copy_(old)

    def tensor(self, name: str, old: torch.Tensor) -> torch.Tensor:
        """Make a parameter of the grown model.

        Args:
            name: its new name.
            old: the parameter `source(name)`.

        Returns:
            It in the new shape, in the dtype of `old`; the same tensor if nothing about it is new.

        Raises:
            ValueError: a parameter of an architecture that growth does not know, or in a shape that
                the old config does not say.
        """
        axes, module = self._dimensions(name, old.ndim), name.rsplit(".", 2)[-2]
        wanted = self._shape(old, axes, 0)
        _refuse(
            wanted != list(old.shape),
            f"{name}: its shape is {list(old.shape)}, the config says {wanted}",
        )
        if module in _OUTPUTS and self.is_new(name):
            old = torch.zeros_like(old)
        shrink = (self.old.hidden_size / self.new.hidden_size) ** 0.5
        shape = self._shape(old, axes, 1)
        if shape != list(old.shape):
            new = torch.empty(shape, dtype=old.dtype, device=old.device)
            if old.ndim == 1:
                new.fill_(1 if module in NORMS else 0)
            elif self.how == "zeros" and module in (*_OUTPUTS, "embed_tokens"):
                new.zero_()
            else:
                deviation = self.new.initializer_range
                if module == "embed_tokens":  # KORMo may draw it with one of its own
                    deviation = getattr(self.new, "embedding_std", None) or deviation
                new.normal_(0, deviation, generator=stream_of(self.seed, name))
            self._place(old, new, axes)
            old = new
        if self.how == "zeros" and module in NORMS and shrink != 1:
            old = old * shrink
        return old

    def moment(self, name: str, old: torch.Tensor) -> torch.Tensor:
        """Pad a moment of the optimizer: what belongs to a new unit is zero."""
        axes = self._dimensions(name, old.ndim)
        new = torch.zeros(self._shape(old, axes, 1), dtype=old.dtype, device=old.device)
        if not self.is_new(name):
            self._place(old, new, axes)
        return new

    def record(self) -> dict[str, Any]:
        """Say which units are new, as JSON has it: numbers in the grown model, from 0."""
        old, new = self.old, self.new
        return {
            "how": self.how,
            "seed": self.seed,
            "from": {key: getattr(old, key) for key in ("num_hidden_layers", *_SIZES)},
            "to": {key: getattr(new, key) for key in ("num_hidden_layers", *_SIZES)},
            "new_layers": list(self.new_layers),
            "new_query_heads": [h for h in range(new.num_attention_heads) if h not in self.heads],
            # The others come after the old ones.
            "first_new_hidden": old.hidden_size,
            "first_new_ffn": old.intermediate_size,
            "first_new_key_value_head": old.num_key_value_heads,
        }


def plan_growth(
    config: PreTrainedConfig,
    *,
    layers_every: int | None = None,
    layers_after: Iterable[int] = (),
    how: How = "masks",
    seed: int = 0,
    **sizes: int | None,
) -> Growth:
    """Plan a growth from the config alone.

    Args:
        config: of a KORMo or Llama model.
        layers_every: add a layer after each so many.
        layers_after: or after these layers, counted from 0.
        how: new width under masks, or as zeros.
        seed: of new weights.
        **sizes: `hidden_size`, `intermediate_size`, `num_attention_heads`, `num_key_value_heads` of
            the grown model; `None` keeps the old.

    Raises:
        ValueError: says why the model cannot grow, or not so.
    """
    _check(config)
    _refuse(
        "head_dim" in sizes,
        "head_dim cannot grow: RoPE and the scale of attention depend on it; grow the number of "
        "heads",
    )
    _refuse(
        set(sizes) - set(_SIZES), f"no such sizes: {', '.join(sorted(set(sizes) - set(_SIZES)))}"
    )
    new = copy.deepcopy(config)
    for key, value in sizes.items():
        if value is not None:
            old = getattr(config, key)
            _refuse(value < old, f"{key}: {value:,} is less than the model's {old:,}")
            setattr(new, key, value)
    old_group, group = (c.num_attention_heads // c.num_key_value_heads for c in (config, new))
    _refuse(
        new.num_attention_heads % new.num_key_value_heads,
        f"num_attention_heads ({new.num_attention_heads}) must be a multiple of "
        f"num_key_value_heads ({new.num_key_value_heads})",
    )
    _refuse(
        group < old_group,
        f"num_attention_heads ({new.num_attention_heads}) over num_key_value_heads "
        f"({new.num_key_value_heads}) is {group} queries a group, and the model has {old_group}: "
        "old heads would read other keys; raise num_attention_heads",
    )
    _refuse(
        new.hidden_size % new.num_attention_heads
        and (new.hidden_size, new.num_attention_heads)
        != (config.hidden_size, config.num_attention_heads),
        f"hidden_size ({new.hidden_size}) must be a multiple of num_attention_heads "
        f"({new.num_attention_heads}): transformers refuses a Llama without, so that there would "
        "be no way to export it",
    )
    layers, after = config.num_hidden_layers, sorted(layers_after)
    if layers_every is not None:
        _refuse(after, "give layers_every or layers_after, not both")
        _refuse(
            not 0 < layers_every <= layers or layers % layers_every,
            f"layers_every: {layers_every} does not divide the model's {layers} layers",
        )
        after = list(range(layers_every - 1, layers, layers_every))
    _refuse(
        after and not 0 <= after[0] <= after[-1] < layers,
        f"layers_after: {after} are not all among the model's layers, 0 to {layers - 1}",
    )
    sources, new_layers = [], []
    for layer in range(layers):
        sources.append(layer)
        for _ in range(after.count(layer)):
            new_layers.append(len(sources))
            sources.append(layer)
    new.num_hidden_layers = len(sources)
    new.head_dim = config.head_dim
    _refuse(
        len(sources) == layers and all(getattr(new, k) == getattr(config, k) for k in _SIZES),
        "nothing would grow: give layers_every, layers_after or a larger size",
    )
    if how == "zeros":
        new.rms_norm_eps = config.rms_norm_eps * config.hidden_size / new.hidden_size
    return Growth(config, new, tuple(sources), tuple(new_layers), how, seed)


def grow_model(model: PreTrainedModel, growth: Growth) -> PreTrainedModel:
    """Make the grown model in memory, without its masks (see growth_masks.py).

    Args:
        model: a `KORMoForCausalLM` or `LlamaForCausalLM`; nothing is shared with it.
        growth: planned from its config.

    Returns:
        A model of the same class and dtype, in evaluation mode.
    """
    old = dict(model.named_parameters())
    with torch.device("meta"):
        grown = type(model)._from_config(
            growth.new, attn_implementation=model.config._attn_implementation, dtype=model.dtype
        )
    weights: dict[str, torch.Tensor] = {}
    for name in growth.names(old):
        source = old[growth.source(name)].detach()
        weights[name] = growth.tensor(name, source)
        if weights[name] is source:
            weights[name] = source.clone()
    grown.load_state_dict(weights, assign=True)
    # What is not in the weights (rotary frequencies) is still on the meta device.
    grown.model.rotary_emb = copy.deepcopy(model.model.rotary_emb)
    grown.model.rotary_emb.config = growth.new
    grown.generation_config = model.generation_config
    return grown.requires_grad_(True).eval()


def pad_optimizer_state(
    state: dict[str, dict[str, torch.Tensor]], growth: Growth
) -> dict[str, dict[str, torch.Tensor]]:
    """Carry the state of AdamW over to the grown parameters, by the index map of the weights.

    A prefix of each tensor, which MSG copies, is wrong where heads go to the end of each group.

    Args:
        state: by old parameter name `exp_avg`, `exp_avg_sq` and `step`.
        growth: that the parameters went through.

    Returns:
        The same by new name: old entries as they were, new ones zero. `step` is kept, as MSG does,
        but for new layers, which begin at 0.
    """
    padded = {}
    for name in growth.names(state):
        old = state[growth.source(name)]
        padded[name] = {
            key: growth.moment(name, value) if value.ndim else value.clone()
            for key, value in old.items()
        }
        if growth.is_new(name):
            padded[name]["step"] = torch.zeros_like(old["step"])
    return padded
