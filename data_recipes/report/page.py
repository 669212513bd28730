"""The page itself, and its command."""

import argparse
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2

from ..config import CONFIGS, DataConfig
from ..errors import RecipeError
from ..strict_yaml import find_config, load_config
from .collect import Step, classifiers, collect, contamination, shards_of
from .figures import draw_funnel, draw_histogram

_PACKAGES = ("datatrove", "pyarrow", "numba", "numpy", "tokenizers", "py3langid")


def _limits(config: DataConfig, step: Step, statistic: str, scores: dict[str, Any]) -> tuple:
    if step.name == "filter":
        limits = [p.limits.get(statistic) for p in config.filter.profiles.values()]
        return tuple(value for limit in limits if limit for value in (limit.min, limit.max))
    if step.name == "quality" and statistic.startswith("quality_"):
        return (scores[statistic.removeprefix("quality_")]["threshold"],)
    return ()


def _figures(config: DataConfig, step: Step, scores: dict[str, Any]) -> list[str]:
    return [
        draw_histogram(name, scale, counts, _limits(config, step, name, scores))
        for name, scales in step.total.counts.get("histograms", {}).items()
        for scale, counts in scales.items()
    ]


def _commit() -> str:
    found = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
    )
    return found.stdout.strip() or "not in git"


def render(config: DataConfig) -> tuple[str, bool]:
    """The page, and whether all documents are accounted for.

    Raises:
        RecipeError: no step is finished.
    """
    steps = collect(config)
    if not steps:
        raise RecipeError(
            f"{config.output_dir}: no finished step; run `python -m data_recipes prepare` first"
        )
    scores = classifiers(config.output_dir)
    funnel = {
        source: [1.0, *(s.rows[i].share for s in steps)]
        for i, source in enumerate(config.languages)
    }
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("page.html").render(
        config=config,
        steps=steps,
        figures={step.name: _figures(config, step, scores) for step in steps},
        funnel=draw_funnel(["raw", *(step.name for step in steps)], funnel),
        shards=shards_of(config),
        contamination=contamination(config.output_dir),
        classifiers=scores,
        versions={name: version(name) for name in _PACKAGES},
        commit=_commit(),
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )
    return page, all(row.adds_up for step in steps for row in step.rows)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `python -m data_recipes report`."""
    parser.add_argument(
        "--config", required=True, help="YAML file, or its name in data_recipes/configs"
    )
    parser.add_argument("--out", type=Path, help="the page; <output_dir>/report.html by default")
    parser.add_argument("overrides", nargs="*", metavar="key=value")


def run(args: argparse.Namespace) -> None:
    """Write the page.

    Raises:
        RecipeError: nothing to report on, or documents that do not add up (the page is written).
    """
    config = load_config(find_config(args.config, CONFIGS), DataConfig, args.overrides)
    page, adds_up = render(config)
    path = args.out or config.output_dir / "report.html"
    path.write_text(page, encoding="utf-8")
    print(path)
    if not adds_up:
        raise RecipeError(f"{path}: documents do not add up where the page is red")
