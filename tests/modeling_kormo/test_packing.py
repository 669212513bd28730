"""Packed documents do not see each other: forward and gradient, on every backend of the CPU."""

import inspect
from collections.abc import Callable

import pytest
import torch
from torch.nn.attention.varlen import varlen_attn

from modeling_kormo import KORMoForCausalLM, attention_kormo
from modeling_kormo.attention_kormo import check_flex

LENGTHS = [[7, 20, 1, 12], [16, 24]]  # documents per row; rows of 40 tokens
TOLERANCE = 2e-5
Build = Callable[..., KORMoForCausalLM]


def documents(rows: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    lengths = [n for row in LENGTHS[:rows] for n in row]
    return [torch.randint(3, 96, (1, n), generator=generator) for n in lengths]


def flattened(docs: list[torch.Tensor]) -> dict[str, torch.Tensor | int]:
    ends = torch.tensor([d.shape[1] for d in docs]).cumsum(0)
    # The last end repeated: empty documents at the end must change nothing.
    bounds = torch.cat([torch.tensor([0]), ends, ends[-1:]]).to(torch.int32)
    return {
        "input_ids": torch.cat(docs, dim=1),
        "position_ids": torch.cat([torch.arange(d.shape[1])[None] for d in docs], dim=1),
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": 40,
        "max_length_k": 40,
    }


def in_rows(docs: list[torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    batch = flattened(docs)
    return {k: batch[k].view(rows, -1) for k in ("input_ids", "position_ids")}


def gradient(model: KORMoForCausalLM, logits: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    weights = torch.linspace(-1, 1, logits.shape[-1])
    (logits.flatten(0, -2).tanh() * weights).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
@pytest.mark.parametrize("form", ["flattened", "in rows"])
def test_packed_equals_separate(build: Build, attention: str, rows: int, form: str) -> None:
    docs = documents(rows)
    model = build(attention)
    separate = torch.cat([build("eager")(d).logits for d in docs], dim=1).flatten(0, 1)
    batch = flattened(docs) if form == "flattened" else in_rows(docs, rows)
    packed = model(**batch).logits.flatten(0, 1)
    torch.testing.assert_close(packed, separate, rtol=0, atol=TOLERANCE)

    reference = build("eager")
    expected = gradient(reference, torch.cat([reference(d).logits for d in docs], dim=1))
    torch.testing.assert_close(
        gradient(model, model(**batch).logits), expected, rtol=0, atol=20 * TOLERANCE
    )
    # Without boundaries the documents do mix: the assertions above are not vacuous.
    mixed = model(batch["input_ids"]).logits.flatten(0, 1)
    assert (mixed - separate).abs().max() > 0.1


@torch.no_grad()
def test_flex_attention_forward(build: Build, inductor: None) -> None:
    # Its backward does not exist on CPU (torch 2.13), so this is what can be shown here.
    docs = documents(2)
    separate = torch.cat([build("eager")(d).logits for d in docs], dim=1)
    packed = build("flex_attention")(**flattened(docs)).logits
    torch.testing.assert_close(packed, separate, rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_flex_refuses_the_rows_that_torch_computes_wrongly(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    model = build("flex_attention")
    ids = torch.arange(3, 43)[None]
    with pytest.raises(ValueError, match="rows of 40 tokens wrongly.*set model.attention to"):
        model(ids)
    # Wider heads are right, and so are vectors of sixteen floats.
    check_flex(40, 40, 64, ids.device)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    check_flex(40, 40, 16, ids.device)


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_gradient_checkpointing_changes_nothing(build: Build, attention: str) -> None:
    batch = flattened(documents(2))
    plain, checkpointed = build(attention).train(), build(attention).train()
    checkpointed.gradient_checkpointing_enable()
    expected = gradient(plain, plain(**batch).logits)
    actual = gradient(checkpointed, checkpointed(**batch).logits)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_what_would_mix_documents_is_refused(build: Build, attention: str) -> None:
    batch = flattened(documents(1))
    model = build(attention)
    with pytest.raises(ValueError, match="attention_mask"):
        model(**batch, attention_mask=torch.ones_like(batch["input_ids"]))
    with pytest.raises(ValueError, match="position_ids"):
        model(**{k: v for k, v in batch.items() if k != "position_ids"})


def test_varlen_refuses_several_rows(build: Build) -> None:
    batch = flattened(documents(2))
    batch |= in_rows(documents(2), 2)
    with pytest.raises(ValueError, match="flattened"):
        build("varlen")(**batch)


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_documents_of_one_token_restart_the_positions(build: Build, attention: str) -> None:
    # Positions all 0: no step backwards, yet each begins a document, also with a cache wanted.
    ids = torch.arange(3, 11)[None]
    model = build(attention)
    packed = model(ids, position_ids=torch.zeros_like(ids), use_cache=True).logits
    separate = torch.cat([model(ids[:, i : i + 1]).logits for i in range(8)], dim=1)
    torch.testing.assert_close(packed, separate, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("left_out", [(), ("enable_gqa",)])
@pytest.mark.parametrize("window", [None, 5])
def test_the_kernel_of_a_gpu_is_asked_for_the_same(
    monkeypatch: pytest.MonkeyPatch, window: int | None, left_out: tuple[str, ...]
) -> None:
    """In its stead what its signature and documentation say: keys left and right of a query."""
    signature = inspect.signature(varlen_attn)
    if not {"scale", "window_size"} <= signature.parameters.keys():
        pytest.skip("varlen_attn of this torch knows no scale or no window; 2.13 does")

    def kernel(*given: object, **named: object) -> torch.Tensor:
        asked = signature.bind(*given, **named).arguments
        query, key, value = (asked[name].transpose(0, 1) for name in ("query", "key", "value"))
        assert asked["max_q"] == asked["max_k"] == 20
        assert not left_out or query.shape == key.shape
        ends = asked["cu_seq_q"].tolist()
        assert ends == asked["cu_seq_k"].tolist()
        places = torch.arange(ends[-1])
        document = torch.bucketize(places, asked["cu_seq_q"][1:], right=True)
        after = places[None, :] - places[:, None]
        left, right = asked["window_size"]
        seen = (document[None, :] == document[:, None]) & (after <= right)
        if left >= 0:
            seen &= after >= -left
        found = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, seen, scale=asked["scale"], enable_gqa=asked.get("enable_gqa", False)
        )
        return found.transpose(0, 1)

    monkeypatch.setattr(attention_kormo, "varlen_attn", kernel, raising=False)
    options = frozenset(signature.parameters) - set(left_out)
    monkeypatch.setattr(attention_kormo, "_VARLEN_OPTIONS", options, raising=False)
    torch.manual_seed(0)
    query, key, value = (torch.randn(40, heads, 16) for heads in (4, 2, 2))
    bounds = flattened(documents(1))["cu_seq_lens_q"]
    asked = attention_kormo._varlen_cuda(query, key, value, bounds, 20, 0.3, window)
    own = attention_kormo._varlen_by_document(query, key, value, bounds, 0.3, window, None)
    torch.testing.assert_close(asked, own, rtol=0, atol=TOLERANCE)
