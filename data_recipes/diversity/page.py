"""The page of the diversity report."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ..common.commit import git_commit
from ..look.report_page import environment
from .config import DiversityConfig
from .figures import draw_lengths, draw_measure, draw_ranks
from .measures import MEASURES
from .report import Breach, Measured

_EXAMPLES = 2
_CHARACTERS = 600  # of an example


def _bounds(config: DiversityConfig, name: str) -> list[float]:
    limit = config.limits.get(name)
    return [] if limit is None else [v for v in (limit.least, limit.most) if v is not None]


def _figures(own: list[Measured], bad: set[tuple[int, str]], config: DiversityConfig) -> list[str]:
    return [
        draw_measure(
            measure.title,
            [
                (r.sample.name, r.values[name], (id(r), name) in bad)
                for r in own
                if name in r.values
            ],
            _bounds(config, name),
            measure.varied_is_more,
        )
        for name, measure in MEASURES.items()
        if any(name in r.values for r in own)
    ]


def _lengths(own: list[Measured]) -> list[str]:
    used = [i for r in own for i, count in enumerate(r.length_histogram) if count]
    shown = min(used), max(used) + 1
    return [draw_lengths(r.sample.name, r.length_histogram, r.lengths["p50"], shown) for r in own]


def _ranks(own: list[Measured]) -> list[str]:
    bands = max(len(r.rank_shares) for r in own)
    return [draw_ranks(r.sample.name, r.rank_shares, r.types, r.once, bands) for r in own]


def _language(own: list[Measured], bad: set[tuple[int, str]], config: DiversityConfig) -> Any:
    names = [r.sample.name for r in own if r.overlap]
    return {
        "name": own[0].sample.language,
        "results": own,
        "rows": [
            (
                measure,
                config.limits.get(name),
                [(r.values.get(name), (id(r), name) in bad) for r in own],
            )
            for name, measure in MEASURES.items()
            if any(name in r.values for r in own)
        ],
        "figures": _figures(own, bad, config),
        "lengths": _lengths(own),
        "ranks": _ranks(own),
        "overlap": [(r.sample.name, [r.overlap.get(n) for n in names]) for r in own if r.overlap],
        "overlap_names": names,
        "sources": [(r.sample.name, r.sample.sources) for r in own if not r.mixture],
        "examples": [
            (r.sample.name, [d.text[:_CHARACTERS] for d in r.sample.documents[:_EXAMPLES]])
            for r in own
            if not r.mixture
        ],
    }


def render(config: DiversityConfig, results: list[Measured], found: list[Breach]) -> str:
    """The page: one file that asks for no other.

    Args:
        config: sizes and limits.
        results: what was measured.
        found: values beyond a limit.
    """
    bad = {(id(breach.measured), breach.measure) for breach in found}
    languages = dict.fromkeys(result.sample.language for result in results)
    values = {
        "config": config,
        "languages": [
            _language([r for r in results if r.sample.language == language], bad, config)
            for language in languages
        ],
        "breaches": found,
        "measures": list(MEASURES.values()),
        "settings": yaml.safe_dump(config.model_dump(exclude_none=True), sort_keys=False),
        "commit": git_commit() or "not in git",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment(Path(__file__).parent).get_template("diversity.html").render(values)
