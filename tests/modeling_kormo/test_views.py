"""Multi-token prediction: what a view is asked for, sees and costs, and that it leaves no trace."""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from modeling_kormo import KORMoForCausalLM
from modeling_kormo.loss_kormo import IGNORE_INDEX, linear_cross_entropy
from modeling_kormo.views_kormo import PREFIX, attach_views, view_labels
from recipes.config import ViewsConfig
from recipes.engine.metrics import count_parameters, count_view_parameters, flops_per_token

from .test_packing import flattened

Build = Callable[..., KORMoForCausalLM]
KINDS = ["parallel", "sequential", "same"]


def packed(lengths: list[int], unscored: tuple[int, ...] = ()) -> dict[str, torch.Tensor | int]:
    generator = torch.Generator().manual_seed(1)
    batch = flattened([torch.randint(3, 96, (1, n), generator=generator) for n in lengths])
    labels = batch["input_ids"].masked_fill(batch["position_ids"] == 0, IGNORE_INDEX)
    for place in unscored:
        labels[0, place] = IGNORE_INDEX
    numbers = (batch["position_ids"] == 0).cumsum(1)
    return batch | {"labels": labels, "documents": numbers}


# Places of targets of the token two ahead, by the place that they are predicted from; by hand.
@pytest.mark.parametrize(
    ("lengths", "unscored", "expected"),
    [
        # 12 is <think>: no loss for it, and the token after it keeps its own.
        ([5, 5, 6], (12,), {0: 2, 1: 3, 2: 4, 5: 7, 6: 8, 7: 9, 11: 13, 12: 14, 13: 15}),
        ([1, 2, 3, 4], (), {3: 5, 6: 8, 7: 9}),  # too short for a view, or just long enough
        ([4], (), {0: 2, 1: 3}),
        ([1], (), {}),
        ([3, 5], (5, 6, 7), {0: 2}),  # padding: a document without labels
    ],
)
def test_targets_end_with_the_document(
    lengths: list[int], unscored: tuple[int, ...], expected: dict[int, int]
) -> None:
    batch = packed(lengths, unscored)
    ids, labels = batch["input_ids"][0], batch["labels"]
    found = view_labels(labels, batch["documents"], 2)[0]
    places = {i: i + 2 for i, label in enumerate(found.tolist()) if label != IGNORE_INDEX}
    assert places == expected
    assert all(found[i] == ids[j] for i, j in expected.items())
    # The next token's are the ordinary shift: -100 at a first token ends the document there.
    shifted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORE_INDEX)
    assert torch.equal(view_labels(labels, batch["documents"], 1), shifted)


