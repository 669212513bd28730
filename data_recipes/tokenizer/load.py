"""A trained tokenizer, as training and evaluation load it."""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from ..common.errors import RecipeError
from ..common.files import sha256_file

# Byte by the character that stands for it in a byte-level vocabulary.
BYTES = {character: byte for byte, character in bytes_to_unicode().items()}
PADDING_MULTIPLE = 256  # published: 125,041 tokens in 125,184 = 489 x 256 embedding rows


def padded_vocab_size(tokens: int) -> int:
    """Embedding rows for a tokenizer with `tokens` entries."""
    return -(-tokens // PADDING_MULTIPLE) * PADDING_MULTIPLE


def read_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer directory or Hub id, whatever its tokens.

    Raises:
        RecipeError: missing or damaged.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(path))
    except (OSError, ValueError) as error:
        told = " ".join(str(error).split())  # several lines of transformers in one
        raise RecipeError(
            f"tokenizer {path}: cannot be loaded ({told}); give a directory with tokenizer.json, "
            "or a Hub id"
        ) from error


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer directory or Hub id that documents can be delimited with.

    Raises:
        RecipeError: missing, or without the `<|EOS|>`-like token that must close documents.
    """
    tokenizer = read_tokenizer(path)
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


def check_continuation(
    old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast, name: str
) -> None:
    """Make sure that a tokenizer knows all that another knows, under the same ids.

    Args:
        old: the smaller one.
        new: the larger one.
        name: of the larger one, for messages.

    Raises:
        RecipeError: an id that differs, or text that would be cut otherwise.
    """
    known = new.get_vocab()
    moved = [token for token, index in old.get_vocab().items() if known.get(token) != index]
    if moved:
        raise RecipeError(
            f"tokenizer {name}: is no continuation of the model's, {len(moved):,} of whose tokens "
            f"have another id there or none, {moved[0]!r} among them; make one with "
            "`kormo data expand-tokenizer`"
        )
    if len(new) <= len(old):
        raise RecipeError(
            f"tokenizer {name}: has {len(new):,} tokens and the model's {len(old):,}: nothing to "
            "add; give one that `kormo data expand-tokenizer` made"
        )
    before, after = (json.loads(t.backend_tokenizer.to_str()) for t in (old, new))
    merges: list[Any] = before["model"].get("merges", [])
    same = after["model"].get("merges", [])[: len(merges)] == merges
    parts = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    changed = [part for part in parts if before[part] != after[part]]
    if changed or not same:
        raise RecipeError(
            f"tokenizer {name}: is no continuation of the model's, because its "
            f"{', '.join(changed) or 'merges'} differ; make one with `kormo data expand-tokenizer`"
        )


def token_bytes(tokenizer: PreTrainedTokenizerFast) -> list[bytes]:
    """UTF-8 bytes that each id stands for; none for control tokens.

    Raises:
        RecipeError: a tokenizer that is not byte-level.
    """
    added = tokenizer.get_added_vocab()
    special = set(tokenizer.all_special_ids)
    spelled = [b""] * len(tokenizer)
    for token, index in tokenizer.get_vocab().items():
        if index in special:
            continue
        if token in added:
            spelled[index] = token.encode()
        elif BYTES.keys() >= set(token):
            spelled[index] = bytes(BYTES[c] for c in token)
        else:
            raise RecipeError(f"token {token!r} (id {index}) is not byte-level: no byte length")
    return spelled


def token_byte_lengths(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """UTF-8 bytes that each id stands for; 0 for control tokens.

    Bits per byte divide by these, so that tokenizers of any size can be compared.
    """
    return list(map(len, token_bytes(tokenizer)))
