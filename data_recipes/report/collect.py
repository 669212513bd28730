"""What the report shows, gathered from the folders of a run; memory holds samples and sums only."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..chain import folder, step_before, steps_of
from ..config import DataConfig
from ..dedup.output import removed_path
from ..records import Record, Sample, fetch, places
from ..steps import Tally

_EXAMPLES = 3  # documents kept, and per reason
_SHARDS = 20  # that examples are drawn from, per source
_SHOWN = 2000  # characters of an example


@dataclass
class Row:
    """A line of the funnel.

    Attributes:
        step: its name.
        group: a source, or a language.
        tally: what was counted.
        adds_up: kept and rejected are what came in, and that is what the step before kept.
        share: bytes left of all that was read.
    """

    step: str
    group: str
    tally: Tally
    adds_up: bool = True
    share: float = 1.0

    @property
    def rate(self) -> float:
        """Text in 1e6 bytes per second of work."""
        return self.tally.bytes_in / 1e6 / max(self.tally.seconds, 1e-9)


@dataclass
class Step:
    """What one step did, over all sources."""

    name: str
    rows: list[Row]
    languages: list[Row]
    total: Tally
    kept: list[Record] = field(default_factory=list)
    rejected: dict[str, list[Record]] = field(default_factory=dict)
    removed: list[dict[str, Any]] = field(default_factory=list)
    settings: str = ""
    facts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def reasons(self) -> list[tuple[str, int, int]]:
        """Reason, documents, bytes; the most frequent first."""
        rows = ((r, n["documents"], n["bytes"]) for r, n in self.total.reasons.items())
        return sorted(rows, key=lambda row: -row[1])


def collect(config: DataConfig) -> list[Step]:
    """The finished steps of a recipe, in order."""
    steps = []
    for name in steps_of(config):
        if not all(folder(config, name, s).done() for s in config.languages):
            break
        steps.append(_step(config, name))
    return steps


def _step(config: DataConfig, name: str) -> Step:
    before = step_before(config, name)
    rows = []
    for source in config.languages:
        tally = folder(config, name, source).tally()
        adds_up = tally.documents_in == tally.documents_kept + tally.documents_rejected
        if before:
            adds_up &= folder(config, before, source).tally().documents_kept == tally.documents_in
        first = folder(config, "read", source).tally()
        share = tally.bytes_kept / max(1, first.bytes_in)
        rows.append(Row(name, source, tally, adds_up, share))
    languages = {}
    for row in rows:
        language = config.languages[row.group]
        if language not in languages:
            languages[language] = Row(name, language, Tally())
        languages[language].tally += row.tally
    step = Step(name, rows, list(languages.values()), sum((r.tally for r in rows), Tally()))
    _add_examples(config, step)
    settings = config.output_dir / name / "settings.json"
    if settings.is_file():
        step.settings = settings.read_text(encoding="utf-8")
    for path in sorted((config.output_dir / name).glob("filters/*/filter.json")):
        known = json.loads(path.read_text(encoding="utf-8"))
        step.facts.append({k: v for k, v in known.items() if k not in ("shards", "bits", "regex")})
    return step


def _spread(items: list[Any], count: int) -> list[Any]:
    return items[:: max(1, len(items) // count)][:count]


def _add_examples(config: DataConfig, step: Step) -> None:
    kept, removed, rejected = Sample(_EXAMPLES), Sample(_EXAMPLES), {}
    for source in config.languages:
        own = folder(config, step.name, source)
        shards = _spread(own.done(), _SHARDS)
        for place, id_, _ in places(source, map(own.kept, shards)):
            kept.add(id_, place)
        for place, id_, reason in places(source, map(own.rejected, shards), "reason"):
            rejected.setdefault(reason, Sample(_EXAMPLES)).add(id_, place)
        paths = [removed_path(own, shard) for shard in shards]
        for place, id_, _ in places(source, [path for path in paths if path.is_file()]):
            removed.add(id_, place)
    step.kept = [shortened(r) for r in fetch(kept.values())]
    step.rejected = {k: [shortened(r) for r in fetch(s.values())] for k, s in rejected.items()}
    step.removed = [
        _highlighted({"id": r.id, "text": r.text, **r.extra}) for r in fetch(removed.values())
    ]


def shortened(record: Record) -> Record:
    """The record with no more text than a page wants."""
    if len(record.text) <= _SHOWN:
        return record
    text = f"{record.text[:_SHOWN]} … ({len(record.text):,} characters)"
    return Record(**{**vars(record), "text": text})


def _highlighted(row: dict[str, Any]) -> dict[str, Any]:
    """A removed paragraph in parts: text, and whether it was known."""
    data, place, parts = row["text"].encode()[:_SHOWN], 0, []
    for start, end in row["matched"]:
        start, end = start - row["start"], end - row["start"]
        parts.append((data[place:start].decode("utf-8", "ignore"), False))
        parts.append((data[start:end].decode("utf-8", "ignore"), True))
        place = end
    parts.append((data[place:].decode("utf-8", "ignore"), False))
    return {**row, "parts": parts}


def shards_of(config: DataConfig) -> list[dict[str, Any]]:
    """Manifests of the token shards that are there."""
    found = sorted(config.shards_dir.glob("*/*/manifest.json"))
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def contamination(output_dir: Path) -> dict[str, Any] | None:
    """The report of the decontamination step, if there is one."""
    path = output_dir / "decontaminate" / "report.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def classifiers(output_dir: Path) -> dict[str, dict[str, Any]]:
    """Reports on the quality classifiers, by language."""
    found = sorted((output_dir / "quality" / "model").glob("*/report.json"))
    return {p.parent.name: json.loads(p.read_text(encoding="utf-8")) for p in found}
