"""A mixture: which source each training window comes from, and the checks on such a table."""

import hashlib
import math
import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

from ..common.errors import RecipeError
from .best_fit import BestFitSource
from .shards import TokenSource, Window, permute, unpermute

# Windows in one cycle. Each cycle holds every source in exact proportion, so shares hold over any
# stretch of training, and a source's place in it is found without knowing what came before.
CYCLE = 10_000
# Beyond four epochs repeated tokens lose value (Muennighoff et al. 2023, arXiv 2305.16264).
MAX_USEFUL_EPOCHS = 4
_LENGTHS_AT_ONCE = 1_000_000

Packing = Literal["concat", "best_fit"]


@dataclass(frozen=True)
class MixtureRow:
    """One source of a mixture, as planned."""

    name: str
    share: float
    language: str
    licence: str
    synthesizer: str | None
    windows: int
    epochs: float


def cycle_counts(weights: dict[str, float]) -> dict[str, int]:
    """Windows per source in one cycle, by largest remainder.

    Raises:
        RecipeError: no weights, a weight that is not positive or too small to appear in a cycle.
    """
    if not weights:
        raise RecipeError("data.mixture is empty: name at least one source and its weight")
    for name, weight in weights.items():
        if not 0 < weight < math.inf:
            raise RecipeError(f"data.mixture.{name}: weight {weight} must be a positive number")
    total = sum(weights.values())
    exact = {name: CYCLE * weight / total for name, weight in weights.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda n: (counts[n] - exact[n], n))
    for name in by_remainder[: CYCLE - sum(counts.values())]:
        counts[name] += 1
    for name, count in counts.items():
        if count == 0:
            raise RecipeError(
                f"data.mixture.{name}: a share of {weights[name] / total:.2e} is below 1/{CYCLE}; "
                "raise it or drop the source"
            )
    return counts


