"""What the report shows of a run, gathered from its folders; memory holds samples and sums only."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import RecipeError
from ..common.run_dir import SETTINGS
from ..engine.steps import Tally
from ..prepare.chain import steps_of
from ..prepare.config import DataConfig
from ..quality.classifier import REPORT
from ..tokens.manifest import Manifest, read_manifest
from .records import finished_steps
from .report_examples import Examples, draw_examples
from .report_figures import draw_lengths, draw_outcomes
from .report_funnel import Funnel, Row, read_json

_LENGTH = "length"
_QUALITY = "quality_"


@dataclass(frozen=True)
class Settings:
    """A file of settings, as it lies there.

    Attributes:
        text: its contents.
        sha256: of its bytes.
    """

    text: str
    sha256: str

    @staticmethod
    def read(path: Path) -> "Settings":
        data = path.read_bytes()
        return Settings(data.decode(), hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class Step:
    """What one step did.

    Attributes:
        name: of the step.
        rows: the funnel by source.
        languages: the funnel by language.
        total: sum over all sources.
        figures: histograms as SVG, by language.
        counts: what else was counted, by name and language.
        examples: documents and paragraphs.
        settings: what it was made with.
        filters: Bloom filters of deduplication: their size, fill and rate.
        tasks: evaluation tasks of decontamination, as its report has them.
        classifiers: reports on the quality classifiers, by language.
    """

    name: str
    rows: list[Row]
    languages: list[Row]
    total: Tally
    figures: dict[str, list[str]]
    counts: dict[str, dict[str, float]]
    examples: Examples
    settings: Settings
    filters: list[dict[str, Any]]
    tasks: dict[str, dict[str, Any]]
    classifiers: dict[str, dict[str, Any]]

    @property
    def reasons(self) -> list[tuple[str, dict[str, dict[str, int]]]]:
        """Documents and bytes by reason and language, "all" for their sum; most frequent first."""
        by_language = {row.group: row.tally.reasons for row in self.languages}
        return [
            (reason, {"all": total, **{g: own.get(reason, {}) for g, own in by_language.items()}})
            for reason, total in sorted(
                self.total.reasons.items(), key=lambda item: (-item[1]["documents"], item[0])
            )
        ]


@dataclass(frozen=True)
class Run:
    """A whole run.

    Attributes:
        funnel: documents and bytes.
        steps: what each step did.
        lengths: figures of lengths before and after, by language.
        shards: token data sets that are there.
        tokenizer: its training record, if there is one.
    """

    funnel: Funnel
    steps: list[Step]
    lengths: dict[str, str]
    shards: list[Manifest]
    tokenizer: Settings | None


def collect(config: DataConfig) -> Run:
    """Everything that is there of a recipe's run, finished or not.

    Raises:
        RecipeError: no shard of any step is finished, or a file is damaged.
    """
    there = finished_steps(config.output_dir)
    names = [step for step in steps_of(config) if step in there]
    if not names or names != steps_of(config)[: len(names)]:
        raise RecipeError(
            f"{config.output_dir}: has the steps {', '.join(there)}, which are not the first ones "
            f"of this recipe ({', '.join(steps_of(config))}); is it the config of this run?"
        )
    funnel = Funnel(config, names)
    manifests = sorted(config.shards_dir.glob("*/*/manifest.json"))
    record = config.tokenizer_dir / "training.json"
    return Run(
        funnel=funnel,
        steps=[_step(config, funnel, name) for name in names],
        lengths=_lengths(funnel),
        shards=[read_manifest(path.parent) for path in manifests],
        tokenizer=Settings.read(record) if record.is_file() else None,
    )


def _step(config: DataConfig, funnel: Funnel, name: str) -> Step:
    root = config.output_dir / name
    report = root / "report.json"
    classifiers = {p.parent.name: read_json(p) for p in sorted(root.glob(f"model/*/{REPORT}"))}
    settings = read_json(root / SETTINGS)[name]
    languages = funnel.languages[name]
    return Step(
        name=name,
        rows=funnel.sources[name],
        languages=languages,
        total=funnel.total(name),
        figures={row.group: _figures(row, settings, classifiers) for row in languages},
        counts=_counts(languages),
        examples=draw_examples(config, name),
        settings=Settings.read(root / SETTINGS),
        filters=[
            {**read_json(path), "asked_rate": settings["false_positive_rate"]}
            for path in sorted(root.glob("filters/*/filter.json"))
        ],
        tasks=read_json(report)["tasks"] if report.is_file() else {},
        classifiers=classifiers,
    )


def _counts(languages: list[Row]) -> dict[str, dict[str, float]]:
    """Plain numbers among what a step counted, by name and language."""
    found: dict[str, dict[str, float]] = {}
    for row in languages:
        for name, value in row.tally.counts.items():
            if isinstance(value, int | float):
                found.setdefault(name, {})[row.group] = value
    return found


def _figures(
    row: Row, settings: dict[str, Any], classifiers: dict[str, dict[str, Any]]
) -> list[str]:
    histograms = row.tally.counts.get("histograms", {})
    return [
        draw_outcomes(name, scale, counts, limits_of(row, name, settings, classifiers))
        for name, scales in histograms.items()
        for scale, counts in scales.items()
        # What was read but not rejected shows below, with the lengths at the end.
        if (row.step, name) != ("read", _LENGTH)
    ]


def limits_of(
    row: Row, statistic: str, settings: dict[str, Any], classifiers: dict[str, dict[str, Any]]
) -> list[float]:
    """Limits that a step had on a statistic of a language, as its settings or reports say.

    Args:
        row: step and language.
        statistic: name in the histograms.
        settings: of the step.
        classifiers: reports on the quality classifiers.
    """
    if statistic.startswith(_QUALITY):
        return [classifiers[statistic.removeprefix(_QUALITY)]["threshold"]]
    if row.step != "filter":
        return []
    profile = settings["profiles"][row.group]
    limits = [profile["limits"].get(statistic)]
    if statistic == "language_score":
        limits.append(profile["language_id"])
    found = (limit.get(side) for limit in limits if limit for side in ("min", "max"))
    return [value for value in found if value is not None]


def _lengths(funnel: Funnel) -> dict[str, str]:
    first, last = (funnel.languages[funnel.steps[i]] for i in (0, -1))
    figures = {}
    for before, after in zip(first, last):
        histograms = [
            row.tally.counts["histograms"][_LENGTH]["bytes"]["kept"] for row in (before, after)
        ]
        figures[before.group] = draw_lengths(f"{before.group}, bytes", *histograms)
    return figures
