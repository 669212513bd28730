"""Everything that is measured of the samples, as one value that goes into JSON and the page."""

import sys
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from ..common.errors import RecipeError
from ..engine.documents import histogram
from .config import DiversityConfig, DiversityLimit
from .measures import distinct, near_duplicates, overlap_with_seeds, overlaps, self_bleu
from .sample import TOGETHER, TextSample, mixture_of

_TOP_OPENINGS = 10
_TOP_WORDS = 100
_LEVEL = 6  # zlib's default
_PERCENTILES = (10, 50, 90)

BitsPerByte = Callable[[list[str]], np.ndarray]


@dataclass(frozen=True)
class Measured:
    """What was measured of a sample.

    Attributes:
        sample: of which.
        values: by name of the measure; those that could not be taken are left out.
        openings: the commonest openings and their share of documents.
        lengths: words in a document: `mean`, and percentiles as `p10`.
        length_histogram: documents by words, on the scale `count`.
        types: different words.
        once: share of the different words that occur once.
        rank_shares: share of all words by rank: the first, the next two, the next four, ….
        bits_per_byte: under a model: `mean` and percentiles; empty without one.
        overlap: share of its n-grams that each other sample of the language has.
    """

    sample: TextSample
    values: dict[str, float]
    openings: list[tuple[str, float]]
    lengths: dict[str, float]
    length_histogram: list[int]
    types: int
    once: float
    rank_shares: list[float]
    bits_per_byte: dict[str, float]
    overlap: dict[str, float]

    @property
    def mixture(self) -> bool:
        """Whether it is of all synthesizers of a language together."""
        return self.sample.name == TOGETHER

    def record(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        facts = {
            "synthesizer": self.sample.name,
            "language": self.sample.language,
            "sources": list(self.sample.sources),
            "documents": len(self.sample.documents),
            "bytes": self.sample.size,
            "bytes_read": self.sample.total,
        }
        return facts | {k: v for k, v in vars(self).items() if k != "sample"}


@dataclass(frozen=True)
class Breach:
    """A value beyond its limit."""

    measured: Measured
    measure: str
    value: float
    limit: DiversityLimit

    def __str__(self) -> str:
        bounds = [
            f"at {name} {v:g}" for name, v in self.limit.model_dump().items() if v is not None
        ]
        return (
            f"{self.measured.sample.label}: {self.measure} is {self.value:.4g}, "
            f"must be {' and '.join(bounds)}"
        )


def _spread(texts: int, wanted: int) -> np.ndarray:
    """Numbers of `wanted` texts, evenly over all: a mixture holds its parts one after another."""
    return np.linspace(0, texts - 1, min(texts, wanted)).astype(np.int64)


def _openings(sample: TextSample, size: int, documents: int) -> tuple[dict[str, float], list]:
    words = sample.words
    starts = np.cumsum([0, *(document.size for document in sample.documents)])
    found: Counter[tuple[int, ...]] = Counter()
    shown: dict[tuple[int, ...], str] = {}
    for number in _spread(len(sample.documents), documents):
        first = words.bounds[number]
        end = min(words.bounds[number + 1], first + size)
        key = tuple(words.hashes[first:end].tolist())
        found[key] += 1
        if key and key not in shown:
            text = sample.documents[number].text.encode()
            own = text[words.starts[first] - starts[number] : words.ends[end - 1] - starts[number]]
            shown[key] = " ".join(own.decode().split())
    shares = np.array(list(found.values())) / found.total()
    most = np.log(found.total())
    values = {
        "top_openings": float(np.sort(shares)[::-1][:_TOP_OPENINGS].sum()),
        # One document alone begins in its own way.
        "opening_entropy": float(-(shares * np.log(shares)).sum() / most) if most else 1.0,
    }
    common = [(shown.get(k, ""), n / found.total()) for k, n in found.most_common(_TOP_OPENINGS)]
    return values, common


def _rank_shares(counts: np.ndarray) -> list[float]:
    """Share of all words by rank, in bands that double."""
    edges = [2**i - 1 for i in range(int(np.log2(len(counts))) + 1)]
    return (np.add.reduceat(counts, edges) / counts.sum()).tolist()


def _self_bleu(sample: TextSample, config: DiversityConfig) -> float | None:
    words = sample.words
    numbers = _spread(len(sample.documents), config.self_bleu_documents)
    texts = [words.hashes[words.bounds[n] : words.bounds[n + 1]] for n in numbers]
    texts = [text[: config.self_bleu_words].tolist() for text in texts if len(text)]
    return float(np.mean(self_bleu(texts))) if len(texts) > 1 else None


def _summary(values: np.ndarray) -> dict[str, float]:
    percentiles = np.percentile(values, _PERCENTILES).tolist()
    return {"mean": float(values.mean())} | {f"p{p}": v for p, v in zip(_PERCENTILES, percentiles)}


def measure(
    sample: TextSample, config: DiversityConfig, openings: int, bits_per_byte: BitsPerByte | None
) -> Measured:
    """Measure a sample.

    Args:
        sample: text.
        config: sizes.
        openings: documents whose openings are counted, equally many of every sample.
        bits_per_byte: that of texts under a model, float64 [texts]; `None` without one.

    Raises:
        RecipeError: text without a single word.
    """
    words = sample.words
    if not len(words.hashes):
        raise RecipeError(f"{sample.label}: its text has no words; is it text?")
    lengths = np.diff(words.bounds)
    counts = np.sort(np.unique(words.hashes, return_counts=True)[1])[::-1]
    data = b"".join(document.text.encode() for document in sample.documents)
    opening_values, common = _openings(sample, config.opening_words, openings)
    values: dict[str, float | None] = {
        **{f"distinct_{n}": distinct(words, n) for n in (1, 2, 3, 4)},
        "compression_ratio": len(data) / len(zlib.compress(data, _LEVEL)),
        "self_bleu": _self_bleu(sample, config),
        **opening_values,
        "length_spread": float(lengths.std() / lengths.mean()),
        "top_words": float(counts[:_TOP_WORDS].sum() / counts.sum()),
        "near_duplicates": near_duplicates(words),
        "overlap_seed": overlap_with_seeds(sample, config.overlap_words),
    }
    bits = np.zeros(0)
    if bits_per_byte is not None:
        numbers = _spread(len(sample.documents), config.model_documents)
        bits = bits_per_byte([sample.documents[n].text for n in numbers])
        values["surprise_spread"] = float(bits.std())
    return Measured(
        sample=sample,
        values={name: v for name, v in values.items() if v is not None},
        openings=common,
        lengths=_summary(lengths),
        length_histogram=histogram("count", lengths),
        types=len(counts),
        once=float((counts == 1).mean()),
        rank_shares=_rank_shares(counts),
        bits_per_byte=_summary(bits) if len(bits) else {},
        overlap={},
    )


def measure_all(
    samples: list[TextSample], config: DiversityConfig, bits_per_byte: BitsPerByte | None
) -> list[Measured]:
    """Measure every sample, and the synthetic text of each language together.

    Args:
        samples: of equal size within a language.
        config: sizes.
        bits_per_byte: as `measure` takes it.
    """
    results: list[Measured] = []
    with tqdm(total=len(samples), desc="measure", unit="sample", file=sys.stderr) as bar:
        for language in dict.fromkeys(sample.language for sample in samples):
            group = [sample for sample in samples if sample.language == language]
            written = [sample for sample in group if sample.written]
            together = [mixture_of(written)] if len(written) > 1 else []
            bar.total += len(together)
            fewest = min(len(sample.documents) for sample in (*group, *together))
            shared = overlaps(group, config.overlap_words)
            for sample in (*group, *together):
                found = measure(sample, config, fewest, bits_per_byte)
                found.overlap.update(shared.get(sample.name, {}))
                others = [found.overlap[o.name] for o in written if o.name in found.overlap]
                if sample.written and others:
                    found.values["overlap_others"] = max(others)
                results.append(found)
                bar.update()
    return results


_WANTED = {
    "surprise_spread": "name a language model with --model, or drop the limit",
    "overlap_seed": "name the column of seeds with --seed-column, or drop the limit",
    "overlap_others": "it takes two synthesizers of a language; drop the limit",
}


def breaches(results: list[Measured], limits: dict[str, DiversityLimit]) -> list[Breach]:
    """Find the values of synthetic text that lie beyond a limit.

    Raises:
        RecipeError: a limit on what was measured of nothing, which would hold whatever the text.
    """
    written = [result for result in results if result.sample.written]
    for name in limits:
        if not any(name in result.values for result in written):
            remedy = _WANTED.get(name, "give text with a synthesizer, or drop the limit")
            raise RecipeError(f"limits.{name}: no synthetic text was measured by it; {remedy}")
    return [
        Breach(result, name, result.values[name], limit)
        for result in written
        for name, limit in limits.items()
        if name in result.values and limit.broken_by(result.values[name])
    ]
