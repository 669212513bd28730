"""Cross-entropy from hidden states that never holds the logits of a whole batch.

Fp32 logits of 8,192 tokens over 125,184 entries are 4.1 GB, and as much again for their gradient.
Here they exist for one chunk of tokens at a time, and the gradient is formed in the same pass.

A chunk is computed by one of two bodies with the same results: op by op and in place, or compiled
into one kernel. Op by op, each pass over the logits is read and written on its own, 89 bytes per
vocabulary entry and token in bf16; compiled they are 16, because no fp32 logits ever reach memory.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

IGNORE_INDEX = -100
# Elements of one fp32 logits chunk: 512 MiB, 1,072 tokens at the published vocabulary (our choice:
# large enough to fill a GPU's matrix units, small beside the activations of one layer).
MAX_CHUNK_ELEMENTS = 2**27
# Elements that are gone over again and again while they are in a CPU's cache: 2 MiB (our choice).
_CACHED_ELEMENTS = 2**19
# Tokens of one compiled chunk, at most: 1 GB of bf16 logits at the published vocabulary, and as
# much for their gradient (our choice: fewer, larger products).
MAX_COMPILED_TOKENS = 4096


def compiled_chunk(tokens: int) -> int | None:
    """Return the tokens of a compiled chunk: the largest divisor of `tokens` that is not too large.

    All chunks then have one shape, and one kernel is compiled. `None` where every divisor is small
    (a prime number of tokens): many small products would cost more than the fusion saves.
    """
    count = -(-tokens // MAX_COMPILED_TOKENS)
    while tokens % count:
        count += 1
    chunk = tokens // count
    return chunk if count == 1 or 8 * chunk >= MAX_COMPILED_TOKENS else None


def _chunk_in_place(
    logits: torch.Tensor,
    target: torch.Tensor,
    z_loss_weight: float,
    needs_grad: bool,
    row_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Compute a chunk op by op.

    Args:
        logits: [tokens, vocab] in the compute dtype; overwritten if it is fp32.
        target: int64 [tokens].
        z_loss_weight: of the squared log partition function.
        needs_grad: form the gradient.
        row_weights: fp32 [tokens], factor of each token's gradient; `None` is 1.

    Returns:
        Cross-entropy and squared log partition function of each token (fp32 [tokens], 0 where
        ignored), and the gradient of their weighted sum by the logits, in the dtype of `logits`.
    """
    compute_dtype = logits.dtype
    valid = target != IGNORE_INDEX
    index = target.where(valid, 0).unsqueeze(1)
    logits = logits.float()
    log_z = logits.logsumexp(dim=1)
    nll = (log_z - logits.gather(1, index).squeeze(1)).where(valid, 0.0)
    z_squared = log_z.square().where(valid, 0.0)
    if not needs_grad:
        return nll, z_squared, None
    grad = logits.sub_(log_z.unsqueeze(1)).exp_()
    if z_loss_weight:
        grad.mul_((1.0 + 2.0 * z_loss_weight * log_z).unsqueeze(1))
    grad.scatter_add_(1, index, torch.full_like(index, -1, dtype=grad.dtype))
    grad.mul_((valid if row_weights is None else valid * row_weights).unsqueeze(1))
    return nll, z_squared, grad.to(compute_dtype)


