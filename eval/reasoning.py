"""Judges a generated answer: right by value, thought to the end, in the language of the question.

What a model wrote arrives as a turn that says whether thinking was asked for (`as_turn`), so that
an answer in a think block that never closed is not taken for an answer.
"""

import random
import re
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from datasets import Dataset

from data_recipes.answers import extract_answer, same_answer
from data_recipes.answers.text import letters_of
from data_recipes.common.errors import RecipeError
from data_recipes.toy.items import unique_items
from modeling_kormo.chat_config import END_OF_THINKING, THINK

_ASKED = f"{THINK}\n"
_NOT_ASKED = f"{THINK}{END_OF_THINKING}"

_MATHS = re.compile(
    r"\$\$.*?\$\$|\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)|\\boxed\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
    r"|\\[A-Za-z]+",
    re.DOTALL,
)
# Our choice: "\boxed{B}", "17 km" or "x = 3" is no language, "The answer is 17." is English.
_FEWEST_LETTERS = 10
# Our choice: below half; a Korean answer keeps some English terms and variables.
_LOWEST_SHARE = 0.5


@dataclass(frozen=True)
class Verdict:
    """What a generated answer is worth.

    Attributes:
        right: the answer has the wanted value, and came after thinking if that was asked for, or
            without if not.
        truncated_thinking: thinking was asked for, and did not end.
        other_language: the answer, without its formulas, is not in the language of the question.
        as_asked: a think block with content if thinking was asked for, none if not.
    """

    right: bool
    truncated_thinking: bool
    other_language: bool
    as_asked: bool


def as_turn(completion: str, thinking: bool) -> str:
    """A completion with how it was asked for, in the form that `judge_turn` reads.

    Args:
        completion: what the model wrote after a prompt that opened the think block (thinking) or
            closed an empty one (not thinking).
        thinking: whether it was asked to think.
    """
    return (_ASKED if thinking else _NOT_ASKED) + completion


def judge(completion: str, wanted: str, thinking: bool, language: str) -> Verdict:
    """Judge what followed the prompt.

    Args:
        completion: as for `as_turn`.
        wanted: the right answer.
        thinking: whether it was asked to think.
        language: of the question, ``ko`` or ``en``.
    """
    reasoning, closed, answer = completion.rpartition(END_OF_THINKING)
    if thinking:
        as_asked = bool(closed) and bool(reasoning.strip())
    else:
        as_asked = not closed and THINK not in completion
    answered = bool(closed) == thinking
    given = extract_answer(answer) if answered else None
    return Verdict(
        right=given is not None and same_answer(given, wanted),
        truncated_thinking=thinking and not closed,
        other_language=answered and _in_other_language(answer, language),
        as_asked=as_asked,
    )


def judge_turn(turn: str, wanted: str, language: str) -> Verdict:
    """Judge a turn that `as_turn` made, or what another backend hands over.

    lm-eval's own model classes and API servers say not whether thinking was asked for: what stands
    behind the last `</think>` is the answer, and a block that never closed is none.
    """
    for mark, thinking in ((_NOT_ASKED, False), (_ASKED, True)):
        if turn.startswith(mark):
            return judge(turn[len(mark) :], wanted, thinking, language)
    thinking = THINK in turn or END_OF_THINKING in turn
    return judge(turn, wanted, thinking, language)


def _in_other_language(answer: str, language: str) -> bool:
    letters = letters_of(_MATHS.sub(" ", answer))
    total = letters.total()
    return total >= _FEWEST_LETTERS and letters[language] < _LOWEST_SHARE * total


Row = dict[str, Any]

# MMLU's subjects that ask for reasoning. HRM8K has abstract algebra, college and high school
# mathematics already.
_MMMLU = {
    "mathematics": ("elementary_mathematics", "high_school_statistics"),
    "physics": ("astronomy", "college_physics", "conceptual_physics", "high_school_physics"),
    "chemistry": ("college_chemistry", "high_school_chemistry"),
    "biology": ("college_biology", "high_school_biology"),
}
_LETTERS = "ABCD"


def _score(turn: str, wanted: str, language: str) -> dict[str, float]:
    return {
        name: float(value) for name, value in asdict(judge_turn(turn, wanted, language)).items()
    }


def score(doc: Row, results: list[str], language: str = "ko") -> dict[str, float]:
    """Metrics of one answer, each 0 or 1; see `judging.Verdict`."""
    return _score(results[0], str(doc["answer"]), language)


score_english = partial(score, language="en")


def score_numbered(doc: Row, results: list[str]) -> dict[str, float]:
    """As `score`, where the answer is the number of a choice, so that ② and 2번 count as 2."""
    return _score(results[0], f"({int(float(doc['answer']))})", "ko")


def mgsm(dataset: Dataset) -> Dataset:
    """The number alone as answer; the column `answer` has a worked solution, or nothing."""
    numbers = [str(number) for number in dataset["answer_number"]]
    return dataset.remove_columns("answer").add_column("answer", numbers)


def gpqa(dataset: Dataset) -> Dataset:
    """Choices in an order that depends on the question alone."""

    def shuffled(row: Row) -> Row:
        right = row["Correct Answer"].strip()
        choices = [right, *(row[f"Incorrect Answer {n}"].strip() for n in (1, 2, 3))]
        random.Random(row["Question"]).shuffle(choices)
        return {
            "question": row["Question"].strip(),
            **dict(zip(_LETTERS, choices, strict=True)),
            "answer": _LETTERS[choices.index(right)],
        }

    return dataset.map(shuffled, remove_columns=dataset.column_names)


def _mmmlu(dataset: Dataset, subset: str) -> Dataset:
    # In some languages the column holds a file name that begins with the subject.
    subjects = [name.partition("_test")[0] for name in dataset["Subject"]]
    if missing := sorted(set(_MMMLU[subset]) - set(subjects)):
        raise RecipeError(
            f"openai/MMMLU: no rows with Subject {', '.join(missing)}; get the data set again"
        )
    chosen = dataset.select([i for i, name in enumerate(subjects) if name in _MMMLU[subset]])
    return chosen.rename_columns({"Question": "question", "Answer": "answer"})


mmmlu_mathematics = partial(_mmmlu, subset="mathematics")
mmmlu_physics = partial(_mmmlu, subset="physics")
mmmlu_chemistry = partial(_mmmlu, subset="chemistry")
mmmlu_biology = partial(_mmmlu, subset="biology")


def embedded(language: str, items: int, seed: int, **_: Any) -> dict[str, Dataset]:
    """The test split of the embedded corpus: no training text has these problems, in any language.

    Args:
        language: ``ko`` or ``en``.
        items: how many different problems.
        seed: selects them.
        **_: the task's metadata, which lm-eval passes too.
    """
    rows = [
        {
            "id": item.id,
            "kind": item.kind,
            "level": item.level,
            "question": item.question,
            "answer": item.value,
            "solution": item.reasoning,
        }
        for item in unique_items(language, "test", items, seed)
    ]
    return {"test": Dataset.from_list(rows)}
