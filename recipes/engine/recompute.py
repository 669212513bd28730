"""Which layers are compiled, which are recomputed in backward passes, and what is kept of these."""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from modeling_kormo import KORMoForCausalLM

_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
_ATTENTION = (
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "torch_attn::_varlen_attn",
)


def _policy() -> Callable[..., CheckpointPolicy]:
    """Keep attention and every second product of a layer; recompute what costs little to compute.

    torchtitan's rule. The recomputation asks again, in the same order, and must get the same
    answers.
    """
    products: Counter[bool] = Counter()

    def decide(context: Any, operation: Any, *_: Any, **__: Any) -> CheckpointPolicy:
        keep = operation.name().split(".")[0] in _ATTENTION
        if operation in _PRODUCTS:
            products[context.is_recompute] += 1
            keep = products[context.is_recompute] % 2 == 1
        return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE

    return decide


def _contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
    return create_selective_checkpoint_contexts(_policy())


def _layers(model: PreTrainedModel) -> list[GradientCheckpointingLayer]:
    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)]


def compile_layers(model: PreTrainedModel) -> None:
    """Have every layer compiled at its first call, and a KORMo model's final norm and loss."""
    for layer in _layers(model):
        layer.compile()
    if isinstance(model, KORMoForCausalLM):
        model.model.norm.compile()
        model.lm_head.compile_loss = True


def recompute_layers(model: PreTrainedModel, every: int, selective: bool) -> None:
    """Have every n-th layer recomputed in the backward pass, the first of them included.

    Args:
        model: a KORMo model; the layers of views are counted after its own.
        every: n.
        selective: keep of these layers what takes long to compute again.
    """
    settings = {"context_fn": _contexts} if selective else {}
    function = partial(checkpoint, use_reentrant=False, **settings)
    for number, layer in enumerate(_layers(model)):
        layer.gradient_checkpointing = number % every == 0
        layer._gradient_checkpointing_func = function
