"""A grown model computes what it did before, every new part learns, and no old one is lost."""

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from transformers import LlamaForCausalLM, PreTrainedModel
from transformers.models.llama import modeling_llama

import modeling_kormo.growth as growth_module
from modeling_kormo import KORMoForCausalLM, modeling_kormo
from modeling_kormo.export import save_portable, to_llama
from modeling_kormo.growth import (
    Growth,
    grow_model,
    head_placement,
    pad_optimizer_state,
    plan_growth,
)
from modeling_kormo.growth_masks import Mask, put_on_masks, set_masks

Build = Callable[..., KORMoForCausalLM]
# Of the fixture's 64 hidden, 96 MLP, 4 query and 2 key/value heads.
GROWTHS = {
    "hidden": {"hidden_size": 80},
    "ffn": {"intermediate_size": 128},
    "queries": {"num_attention_heads": 8},
    "groups": {"num_attention_heads": 16, "num_key_value_heads": 4},
    "all": {
        "hidden_size": 96,
        "intermediate_size": 128,
        "num_attention_heads": 12,
        "num_key_value_heads": 3,
    },
}
IDS = torch.randint(3, 96, (2, 33), generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["kormo", "llama"])
def model(request: pytest.FixtureRequest, build: Build) -> PreTrainedModel:
    kormo = build("eager", attention_bias=request.param == "llama")
    with torch.no_grad():
        for parameter in kormo.parameters():
            if parameter.ndim == 1:  # norms and biases that matter
                parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return kormo if request.param == "kormo" else _llama(kormo)


def _llama(kormo: KORMoForCausalLM) -> LlamaForCausalLM:
    llama = to_llama(kormo).eval()
    llama.set_attn_implementation("eager")
    return llama


def grown(model: PreTrainedModel, **how: object) -> tuple[PreTrainedModel, Growth]:
    growth = plan_growth(model.config, **how)
    return grow_model(model, growth), growth


def packed() -> dict[str, torch.Tensor | int]:
    """Two documents in one row."""
    bounds = torch.tensor([0, 20, 33], dtype=torch.int32)
    positions = torch.cat([torch.arange(20), torch.arange(13)])[None]
    lengths = {"cu_seq_lens_q": bounds, "cu_seq_lens_k": bounds}
    return {
        "input_ids": IDS[:1],
        "position_ids": positions,
        "max_length_q": 20,
        "max_length_k": 20,
        **lengths,
    }


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("where", "expected"),
    [({"layers_every": 1}, [1, 3]), ({"layers_every": 2}, [2]), ({"layers_after": [0, 0]}, [1, 2])],
    ids=str,
)
def test_deeper_is_equal_to_the_bit(
    model: PreTrainedModel, dtype: torch.dtype, where: dict, expected: list[int]
) -> None:
    model.to(dtype)
    deep, growth = grown(model, **where)
    assert list(growth.new_layers) == expected
    assert deep.dtype == dtype and deep.config.num_hidden_layers == 2 + len(expected)
    assert torch.equal(deep(IDS).logits, model(IDS).logits)
    settings = {"max_new_tokens": 9, "do_sample": False, "use_cache": True}
    assert torch.equal(
        deep.generate(IDS[:, :5], **settings), model.generate(IDS[:, :5], **settings)
    )


@torch.no_grad()
def test_deeper_is_equal_on_packed_documents_and_in_the_summed_loss(build: Build) -> None:
    model = build("varlen")
    deep, _ = grown(model, layers_every=2)
    assert deep.config._attn_implementation == "varlen"
    assert torch.equal(deep(**packed()).logits, model(**packed()).logits)
    labels = {"labels": IDS[:1], "sum_loss": True}
    assert torch.equal(deep(**packed(), **labels).loss, model(**packed(), **labels).loss)


@torch.no_grad()
@pytest.mark.parametrize("how", ["masks", "zeros"])
@pytest.mark.parametrize("sizes", GROWTHS.values(), ids=GROWTHS)
def test_wider_computes_the_same(model: PreTrainedModel, sizes: dict, how: str) -> None:
    wide, growth = grown(model, how=how, **sizes)
    put_on_masks(wide, growth)
    assert {k: getattr(wide.config, k) for k in sizes} == sizes
    expected = model(IDS).logits
    assert (wide(IDS).logits - expected).abs().max() < 1e-4
    if how == "masks":
        # What is under the masks is not nothing.
        set_masks(wide, 1.0)
        assert (wide(IDS).logits - expected).abs().max() > 1e-2


