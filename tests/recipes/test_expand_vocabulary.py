"""`kormo expand-vocabulary` writes a whole model that computes on old text what it did, or none."""

import json
import shutil
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.expand import expand_tokenizer
from data_recipes.tokenizer.train import train_tokenizer
from data_recipes.toy import documents
from modeling_kormo.export import save_portable
from recipes.expand_vocabulary import expand_command
from tests.random_model import random_model

ENGLISH = "The river runs past the old mill.\n\n\nIt is 3 km long."


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`model` (with 700 tokens in 768 rows, and a lineage) and `larger` (with 150 tokens more)."""
    directory = tmp_path_factory.mktemp("start")
    tokenizer = train_tokenizer(islice(documents("web", "en", 1), 120), 659)
    model = random_model(tokenizer, 768)
    model.generation_config.max_new_tokens = 17
    save_portable(model, directory / "model")
    tokenizer.save_pretrained(directory / "model")
    lineage = {"stage": "stage1", "parameters": 100, "tokens": 5, "tokens_in_all": 9}
    (directory / "model" / "lineage.json").write_text(json.dumps(lineage))
    texts = list(islice(documents("web", "ko", 1), 120))
    for name, entries in (("largest", 200), ("larger", 150), ("little", 60)):
        larger, _ = expand_tokenizer(tokenizer, texts, ["Hangul"], entries, "test")
        larger.chat_template = None
        larger.save_pretrained(directory / name)
    return directory


@pytest.mark.parametrize(("name", "rows"), [("larger", 1024), ("little", 768)])
def test_old_text_is_computed_as_before(
    start: Path, tmp_path: Path, name: str, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    expand_command([str(start / "model"), str(start / name), str(out), "--init", "eeve"])
    assert f"768 -> {rows:,} rows" in capsys.readouterr().out
    old, new = (AutoTokenizer.from_pretrained(p) for p in (start / "model", out))
    before, after = (
        AutoModelForCausalLM.from_pretrained(p, attn_implementation="eager").eval()
        for p in (start / "model", out)
    )
    ids = old(ENGLISH, return_tensors="pt").input_ids
    assert torch.equal(ids, new(ENGLISH, return_tensors="pt").input_ids)
    with torch.no_grad():
        assert torch.equal(after(ids).logits[..., :700], before(ids).logits[..., :700])
    assert len(after.lm_head.weight) == after.config.vocab_size == rows
    index = len(old)
    parts = [p.id for p in old.backend_tokenizer.model.tokenize(new.convert_ids_to_tokens(index))]
    assert len(parts) > 1
    assert torch.equal(after.lm_head.weight[index], before.lm_head.weight[parts[0]])
    mean = before.model.embed_tokens.weight[parts].mean(0)
    assert torch.allclose(after.model.embed_tokens.weight[index], mean)
    # What goes along: generation config, chat template, ids, code and history.
    assert after.generation_config.max_new_tokens == 17
    assert new.chat_template == old.chat_template and new.chat_template
    assert new.all_special_ids == old.all_special_ids
    named = json.loads((out / "tokenizer_config.json").read_text())
    assert named["tokenizer_class"] == "PreTrainedTokenizerFast"  # which transformers 4 knows
    assert after.config.eos_token_id == before.config.eos_token_id == new.eos_token_id
    assert (out / "modeling_kormo.py").is_file()
    lineage = json.loads((out / "lineage.json").read_text())
    assert lineage["stage"] == "stage1" and lineage["tokens_in_all"] == 9
    assert lineage["parameters"] == 100 + 2 * 32 * (rows - 768)
    assert lineage["vocabulary"]["first_new"] == 700 and lineage["vocabulary"]["init"] == "eeve"
    assert list(lineage["weights_sha256"]) == ["model.safetensors"]


def test_what_is_refused_leaves_nothing(start: Path, data_dir: Path, tmp_path: Path) -> None:
    def refused(model: Path, tokenizer: Path, match: str) -> None:
        with pytest.raises(RecipeError, match=match) as error:
            expand_command([str(model), str(tokenizer), str(tmp_path / "out")])
        assert "\n" not in str(error.value) and not (tmp_path / "out").exists()

    refused(tmp_path / "nowhere", start / "larger", "no model directory")
    refused(start / "model", tmp_path / "nowhere", "cannot be loaded")
    refused(start / "model", data_dir / "tokenizer", "no continuation of the model's")
    refused(start / "model", start / "model", "700 tokens and the model's 700: nothing to add")
    small = tmp_path / "small"  # fewer rows than its tokenizer has tokens
    shutil.copytree(start / "model", small)
    AutoTokenizer.from_pretrained(start / "larger").save_pretrained(small)
    refused(small, start / "largest", "850 tokens, its embedding 768 rows")
    (small / "adapter_config.json").write_text("{}")
    refused(small, start / "larger", "is an adapter; merge it first")
    # Files that are not what they should be.
    odd = tmp_path / "odd"
    shutil.copytree(start / "model", odd)
    config = json.loads((odd / "config.json").read_text())
    (odd / "config.json").write_text(json.dumps(config | {"hidden_size": 48}))
    refused(odd, start / "larger", r"its shape is \[768, 32\], the config says \[768, 48\]")
    (odd / "config.json").write_text("{")
    refused(odd, start / "larger", "not a valid JSON")
    (odd / "config.json").write_text(json.dumps(config))
    weights = odd / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    refused(odd, start / "larger", "model.safetensors is missing or damaged")
    (odd / "tokenizer.json").unlink()
    refused(odd, start / "larger", "cannot be loaded.*tokenizer.json, or a Hub id")
    # A model whose vocabulary is the larger already.
    expand_command([str(start / "model"), str(start / "larger"), str(tmp_path / "larger")])
    refused(tmp_path / "larger", start / "little", "no continuation of the model's, 90 of whose")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(RecipeError, match="not empty"):
        expand_command([str(start / "model"), str(start / "larger"), str(tmp_path / "out")])
