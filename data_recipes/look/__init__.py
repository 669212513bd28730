"""One page that shows what a data recipe did to its text."""

from .report_page import add_arguments, run

__all__ = ["add_arguments", "run"]
