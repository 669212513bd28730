"""The page itself, and its command."""

import argparse
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import yaml

from ..common.commit import git_commit
from ..common.config_files import CONFIGS, find_config, load_config
from ..common.errors import RecipeError
from ..common.terminal import visible
from ..prepare.config import DataConfig
from ..quality.classifier import fasttext_version
from .report_collect import Run, collect
from .report_figures import draw_funnel

# Those that decide what becomes of a text.
_PACKAGES = (
    "datatrove",
    "numba",
    "numpy",
    "orjson",
    "py3langid",
    "pyarrow",
    "regex",
    "tokenizers",
    "transformers",
)


def _funnels(run: Run) -> dict[str, str]:
    """Bars by language, of documents and of bytes."""
    figures = {}
    for i, first in enumerate(run.steps[0].languages):
        rows = [(step.name, step.languages[i]) for step in run.steps]
        shares = [("documents", [row.documents_share for _, row in rows])]
        shares.append(("bytes", [row.bytes_share for _, row in rows]))
        figures[first.group] = "".join(
            draw_funnel(
                f"{first.group}, {what} left of all that was read",
                [(name, came, left) for (name, _), came, left in zip(rows, [1.0, *own], own)],
            )
            for what, own in shares
        )
    return figures


def environment(*folders: Path) -> jinja2.Environment:
    """Of pages that ask for no other file.

    Args:
        folders: where templates are looked for before this one, which has the style.
    """
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {
        "visible": visible,
        "count": "{:,}".format,
        "megabytes": lambda size: f"{size / 1e6:,.2f}",
        "percent": "{:.1%}".format,
    }
    return made


def render(config: DataConfig, run: Run) -> str:
    """The page: one file that asks for no other.

    Args:
        config: the recipe.
        run: what it did.
    """
    values: dict[str, Any] = {
        "config": config,
        "recipe": yaml.safe_dump(
            config.model_dump(mode="json"), allow_unicode=True, sort_keys=False
        ),
        "run": run,
        "funnels": _funnels(run),
        "versions": {
            "Python": sys.version.split()[0],
            **{name: version(name) for name in _PACKAGES},
            **fasttext_version(),
        },
        "commit": git_commit() or "not in git",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment().get_template("page.html").render(values)


def run(args: argparse.Namespace) -> None:
    """Write the page.

    Raises:
        RecipeError: nothing to report on, or documents that do not add up (the page is written).
    """
    config = load_config(find_config(args.config, CONFIGS), DataConfig, args.overrides)
    found = collect(config)
    path = args.out or config.output_dir / "report.html"
    path.write_text(render(config, found), encoding="utf-8")
    print(path)
    if problems := found.funnel.problems:
        more = f"\n  and {len(problems) - 5:,} more" if len(problems) > 5 else ""
        raise RecipeError(
            f"{path}: documents do not add up:\n  " + "\n  ".join(problems[:5]) + more
        )
