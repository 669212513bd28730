"""Cross-entropy from hidden states that never holds the logits of a whole batch.

Fp32 logits of 8,192 tokens over 125,184 entries are 4.1 GB, and as much again for their gradient.
Here they exist for one chunk of tokens at a time, and the gradient is formed in the same pass.
"""

from typing import Any

import torch

IGNORE_INDEX = -100
# Elements of one fp32 logits chunk: 512 MiB, 1,072 tokens at the published vocabulary (our choice:
# large enough to fill a GPU's matrix units, small beside the activations of one layer).
MAX_CHUNK_ELEMENTS = 2**27


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        z_loss_weight: float,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device_type = hidden.device.type
        compute_dtype = (
            torch.get_autocast_dtype(device_type)
            if torch.is_autocast_enabled(device_type)
            else hidden.dtype
        )
        needs_grad = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        matrix = weight.to(compute_dtype)
        tokens, vocab = hidden.shape[0], weight.shape[0]
        chunk = max(1, MAX_CHUNK_ELEMENTS // vocab)

        nll = torch.zeros(tokens, dtype=torch.float32, device=hidden.device)
        z_squared = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_grad else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_grad else None

        with torch.autocast(device_type, enabled=False):
            for start in range(0, tokens, chunk):
                rows = slice(start, start + chunk)
                states = hidden[rows].to(compute_dtype)
                target = labels[rows]
                valid = target != IGNORE_INDEX
                index = target.where(valid, 0).unsqueeze(1)

                logits = (states @ matrix.t()).float()
                log_z = logits.logsumexp(dim=1)
                nll[rows] = (log_z - logits.gather(1, index).squeeze(1)).where(valid, 0.0)
                z_squared += log_z.square().where(valid, 0.0).sum()
                if not needs_grad:
                    continue

                grad = logits.sub_(log_z.unsqueeze(1)).exp_()
                if z_loss_weight:
                    grad.mul_((1.0 + 2.0 * z_loss_weight * log_z).unsqueeze(1))
                grad.scatter_add_(1, index, torch.full_like(index, -1, dtype=grad.dtype))
                grad.mul_(valid.unsqueeze(1))
                grad = grad.to(compute_dtype)
                grad_hidden[rows] = (grad @ matrix).to(hidden.dtype)
                grad_weight += grad.t() @ states

        if needs_grad:
            ctx.save_for_backward(grad_hidden, grad_weight)
            ctx.weight_dtype = weight.dtype
        z_loss = z_squared * z_loss_weight
        ctx.mark_non_differentiable(nll, z_loss)
        return nll.sum() + z_loss, z_loss, nll

    @staticmethod
    def backward(ctx: Any, grad_total: torch.Tensor, *_: Any) -> tuple[Any, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            grad_hidden * grad_total.to(grad_hidden.dtype),
            (grad_weight * grad_total).to(ctx.weight_dtype),
            None,
            None,
        )


def linear_cross_entropy(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, z_loss_weight: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Summed cross-entropy (plus z-loss) of `hidden @ weight.T` against `labels`.

    The z-loss is `z_loss_weight * log(Z)^2` per token (PaLM, arXiv 2204.02311 section 5).

    Args:
        hidden: [tokens, hidden_size], any float dtype; products run in the autocast dtype if on.
        weight: [vocab, hidden_size].
        labels: int64 [tokens], already shifted; -100 carries no loss and no gradient.
        z_loss_weight: 0 turns the z-loss off.

    Returns:
        Sum of both losses (fp32 scalar, differentiable), the z-loss part alone (detached), and the
        cross-entropy of each token in nats (fp32 [tokens], detached, 0 where the label is -100).
    """
    return _LinearCrossEntropy.apply(hidden, weight, labels, z_loss_weight)
