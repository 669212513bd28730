"""How a model is held and computed: dtypes, the rank that loads it, compilation, recomputation.

However a run is launched, it computes in one set of dtypes: those of one GPU under autocast are
FSDP2's. Under FSDP2 the first rank alone holds the whole model until it is sharded. The others make
one of the same names and shapes whose memory is never written to, and so never resident; accelerate
then sends them their shards, matrix by matrix.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)
from transformers import GenerationConfig, PreTrainedModel, Trainer
from transformers.modeling_layers import GradientCheckpointingLayer

from modeling_kormo import KORMoForCausalLM

Model = TypeVar("Model", bound=PreTrainedModel)
_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)
_ATTENTION = (
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "torch_attn::_varlen_attn",
)


def reduce_in_fp32(trainer: Trainer) -> None:
    """Under FSDP2, compute in the dtypes of one GPU under autocast, and reduce gradients in fp32.

    accelerate's own policy reduces gradients in bf16, and casts what each layer is given: rotary
    cosines, which are fp32 on one GPU, would arrive rounded to bf16. Its outputs are not cast
    either: fp32 layer inputs would take twice the memory that `--dry-run` plans.
    """
    if not (trainer.is_fsdp_enabled and trainer.args.bf16):
        return
    from torch.distributed.fsdp import MixedPrecisionPolicy

    trainer.accelerator.state.fsdp_plugin.mixed_precision_policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
    )


def _to_autocast(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor):
    kind = output.device.type
    return output.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else output


def stream_in_compute_dtype(model: nn.Module) -> None:
    """Under autocast, have the residual stream begin in its dtype, as FSDP2's bf16 embedding does.

    Autocast leaves an embedding in fp32, and with it the sum that all layers add to: half as fast
    to move again as bf16, and another model than the one that many GPUs train. The layers' sums are
    rounded to bf16 instead; docs/performance.md says what that costs at tiny.

    Args:
        model: with fp32 weights.
    """
    model.get_input_embeddings().register_forward_hook(_to_autocast)


def empty_model(make: Callable[[], Model]) -> Model:
    """Make a model without its weights.

    Args:
        make: makes it with its weights, of a config.
    """
    with init_empty_weights(include_buffers=False):
        model = make()
    # On the CPU and not on the meta device: accelerate tells parameters apart by address.
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            empty = torch.empty_like(parameter, device="cpu")
            setattr(module, name, torch.nn.Parameter(empty))
    model.tie_weights()
    return model


def empty_of_checkpoint(make: Callable[[], Model], name: str, revision: str) -> Model:
    """Make what `from_pretrained` would, but for the weights.

    Args:
        make: makes a model of the checkpoint's config.
        name: of the checkpoint, a directory or Hub id.
        revision: of it.
    """
    model = empty_model(make).eval()
    try:  # where it differed from the first rank's, ranks would stop generating at other tokens
        model.generation_config = GenerationConfig.from_pretrained(name, revision=revision)
    except OSError:
        pass
    return model


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """Return the whole of a tensor that FSDP2 may have sharded. Called on all ranks."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


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
