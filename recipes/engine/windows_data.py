"""Windows as a PyTorch data set, the batch of every attention backend, held-out bits per byte.

Bits per byte are measured per language: a loss that tokenizers of any size can be compared by.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset, Sampler
from transformers import PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.load import token_byte_lengths
from data_recipes.tokens.mixture import Mixture
from data_recipes.tokens.shards import TokenSource, Window
from modeling_kormo.loss_kormo import IGNORE_INDEX

from ..config import Pairs, StageConfig

# Tokens and windows that a mean is taken over, at most (our choice).
_LOOKED_AT, _WINDOWS = 2**22, 1024


class WindowDataset(Dataset):
    """The windows of a whole run, in training order.

    Args:
        mixture: where window `i` comes from.
        windows: windows in the run.
    """

    def __init__(self, mixture: Mixture, windows: int) -> None:
        self.mixture = mixture
        self.windows = windows

    def __len__(self) -> int:
        return self.windows

    def __getitem__(self, index: int) -> Window:
        return self.mixture.window(index)


def attended_length(mixture: Mixture, document_masking: bool) -> float:
    """Mean number of tokens that a token attends to, itself included.

    Args:
        mixture: of which the beginning is looked at.
        document_masking: documents do not see each other.
    """
    windows = max(1, min(_WINDOWS, _LOOKED_AT // mixture.sequence_length))
    pairs = 0
    for index in range(windows):
        window = mixture.window(index)
        ends = window.document_ends if document_masking else np.array([len(window.tokens)])
        lengths = np.diff(ends, prepend=0).astype(np.int64)
        pairs += int((lengths * (lengths + 1) // 2).sum())
    return pairs / (windows * mixture.sequence_length)


class FromStep(Sampler[int]):
    """Indices in order, from where a resumed run goes on: nothing is read and thrown away.

    Its length stays that of the whole run, because the trainer counts epochs by it.
    """

    def __init__(self, windows: int, start: int) -> None:
        self.windows = windows
        self.start = start

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.start, self.windows))

    def __len__(self) -> int:
        return self.windows


def document_bounds(bounds: np.ndarray) -> torch.Tensor:
    """Return int32 boundaries of documents, the last repeated up to a power of two.

    Compiled attention then meets few shapes.

    Args:
        bounds: [documents + 1], from 0.
    """
    padded = np.full(1 << (len(bounds) - 1).bit_length(), bounds[-1], dtype=np.int32)
    padded[: len(bounds)] = bounds
    return torch.from_numpy(padded)


@dataclass(frozen=True)
class PackedCollator:
    """Flattens windows to one row of documents.

    Attributes:
        document_masking: documents do not see each other; if off, only windows are kept apart.
        unscored: ids that carry no loss.
        bos: id that begins a document, also inside a segment of two; no text can forge it.
        pairs: where segments have two documents, whether those see each other (`together`) or not
            (`apart`); `None` where each has one. The second one's BOS is never scored.
        documents: number the documents, for views of multi-token prediction.
    """

    document_masking: bool = True
    unscored: tuple[int, ...] = ()
    bos: int | None = None
    pairs: Pairs | None = None
    documents: bool = False

    def _ends(self, window: Window) -> np.ndarray:
        """Ends of what attention keeps apart."""
        if not self.document_masking:
            return np.array([len(window.tokens)])
        if self.pairs != "apart":
            return window.document_ends
        inner = np.flatnonzero(window.tokens == self.bos)
        return np.union1d(window.document_ends, inner[inner > 0])

    def __call__(self, windows: list[Window]) -> dict[str, torch.Tensor | int]:
        """Batch of `rows` windows as one row.

        Returns:
            `input_ids`, `labels`, `position_ids` and, if asked for, `documents`: int64
            [1, rows * sequence_length]; labels are not shifted and are -100 at the first token of
            what attention keeps apart, on `unscored` ids and on padding, which attention sees as a
            document of its own. `cu_seq_lens_q/k`: as `document_bounds`. `max_length_q/k`: the
            sequence length, an upper bound.
        """
        length = len(windows[0].tokens)
        ends = [self._ends(window) + row * length for row, window in enumerate(windows)]
        bounds = np.concatenate([[0], *ends])
        starts = np.repeat(bounds[:-1], np.diff(bounds))
        tokens = torch.from_numpy(np.concatenate([w.tokens for w in windows])).unsqueeze(0)
        positions = torch.from_numpy(np.arange(len(starts)) - starts).unsqueeze(0)
        unlabelled = positions == 0
        for row, window in enumerate(windows, start=1):
            unlabelled[:, row * length - window.padding : row * length] = True
        unscored = self.unscored if self.pairs is None else (*self.unscored, self.bos)
        for token in unscored:
            unlabelled |= tokens == token
        cu_seq_lens = document_bounds(bounds)
        numbered = {}
        if self.documents:
            begins = tokens[0] == self.bos
            for row, window in enumerate(windows):
                begins[row * length] = True
                begins[window.document_ends[:-1] + row * length] = True
            numbered["documents"] = begins.cumsum(0).unsqueeze(0)
        return {
            **numbered,
            "input_ids": tokens,
            "labels": tokens.masked_fill(unlabelled, IGNORE_INDEX),
            "position_ids": positions,
            "cu_seq_lens_q": cu_seq_lens,
            "cu_seq_lens_k": cu_seq_lens,
            "max_length_q": length,
            "max_length_k": length,
        }


def token_ids(tokenizer: PreTrainedTokenizerBase, tokens: tuple[str, ...]) -> tuple[int, ...]:
    """Return the ids of control tokens.

    Raises:
        RecipeError: one of them is not a token of its own.
    """
    ids = tuple(tokenizer.get_added_vocab().get(token) for token in tokens)
    if None in ids:
        raise RecipeError(
            f"tokenizer {tokenizer.name_or_path}: {' and '.join(tokens)} must be added tokens of "
            "their own; train one with `python -m data_recipes prepare`, or add them and resize "
            "the embedding"
        )
    return ids


def build_collator(
    config: StageConfig, unscored: tuple[str, ...], tokenizer: PreTrainedTokenizerBase
) -> PackedCollator:
    """Make what turns windows into batches as a stage scores and masks them.

    Args:
        config: of the stage.
        unscored: tokens that its rules leave out of the loss.
        tokenizer: of the stage.
    """
    return PackedCollator(
        config.data.document_masking,
        token_ids(tokenizer, unscored),
        bos=tokenizer.bos_token_id,
        pairs=config.data.pairs,
        documents=config.model.views is not None,
    )


class BitsPerByte:
    """Measures a model on the held-out split of some sources.

    Bits per byte are the summed cross-entropy of the scored tokens in bits over the UTF-8 bytes
    that those tokens stand for. Control tokens stand for no bytes and are not scored, nor is the
    first token of a document or window, which nothing predicts.

    Documents do not see each other here, however a model was trained: two models are compared by
    one ruler. The same model reads 0.04 bits per byte more or less under the other mask, several
    times what the masks themselves change in training.

    Args:
        shards_dir: `<shards>`, with `<source>/heldout` in it.
        names: sources to measure on.
        sequence_length: tokens per window.
        max_tokens: tokens per source, at most; `None` takes all whole windows.
        tokenizer: for the byte length of each token.
        rows: windows per forward pass. One, unless the model is compiled: then those of a training
            pass, because a second shape would have the compiler give up constant shapes in
            training, too.
        edges: places in a document, ascending, that part those which are measured apart, too.

    Raises:
        RecipeError: a held-out split shorter than one window.
    """

    def __init__(
        self,
        shards_dir: Path,
        names: Sequence[str],
        sequence_length: int,
        max_tokens: int | None,
        tokenizer: PreTrainedTokenizerBase,
        rows: int = 1,
        edges: Sequence[int] = (),
    ) -> None:
        self.rows = rows
        self.edges = torch.tensor(edges, dtype=torch.int64)
        ends = (*edges, sequence_length)
        self.stretches = [f"{begin}-{end - 1}" for begin, end in zip((0, *edges), ends)]
        self.byte_lengths = torch.tensor(token_byte_lengths(tokenizer))
        self.collator = PackedCollator(bos=tokenizer.bos_token_id, pairs="apart")
        self.windows: list[tuple[str, Window]] = []
        self.languages: dict[str, str] = {}  # of the sources
        for name in names:
            source = TokenSource(shards_dir / name / "heldout")
            count = source.windows(sequence_length)
            if max_tokens is not None:
                count = min(count, max(1, max_tokens // sequence_length))
            if count == 0:
                raise RecipeError(
                    f"{source.directory}: {source.manifest.tokens:,} held-out tokens are less than "
                    f"one window of {sequence_length:,}: raise shards.heldout_fraction in the data "
                    "recipe"
                )
            self.languages[name] = source.manifest.language
            self.windows += [(name, source.window(i, sequence_length)) for i in range(count)]

    @torch.no_grad()
    def __call__(
        self,
        model: nn.Module,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        reduce: Callable[[torch.Tensor], torch.Tensor] = lambda sums: sums,
    ) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        """Return bits per byte by language code, by source, and by language and place.

        The last is empty without `edges`, and has no places that no token stands at. Its names are
        `ko 256-511`: of tokens that so many of their own document stand before in the window.

        Args:
            model: a `KORMoForCausalLM`, wrapped or not.
            device: where batches go.
            rank: this process; windows are dealt out in turn.
            world_size: number of processes.
            reduce: sums a float64 [sources, stretches, 2] tensor over processes.
        """
        training = model.training
        model.eval()
        byte_lengths, edges = self.byte_lengths.to(device), self.edges.to(device)
        names, count = list(self.languages), len(self.stretches)
        sums = torch.zeros(len(names), count, 2, dtype=torch.float64, device=device)
        # Sharded models talk in every forward, so all ranks run equally many, and all passes have
        # one shape: where windows run out, the last is repeated and not counted.
        for first in range(0, len(self.windows), world_size * self.rows):
            numbers = range(first + rank * self.rows, first + (rank + 1) * self.rows)
            chosen = [self.windows[min(n, len(self.windows) - 1)] for n in numbers]
            batch = {
                k: v.to(device) if isinstance(v, torch.Tensor) else v
                for k, v in self.collator([window for _, window in chosen]).items()
            }
            nll = model(**batch, sum_loss=True, use_cache=False).token_nll
            bytes_ = byte_lengths[batch["input_ids"]] * (batch["labels"] >= 0)
            stretch = torch.bucketize(batch["position_ids"], edges, right=True)
            each = (part.chunk(self.rows, 1) for part in (nll, bytes_, stretch))
            for number, (name, _), *own in zip(numbers, chosen, *each):
                if number < len(self.windows):
                    row = sums[names.index(name)]
                    for n in range(count):
                        window_nll, window_bytes = (part[own[2] == n] for part in own[:2])
                        row[n, 0] += window_nll[window_bytes > 0].double().sum()
                        row[n, 1] += window_bytes.sum()
        model.train(training)
        totals = dict(zip(names, reduce(sums).tolist()))

        def bits(pairs: list[list[float]]) -> float:
            nats, size = (sum(part) for part in zip(*pairs))
            return nats / math.log(2) / size

        languages: dict[str, list[str]] = {code: [] for code in sorted(self.languages.values())}
        for name, code in self.languages.items():
            languages[code].append(name)
        by_language = {
            code: bits([pair for name in sources for pair in totals[name]])
            for code, sources in languages.items()
        }
        by_place = {}
        for code, sources in languages.items():
            for n, stretch in enumerate(self.stretches if count > 1 else []):
                pairs = [totals[name][n] for name in sources]
                if any(size for _, size in pairs):
                    by_place[f"{code} {stretch}"] = bits(pairs)
        return by_language, {name: bits(totals[name]) for name in names}, by_place
