"""What a judge wrote, read back: a score, or who won."""

from __future__ import annotations

import re
from typing import Literal

Winner = Literal["ours", "theirs", "tie"]

_THOUGHT = "</think>"
# The line that prompts ask for; judges like to make it bold, or add "/10" or 점.
_SCORE = re.compile(
    r"^\W*(?:score|점수)\W*?\s*[:：]\W*?(\d+(?:\.\d+)?)\s*(?:/\s*10|점)?[\s*_\]).]*$", re.I | re.M
)
_WINNER = re.compile(
    r"^\W*(?:winner|승자)\W*?\s*[:：]\W*?(A|B|tie|무승부)\b[\s*_\]).]*$", re.I | re.M
)


def read_score(text: str) -> float | None:
    """The score on the last line of its form; `None` if there is none from 1 to 10."""
    found = _SCORE.findall(text.rpartition(_THOUGHT)[2])
    score = float(found[-1]) if found else None
    return score if score is not None and 1 <= score <= 10 else None


def read_winner(text: str, part: str) -> Winner | None:
    """Who won a comparison; `None` if it does not say.

    Args:
        text: the judge's.
        part: `swapped` if ours was B.
    """
    found = _WINNER.findall(text.rpartition(_THOUGHT)[2])
    if not found:
        return None
    letter = found[-1].upper()
    if letter not in ("A", "B"):
        return "tie"
    return "ours" if (letter == "A") == (part != "swapped") else "theirs"


def agreed(verdicts: list[Winner]) -> Winner:
    """Of both places, the winner that they agree on; otherwise a tie (Zheng et al. 2023, 3.4)."""
    return verdicts[0] if len(set(verdicts)) == 1 else "tie"
