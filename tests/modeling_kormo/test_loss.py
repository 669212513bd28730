"""The chunked cross-entropy equals the plain one, in value and gradient."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import cross_entropy

from modeling_kormo import KORMoForCausalLM, loss_kormo
from modeling_kormo.loss_kormo import linear_cross_entropy

Z_LOSS = 1e-3


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_kormo, "MAX_CHUNK_ELEMENTS", 50 * 7)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden = torch.randn(23, 8, requires_grad=True)
    weight = torch.randn(50, 8, requires_grad=True)
    labels = torch.randint(0, 50, (23,))
    labels[[0, 5, 6, 22]] = -100
    return hidden, weight, labels


@pytest.mark.parametrize("z_loss", [0.0, Z_LOSS])
def test_value_and_gradient(z_loss: float) -> None:
    hidden, weight, labels = inputs()
    logits = hidden @ weight.t()
    nll = cross_entropy(logits, labels, reduction="none")
    z = z_loss * (logits.logsumexp(1).square() * (labels >= 0)).sum()
    expected = torch.autograd.grad((nll.sum() + z) * 0.37, (hidden, weight))

    total, z_part, token_nll = linear_cross_entropy(hidden, weight, labels, z_loss)
    torch.testing.assert_close(total, nll.sum() + z)
    torch.testing.assert_close(z_part, z)
    torch.testing.assert_close(token_nll, nll)
    actual = torch.autograd.grad(total * 0.37, (hidden, weight))
    for ours, theirs in zip(actual, expected):
        torch.testing.assert_close(ours, theirs)
        assert theirs.abs().max() > 0.01


def test_fully_masked_batch_is_zero_not_nan() -> None:
    hidden, weight, labels = inputs()
    total, _, token_nll = linear_cross_entropy(hidden, weight, torch.full_like(labels, -100), 1e-4)
    total.backward()
    assert total.item() == 0 and not token_nll.any()
    assert not hidden.grad.any() and not weight.grad.any()


def test_autocast_computes_in_bf16_and_keeps_fp32_gradients() -> None:
    hidden, weight, labels = inputs()
    with torch.autocast("cpu", torch.bfloat16):
        total, _, _ = linear_cross_entropy(hidden, weight, labels)
    total.backward()
    exact, _, _ = linear_cross_entropy(*inputs_like(hidden, weight), labels)
    assert weight.grad.dtype == torch.float32
    assert total.item() == pytest.approx(exact.item(), rel=0.02)
    assert total.item() != exact.item()


def inputs_like(*tensors: torch.Tensor) -> list[torch.Tensor]:
    return [t.detach().clone().requires_grad_() for t in tensors]


def test_model_sum_loss_equals_mean_loss(build: Callable[..., KORMoForCausalLM]) -> None:
    model = build()
    ids = torch.randint(3, 96, (2, 17))
    labels = ids.clone()
    labels[0, :5] = -100
    mean = model(ids, labels=labels).loss
    output = model(ids, labels=labels, sum_loss=True)
    scored = int((labels[:, 1:] >= 0).sum())
    torch.testing.assert_close(output.loss / scored, mean)
    assert output.logits is None
    # token_nll[t] belongs to token t: the first token of a row is never scored.
    assert not output.token_nll[:, 0].any() and not output.token_nll[0, :5].any()
    log_probabilities = model(ids).logits.log_softmax(-1)
    expected = -log_probabilities[1, 3, ids[1, 4]]
    torch.testing.assert_close(output.token_nll[1, 4], expected)


def test_sum_loss_needs_labels(build: Callable[..., KORMoForCausalLM]) -> None:
    with pytest.raises(ValueError, match="labels"):
        build()(torch.ones(1, 3, dtype=torch.long), sum_loss=True)
