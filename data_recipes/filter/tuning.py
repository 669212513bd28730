"""What a profile does to given texts: percentiles, keep rates, and what it catches of damage."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..engine.documents import SCHEMA
from .damage import damaged
from .judge import Judge
from .profiles import Limit, Profile

PERCENTILES = (0.1, 1, 5, 25, 50, 75, 95, 99, 99.9)
_BATCH = 2000


def batches_of(texts: list[str], language: str) -> list[pa.RecordBatch]:
    """Texts as the chain passes them on."""
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


def statistics_of(judge: Judge, texts: list[str]) -> dict[str, np.ndarray]:
    """Every statistic of every text, float64 [texts]."""
    parts = [
        judge.measure(batch, batch.column("text").to_pylist(), np.arange(batch.num_rows))
        for batch in batches_of(texts, judge.profile.language)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def reasons_of(judge: Judge, texts: list[str]) -> list[str | None]:
    """Why each text is rejected; `None` if it is kept."""
    return [
        reason
        for batch in batches_of(texts, judge.profile.language)
        for reason in judge.judge(batch).verdicts.reasons
    ]


def within(values: np.ndarray, limit: Limit) -> np.ndarray:
    """Which values a limit keeps, bool."""
    low = -np.inf if limit.min is None else limit.min
    high = np.inf if limit.max is None else limit.max
    return (values >= low) & (values <= high)


def percentile_table(found: dict[str, np.ndarray]) -> str:
    """One line per statistic."""
    lines = [f"{'percentile':<24}" + "".join(f"{p:>9g}" for p in PERCENTILES)]
    for name, values in found.items():
        numbers = np.percentile(values, PERCENTILES)
        lines.append(f"{name:<24}" + "".join(f"{n:>9.4g}" for n in numbers))
    return "\n".join(lines)


def keep_table(found: dict[str, np.ndarray], profile: Profile) -> str:
    """One line per limit: the share of texts that it alone keeps."""
    lines = [f"{'limit':<24}{'min':>9}{'max':>9}{'keeps':>9}"]
    for name, limit in profile.limits.items():
        edges = "".join(f"{'' if e is None else f'{e:g}':>9}" for e in (limit.min, limit.max))
        lines.append(f"{name:<24}{edges}{within(found[name], limit).mean():>9.2%}")
    return "\n".join(lines)


def reason_table(reasons: list[str | None]) -> str:
    """Kept texts, and first reasons to reject the others."""
    counts = Counter(reason or "kept" for reason in reasons)
    return "\n".join(f"{r:<32}{n:>9,}{n / len(reasons):>9.2%}" for r, n in counts.most_common())


def agreement_table(one: list[str | None], other: list[str | None]) -> str:
    """How often two profiles keep or reject the same texts, and why each alone rejects."""
    pairs = Counter((a is None, b is None) for a, b in zip(one, other))
    total = len(one)
    lines = [
        f"both keep {pairs[True, True] / total:.2%}, "
        f"both reject {pairs[False, False] / total:.2%}, "
        f"only the first keeps {pairs[True, False] / total:.2%}, "
        f"only the second keeps {pairs[False, True] / total:.2%}"
    ]
    for who, rejecting, keeping in (("first", one, other), ("second", other, one)):
        own = Counter(a for a, b in zip(rejecting, keeping) if a is not None and b is None)
        lines.append(
            f"the {who} alone rejects: " + ", ".join(f"{r} {n}" for r, n in own.most_common(5))
        )
    return "\n".join(lines)


@dataclass
class Caught:
    """What became of texts after one kind of damage.

    Attributes:
        texts: texts that the profile keeps when whole, and that the damage changes.
        rejected: of those, the damaged ones that it rejects.
        reasons: how often each reason was the first.
    """

    texts: int
    rejected: int
    reasons: Counter[str]


def catch_rates(judge: Judge, texts: list[str]) -> dict[str, Caught]:
    """Damage texts that are kept when whole, and judge them again."""
    whole = [t for t, reason in zip(texts, reasons_of(judge, texts)) if reason is None]
    caught = {}
    for name, texts in damaged(whole, judge.profile.language).items():
        broken = [after for before, after in zip(whole, texts) if after != before]
        reasons = Counter(reason for reason in reasons_of(judge, broken) if reason is not None)
        caught[name] = Caught(len(broken), reasons.total(), reasons)
    return caught


def catch_table(caught: dict[str, Caught]) -> str:
    """One line per kind of damage: the share that is rejected, and by what."""
    return "\n".join(
        f"{name:<24}{own.rejected / max(1, own.texts):>9.2%}   "
        + ", ".join(f"{r} {n / max(1, own.texts):.0%}" for r, n in own.reasons.most_common(3))
        for name, own in caught.items()
    )