@pytest.fixture
def in_fp64() -> Iterator[None]:
    """Norm and rotary embedding in fp64: both models compute them in fp32 whatever they are in."""

    def norm(self, x):
        return self.weight * x * (x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon).rsqrt()

    def rotate(q, k, cos, sin, *args, **kwargs):
        half = modeling_llama.rotate_half
        cos, sin = cos.unsqueeze(1).double(), sin.unsqueeze(1).double()
        return q * cos + half(q) * sin, k * cos + half(k) * sin

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((modeling_kormo, "KORMoRMSNorm"), (modeling_llama, "LlamaRMSNorm")):
            patch.setattr(getattr(module, name), "forward", norm)
            patch.setattr(module, "apply_rotary_pos_emb", rotate)
        yield


@torch.no_grad()
@pytest.mark.parametrize("how", ["masks", "zeros"])
@pytest.mark.parametrize("sizes", GROWTHS.values(), ids=GROWTHS)
def test_wider_differs_by_rounding_alone(
    model: PreTrainedModel, sizes: dict, how: str, in_fp64: None
) -> None:
    model.double()
    growth = plan_growth(model.config, layers_every=1, how=how, **sizes)
    grown = grow_model(model, growth)
    put_on_masks(grown, growth)
    assert (grown(IDS).logits - model(IDS).logits).abs().max() < 1e-12
    assert any(isinstance(m, Mask) for m in grown.modules()) == (how == "masks")
    # At 1 its weights are those of a plain model.
    set_masks(grown, 1.0)
    plain = grow_model(model, growth)
    plain.load_state_dict(grown.state_dict())
    assert (plain(IDS).logits - grown(IDS).logits).abs().max() < 1e-12


