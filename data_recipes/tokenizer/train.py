"""Byte-level BPE with KORMo's layout of ids, at any vocabulary size.

Layout (research on the published tokenizer): BPE entries, then runs of 2 to 31 newlines, then the
eleven control tokens. The pre-tokenizer is Qwen2's expression with single digits. Unlike the
published tokenizer, all 256 byte symbols are in the alphabet, so every text can be encoded.
"""

import hashlib
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from ..common.errors import RecipeError
from ..engine.steps import StepFolder
from .shards import is_heldout

PRETOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
NEWLINE_RUNS = tuple("\n" * n for n in range(2, 32))
BOS, EOS, PAD, BOT, EOT = "<|BOS|>", "<|EOS|>", "<|PAD|>", "<|BOT|>", "<|EOT|>"
# Markup that text may legitimately carry (reasoning traces, tool calls) is added but not "special",
# so that decoding with skip_special_tokens keeps it, as in Qwen3's tokenizer.
MARKUP = (
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
ADDED_TOKENS = (*NEWLINE_RUNS, BOS, EOS, PAD, *MARKUP, BOT, EOT)
SPECIAL = frozenset((BOS, EOS, PAD, BOT, EOT))
MIN_BPE_ENTRIES = 257
_NEWLINES = re.compile(r"\n{2,}")


def _between_newline_runs(texts: Iterable[str]) -> Iterator[str]:
    # Runs of newlines are added tokens: BPE never sees them, so it must not spend merges on them.
    for text in texts:
        yield from (part for part in _NEWLINES.split(text) if part)


def train_tokenizer(texts: Iterable[str], bpe_entries: int) -> PreTrainedTokenizerFast:
    """Train a tokenizer of `bpe_entries + 41` tokens.

    `encode` prepends `<|BOS|>`; a pretraining document is `encode(text) + [<|EOS|>]`.

    Args:
        texts: training text, one string per document.
        bpe_entries: size of the BPE part (125,000 in KORMo), at least 257.

    Raises:
        RecipeError: `bpe_entries` too small, or more than the text supports.
    """
    # Late, because it imports torch, which most data steps do without.
    from modeling_kormo import CHAT_TEMPLATE

    if bpe_entries < MIN_BPE_ENTRIES:
        raise RecipeError(
            f"bpe_entries={bpe_entries}: at least {MIN_BPE_ENTRIES} (256 bytes and one merge)"
        )
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZER), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=bpe_entries,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_between_newline_runs(texts), trainer)
    learned = tokenizer.get_vocab_size()
    if learned != bpe_entries:
        raise RecipeError(
            f"the text supports only {learned:,} BPE entries, {bpe_entries:,} were asked for: "
            "give more text or lower bpe_entries"
        )
    for token in ADDED_TOKENS:
        # One call a token keeps the order; add_tokens ignores the `special` flag.
        add = tokenizer.add_special_tokens if token in SPECIAL else tokenizer.add_tokens
        add([AddedToken(token, special=token in SPECIAL, normalized=False)])
    tokenizer.post_processor = TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens=[BOT, EOT],
        chat_template=CHAT_TEMPLATE.read_text(encoding="utf-8"),
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


# Longer documents are drawn from in pieces, in characters: a few huge ones would be hit or miss.
_PIECE = 20_000
# Asked for beyond the budget, because a sample of documents comes out a little larger or smaller.
_MARGIN = 1.05


def _unit(text: str) -> float:
    # Another hash than the one that holds documents out: this sample must not lean on that one.
    digest = hashlib.blake2b(text.encode(), digest_size=8, person=b"tokenizer").digest()
    return struct.unpack("<Q", digest)[0] / 2**64


def _pieces(text: str) -> Iterator[str]:
    if len(text) <= _PIECE:
        yield text
        return
    lines, size = [], 0
    for line in text.splitlines(keepends=True):
        lines.append(line)
        size += len(line)
        if size >= _PIECE:
            yield "".join(lines)
            lines, size = [], 0
    if lines:
        yield "".join(lines)


def spread_texts(folder: StepFolder, budget: float, heldout_fraction: float) -> Iterator[str]:
    """Documents from all over a source, chosen by a hash of their text, up to `budget` bytes.

    Of long documents, pieces of some 20,000 characters are chosen.

    One pass, nothing held but a batch. A source of less text than that gives all it has.

    Args:
        folder: of the last cleaning step for this source.
        budget: UTF-8 bytes.
        heldout_fraction: share of documents that training must not see.
    """
    size = folder.tally().bytes_kept * (1 - heldout_fraction)
    share = _MARGIN * budget / max(size, 1)
    left = budget
    for text in folder.texts():
        if is_heldout(text, heldout_fraction):
            continue
        for piece in _pieces(text):
            if _unit(piece) < share:
                yield piece
                left -= len(piece.encode())
                if left <= 0:
                    return


def mixed_texts(
    folders: dict[str, StepFolder],
    weights: dict[str, float],
    megabytes: float,
    heldout_fraction: float,
    name: str,
    tell: Callable[[str, float, float], None],
) -> Iterator[str]:
    """Yield the text that a tokenizer is trained on, under a progress bar.

    Args:
        folders: by source, of the last cleaning step.
        weights: share of each source.
        megabytes: of all of them, in 1e6 UTF-8 bytes.
        heldout_fraction: share of documents that training must not see.
        name: of the bar.
        tell: told of each source what it was to give and what that lacks, in bytes.
    """
    budget, total = megabytes * 1e6, sum(weights.values())
    with tqdm(total=int(budget), unit="B", unit_scale=True, desc=name, file=sys.stderr) as bar:
        for source, weight in weights.items():
            wanted = left = budget * weight / total
            for text in spread_texts(folders[source], wanted, heldout_fraction):
                size = len(text.encode())
                left -= size
                bar.update(size)
                yield text
            tell(source, wanted, left)
