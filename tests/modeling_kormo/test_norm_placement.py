"""Norms on the residual stream: what must hold of every placement, and who refuses them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.growth import plan_growth
from modeling_kormo.liger_kormo import apply_liger_kernel_to_kormo
from recipes.engine.metrics import count_parameters
from recipes.expand_vocabulary import expand_command
from recipes.export import export_command

from .test_packing import TOLERANCE, documents, flattened, gradient

Build = Callable[..., KORMoForCausalLM]
POST = ["mix", "post", "deepnorm"]


def mixed(placement: str, **changes: object) -> dict[str, object]:
    """Settings under which `mix` has layers of both kinds."""
    return {"norm_placement": placement, "num_hidden_layers": 4, **changes}


@pytest.mark.parametrize("layers", [4, 12, 16, 24, 40])
def test_a_quarter_of_the_layers_and_the_first(layers: int) -> None:
    config = KORMoConfig(num_hidden_layers=layers, norm_placement="mix")
    assert config.post_norm_layers == {4: 1, 12: 3, 16: 4, 24: 6, 40: 10}[layers]
    config = KORMoConfig(num_hidden_layers=100, norm_placement="mix", mix_ln_alpha=0.29)
    assert config.post_norm_layers == 29  # 0.29 * 100 is 28.999...


def test_the_first_layers_are_post(build: Build) -> None:
    layers = build(**mixed("mix")).model.layers
    assert [layer.post_norm for layer in layers] == [True, False, False, False]


@pytest.mark.parametrize(("alpha", "placement"), [(0, "pre"), (1, "post")])
def test_mix_at_its_ends_is_pre_and_post(build: Build, alpha: float, placement: str) -> None:
    mix, other = build(**mixed("mix", mix_ln_alpha=alpha)), build(**mixed(placement))
    weights = other.state_dict()
    assert mix.state_dict().keys() == weights.keys()
    assert all(torch.equal(t, weights[name]) for name, t in mix.state_dict().items())
    batch = flattened(documents(2))
    assert torch.equal(mix(**batch).logits, other(**batch).logits)
    assert torch.equal(*(gradient(m, m(**batch).logits) for m in (mix, other)))


def test_post_by_hand(build: Build) -> None:
    # One layer, written out: the norms' order and DeepNorm's factor cannot be mistaken unseen.
    for placement, scale in (("post", 1.0), ("deepnorm", 2**0.25)):
        model = build(num_hidden_layers=1, norm_placement=placement)
        layer, ids = model.model.layers[0], torch.arange(3, 12)[None]
        for norm in (layer.attention_output_layernorm, layer.mlp_output_layernorm):
            nn.init.normal_(norm.weight, 1.0, 0.3)
        x = model.model.embed_tokens(ids)
        angles = model.model.rotary_emb(x, torch.arange(9)[None])
        mask = torch.full((1, 1, 9, 9), float("-inf")).triu(1)
        attention, _ = layer.self_attn(x, position_embeddings=angles, attention_mask=mask)
        x = layer.attention_output_layernorm(scale * x + attention)
        x = layer.mlp_output_layernorm(scale * x + layer.mlp(x))
        logits = model.lm_head(model.model.norm(x))
        torch.testing.assert_close(model(ids).logits, logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layers", [4, 40])
def test_deepnorm_begins_as_its_paper_says(layers: int, tmp_path: Path) -> None:
    shape = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "head_dim": 16}
    shape |= {"num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": layers}
    models = []
    for placement in ("post", "deepnorm"):
        torch.manual_seed(0)
        models.append(KORMoForCausalLM(KORMoConfig(**shape, norm_placement=placement)))
    post, deep = (m.state_dict() for m in models)
    assert models[1].model.layers[0].residual_scale == pytest.approx((2 * layers) ** 0.25)
    for name, tensor in deep.items():
        small = re.search("[vo]_proj|gate_proj|up_proj|down_proj", name)
        factor = (8 * layers) ** -0.25 if small else 1.0
        torch.testing.assert_close(tensor, factor * post[name], rtol=1e-6, atol=0)
    # Weights that are loaded are not scaled again.
    models[1].save_pretrained(tmp_path)
    loaded = KORMoForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in deep.items())


@pytest.mark.parametrize("placement", POST)
@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_packed_equals_separate(build: Build, attention: str, placement: str) -> None:
    docs, model = documents(2), build(attention, **mixed(placement))
    separate = torch.cat([build("eager", **mixed(placement))(d).logits for d in docs], dim=1)
    packed = model(**flattened(docs)).logits
    # Norms on the stream divide by its root mean square, and errors of rounding with it.
    torch.testing.assert_close(packed, separate, rtol=0, atol=10 * TOLERANCE)
    mixed_up = model(torch.cat(docs, dim=1)).logits
    assert (mixed_up - separate).abs().max() > 0.1


@pytest.mark.parametrize("placement", POST)
def test_cache_and_checkpointing_change_nothing(build: Build, placement: str) -> None:
    model, prompt = build("sdpa", **mixed(placement)), torch.randint(3, 96, (2, 9))
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    cached = model.generate(prompt, use_cache=True, **options)
    assert torch.equal(cached, model.generate(prompt, use_cache=False, **options))
    plain, checkpointed = model.train(), build("sdpa", **mixed(placement)).train()
    checkpointed.gradient_checkpointing_enable()
    batch = flattened(documents(2))
    expected = gradient(plain, plain(**batch).logits)
    actual = gradient(checkpointed, checkpointed(**batch).logits)
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("placement", POST)
def test_saved_and_loaded_and_counted(build: Build, placement: str, tmp_path: Path) -> None:
    model, ids = build(**mixed(placement)), torch.randint(3, 96, (1, 9))
    assert count_parameters(model.config) == sum(p.numel() for p in model.parameters())
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert torch.equal(loaded(ids).logits, model(ids).logits)


def test_a_config_of_before_is_pre_norm(tiny_config: KORMoConfig) -> None:
    old = tiny_config.to_dict()
    for key in ("norm_placement", "mix_ln_alpha"):
        del old[key]
    config = KORMoConfig.from_dict(old)
    assert (config.norm_placement, config.post_norm_layers, config.residual_scale) == ("pre", 0, 1)


@pytest.mark.parametrize("placement", POST)
def test_the_tensor_parallel_plan_covers_every_matrix(build: Build, placement: str) -> None:
    # Norms are in no plan: they stay whole on every rank, wherever they stand.
    model = build(**mixed(placement)).model
    plan = {re.compile(k.replace(".", r"\.").replace("*", r"\d+")) for k in model._tp_plan}
    for name, module in model.named_modules():
        covered = any(pattern.fullmatch(name) for pattern in plan)
        assert covered == isinstance(module, nn.Linear | nn.Embedding), name


@pytest.mark.parametrize("placement", POST)
def test_who_cannot_keep_the_norms_refuses_by_name(
    build: Build, data_dir: Path, placement: str, tmp_path: Path
) -> None:
    model = build(**mixed(placement, vocab_size=1280))
    saved, tokenizer = tmp_path / "model", data_dir / "tokenizer"
    model.save_pretrained(saved)
    AutoTokenizer.from_pretrained(tokenizer).save_pretrained(saved)
    named = f"norm_placement is {placement}.*norm_placement pre"
    for layout in ("llama", "gguf"):
        with pytest.raises(RecipeError, match=named):
            export_command(["--as", layout, str(saved), str(tmp_path / layout)])
        assert not (tmp_path / layout).exists()
    with pytest.raises(ValueError, match=named):
        plan_growth(model.config, layers_every=2)
    with pytest.raises(ValueError, match=named):
        apply_liger_kernel_to_kormo(model=model)
    with pytest.raises(RecipeError, match=named):
        expand_command([str(saved), str(tokenizer), str(tmp_path / "expanded")])
    # The portable layout brings its own code, and keeps them.
    export_command(["--as", "kormo", "--dtype", "float32", str(saved), str(tmp_path / "kormo")])
    ids = torch.randint(3, 96, (1, 9))
    kept = KORMoForCausalLM.from_pretrained(tmp_path / "kormo", attn_implementation="eager")
    assert torch.equal(kept(ids).logits, model(ids).logits)


def test_llama_does_not_take_the_norms_for_its_own(build: Build) -> None:
    # Under Llama's names `post_attention_layernorm` would be read as its norm before the MLP.
    weights = build(**mixed("mix")).state_dict()
    with torch.device("meta"):
        llama = LlamaForCausalLM(LlamaForCausalLM.config_class(**_llama_shape(build)))
    report = llama.load_state_dict(weights, strict=False, assign=True)
    first = [name for name in report.unexpected_keys if ".layers.0." in name]
    assert len(first) == 2 and all("output_layernorm" in name for name in first)


def _llama_shape(build: Build) -> dict[str, object]:
    config = build(**mixed("mix")).config
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    keys += ("num_attention_heads", "num_key_value_heads", "head_dim")
    return {key: getattr(config, key) for key in keys}
