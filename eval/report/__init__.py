"""What an evaluation found, as one HTML page, as Markdown, and as a table in the terminal."""

from .content import Content, collect
from .markdown import markdown, terminal_table
from .page import page

__all__ = ["Content", "collect", "markdown", "page", "terminal_table"]
