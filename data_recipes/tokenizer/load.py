"""A trained tokenizer, as training and evaluation load it."""

from pathlib import Path

from tokenizers import pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..common.errors import RecipeError
from ..common.files import sha256_file

PADDING_MULTIPLE = 256  # published: 125,041 tokens in 125,184 = 489 x 256 embedding rows


def padded_vocab_size(tokens: int) -> int:
    """Embedding rows for a tokenizer with `tokens` entries."""
    return -(-tokens // PADDING_MULTIPLE) * PADDING_MULTIPLE


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer directory or Hub id.

    Raises:
        RecipeError: missing, or without the `<|EOS|>`-like token that must close documents.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(path))
    except (OSError, ValueError) as error:
        raise RecipeError(f"tokenizer {path}: cannot be loaded ({error})") from error
    if tokenizer.bos_token_id is None or tokenizer.eos_token_id is None:
        raise RecipeError(f"tokenizer {path}: needs a BOS and an EOS token to delimit documents")
    return tokenizer


def tokenizer_hash(tokenizer_dir: Path) -> str:
    """SHA-256 of `tokenizer.json`.

    Raises:
        RecipeError: no such file.
    """
    path = tokenizer_dir / "tokenizer.json"
    if not path.is_file():
        raise RecipeError(f"{path}: no such tokenizer; `python -m data_recipes prepare` makes one")
    return sha256_file(path)


def token_byte_lengths(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """UTF-8 bytes that each id stands for; 0 for control tokens.

    Bits per byte divide by these, so that tokenizers of any size can be compared.
    """
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    added = tokenizer.get_added_vocab()
    special = set(tokenizer.all_special_ids)
    lengths = [0] * len(tokenizer)
    for token, index in tokenizer.get_vocab().items():
        if index in special:
            continue
        if token in added:
            lengths[index] = len(token.encode())
        elif set(token) <= alphabet:
            # One character of the byte alphabet stands for one byte.
            lengths[index] = len(token)
        else:
            raise RecipeError(f"token {token!r} (id {index}) is not byte-level: no byte length")
    return lengths
