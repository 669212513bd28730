"""A report as one HTML page that asks for no other file."""

from pathlib import Path

import jinja2

from data_recipes.common.terminal import visible

from ..published import load_published
from .content import Content
from .figures import plot_runs, shade
from .markdown import compared, number


def page(content: Content, *, plot: bool = False) -> str:
    """The page.

    Args:
        content: of the report.
        plot: draw the runs as a line from the first to the last.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "visible": visible,
        "number": number,
        "shade": shade,
        "percent": "{:.1%}".format,
        "points": lambda value: f"{100 * value:+.1f}",
        "count": "{:,}".format,
    }
    return environment.get_template("page.html").render(
        content=content,
        main_name=content.names[content.main],
        main_results=content.results[content.main],
        published=load_published(),
        compared=compared(content),
        plot=plot_runs(content) if plot else None,
    )