class Mixture:
    """Training windows drawn from several sources.

    Args:
        shards_dir: `<shards>`, with one folder per source.
        weights: share of tokens per source, padding included; normalised to 1.
        sequence_length: tokens per window.
        seed: order of windows and of sources.
        packing: `concat` cuts the stream of documents into windows; `best_fit` keeps documents
            whole where they fit, and pads.
        pad_token_id: the tokenizer's; only `best_fit` needs it.

    Raises:
        RecipeError: missing sources, different tokenizers, a source shorter than one window,
            best-fit packing without a plan for the data or without a token to pad with.
    """

    def __init__(
        self,
        shards_dir: Path,
        weights: dict[str, float],
        sequence_length: int,
        seed: int,
        packing: Packing = "concat",
        pad_token_id: int | None = None,
    ) -> None:
        if packing == "best_fit" and pad_token_id is None:
            raise RecipeError(
                "data.packing best_fit: the tokenizer has no PAD token; give it one, or use concat"
            )
        self.sequence_length = sequence_length
        self.seed = seed
        self.packing = packing
        self.pad_token_id = pad_token_id
        self.counts = cycle_counts(weights)
        self.sources = {name: self._open(shards_dir / name / "train") for name in weights}
        tokenizers = {s.manifest.tokenizer_sha256 for s in self.sources.values()}
        if len(tokenizers) > 1:
            raise RecipeError(f"{shards_dir}: the sources were made with different tokenizers")
        self.tokenizer_sha256 = tokenizers.pop()
        for name, source in self.sources.items():
            if source.windows(sequence_length) == 0:
                raise RecipeError(
                    f"source {name!r}: {source.manifest.tokens:,} tokens are less than one window "
                    f"of {sequence_length:,}"
                )
        self._cycle = lru_cache(maxsize=2)(self._build_cycle)

    def _open(self, directory: Path) -> TokenSource:
        if self.packing == "concat":
            return TokenSource(directory)
        return BestFitSource(directory, self.sequence_length, self.pad_token_id)

    @property
    def fingerprint(self) -> str:
        """Changes whenever any training window could change."""
        parts = [f"{self.sequence_length}/{self.seed}/{CYCLE}"]
        if self.packing == "best_fit":
            parts.append(f"best_fit/{self.pad_token_id}")
            parts += [s.record.model_dump_json() for s in self.sources.values()]
        parts += [f"{n}={c}:{self.sources[n].manifest.fingerprint}" for n, c in self.counts.items()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def _build_cycle(self, cycle: int) -> list[tuple[str, int]]:
        rng = random.Random(f"{self.seed}/cycle/{cycle}")
        slots = [
            ((k + rng.random()) / count, name, k)
            for name, count in self.counts.items()
            for k in range(count)
        ]
        return [(name, k) for _, name, k in sorted(slots)]

    def locate(self, index: int) -> tuple[str, int, int]:
        """Source name, epoch and window number of training window `index`."""
        cycle, slot = divmod(index, CYCLE)
        name, k = self._cycle(cycle)[slot]
        size = self.sources[name].windows(self.sequence_length)
        epoch, position = divmod(cycle * self.counts[name] + k, size)
        return name, epoch, permute(position, size, f"{self.seed}/{name}/{epoch}")

    def window(self, index: int) -> Window:
        """Training window `index`, counted over the whole run."""
        name, epoch, number = self.locate(index)
        return self.sources[name].window(number, self.sequence_length, epoch)

    def visits(self, name: str, start: int, length: int, windows: int) -> list[tuple[int, int]]:
        """Which training windows show a part of a stretch of a source: `locate`, backwards.

        Args:
            name: of the source.
            start: where the stretch begins in the source's stream of tokens.
            length: of it in tokens, at least 1.
            windows: in the run.

        Returns:
            Index of each window in the run, ascending, and its epoch of the source.
        """
        source, count = self.sources[name], self.counts[name]
        size = source.windows(self.sequence_length)
        drawn = -(-windows // CYCLE) * count
        found = []
        for epoch, number in source.windows_showing(
            start, length, self.sequence_length, -(-drawn // size)
        ):
            position = epoch * size + unpermute(number, size, f"{self.seed}/{name}/{epoch}")
            cycle, k = divmod(position, count)
            if cycle * CYCLE < windows:
                index = cycle * CYCLE + self._cycle(cycle).index((name, k))
                if index < windows:
                    found.append((index, epoch))
        return sorted(found)

    def describe(self, index: int) -> str:
        """Where window `index` comes from: source, window and documents, for error reports."""
        name, epoch, number = self.locate(index)
        source = self.sources[name]
        documents = source.documents_in(source.window(number, self.sequence_length, epoch))
        return f"{name}: window {number}, epoch {epoch}, documents {_listed(documents)}"

    def short_share(self, limit: int) -> float:
        """Share of tokens that lie in documents of at most `limit` tokens."""
        share = 0.0
        for name, count in self.counts.items():
            source = self.sources[name]
            blocks = source.document_blocks(_LENGTHS_AT_ONCE)
            short = sum(int(lengths[lengths <= limit].sum()) for _, lengths in blocks)
            share += count / CYCLE * short / source.manifest.tokens
        return share

    def plan(self, total_windows: int) -> list[MixtureRow]:
        """What a run of `total_windows` takes from each source."""
        rows = []
        for name, count in self.counts.items():
            source = self.sources[name]
            drawn = round(total_windows * count / CYCLE)
            rows.append(
                MixtureRow(
                    name=name,
                    share=count / CYCLE,
                    language=source.manifest.language,
                    licence=source.manifest.licence,
                    synthesizer=source.manifest.synthesizer,
                    windows=drawn,
                    epochs=drawn / source.windows(self.sequence_length),
                )
            )
        return rows


def _listed(documents: list[int]) -> str:
    if len(documents) > 1 and documents == list(range(documents[0], documents[-1] + 1)):
        return f"{documents[0]} to {documents[-1]}"
    return ", ".join(map(str, documents))


class Written(Protocol):
    """What a row must say for its mixture to be checked."""

    @property
    def language(self) -> str: ...

    @property
    def synthesizer(self) -> str | None: ...


def check_synthesizers(
    rows: Iterable[Written],
    language: str = "ko",
    force: str = "set data.allow_single_synthesizer=true",
) -> None:
    """Refuse a mixture whose synthetic text in `language` has one synthesizer.

    KORMo's stage 2 collapsed, beyond recovery, when its Korean came from one (paper section 4.3).

    Args:
        rows: sources of the mixture.
        language: which text is looked at.
        force: how the caller's user can insist.

    Raises:
        RecipeError: exactly one synthesizer.
    """
    names = {r.synthesizer for r in rows if r.language == language and r.synthesizer}
    if len(names) == 1:
        raise RecipeError(
            f"data.mixture: all synthetic {language!r} text comes from {names.pop()!r}; a stage-2 "
            "run on a single synthesizer collapsed (KORMo section 4.3). Add a source from another "
            f"one, or {force}"
        )


def format_plan(rows: list[MixtureRow], sequence_length: int) -> str:
    """The mixture as a table, with a warning for sources that are repeated too often."""
    width = max(6, *(len(r.name) for r in rows)) + 2
    lines = [
        f"{'source':<{width}}{'language':<10}{'share':>8}{'tokens':>18}{'epochs':>8}  synthesizer"
    ]
    for r in rows:
        tokens = r.windows * sequence_length
        lines.append(
            f"{r.name:<{width}}{r.language:<10}{r.share:>8.2%}{tokens:>18,}{r.epochs:>8.2f}  "
            f"{r.synthesizer or '-'}"
        )
    for r in rows:
        if r.epochs > MAX_USEFUL_EPOCHS:
            lines.append(
                f"warning: {r.name} is seen {r.epochs:.1f} times; beyond {MAX_USEFUL_EPOCHS} "
                "epochs repeated text adds little"
            )
    return "\n".join(lines)
