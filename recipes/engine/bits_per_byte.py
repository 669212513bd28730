"""Held-out bits per byte, per language: a loss that tokenizers of any size can be compared by."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.load import token_byte_lengths
from data_recipes.tokens.shards import TokenSource, Window

from .windows_data import PackedCollator


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
    ) -> None:
        self.rows = rows
        self.byte_lengths = torch.tensor(token_byte_lengths(tokenizer))
        self.collator = PackedCollator(bos=tokenizer.bos_token_id, pairs="apart")
        self.windows: list[tuple[str, Window]] = []
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
            language = source.manifest.language
            self.windows += [(language, source.window(i, sequence_length)) for i in range(count)]

    @torch.no_grad()
    def __call__(
        self,
        model: nn.Module,
        device: torch.device,
        rank: int = 0,
        world_size: int = 1,
        reduce: Callable[[torch.Tensor], torch.Tensor] = lambda sums: sums,
    ) -> dict[str, float]:
        """Bits per byte by language code.

        Args:
            model: a `KORMoForCausalLM`, wrapped or not.
            device: where batches go.
            rank: this process; windows are dealt out in turn.
            world_size: number of processes.
            reduce: sums a float64 [languages, 2] tensor over processes.
        """
        training = model.training
        model.eval()
        byte_lengths = self.byte_lengths.to(device)
        languages = sorted({language for language, _ in self.windows})
        sums = torch.zeros(len(languages), 2, dtype=torch.float64, device=device)
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
            each = zip(numbers, chosen, nll.chunk(self.rows, 1), bytes_.chunk(self.rows, 1))
            for number, (language, _), window_nll, window_bytes in each:
                if number < len(self.windows):
                    row = languages.index(language)
                    sums[row, 0] += window_nll[window_bytes > 0].double().sum()
                    sums[row, 1] += window_bytes.sum()
        model.train(training)
        totals = zip(languages, reduce(sums).tolist())
        return {language: nats / math.log(2) / bytes_ for language, (nats, bytes_) in totals}
