"""Real Korean and English text from the Debian archive, without the Hub."""

from .collect import collect_debian

__all__ = ["collect_debian"]
