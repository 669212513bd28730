"""A tokenizer that goes on learning in another script, with everything it knew left as it was.

New merges come after the old ones and begin in the new script, so that text without that script is
cut as before; new entries come after all old ids, special tokens among them. EEVE (Kim et al. 2024,
arXiv 2402.14714) and X-LLaVA (Shin et al. 2024, arXiv 2403.11399) join a second tokenizer's entries
to the first; continuing instead leaves no entry that the merges cannot reach.
"""

import copy
import json
import re
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ..common.errors import RecipeError
from .continued_bpe import Merge, continue_merges
from .load import BYTES
from .script_bytes import ScriptBytes

_SYMBOLS = {value: symbol for symbol, value in BYTES.items()}


@dataclass(frozen=True)
class Expansion:
    """What was learned.

    Attributes:
        entries: new ones.
        merges: new ones; more than entries where an old entry was reached in a new way.
        partial: new entries that end within a character.
        words: distinct words of the scripts that were learned from.
        megabytes: text, in 1e6 UTF-8 bytes.
        seconds: counting and merging.
        changed_signs: signs of no script that are cut otherwise than before.
    """

    entries: int
    merges: int
    partial: int
    words: int
    megabytes: float
    seconds: float
    changed_signs: list[str]

    def __str__(self) -> str:
        signs = f"; cut anew: {' '.join(self.changed_signs)}" if self.changed_signs else ""
        return (
            f"{self.entries:,} new entries ({self.partial:,} end within a character) from "
            f"{self.words:,} distinct words in {self.megabytes:,.1f} MB, {self.seconds:,.1f} s "
            f"({self.megabytes / self.seconds:,.2f} MB/s){signs}"
        )


def _parts(section: dict[str, Any] | None) -> list[dict[str, Any]]:
    # A pre-tokenizer, or those of a sequence.
    if section is None:
        return []
    return section.get("pretokenizers", [section])


