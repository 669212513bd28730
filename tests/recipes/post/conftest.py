"""Fixtures of the chat stages: a base model that has learned nothing, chats and pairs."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from data_recipes.toy.chats import chats
from data_recipes.toy.preferences import preferences
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.export import save_portable
from tests.conftest import Once

from .grpo_hand_made import write_rows

SHAPE = {
    "vocab_size": 1280,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The same sums in the same order in this process and in those it starts.

    On so small a model threads only wait for each other, for seconds on a busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def base(data_dir: Path, once: Once) -> Path:
    """A random base model with the tokenizer of the small data set."""

    def make(directory: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
        ids = {k: getattr(tokenizer, k) for k in ("bos_token_id", "eos_token_id", "pad_token_id")}
        torch.manual_seed(0)
        save_portable(KORMoForCausalLM(KORMoConfig(**SHAPE, **ids)), directory)
        tokenizer.save_pretrained(directory)

    return once("base", make)


@pytest.fixture(scope="session")
def sources(once: Once) -> Path:
    """Chats and preference pairs."""

    def make(directory: Path) -> None:
        rows = [*islice(chats("ko", 0), 60), *islice(chats("en", 0), 60)]
        write_rows(directory / "chats.jsonl", rows)
        write_rows(directory / "pairs.jsonl", [*islice(preferences("ko", 0), 60)])

    return once("chats", make)