@torch.no_grad()
def test_heads_appended_after_the_last_group_would_read_other_keys(
    model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert head_placement(4, 2, 6, 2) == [0, 1, 3, 4]
    assert head_placement(4, 2, 9, 3) == [0, 1, 3, 4]
    assert head_placement(64, 8, 72, 8)[7:10] == [7, 9, 10]  # Motif's
    monkeypatch.setattr(growth_module, "head_placement", lambda *counts: list(range(counts[0])))
    wide, growth = grown(model, num_attention_heads=8)
    put_on_masks(wide, growth)
    expected = model(IDS).logits
    assert (wide(IDS).logits - expected).abs().max() > 0.1 * expected.std()


def test_new_entries_have_the_deviation_of_a_fresh_model(build: Build) -> None:
    model = build(initializer_range=0.1, embedding_std=0.5)
    wide, _ = grown(model, hidden_size=256)
    assert wide.model.embed_tokens.weight[:, 64:].std().item() == pytest.approx(0.5, rel=0.05)
    for matrix in (wide.lm_head.weight, wide.model.layers[0].mlp.up_proj.weight):
        assert matrix[:, 64:].std().item() == pytest.approx(0.1, rel=0.05)


def test_new_entries_are_drawn_by_seed_and_parameter_and_new_norms_are_1(build: Build) -> None:
    model = build()
    model.generation_config.max_new_tokens = 17
    wide, again, other = (grown(model, hidden_size=96, seed=seed)[0] for seed in (1, 1, 2))
    assert wide.generation_config.max_new_tokens == 17
    for name, parameter in wide.named_parameters():
        if parameter.ndim == 1:
            assert parameter[64:].eq(1).all(), name
            continue
        assert torch.equal(parameter, again.get_parameter(name)), name
        new = parameter.numel() - model.get_parameter(name).numel()
        assert (parameter != other.get_parameter(name)).sum() == new, name
    own, mlp = wide.model.layers[0].self_attn, wide.model.layers[0].mlp
    for one, two in ((own.k_proj, own.v_proj), (mlp.gate_proj, mlp.up_proj)):
        assert (one.weight != two.weight).all()


@torch.no_grad()
def test_at_1_norms_round_as_the_plain_ones(model: PreTrainedModel) -> None:
    """KORMo multiplies by the weight in fp32, Llama behind the cast."""
    wide, growth = grown(model, hidden_size=96)
    plain = copy.deepcopy(wide.model.norm)
    put_on_masks(wide, growth)
    set_masks(wide, 1.0)
    states = torch.randn(50, 96).bfloat16()
    assert torch.equal(wide.model.norm(states), plain(states))


def _train(model: PreTrainedModel, steps: int) -> None:
    wanted = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(wanted, lr=1e-3, weight_decay=0.1)
    model.train()
    for step in range(steps):
        set_masks(model, (step + 1) / steps)
        model(IDS, labels=IDS).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("how", ["masks", "zeros"])
def test_every_new_entry_moves_within_three_steps(model: PreTrainedModel, how: str) -> None:
    growth = plan_growth(model.config, layers_every=2, how=how, **GROWTHS["all"])
    grown = grow_model(model, growth)
    put_on_masks(grown, growth)
    before = {name: p.detach().clone() for name, p in grown.named_parameters()}
    _train(grown, 3)
    read = IDS[:, :-1].unique()  # other rows of the embedding have no gradient
    for name, parameter in grown.named_parameters():
        moved = parameter != before[name]
        if name.endswith("embed_tokens.weight"):
            moved = moved[read]
        if name.endswith("k_proj.bias"):
            continue  # a key's bias adds the same to every score of a query
        assert moved.float().mean() > 0.999, name


def test_old_weights_stay_when_only_new_layers_train(build: Build) -> None:
    model = build("sdpa")
    deep, growth = grown(model, layers_every=2)
    new = list(growth.new_layers)
    for name, parameter in deep.named_parameters():
        parameter.requires_grad_(f"layers.{new[0]}." in name)
    before = copy.deepcopy(deep.state_dict())
    _train(deep, 100)
    for name, tensor in deep.state_dict().items():
        assert torch.equal(tensor, before[name]) != (f"layers.{new[0]}." in name), name


def test_optimizer_state_goes_where_the_weights_go(build: Build) -> None:
    model = build()
    state = {
        name: {
            "step": torch.tensor(7.0),
            "exp_avg": torch.randn_like(p),
            "exp_avg_sq": torch.rand_like(p) + 0.1,
        }
        for name, p in model.named_parameters()
    }
    growth = plan_growth(model.config, layers_every=2, num_attention_heads=6, hidden_size=96)
    padded = pad_optimizer_state(state, growth)
    grown = grow_model(model, growth)
    assert list(padded) == [name for name, _ in grown.named_parameters()]
    assert all(padded[n]["exp_avg"].shape == p.shape for n, p in grown.named_parameters())

    # Query heads 0, 1 | 2, 3 became 0, 1, new | 3, 4, new.
    for key in ("exp_avg", "exp_avg_sq"):
        old = state["model.layers.1.self_attn.q_proj.weight"][key]
        new = padded["model.layers.1.self_attn.q_proj.weight"][key].view(6, 16, 96)
        assert torch.equal(new[[0, 1, 3, 4], :, :64], old.view(4, 16, 64))
        assert new[[2, 5]].eq(0).all() and new[:, :, 64:].eq(0).all()
        old = state["model.layers.1.self_attn.o_proj.weight"][key]
        new = padded["model.layers.1.self_attn.o_proj.weight"][key].view(96, 6, 16)
        assert torch.equal(new[:64, [0, 1, 3, 4]], old.view(64, 4, 16))
    assert padded["model.norm.weight"]["step"] == 7
    # The copy after layer 1 begins afresh.
    layer = {n: s for n, s in padded.items() if ".layers.2." in n}
    assert layer and all(not any(t.any() for t in s.values()) for s in layer.values())


def test_moments_and_record_know_new_heads_in_old_groups_and_in_new_ones(build: Build) -> None:
    wider = {"num_attention_heads": 16, "num_key_value_heads": 4, "intermediate_size": 128}
    growth = plan_growth(build().config, seed=7, layers_after=[0], **wider)
    # Heads 0, 1 | 2, 3 of 2 groups became 0, 1, new, new | 4, 5, new, new | new | new of 4.
    old_places = [0, 1, 4, 5]
    before = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    before |= {"num_attention_heads": 4, "num_key_value_heads": 2}
    assert growth.record() == {
        "how": "masks",
        "seed": 7,
        "from": before,
        "to": before | wider | {"num_hidden_layers": 3},
        "new_layers": [1],
        "new_query_heads": [n for n in range(16) if n not in old_places],
        "first_new_hidden": 64,
        "first_new_ffn": 96,
        "first_new_key_value_head": 2,
    }
    sizes = {"q_proj": (64, 64), "o_proj": (64, 64), "k_proj": (32, 64)}
    for module, shape in sizes.items():
        old = torch.rand(shape) + 0.1
        new = growth.moment(f"model.layers.0.self_attn.{module}.weight", old)
        kept = old_places if module != "k_proj" else [0, 1]
        if module == "o_proj":
            old, new = old.T, new.T
        heads = new.view(-1, 16, 64)
        assert len(heads) == (16 if module != "k_proj" else 4)
        assert torch.equal(heads[kept], old.view(-1, 16, 64))
        assert heads[[n for n in range(len(heads)) if n not in kept]].eq(0).all()


def test_nothing_half_grown_is_built_or_exported(build: Build, tmp_path) -> None:
    wide, growth = grown(build(), hidden_size=80, intermediate_size=128)
    put_on_masks(wide, growth)
    set_masks(wide, {"hidden": 1.0, "ffn": 0.5, "heads": 0.0})
    with pytest.raises(ValueError, match="middle of a growth"):
        to_llama(wide)
    wide.save_pretrained(tmp_path)  # as a checkpoint of the run
    with pytest.raises(ValueError, match="middle of a growth"):
        KORMoForCausalLM.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="middle of a growth"):
        plan_growth(wide.config, layers_every=2)
    set_masks(wide, {"hidden": 1.0, "ffn": 1.0, "heads": 0.0})  # heads do not grow
    save_portable(wide, tmp_path)
    plain = KORMoForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.allclose(plain(IDS).logits, wide(IDS).logits, atol=1e-5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing would grow"),
        ({"hidden_size": 64}, "nothing would grow"),
        ({"hidden_size": 48}, "hidden_size: 48 is less than the model's 64"),
        ({"head_dim": 32}, "head_dim cannot grow"),
        ({"num_layers": 4}, "no such sizes: num_layers"),
        ({"num_attention_heads": 5}, r"\(5\) must be a multiple of num_key_value_heads \(2\)"),
        ({"num_attention_heads": 6}, r"\(64\) must be a multiple of num_attention_heads \(6\)"),
        ({"num_key_value_heads": 4}, "is 1 queries a group, and the model has 2"),
        ({"layers_every": 3}, "layers_every: 3 does not divide the model's 2 layers"),
        ({"layers_every": 0}, "layers_every: 0 does not divide"),
        ({"layers_after": [2]}, r"\[2\] are not all among the model's layers, 0 to 1"),
        ({"layers_every": 1, "layers_after": [0]}, "not both"),
    ],
)
def test_what_cannot_grow_is_refused(build: Build, asked: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_growth(build().config, **asked)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tie_word_embeddings": True}, "tie_word_embeddings"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' cannot grow"),
    ],
)
def test_models_that_cannot_grow_are_refused(build: Build, changes: dict, said: str) -> None:
    config = build().config
    for key, value in changes.items():
        setattr(config, key, value)
    with pytest.raises(ValueError, match=said):
        plan_growth(config, hidden_size=80)


def test_a_parameter_nobody_knows_is_refused(build: Build) -> None:
    growth = plan_growth(build().config, hidden_size=80)
    with pytest.raises(ValueError, match="q_norm.weight: growth knows no such parameter"):
        growth.tensor("model.layers.0.self_attn.q_norm.weight", torch.ones(16))
    with pytest.raises(ValueError, match=r"its shape is \[64, 60\], the config says \[64, 64\]"):
        growth.tensor("model.layers.0.self_attn.q_proj.weight", torch.ones(64, 60))
