"""Under FSDP2 the first rank alone holds the whole model until it is sharded.

The others make one of the same names and shapes whose memory is never written to, and so never
resident; accelerate then sends them their shards, matrix by matrix.
"""

import os
from collections.abc import Callable
from typing import TypeVar

import torch
from accelerate import init_empty_weights
from transformers import GenerationConfig, PreTrainedModel

Model = TypeVar("Model", bound=PreTrainedModel)


def receives_weights() -> bool:
    """Tell whether this rank gets its shards from the first one, as the launcher says."""
    efficient = os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING", "").lower() == "true"
    return efficient and int(os.environ.get("RANK", "0")) != 0


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
