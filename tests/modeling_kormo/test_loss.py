"""The chunked cross-entropy equals the plain one, in value and gradient."""

from collections.abc import Callable

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from modeling_kormo import KORMoForCausalLM, loss_kormo
from modeling_kormo.loss_kormo import compiled_chunk, linear_cross_entropy

Z_LOSS = 1e-3


@pytest.fixture(autouse=True)
def _several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_kormo, "MAX_CHUNK_ELEMENTS", 50 * 7)
    monkeypatch.setattr(loss_kormo, "_CACHED_ELEMENTS", 50 * 3)
    monkeypatch.setattr(loss_kormo, "MAX_COMPILED_TOKENS", 12)


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    hidden = torch.randn(24, 8, requires_grad=True)
    weight = torch.randn(50, 8, requires_grad=True)
    labels = torch.randint(0, 50, (24,))
    labels[[0, 5, 6, 23]] = -100
    return hidden, weight, labels


def uncompiled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Run the body that is compiled for training as it stands, and note the shapes it is given."""
    shapes: list[tuple[int, ...]] = []

    def body(logits: torch.Tensor, *rest: object) -> tuple:
        shapes.append(tuple(logits.shape))
        return loss_kormo._chunk_functional(logits, *rest)

    monkeypatch.setattr(loss_kormo, "_compiled_body", lambda: body)
    return shapes


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("z_loss", [0.0, Z_LOSS])
def test_value_and_gradient(z_loss: float, compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = uncompiled(monkeypatch)
    hidden, weight, labels = inputs()
    logits = hidden @ weight.t()
    nll = cross_entropy(logits, labels, reduction="none")
    z = z_loss * (logits.logsumexp(1).square() * (labels >= 0)).sum()
    expected = torch.autograd.grad((nll.sum() + z) * 0.37, (hidden, weight))

    total, z_part, token_nll = linear_cross_entropy(hidden, weight, labels, z_loss, compiled)
    assert shapes == [(12, 50)] * 2 if compiled else not shapes
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


def test_the_compiled_body_is_one_graph_and_equals_the_other(inductor: None) -> None:
    """A break in the graph would cost the fusion, and a shape of its own a kernel each."""
    torch._dynamo.reset()
    hidden, weight, labels = inputs()
    labels[8:16] = -100  # a chunk without a scored token
    results = []
    for compiled in (False, True):
        own = inputs_like(hidden, weight)
        with torch.autocast("cpu", torch.bfloat16):
            total, z_part, nll = linear_cross_entropy(*own, labels, Z_LOSS, compiled)
        results.append((nll, z_part, *torch.autograd.grad(total, own)))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert not torch._dynamo.utils.counters["graph_break"]
    for plain, fused in zip(*results):
        # Exponentials of a vectorised kernel differ by rounding, gradients by a last bit of bf16.
        torch.testing.assert_close(fused, plain, rtol=2e-2, atol=2e-3)
    torch.testing.assert_close(results[1][0], results[0][0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "tokens, chunk", [(5, 5), (12, 12), (24, 12), (29, None), (10 * 12, 12), (33, 11)]
)
def test_compiled_chunks_divide_the_batch(tokens: int, chunk: int | None) -> None:
    assert compiled_chunk(tokens) == chunk


def test_the_gradient_of_the_head_accumulates_in_fp32() -> None:
    """Rounding each chunk's product to bf16 before adding it up costs a factor of ten."""
    hidden = torch.randn(700, 8, requires_grad=True)
    weight = torch.randn(50, 8, requires_grad=True)
    labels = torch.randint(0, 50, (700,))
    with torch.autocast("cpu", torch.bfloat16):
        total, _, _ = linear_cross_entropy(hidden, weight, labels)
    (actual,) = torch.autograd.grad(total, weight)
    # The same roundings of hidden states, logits and their gradient; only the sum in fp64.
    states, matrix = hidden.detach().bfloat16(), weight.detach().bfloat16()
    grad = ((states @ matrix.t()).float().softmax(1) - one_hot(labels, 50)).bfloat16()
    exact = grad.double().t() @ states.double()
    rounded = (grad.t() @ states).double()
    assert (actual - exact).norm() < 1e-5 * exact.norm() < (rounded - exact).norm()


def test_what_a_step_divides_by_is_not_rounded_below_the_head() -> None:
    """1 / 1,021 in bf16 is 0.3 % less: head and body would learn at two scales."""
    hidden = torch.randn(64, 32).bfloat16().requires_grad_()
    weight, labels = torch.randn(128, 32).bfloat16(), torch.randint(0, 128, (64,))
    total, _, _ = linear_cross_entropy(hidden, weight, labels)
    (whole,) = torch.autograd.grad(total, hidden, retain_graph=True)
    (part,) = torch.autograd.grad(total / 1021, hidden)
    assert (part.float().norm() * 1021 / whole.float().norm()).item() == pytest.approx(1, abs=5e-4)


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