def _chunk_in_cache(
    logits: torch.Tensor,
    target: torch.Tensor,
    z_loss_weight: float,
    needs_grad: bool,
    *row_weights: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Compute the same to the bit, as many rows at a time as a CPU's cache holds."""
    rows = max(1, _CACHED_ELEMENTS // logits.shape[1])
    pieces = zip(*(tensor.split(rows) for tensor in (logits, target, *row_weights)))
    done = [
        _chunk_in_place(piece, own, z_loss_weight, needs_grad, *weight)
        for piece, own, *weight in pieces
    ]
    nll, z_squared, grads = zip(*done)
    grad = None
    if needs_grad:  # in fp32 each has overwritten its logits
        grad = logits if logits.dtype == torch.float32 else torch.cat(grads)
    return torch.cat(nll), torch.cat(z_squared), grad


def _chunk_functional(
    logits: torch.Tensor,
    target: torch.Tensor,
    z_loss_weight: float,
    needs_grad: bool,
    row_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Compute the same without writing in place, which is what a compiler can fuse."""
    valid = target != IGNORE_INDEX
    index = target.where(valid, 0).unsqueeze(1)
    log_z = logits.float().logsumexp(dim=1)
    nll = (log_z - logits.gather(1, index).squeeze(1).float()).where(valid, 0.0)
    z_squared = log_z.square().where(valid, 0.0)
    if not needs_grad:
        return nll, z_squared, None
    grad = (logits.float() - log_z.unsqueeze(1)).exp()
    if z_loss_weight:
        grad = grad * (1.0 + 2.0 * z_loss_weight * log_z).unsqueeze(1)
    columns = torch.arange(logits.shape[1], device=logits.device)
    grad = grad - (columns == index).to(grad.dtype)
    if row_weights is not None:
        grad = grad * row_weights.unsqueeze(1)
    return nll, z_squared, grad.where(valid.unsqueeze(1), 0.0).to(logits.dtype)


@lru_cache(maxsize=1)
def _compiled_body() -> Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
    # At first use, because naming the compiler loads it, which takes seconds. Static shapes: a
    # symbolic number of tokens would cost the kernels their tiling.
    return torch.compile(_chunk_functional, dynamic=False, fullgraph=True)


def _add_product(total: torch.Tensor, left: torch.Tensor, right: torch.Tensor) -> None:
    """Add `left @ right` to fp32 `total`, accumulated in fp32.

    A bf16 product would be rounded before it is added, once a chunk.
    """
    if left.is_cuda and left.dtype != torch.float32:
        torch.addmm(total, left, right, out_dtype=torch.float32, out=total)
    else:
        total += left.float() @ right.float()


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        z_loss_weight: float,
        compiled: bool,
        row_weights: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device_type = hidden.device.type
        compute_dtype = (
            torch.get_autocast_dtype(device_type)
            if torch.is_autocast_enabled(device_type)
            else hidden.dtype
        )
        needs_grad = ctx.needs_input_grad[0] or ctx.needs_input_grad[1]
        matrix = weight.to(compute_dtype)
        tokens = hidden.shape[0]
        chunk = compiled_chunk(tokens) if compiled else None
        body = _chunk_in_cache if device_type == "cpu" else _chunk_in_place
        if chunk is not None:
            body = _compiled_body()
        chunk = chunk or max(1, MAX_CHUNK_ELEMENTS // weight.shape[0])

        nll = torch.zeros(tokens, dtype=torch.float32, device=hidden.device)
        z_squared = torch.zeros((), dtype=torch.float32, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_grad else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_grad else None

        with torch.autocast(device_type, enabled=False):
            for start in range(0, tokens, chunk):
                rows = slice(start, start + chunk)
                states = hidden[rows].to(compute_dtype)
                weights = () if row_weights is None else (row_weights[rows],)
                nll[rows], z, grad = body(
                    states @ matrix.t(), labels[rows], z_loss_weight, needs_grad, *weights
                )
                z_squared += z.sum() if row_weights is None else z @ row_weights[rows]
                if grad is not None:
                    grad_hidden[rows] = (grad @ matrix).to(hidden.dtype)
                    _add_product(grad_weight, grad.t(), states)

        if needs_grad:
            ctx.save_for_backward(grad_hidden, grad_weight)
            ctx.weight_dtype = weight.dtype
        z_loss = z_squared * z_loss_weight
        ctx.mark_non_differentiable(nll, z_loss)
        total = nll.sum() if row_weights is None else nll @ row_weights
        return total + z_loss, z_loss, nll

    @staticmethod
    def backward(ctx: Any, grad_total: torch.Tensor, *_: Any) -> tuple[Any, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            # In bf16 the factor alone would be wrong by up to 0.4 %, and all below the head.
            (grad_hidden.float() * grad_total).to(grad_hidden.dtype),
            (grad_weight * grad_total).to(ctx.weight_dtype),
            None,
            None,
            None,
            None,
        )


def linear_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    z_loss_weight: float = 0.0,
    compiled: bool = False,
    row_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Summed cross-entropy (plus z-loss) of `hidden @ weight.T` against `labels`.

    The z-loss is `z_loss_weight * log(Z)^2` per token (PaLM, arXiv 2204.02311 section 5).

    Args:
        hidden: [tokens, hidden_size], any float dtype; products run in the autocast dtype if on.
        weight: [vocab, hidden_size].
        labels: int64 [tokens], already shifted; -100 carries no loss and no gradient.
        z_loss_weight: 0 turns the z-loss off.
        compiled: compute each chunk in one compiled kernel, which takes time at the first call of
            a shape.
        row_weights: fp32 [tokens], factor of each token's losses; `None` is 1.

    Returns:
        Sum of both losses (fp32 scalar, differentiable), the z-loss part alone (detached), and the
        cross-entropy of each token in nats (fp32 [tokens], detached, unweighted, 0 where the label
        is -100).
    """
    return _LinearCrossEntropy.apply(hidden, weight, labels, z_loss_weight, compiled, row_weights)
