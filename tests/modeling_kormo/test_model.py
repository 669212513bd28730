"""Shapes, initialisation, generation and heads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from data_recipes.common.config_files import read_yaml
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from recipes.engine.metrics import count_parameters

CONFIGS = Path(__file__).parents[2] / "recipes" / "configs"
Build = Callable[..., KORMoForCausalLM]


@pytest.mark.parametrize(("size", "parameters"), [("10b", 10_756_624_384), ("1b", 1_318_127_616)])
def test_parameter_counts_are_the_published_ones(size: str, parameters: int) -> None:
    shape = read_yaml(CONFIGS / size / "stage1.yaml")["model"]["shape"]
    with torch.device("meta"):
        model = KORMoForCausalLM(KORMoConfig(**shape))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert count_parameters(model.config) == parameters


def test_class_defaults_are_the_10b(tiny_config: KORMoConfig) -> None:
    shape = read_yaml(CONFIGS / "10b" / "stage1.yaml")["model"]["shape"]
    defaults = KORMoConfig().to_dict()
    assert {k: defaults[k] for k in shape} == shape
    assert defaults["rope_parameters"]["rope_theta"] == 500_000


def test_initialisation() -> None:
    torch.manual_seed(0)
    model = KORMoForCausalLM(
        KORMoConfig(
            vocab_size=512,
            hidden_size=128,
            intermediate_size=256,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
        )
    )
    matrices = {n: p for n, p in model.named_parameters() if p.ndim == 2}
    norms = [p for p in model.parameters() if p.ndim == 1]
    assert len(matrices) == 3 * 7 + 2 and len(norms) == 3 * 2 + 1
    for name, matrix in matrices.items():
        assert matrix.std().item() == pytest.approx(0.02, rel=0.05), name
    assert all(bool((norm == 1).all()) for norm in norms)


def test_only_the_embedding_has_a_standard_deviation_of_its_own(tmp_path: Path) -> None:
    def build(**changes: float) -> KORMoForCausalLM:
        torch.manual_seed(0)
        sizes = {"vocab_size": 512, "hidden_size": 128, "intermediate_size": 256}
        heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_hidden_layers": 2}
        return KORMoForCausalLM(KORMoConfig(**sizes, **heads, **changes))

    plain, same = build().state_dict(), build(embedding_std=0.02).state_dict()
    model = build(embedding_std=0.5)
    for name, tensor in model.state_dict().items():
        assert torch.equal(same[name], plain[name])
        scale = 25 if name == "model.embed_tokens.weight" else 1
        torch.testing.assert_close(tensor, scale * plain[name], rtol=1e-6, atol=0)
        assert scale == 25 or torch.equal(tensor, plain[name]), name
    assert model.model.embed_tokens.weight.std().item() == pytest.approx(0.5, rel=0.05)
    # It belongs to the initialisation: weights that are loaded stay what they are.
    model.save_pretrained(tmp_path)
    loaded = KORMoForCausalLM.from_pretrained(tmp_path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())
    with pytest.raises(Exception, match="embedding_std.*output head"):
        build(embedding_std=0.5, tie_word_embeddings=True)


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_generation_with_cache_equals_without(build: Build, attention: str) -> None:
    model = build(attention)
    prompt = torch.randint(3, 96, (2, 9))
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    cached = model.generate(prompt, use_cache=True, **options)
    plain = model.generate(prompt, use_cache=False, **options)
    assert torch.equal(cached, plain)
    assert len(cached[:, 9:].unique()) > 2


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_left_padding_does_not_change_generation(build: Build, attention: str) -> None:
    model = build(attention)
    prompt = torch.randint(3, 96, (1, 6))
    padded = torch.cat([torch.zeros(1, 4, dtype=torch.long), prompt], dim=1)
    mask = (torch.arange(10) >= 4).long()[None]
    options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    alone = model.generate(prompt, **options)
    with_padding = model.generate(padded, attention_mask=mask, **options)
    assert torch.equal(with_padding[:, 4:], alone)


def test_logits_to_keep(build: Build) -> None:
    model, ids = build(), torch.randint(3, 96, (2, 9))
    assert torch.equal(model(ids, logits_to_keep=2).logits, model(ids).logits[:, -2:])


def test_tied_head_shares_and_saves_one_matrix(build: Build, tmp_path: Path) -> None:
    model = build(tie_word_embeddings=True)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert build().lm_head.weight is not build().model.embed_tokens.weight
    model.save_pretrained(tmp_path)
    loaded = KORMoForCausalLM.from_pretrained(tmp_path)
    ids = torch.randint(3, 96, (1, 9))
    torch.testing.assert_close(loaded(ids).logits, model(ids).logits)
    assert count_parameters(model.config) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("auto", "shape"),
    [(AutoModelForSequenceClassification, (2, 3)), (AutoModelForTokenClassification, (2, 9, 3))],
)
def test_classification_heads(tiny_config: KORMoConfig, auto: type, shape: tuple) -> None:
    tiny_config.num_labels = 3
    logits = auto.from_config(tiny_config)(torch.randint(3, 96, (2, 9))).logits
    assert logits.shape == shape


def test_bfloat16_keeps_rotary_frequencies_in_fp32(build: Build) -> None:
    model = build(rope_frequencies_in_model_dtype=False)
    before = model.model.rotary_emb.inv_freq.clone()
    model = model.bfloat16()
    assert torch.equal(model.model.rotary_emb.inv_freq, before)
    hidden, positions = torch.zeros(1, 1, dtype=torch.bfloat16), torch.tensor([[200]])
    exact = model.model.rotary_emb(hidden, positions)[0]
    model.config.rope_frequencies_in_model_dtype = True
    assert (model.model.rotary_emb(hidden, positions)[0] - exact).abs().max() > 0.01


@pytest.mark.parametrize(
    "change", [{"num_key_value_heads": 3}, {"head_dim": 15}, {"hidden_size": "wide"}]
)
def test_bad_shapes_are_refused(tiny_config: KORMoConfig, change: dict) -> None:
    with pytest.raises(Exception, match=next(iter(change))):
        KORMoConfig(**{**tiny_config.to_dict(), **change})
