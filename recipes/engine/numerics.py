"""One set of dtypes, however a run is launched: those of one GPU under autocast are FSDP2's."""

import torch
from torch import nn
from transformers import Trainer


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


def stream_dtype(precision: str) -> str:
    """Return the dtype of the residual stream, by name: what a run must not change when it resumes.

    Args:
        precision: `parallelism.precision`.
    """
    return {"bf16": "bfloat16", "fp32": "float32"}[precision]


def _to_autocast(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor):
    kind = output.device.type
    return output.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else output


def stream_in_compute_dtype(model: nn.Module) -> None:
    """Under autocast, have the residual stream begin in its dtype, as FSDP2's bf16 embedding does.

    Autocast leaves an embedding in fp32, and with it the sum that all layers add to: half as fast
    to move again as bf16, and another model than the one that many GPUs train. The layers' sums are
    rounded to bf16 instead; docs/performance.md says how little is known of what that costs.

    Args:
        model: with fp32 weights.
    """
    model.get_input_embeddings().register_forward_hook(_to_autocast)
