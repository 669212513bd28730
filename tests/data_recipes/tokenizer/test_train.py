"""KORMo's layout of ids, no text that cannot be encoded, and honest byte lengths."""

from pathlib import Path

import pytest
from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.load import load_tokenizer, padded_vocab_size, token_byte_lengths
from data_recipes.tokenizer.train import ADDED_TOKENS, train_tokenizer
from data_recipes.toy import documents

CONTROL = ["<|BOS|>", "<|EOS|>", "<|PAD|>", "<think>", "</think>", "<tool_call>", "</tool_call>"]
CONTROL += ["<tool_response>", "</tool_response>", "<|BOT|>", "<|EOT|>"]
HARD = "한글 3,000원\n\n\nand\tthree — ‘quotes’ 🙂👩‍🚀 e\u0301 \u0000 漢字 \r\n x" + "\n" * 40


@pytest.fixture(scope="module")
def tokenizer(data_dir: Path) -> PreTrainedTokenizerBase:
    return load_tokenizer(data_dir / "tokenizer")


def test_ids_are_laid_out_as_published(tokenizer: PreTrainedTokenizerBase) -> None:
    # At 125,000 entries the same layout gives 125000 for two newlines and 125040 for <|EOT|>.
    entries = len(tokenizer) - 41
    assert entries == 1000
    for offset in range(30):
        ids = tokenizer.encode("\n" * (2 + offset), add_special_tokens=False)
        assert ids == [entries + offset]
    assert tokenizer.convert_tokens_to_ids(CONTROL) == list(range(entries + 30, entries + 41))
    assert list(ADDED_TOKENS[30:]) == CONTROL
    assert (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token) == tuple(CONTROL[:3])
    assert padded_vocab_size(125_041) == 125_184


def test_every_byte_is_in_the_alphabet(tokenizer: PreTrainedTokenizerBase) -> None:
    vocabulary = tokenizer.get_vocab()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    assert len(alphabet) == 256 and all(symbol in vocabulary for symbol in alphabet)


def test_any_text_comes_back(tokenizer: PreTrainedTokenizerBase) -> None:
    for text in (HARD, next(documents("web", "ko", 9)), "".join(map(chr, range(1, 0x3000, 7)))):
        ids = tokenizer.encode(text)
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.decode(ids[1:]) == text


def test_digits_are_single_and_markup_survives(tokenizer: PreTrainedTokenizerBase) -> None:
    assert len(tokenizer.encode("2026", add_special_tokens=False)) == 4
    ids = tokenizer.encode("<think>a</think>")
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>a</think>"
    assert tokenizer.convert_tokens_to_ids("<think>") in ids


def test_no_merge_holds_two_newlines(tokenizer: PreTrainedTokenizerBase) -> None:
    # They are added tokens: a merge for them could never be used.
    bpe = [t for t in tokenizer.get_vocab() if t not in tokenizer.get_added_vocab()]
    assert len(bpe) == 1000 and not any("ĊĊ" in t for t in bpe)


def test_byte_lengths_add_up(tokenizer: PreTrainedTokenizerBase) -> None:
    lengths = token_byte_lengths(tokenizer)
    for text in (HARD, next(documents("stories", "ko", 3)), next(documents("web", "en", 3))):
        ids = tokenizer.encode(text)
        assert sum(lengths[i] for i in ids) == len(text.encode())
    assert all(lengths[i] == 0 for i in tokenizer.all_special_ids)


def test_impossible_sizes_are_refused() -> None:
    with pytest.raises(RecipeError, match="at least 257"):
        train_tokenizer(["text"], 200)
    with pytest.raises(RecipeError, match="supports only"):
        train_tokenizer(["a little text"], 1000)
    with pytest.raises(RecipeError, match="cannot be loaded"):
        load_tokenizer("/nowhere/tokenizer")
