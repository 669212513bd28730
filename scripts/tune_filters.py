"""Show what a filter profile does to your text, to choose its limits by.

    python scripts/tune_filters.py --profile ko_eojeol text.jsonl [more files]

Prints percentiles of every statistic, the share of documents that each limit alone keeps, and the
first reasons of all limits together.
"""

import argparse
import random
import sys
from collections import Counter

import numpy as np
import pyarrow as pa

from data_recipes.common.errors import RecipeError
from data_recipes.engine.documents import SCHEMA
from data_recipes.filter.profiles import Limit, Profile, load_profile
from data_recipes.filter.step import DocumentFilter
from data_recipes.read.files import read_texts

PERCENTILES = (0.1, 1, 5, 25, 50, 75, 95, 99, 99.9)
_BATCH = 2000


def batches_of(texts: list[str], language: str) -> list[pa.RecordBatch]:
    """Make batches as the chain passes them on."""
    return [
        pa.RecordBatch.from_pydict(
            {
                "id": [f"given:{i}" for i in range(start, start + len(part))],
                "text": part,
                "source": ["given"] * len(part),
                "language": [language] * len(part),
                "metadata": ["{}"] * len(part),
            },
            SCHEMA,
        )
        for start in range(0, len(texts), _BATCH)
        if (part := texts[start : start + _BATCH])
    ]


def statistics_of(own: DocumentFilter, texts: list[str]) -> dict[str, np.ndarray]:
    """Measure every statistic of every text, float64 [texts]."""
    parts = [
        own.measure(batch, batch.column("text").to_pylist(), np.arange(batch.num_rows))
        for batch in batches_of(texts, own.profile.language)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def reasons_of(own: DocumentFilter, texts: list[str]) -> list[str | None]:
    """Find why each text is rejected; `None` if it is kept."""
    batches = batches_of(texts, own.profile.language)
    return [reason for batch in batches for reason in own.apply(batch).reasons]


def within(values: np.ndarray, limit: Limit) -> np.ndarray:
    """Find which values a limit keeps, bool."""
    low = -np.inf if limit.min is None else limit.min
    high = np.inf if limit.max is None else limit.max
    return (values >= low) & (values <= high)


def percentile_table(found: dict[str, np.ndarray]) -> str:
    """Write one line per statistic."""
    lines = [f"{'percentile':<24}" + "".join(f"{p:>9g}" for p in PERCENTILES)]
    for name, values in found.items():
        numbers = np.percentile(values, PERCENTILES)
        lines.append(f"{name:<24}" + "".join(f"{n:>9.4g}" for n in numbers))
    return "\n".join(lines)


def keep_table(found: dict[str, np.ndarray], profile: Profile) -> str:
    """Write one line per limit: the share of texts that it alone keeps."""
    lines = [f"{'limit':<24}{'min':>9}{'max':>9}{'keeps':>9}"]
    for name, limit in profile.limits.items():
        edges = "".join(f"{'' if e is None else f'{e:g}':>9}" for e in (limit.min, limit.max))
        lines.append(f"{name:<24}{edges}{within(found[name], limit).mean():>9.2%}")
    return "\n".join(lines)


def reason_table(reasons: list[str | None]) -> str:
    """Count kept texts, and first reasons to reject the others."""
    counts = Counter(reason or "kept" for reason in reasons)
    return "\n".join(f"{r:<32}{n:>9,}{n / len(reasons):>9.2%}" for r, n in counts.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", help="text files as recipes take them")
    parser.add_argument("--profile", required=True, help="name of a shipped profile, or a file")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--documents", type=int, help="look at this many, drawn at random")
    parser.add_argument("--min-words", type=int, default=0, help="look at longer ones alone")
    args = parser.parse_args()
    own = DocumentFilter(load_profile(args.profile))
    texts = [text for path in args.files for text in read_texts(path, args.text_column)]
    if args.documents and args.documents < len(texts):
        texts = random.Random(0).sample(texts, args.documents)
    if texts:
        found = statistics_of(own, texts)
        long = np.flatnonzero(found["words"] >= args.min_words)
        texts = [texts[i] for i in long]
    if not texts:
        raise RecipeError(f"no text of at least {args.min_words} words in {', '.join(args.files)}")
    found = {name: values[long] for name, values in found.items()}
    print(f"{len(texts):,} documents\n\n{percentile_table(found)}")
    print(f"\n{keep_table(found, own.profile)}\n\n{reason_table(reasons_of(own, texts))}")


if __name__ == "__main__":
    try:
        main()
    except RecipeError as error:
        sys.exit(f"error: {error}")
