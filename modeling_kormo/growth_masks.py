"""Masks over what is new in a widened model, as in Masked Structure Growth (arXiv 2305.02869).

At 0 the model computes what it did before it grew, at 1 it is a plain model. New dimensions of the
residual stream are masked where they are written (embedding, `o_proj`, `down_proj`), new heads
where `o_proj` reads them, and new units of the MLP where `down_proj` reads the product of gate and
up. RMSNorm takes the mask-weighted mean square.
"""

import torch
from torch import nn
from transformers import PreTrainedModel

from .growth import AXES, NORMS, Growth


class Mask(nn.Module):
    """1 for old units, and for new ones a value from 0 to 1; neither is saved with the model."""

    def __init__(self, places: torch.Tensor, size: int, axis: str) -> None:
        super().__init__()
        self.axis = axis
        old = torch.zeros(size)
        old[places] = 1
        self.register_buffer("old", old, persistent=False)
        self.register_buffer("value", torch.zeros(()), persistent=False)

    def forward(self) -> torch.Tensor:
        return self.old + (1 - self.old) * self.value


class MaskedLinear(nn.Linear):
    """A linear map whose inputs and outputs stand under masks; it takes over the plain one's."""

    def __init__(self, plain: nn.Linear, inputs: Mask | None, outputs: Mask | None) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.weight = plain.weight
        self.register_parameter("bias", plain.bias)
        self.inputs, self.outputs = inputs, outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.inputs is not None:
            x = x * self.inputs().to(x.dtype)
        y = super().forward(x)
        return y if self.outputs is None else y * self.outputs().to(y.dtype)


class MaskedEmbedding(nn.Embedding):
    """An embedding whose dimensions stand under a mask."""

    def __init__(self, plain: nn.Embedding, outputs: Mask) -> None:
        super().__init__(
            *plain.weight.shape, padding_idx=plain.padding_idx, _weight=plain.weight.detach()
        )
        self.weight = plain.weight
        self.outputs = outputs

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        states = super().forward(ids)
        return states * self.outputs().to(states.dtype)


class MaskedRMSNorm(nn.Module):
    """RMSNorm over the mask-weighted mean square, `sum(m x^2) / sum(m)`; the plain one at m = 1."""

    def __init__(self, plain: nn.Module, inputs: Mask, product_in_fp32: bool) -> None:
        super().__init__()
        self.weight = plain.weight
        self.variance_epsilon = plain.variance_epsilon
        self.inputs = inputs
        self.product_in_fp32 = product_in_fp32  # KORMo's order of casts; Llama casts before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, mask = x.to(torch.promote_types(x.dtype, torch.float32)), self.inputs()
        square = (states.pow(2) * mask).sum(-1, keepdim=True) / mask.sum()
        states = states * torch.rsqrt(square + self.variance_epsilon)
        if self.product_in_fp32:
            return (self.weight * states).to(x.dtype)
        return self.weight * states.to(x.dtype)


def set_masks(model: PreTrainedModel, value: float | dict[str, float]) -> None:
    """Set the masks of a model, without waiting for the device, and say in its config if it grows.

    Args:
        model: with masks (see `put_on_masks`).
        value: from 0 to 1; of all, or by axis (`hidden`, `ffn`, `heads`).
    """
    values = value if isinstance(value, dict) else dict.fromkeys(AXES, value)
    masks = [module for module in model.modules() if isinstance(module, Mask)]
    for mask in masks:
        mask.value.fill_(values[mask.axis])
    model.config.growing = any(values[mask.axis] < 1 for mask in masks)


def put_on_masks(model: PreTrainedModel, growth: Growth) -> None:
    """Put what is new in width under masks at 0, in place of plain modules; nothing if none is.

    Names of parameters stay, so checkpoints are those of a plain model; but below 1 the model is
    none, so its config says `growing`, and KORMo refuses to be built from one that does.

    Args:
        model: from `grow_model`.
        growth: that it went through.
    """
    if growth.how != "masks" or not growth.wider:
        return
    hidden, ffn, heads = (growth.counts[a][1] > growth.counts[a][0] for a in AXES)

    def mask(axis: str) -> Mask | None:
        old, new = growth.counts[axis]
        return Mask(growth.places(axis), new, axis) if new > old else None

    for parent in list(model.model.modules()):
        for name, module in list(parent.named_children()):
            masked: nn.Module | None = None
            if name == "o_proj" and (hidden or heads):
                masked = MaskedLinear(module, mask("heads"), mask("hidden"))
            elif name == "down_proj" and (hidden or ffn):
                masked = MaskedLinear(module, mask("ffn"), mask("hidden"))
            elif name == "embed_tokens" and hidden:
                masked = MaskedEmbedding(module, mask("hidden"))
            elif name in NORMS and hidden:
                family = model.config.model_type
                masked = MaskedRMSNorm(module, mask("hidden"), family == "kormo")
            if masked is not None:
                masked.to(module.weight.device)
                setattr(parent, name, masked)
    set_masks(model, 0.0)
