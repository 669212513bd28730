"""Liger's fused kernels for KORMo: `TrainingArguments(use_liger_kernel=True)` finds them here."""

from functools import partial
from typing import Any

from transformers import PreTrainedModel

from .configuration_kormo import require_pre_norm


def apply_liger_kernel_to_kormo(
    rope: bool = True,
    rms_norm: bool = True,
    swiglu: bool = True,
    cross_entropy: bool = False,
    fused_linear_cross_entropy: bool = False,
    model: PreTrainedModel | None = None,
) -> None:
    """Replace RMSNorm, SwiGLU and rotary embedding by Liger's kernels.

    RMSNorm uses Liger's "gemma" casting with offset 0, which multiplies the weight in fp32 as KORMo
    does. The rotary kernel is patched in the module, hence for all KORMo models of the process.

    Args:
        rope: patch the rotary embedding.
        rms_norm: patch the norms of `model`.
        swiglu: patch the MLPs of `model`.
        cross_entropy: must stay off, see below.
        fused_linear_cross_entropy: must stay off: KORMo's head never builds the logits either.
        model: the model to patch.

    Raises:
        ValueError: one of Liger's losses is asked for, no model is given, or one whose norms stand
            elsewhere.
    """
    if cross_entropy or fused_linear_cross_entropy:
        raise ValueError("KORMo's head computes its own chunked loss; leave Liger's losses off")
    if model is None:
        raise ValueError("give the model whose modules are to be patched")
    require_pre_norm(model.config, "Liger's patch of this model")
    from liger_kernel.transformers.monkey_patch import (
        _patch_rms_norm_module,
        _patch_swiglu_module,
    )
    from liger_kernel.transformers.rope import liger_rotary_pos_emb
    from liger_kernel.transformers.swiglu import LigerSwiGLUMLP

    from . import modeling_kormo

    if rope:
        modeling_kormo.apply_rotary_pos_emb = liger_rotary_pos_emb
    patch_norm = partial(_patch_rms_norm_module, offset=0.0, casting_mode="gemma")
    decoder: Any = getattr(model, model.base_model_prefix, model)
    if rms_norm:
        patch_norm(decoder.norm)
    for layer in decoder.layers:
        if swiglu:
            _patch_swiglu_module(layer.mlp, LigerSwiGLUMLP)
        if rms_norm:
            patch_norm(layer.pre_attention_layernorm)
            patch_norm(layer.pre_mlp_layernorm)


def register_liger() -> None:
    """Tell an installed Liger about `model_type` "kormo"."""
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    MODEL_TYPE_TO_APPLY_LIGER_FN["kormo"] = apply_liger_kernel_to_kormo
