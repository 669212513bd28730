"""Which weights a step may change after an expansion: new rows, then both matrices, then all.

EEVE (Kim et al. 2024, arXiv 2402.14714) teaches new tokens in seven stages; here are three: the new
rows of embedding and head, these matrices whole, everything. What a step trains follows from its
number alone, so that a run resumes exactly and on any number of ranks.
"""

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

_NEW_ROWS, _MATRICES, _ALL = range(3)


class Unfreezing:
    """Keeps old weights as they are until their turn.

    Gradients are zeroed and weight decay is off, so that moments stay at zero and AdamW changes
    nothing, bit for bit. Weights are not frozen by `requires_grad`: DDP and FSDP2 fix at the start
    what they reduce. So the backward pass costs as much as that of full training.

    Args:
        first_new: row of the first new token; rows below it are old.
        new_rows_steps: steps that train rows from `first_new` on, alone.
        matrices_steps: steps after those that train embedding and head, alone.
    """

    def __init__(self, first_new: int, new_rows_steps: int, matrices_steps: int) -> None:
        self.first_new = first_new
        self.boundaries = (new_rows_steps, new_rows_steps + matrices_steps)
        self._matrices: list[bool] = []  # by parameter group
        self._decay: list[float] = []

    def split_groups(self, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
        """Give embedding and head parameter groups of their own, the last ones.

        Args:
            optimizer: fresh.
            model: whose weights it holds.
        """
        if self._matrices:
            return  # asked again by the trainer
        matrices = {model.get_input_embeddings().weight, model.get_output_embeddings().weight}
        for group in list(optimizer.param_groups):
            if own := [p for p in group["params"] if p in matrices]:
                group["params"] = [p for p in group["params"] if p not in matrices]
                optimizer.add_param_group({**group, "params": own})
        groups = optimizer.param_groups
        self._matrices = [any(p in matrices for p in group["params"]) for group in groups]
        self._decay = [group["weight_decay"] for group in groups]

    def begins(self, step: int) -> bool:
        """Whether other weights are trained from this step on, counted from 0."""
        return step in self.boundaries and step > 0

    def hold(self, optimizer: torch.optim.Optimizer, step: int) -> None:
        """Leave of the gradients of a step what it trains.

        Args:
            optimizer: whose gradients are reduced over ranks, and not clipped yet.
            step: counted from 0.
        """
        turn = sum(step >= boundary for boundary in self.boundaries)
        for group, is_matrix, decay in zip(optimizer.param_groups, self._matrices, self._decay):
            trained = turn == _ALL or (turn == _MATRICES and is_matrix)
            group["weight_decay"] = decay if trained else 0.0
            for gradient in (p.grad for p in group["params"] if p.grad is not None):
                if turn == _NEW_ROWS and is_matrix:
                    _rows_below(gradient, self.first_new).zero_()
                elif not trained:
                    gradient.zero_()


def _rows_below(gradient: torch.Tensor, row: int) -> torch.Tensor:
    """The rows of a matrix below `row`; of a sharded one those that this rank holds."""
    if not isinstance(gradient, DTensor):
        return gradient[:row]
    _, offset = compute_local_shape_and_global_offset(
        gradient.shape, gradient.device_mesh, gradient.placements
    )
    return gradient.to_local()[: max(0, row - offset[0])]
