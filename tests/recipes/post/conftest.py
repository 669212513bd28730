"""Fixtures of the chat stages: a base model that has learned nothing."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.export import save_portable

SHAPE = {
    "vocab_size": 1280,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}


@pytest.fixture(scope="module")
def base(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random base model with the tokenizer of the small data set."""
    directory = tmp_path_factory.mktemp("base")
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    ids = {k: getattr(tokenizer, k) for k in ("bos_token_id", "eos_token_id", "pad_token_id")}
    torch.manual_seed(0)
    save_portable(KORMoForCausalLM(KORMoConfig(**SHAPE, **ids)), directory)
    tokenizer.save_pretrained(directory)
    return directory
