"""Old rows stay bit for bit, and what is new starts as its initialisation says."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.vocabulary import NewRows, expand_files, expand_matrix, vocabulary_matrices

ROWS = NewRows(known=10, parts={10: [1, 2], 11: [3], 12: [4, 5, 6]}, total=16)


def expand(matrix: torch.Tensor, init: str, is_head: bool = False, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return expand_matrix(matrix, ROWS, init, is_head, 0.02, generator)


@pytest.mark.parametrize("init", ["mean", "random", "default", "eeve"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_old_rows_stay_and_rows_without_token_are_the_mean(init: str, dtype: torch.dtype) -> None:
    matrix = torch.randn(12, 8).to(dtype)  # two spare rows, one of which a new token takes
    expanded = expand(matrix, init)
    assert expanded.dtype == dtype and expanded.shape == (16, 8)
    assert torch.equal(expanded[:10], matrix[:10])
    mean = matrix[:10].float().mean(0).to(dtype)
    assert all(torch.equal(expanded[row], mean) for row in (13, 14, 15))
    if (init, dtype) != ("default", torch.bfloat16):  # whose noise bf16 rounds away
        assert not any(torch.equal(expanded[row], mean) for row in (10, 11, 12))
    assert not torch.equal(expanded[10:12], matrix[10:12])


def test_each_initialisation() -> None:
    matrix = torch.randn(10, 8)
    for is_head in (False, True):
        mean = expand(matrix, "mean", is_head)
        assert torch.allclose(mean[10], (matrix[1] + matrix[2]) / 2)
        assert torch.allclose(mean[12], matrix[4:7].mean(0))
        eeve = expand(matrix, "eeve", is_head)
        assert torch.allclose(eeve[12], matrix[4] if is_head else matrix[4:7].mean(0))
    assert not torch.equal(expand(matrix, "random", seed=1), expand(matrix, "random", seed=2))


def test_default_and_random_have_the_moments_that_they_say() -> None:
    matrix = torch.randn(200, 4) @ torch.randn(4, 4) + 3
    rows = NewRows(200, {200 + n: [0] for n in range(4000)}, 4200)
    draw = {
        init: expand_matrix(matrix, rows, init, False, 0.5, torch.Generator().manual_seed(0))[200:]
        for init in ("default", "random")
    }
    assert torch.allclose(draw["default"].mean(0), matrix.mean(0), atol=1e-4)
    covariance = torch.cov(matrix.T, correction=0)
    found = torch.cov((draw["default"].double() - matrix.mean(0)).T) / 1e-9
    assert torch.allclose(found.float(), covariance, atol=0.15 * covariance.abs().max().item())
    assert draw["random"].mean().abs() < 0.02 and abs(draw["random"].std() - 0.5) < 0.02


def llama(tied: bool) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=tied, eos_token_id=7,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def neox() -> GPTNeoXForCausalLM:
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=2,
    )  # fmt: skip
    return GPTNeoXForCausalLM(config).eval()


@pytest.mark.parametrize("make", [lambda: llama(False), lambda: llama(True), neox])
@pytest.mark.parametrize("shard", ["5GB", "12KB"])
def test_other_families_whole_and_in_shards(make, shard: str, tmp_path: Path) -> None:
    model = make()
    model.generation_config.max_new_tokens = 17
    model.save_pretrained(tmp_path / "in", max_shard_size=shard)
    files = len(list((tmp_path / "in").glob("*.safetensors")))
    assert (files == 1) == (shard == "5GB")
    rows = NewRows(38, {38: [1, 2], 41: [3]}, 64)
    (tmp_path / "out").mkdir()
    more = expand_files(tmp_path / "in", tmp_path / "out", rows, "mean", 0)
    larger = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    assert larger.num_parameters() - model.num_parameters() == more
    assert larger.config.vocab_size == 64 and len(larger.get_output_embeddings().weight) == 64
    assert larger.generation_config.max_new_tokens == 17
    assert larger.config.eos_token_id == model.config.eos_token_id
    ids = torch.randint(0, 38, (2, 9))
    with torch.no_grad():
        assert torch.equal(larger(ids).logits[..., :38], model(ids).logits[..., :38])
    embedding = larger.get_input_embeddings().weight
    assert torch.allclose(embedding[38], embedding[1:3].mean(0))
    if (index := tmp_path / "out" / "model.safetensors.index.json").is_file():
        sizes = (p.stat().st_size for p in (tmp_path / "out").glob("*.safetensors"))
        # Headers come on top of the tensors.
        metadata = json.loads(index.read_text())["metadata"]
        assert 0.5 < metadata["total_size"] / sum(sizes) < 1
        assert metadata["total_parameters"] == larger.num_parameters()


def test_random_rows_depend_on_the_seed_alone_and_not_on_files_or_the_process(
    tmp_path: Path,
) -> None:
    """A process's order of sets decided which matrix drew first, where both lie in one file."""
    rows, found = NewRows(40, {40: [1], 41: [2]}, 64), []
    for shard in ("5GB", "12KB"):
        llama(False).save_pretrained(tmp_path / shard, max_shard_size=shard)
        out = tmp_path / f"{shard}-out"
        out.mkdir()
        expand_files(tmp_path / shard, out, rows, "random", 0)
        larger = LlamaForCausalLM.from_pretrained(out)
        found.append([larger.model.embed_tokens.weight[40:42], larger.lm_head.weight[40:42]])
    assert all(torch.equal(*pair) for pair in zip(*found))
    assert not torch.equal(*found[0])


def test_random_rows_have_the_deviation_of_their_matrix(tmp_path: Path) -> None:
    config = KORMoConfig(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, initializer_range=0.1, embedding_std=0.5,
    )  # fmt: skip
    KORMoForCausalLM(config).save_pretrained(tmp_path)
    (tmp_path / "out").mkdir()
    rows = NewRows(40, {40 + n: [n] for n in range(40)}, 80)
    expand_files(tmp_path, tmp_path / "out", rows, "random", 0)
    larger = KORMoForCausalLM.from_pretrained(tmp_path / "out")
    assert larger.model.embed_tokens.weight[40:].std().item() == pytest.approx(0.5, rel=0.1)
    assert larger.lm_head.weight[40:].std().item() == pytest.approx(0.1, rel=0.1)


def test_what_cannot_be_expanded(tmp_path: Path) -> None:
    model = llama(False)
    model.save_pretrained(tmp_path)
    assert vocabulary_matrices(tmp_path) == (
        "model.embed_tokens.weight",
        "lm_head.weight",
        (40, 32),
    )
    config = json.loads((tmp_path / "config.json").read_text())
    quantized = config | {"quantization_config": {"quant_method": "bitsandbytes"}}
    (tmp_path / "config.json").write_text(json.dumps(quantized))
    with pytest.raises(ValueError, match="is quantized"):
        vocabulary_matrices(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="is an adapter; merge it first"):
        vocabulary_matrices(tmp_path)
    (tmp_path / "adapter_config.json").unlink()
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="only safetensors"):
        expand_files(tmp_path, tmp_path, ROWS, "mean", 0)