def byte_level_spec(tokenizer: PreTrainedTokenizerFast, name: str) -> dict[str, Any]:
    """Return what `tokenizer.json` holds of a byte-level BPE.

    Raises:
        RecipeError: any other kind of tokenizer.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    spec = json.loads(backend.to_str()) if backend is not None else {"model": {"type": "no BPE"}}
    model = spec["model"]
    byte_level = any(part["type"] == "ByteLevel" for part in _parts(spec.get("pre_tokenizer")))
    parts_of_words = model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
    if model["type"] != "BPE" or not byte_level or model.get("byte_fallback") or parts_of_words:
        kind = model["type"] if model["type"] != "BPE" else "a BPE over characters"
        raise RecipeError(
            f"tokenizer {name}: is no byte-level BPE ({kind}), so its merges cannot be continued; "
            "those of Llama 3, Qwen, GPT-NeoX and KORMo can"
        )
    # An added token keeps the id that `model.vocab` has for it, and is given the next free one if
    # it stands in `added_tokens` alone: after new entries that would be another.
    for token in spec["added_tokens"]:
        model["vocab"].setdefault(token["content"], token["id"])
    return spec


def _count_words(tokenizer: Tokenizer, texts: Iterable[str], scripts: ScriptBytes) -> Counter[str]:
    """Words (as byte symbols) that hold a character of the scripts, and how often each occurs."""
    added = sorted((t.content for t in tokenizer.get_added_tokens_decoder().values()), key=len)
    between = re.compile("|".join(map(re.escape, reversed(added)))) if added else None
    words: Counter[str] = Counter()
    for text in texts:
        if tokenizer.normalizer is not None:
            text = tokenizer.normalizer.normalize_str(text)
        for part in between.split(text) if between else (text,):
            words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(part))
    # Told of each distinct word, not of each word of the text.
    return Counter({w: n for w, n in words.items() if scripts.pattern.search(_decoded(w))})


def _as_bytes(symbols: str) -> bytes:
    return bytes(BYTES[symbol] for symbol in symbols)


def _decoded(symbols: str) -> str:
    return _as_bytes(symbols).decode("utf-8", "replace")


def _is_partial(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def expand_tokenizer(
    tokenizer: PreTrainedTokenizerFast,
    texts: Iterable[str],
    scripts: list[str],
    entries: int,
    name: str,
) -> tuple[PreTrainedTokenizerFast, Expansion]:
    """Continue a byte-level BPE on text of other scripts.

    Text without these scripts keeps its ids exactly; the exception are signs that Unicode gives to
    no script and whose bytes begin as the scripts' do (`changed_signs`, such as the Baht sign).

    Args:
        tokenizer: left as it is.
        texts: in the new language, one string a document; read once.
        scripts: names of Unicode's property `Script`; new entries begin in one of them.
        entries: new ones.
        name: of the tokenizer, for messages.

    Returns:
        the larger tokenizer, of the same class and with the same settings, and what was learned.

    Raises:
        RecipeError: no byte-level BPE, an unknown script, no text of it, or too little.
    """
    spec, beginnings = byte_level_spec(tokenizer, name), ScriptBytes(scripts)
    backend: Tokenizer = tokenizer.backend_tokenizer
    started, size = time.perf_counter(), 0

    def measured() -> Iterable[str]:
        nonlocal size
        for text in texts:
            size += len(text.encode())
            yield text

    counted = _count_words(backend, measured(), beginnings)
    if not counted:
        raise RecipeError(
            f"scripts: no text in {', '.join(scripts)} among {size / 1e6:,.1f} MB; name the script "
            "of the new language, and its sources in tokenizer.weights"
        )
    vocabulary: dict[str, int] = spec["model"]["vocab"]
    alphabet = set(pre_tokenizers.ByteLevel.alphabet())
    added = {token["content"] for token in spec["added_tokens"]}
    pieces = {
        index: _as_bytes(symbols)
        for symbols, index in vocabulary.items()
        if symbols not in added and set(symbols) <= alphabet
    }
    cut = ((_ids(backend, word), times) for word, times in counted.items())
    first = max(vocabulary.values()) + 1
    learned = continue_merges(cut, pieces, entries, first, beginnings.begins)
    found = sum(index >= first for index in pieces)
    if found < entries:
        raise RecipeError(
            f"the text supports only {found:,} new entries, {entries:,} were asked for: give more "
            "text in tokenizer.megabytes, or lower tokenizer.expand.entries"
        )
    larger = copy.deepcopy(tokenizer)
    larger._tokenizer = Tokenizer.from_str(json.dumps(_continued(spec, learned, pieces, first)))
    new = [data for index, data in pieces.items() if index >= first]
    expansion = Expansion(
        entries=len(new),
        merges=len(learned),
        partial=sum(map(_is_partial, new)),
        words=len(counted),
        megabytes=size / 1e6,
        seconds=time.perf_counter() - started,
        changed_signs=[
            sign
            for sign in beginnings.shared_signs
            # Alone, and as the beginning of a word.
            if _encode(backend, sign) != _encode(larger.backend_tokenizer, sign)
        ],
    )
    return larger, expansion


def _ids(tokenizer: Tokenizer, word: str) -> list[int]:
    return [token.id for token in tokenizer.model.tokenize(word)]


def _encode(tokenizer: Tokenizer, sign: str) -> list[int]:
    return tokenizer.encode(f"{sign} {sign}", add_special_tokens=False).ids


def _continued(
    spec: dict[str, Any], learned: list[Merge], pieces: dict[int, bytes], first: int
) -> dict[str, Any]:
    def symbols(index: int) -> str:
        return "".join(_SYMBOLS[value] for value in pieces[index])

    model = spec["model"]
    merges = [
        [symbols(first_id), symbols(second)] for first_id, second in (m.pair for m in learned)
    ]
    new = {symbols(merge.id): merge.id for merge in learned if merge.id >= first}
    return spec | {
        "model": model | {"vocab": model["vocab"] | new, "merges": [*model["merges"], *merges]}
    }