def test_a_plain_second_shift_would_cross() -> None:
    batch = packed([5, 5, 6])
    plain = torch.nn.functional.pad(batch["labels"][:, 2:], (0, 2), value=IGNORE_INDEX)
    own = view_labels(batch["labels"], batch["documents"], 2)
    # Token 6 of the second document from the end of the first, and 11 of the third likewise.
    assert (plain != own).nonzero().tolist() == [[0, 4], [0, 9]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_is_drawn_as_without_views(build: Build, kind: str) -> None:
    plain, model = build("varlen"), build("varlen")
    after = torch.rand(1)
    torch.manual_seed(0)
    attach_views(model, kind, 2, 1.0, seed=0)
    own = {k: v for k, v in model.state_dict().items() if not k.startswith(PREFIX)}
    assert own.keys() == plain.state_dict().keys()
    assert all(torch.equal(tensor, plain.state_dict()[name]) for name, tensor in own.items())
    build("varlen")
    attach_views(model, kind, 2, 1.0, seed=1)
    assert torch.equal(torch.rand(1), after)  # the stream of random numbers goes on as it was


def losses(model: KORMoForCausalLM, batch: dict) -> tuple[object, list[torch.Tensor]]:
    model.train().zero_grad()
    outputs = model(**batch, sum_loss=True, use_cache=False)
    outputs.loss.backward()
    own = [p.grad for n, p in model.named_parameters() if not n.startswith(PREFIX)]
    return outputs, [g.clone() for g in own]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_one_call_is_next_token_and_views_apart(build: Build, attention: str, kind: str) -> None:
    # What the loss should be, written out with plain logits; twice the weight, twice its share.
    batch = packed([7, 12, 1, 20])
    plain, plain_grads = losses(build(attention), batch)
    assert plain.views_loss is None
    found = {}
    for weight in (0.5, 1.0):
        model = build(attention)
        attach_views(model, kind, 1, weight, seed=3)
        found[weight] = losses(model, batch)
    for weight, (outputs, _) in found.items():
        torch.testing.assert_close(outputs.token_nll, plain.token_nll, rtol=0, atol=1e-5)
        total = plain.loss + weight * outputs.views_loss
        torch.testing.assert_close(outputs.loss, total)
        assert outputs.views_loss > 1
    for none, half, whole in zip(plain_grads, found[0.5][1], found[1.0][1]):
        scale = none.abs().max().item() + 1
        torch.testing.assert_close(half - none, (whole - none) / 2, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("kind", KINDS)
def test_off_is_next_token_to_the_bit(build: Build, kind: str) -> None:
    batch = packed([7, 12, 1, 20])
    plain, plain_grads = losses(build("varlen"), batch)
    model = build("varlen")
    attach_views(model, kind, 1, 1.0, seed=3)
    model.eval()
    with torch.no_grad():  # measuring and generating know no views
        outputs = model(**batch, sum_loss=True, use_cache=False)
    assert torch.equal(outputs.loss, plain.loss) and outputs.views_loss is None
    assert torch.equal(outputs.token_nll, plain.token_nll)
    model.views = None
    outputs, grads = losses(model, batch)
    assert torch.equal(outputs.loss, plain.loss)
    assert all(torch.equal(*pair) for pair in zip(grads, plain_grads))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("attention", ["sdpa", "varlen"])
def test_a_view_sees_its_own_document_up_to_the_token_before(
    build: Build, attention: str, kind: str
) -> None:
    model = build(attention)
    attach_views(model, kind, 1, 1.0, seed=3)
    batch = packed([5, 5, 6])
    batch["input_ids"] = torch.arange(20, 36)[None]  # each token has a row of its own
    target = 8
    labels = torch.full_like(batch["input_ids"], IGNORE_INDEX)
    labels[0, target] = batch["input_ids"][0, target]
    model.train()
    rows = []
    model.views.register_forward_hook(lambda *call: rows.append(call[2]))
    model(**batch | {"labels": labels}, sum_loss=True, use_cache=False)
    states, targets, _ = rows[0]
    (place,) = (targets[0, 16:] != IGNORE_INDEX).nonzero().flatten().tolist()
    assert place == target - 2
    states[0, 16 + place].square().sum().backward()
    seen = model.model.embed_tokens.weight.grad.abs().sum(1).nonzero().flatten() - 20
    assert seen.tolist() == ([5, 6, 7] if kind == "sequential" else [5, 6])


def test_each_sequential_view_reads_one_token_more(build: Build) -> None:
    model = build("varlen")
    attach_views(model, "sequential", 2, 1.0, seed=3)
    batch = packed([16]) | {"input_ids": torch.arange(20, 36)[None]}
    rows = []
    model.views.register_forward_hook(lambda *call: rows.append(call[2][0]))
    model.train()(**batch, sum_loss=True, use_cache=False)
    for view in (1, 2):
        model.zero_grad()
        rows[0][0, 16 * view + 4].square().sum().backward(retain_graph=True)
        seen = model.model.embed_tokens.weight.grad.abs().sum(1).nonzero().flatten() - 20
        assert seen.tolist() == list(range(5 + view))


def test_each_seed_draws_its_own_views(build: Build) -> None:
    drawn = []
    for seed in (1, 1, 2):
        attach_views(model := build("varlen"), "sequential", 1, 1.0, seed)
        drawn.append(model.views.layers[0].proj.weight)
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_a_parallel_view_stands_beside_the_last_layer(build: Build) -> None:
    model = build("varlen")
    attach_views(model, "parallel", 1, 1.0, seed=3)
    model.views.layers[0].load_state_dict(model.model.layers[-1].state_dict())
    rows = []
    model.views.register_forward_hook(lambda *call: rows.append(call[2][0]))
    model.train()(**packed([5, 5, 6]), sum_loss=True, use_cache=False)
    own, view = rows[0].split(16, dim=1)
    assert torch.equal(own, view)


@pytest.mark.parametrize("kind", KINDS)
def test_two_views_look_two_and_three_ahead(build: Build, kind: str) -> None:
    model = build("varlen")
    attach_views(model, kind, 2, 0.5, seed=3)
    rows = []
    model.views.register_forward_hook(lambda *call: rows.append(call[2]))
    batch = packed([5, 5, 6])
    outputs = model.train()(**batch, sum_loss=True, use_cache=False)
    states, targets, weights = rows[0]
    assert states.shape[1] == targets.shape[1] == weights.shape[1] == 48
    scored = [(part != IGNORE_INDEX).sum().item() for part in targets.split(16, dim=1)]
    assert scored == [4 + 4 + 5, 3 + 3 + 4, 2 + 2 + 3]
    assert weights.unique_consecutive().tolist() == [1.0, 0.5]
    nll = outputs.token_nll.sum() + 0.5 * 2 * outputs.views_loss
    torch.testing.assert_close(outputs.loss, nll)


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointing_and_checkpoints(build: Build, kind: str, tmp_path: Path) -> None:
    batch = packed([7, 12, 1, 20])
    model = build("varlen")
    attach_views(model, kind, 1, 1.0, seed=3)
    expected, grads = losses(copy.deepcopy(model), batch)
    recomputed = copy.deepcopy(model)
    recomputed.gradient_checkpointing_enable()
    outputs, others = losses(recomputed, batch)
    torch.testing.assert_close(outputs.loss, expected.loss)
    for ours, theirs in zip(others, grads):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    # A checkpoint of the run loads as the plain model that it trains.
    model.save_pretrained(tmp_path)
    loaded, report = KORMoForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert loaded.views is None and not report["missing_keys"] and not report["unexpected_keys"]
    assert all(torch.equal(t, model.state_dict()[name]) for name, t in loaded.state_dict().items())


def test_views_need_boundaries(build: Build) -> None:
    model = build("varlen").train()
    attach_views(model, "same", 1, 1.0, seed=3)
    batch = packed([5, 5])
    with pytest.raises(ValueError, match="documents"):
        model(**{k: v for k, v in batch.items() if k != "documents"}, sum_loss=True)


@pytest.mark.parametrize("compiled", [False, True])
def test_row_weights_are_two_calls_in_one(compiled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from modeling_kormo import loss_kormo

    monkeypatch.setattr(loss_kormo, "MAX_CHUNK_ELEMENTS", 50 * 7)
    monkeypatch.setattr(loss_kormo, "_compiled_body", lambda: loss_kormo._chunk_functional)
    hidden, weight = torch.randn(24, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    labels = torch.randint(0, 50, (24,))
    labels[[0, 5, 23]] = IGNORE_INDEX
    rows = torch.cat([torch.ones(12), torch.full((12,), 0.3)])
    first = linear_cross_entropy(hidden[:12], weight, labels[:12], 1e-3)
    second = linear_cross_entropy(hidden[12:], weight, labels[12:], 1e-3)
    expected = torch.autograd.grad(first[0] + 0.3 * second[0], (hidden, weight))
    total, z_loss, nll = linear_cross_entropy(hidden, weight, labels, 1e-3, compiled, rows)
    torch.testing.assert_close(total, first[0] + 0.3 * second[0])
    torch.testing.assert_close(z_loss, first[1] + 0.3 * second[1])
    torch.testing.assert_close(nll, torch.cat([first[2], second[2]]))
    for ours, theirs in zip(torch.autograd.grad(total, (hidden, weight)), expected):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("kind", KINDS)
def test_what_they_cost(build: Build, kind: str) -> None:
    model = build()
    config, views = model.config, ViewsConfig(kind=kind, count=2)
    attach_views(model, kind, 2, 1.0, seed=3)
    extra = sum(p.numel() for p in model.views.parameters())
    assert count_view_parameters(config, views) == extra
    assert sum(p.numel() for p in model.parameters()) == count_parameters(config) + extra
    more = flops_per_token(config, 40, views) - flops_per_token(config, 40)
    attention = 0 if kind == "same" else 12 * 2 * 64 * 40
    assert more == 6 * (extra + 2 * 96 * 64) + attention


def test_the_published_size_pays_what_was_reckoned() -> None:
    # At 1B a view is a layer of 50 M and the head of 256 M beside 1.06 B multiplied weights.
    sizes = {"hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 16}
    heads = {"num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128}
    shape = SimpleNamespace(**sizes, **heads, vocab_size=125_184, tie_word_embeddings=False)
    ratio = flops_per_token(shape, 4096, ViewsConfig()) / flops_per_token(shape, 4096)
    assert ratio == pytest.approx(1.26, abs=0.03)
