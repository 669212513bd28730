"""Wrong answers that are worth reading."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..run_dir import read_samples

_PER_ROW = 3
# Characters of a prompt's end: the question itself stands there, after the examples.
_PROMPT_END = 800
_ANSWER_START = 1200


@dataclass(frozen=True)
class Failure:
    """A wrong answer.

    Attributes:
        unit: task that it belongs to.
        doc_id: its place in the data.
        prompt: end of what the model read.
        answer: what it gave, or chose.
        target: what was right.
    """

    unit: str
    doc_id: int
    prompt: str
    answer: str
    target: str


def _chosen(record: dict[str, Any]) -> tuple[str, float]:
    """The likeliest choice, and its lead over the right one in nats."""
    likelihoods = [float(own[0]) for own in record["answer"]]
    best = max(range(len(likelihoods)), key=lambda i: likelihoods[i])
    target = record["target"]
    lead = likelihoods[best] - likelihoods[target] if isinstance(target, int) else 0.0
    return record["choices"][best], lead


def _failure(unit: str, record: dict[str, Any]) -> Failure:
    target = record["target"]
    if record["choices"] is not None:
        answer, _ = _chosen(record)
        if isinstance(target, int):
            target = record["choices"][target]
    else:
        answer = str(record["responses"][0][0])
    prompt = record["prompt"]
    return Failure(
        unit,
        record["doc_id"],
        prompt if len(prompt) <= _PROMPT_END else f"… {prompt[-_PROMPT_END:]}",
        answer.strip() if len(answer) <= _ANSWER_START else f"{answer[:_ANSWER_START]} …",
        str(target).strip(),
    )


def failures(run: Path, row: dict[str, Any]) -> list[Failure]:
    """A few wrong answers of a row.

    Of choices, those that the model was surest of; of generated answers, some from all over the
    data.

    Args:
        run: directory.
        row: of its `results.json`.
    """
    metric, _, filter_ = row["metric"].partition(",")
    wrong = [
        (unit, record)
        for unit in row["units"]
        for record in read_samples(run, unit)
        if record["filter"] == filter_ and record["metrics"].get(metric) == 0
    ]
    if wrong and wrong[0][1]["choices"] is not None:
        wrong.sort(key=lambda own: -_chosen(own[1])[1])
        picked = wrong[:_PER_ROW]
    else:
        picked = wrong[:: max(1, len(wrong) // _PER_ROW)][:_PER_ROW]
    return [_failure(unit, record) for unit, record in picked]
