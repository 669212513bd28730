"""The one answer checker: rewards, evaluation and the difficulty filter all ask here.

Two answers are the same if their values are. There is no tolerance: a decimal equals exactly what
it says, so 0.5 is 1/2 and 0.33 is not 1/3; a task that wants a rounded value has that value as its
answer. A number without a unit matches the same number with one, because the question names it.
Numbers, units, choices and dates are read here, formulas by math-verify under bounds on their cost.
"""

from .extract import extract_answer
from .same import choose, compare_answers, same_answer

__all__ = ["choose", "compare_answers", "extract_answer", "same_answer"]
