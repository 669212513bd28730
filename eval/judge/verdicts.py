"""What the judge is asked about answers, and its verdicts: a score, or who won."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data_recipes.ask import Answer, Endpoint, Request, request_id
from data_recipes.ask.exchange import break_control_tokens
from data_recipes.ask.prompts import Prompt
from data_recipes.common.errors import RecipeError

from .answers import ask_all, behind_thoughts
from .questions import JudgeQuestion

Winner = Literal["ours", "theirs", "tie"]
Verdict = dict[str, Any]  # a line of `verdicts.jsonl`, see `_verdict`

JUDGE = "judge"
_HERE = Path(__file__).parent
# The line that prompts ask for; judges like to make it bold, or add "/10" or 점.
_SCORE = re.compile(
    r"^\W*(?:score|점수)\W*?\s*[:：]\W*?(\d+(?:\.\d+)?)\s*(?:/\s*10|점)?[\s*_\]).]*$", re.I | re.M
)
_WINNER = re.compile(
    r"^\W*(?:winner|승자)\W*?\s*[:：]\W*?(A|B|tie|무승부)\b[\s*_\]).]*$", re.I | re.M
)


@dataclass(frozen=True)
class Judgement:
    """One question to the judge.

    Attributes:
        question: its id.
        category: of the question.
        part: what is judged: `turn 1`, `turn 2`; of a comparison `as given`, `swapped`.
        prompt: what the judge reads.
    """

    question: str
    category: str
    part: str
    prompt: str


def _plain(texts: list[str]) -> list[str]:
    """The texts, in which no token of a chat format can end the judge's turn or begin another."""
    return [break_control_tokens(text) for text in texts]


def load_single(path: Path) -> Prompt:
    """Load a prompt that grades one answer.

    Raises:
        RecipeError: it is none.
    """
    return Prompt(path, _HERE, {"exchanges"}, frozenset({"turn", "reference", "shows"}))


def load_pairwise(path: Path) -> Prompt:
    """Load a prompt that compares two conversations.

    Raises:
        RecipeError: it is none.
    """
    optional = frozenset({"questions", "references", "shows"})
    return Prompt(path, _HERE, {"answers_a", "answers_b"}, optional)


def single(prompt: Prompt, question: JudgeQuestion, answers: list[str]) -> list[Judgement]:
    """Ask about each answer on its own, with what was said before it."""
    turns, answers = _plain(question.turns), _plain(answers)
    return [
        Judgement(
            question.id,
            question.category,
            f"turn {turn}",
            prompt.render(
                turn=turn,
                exchanges=list(zip(turns[:turn], answers[:turn])),
                reference=question.references[turn - 1],
                shows=question.shows,
            ),
        )
        for turn in range(1, len(turns) + 1)
    ]


def pairwise(
    prompt: Prompt, question: JudgeQuestion, ours: list[str], theirs: list[str]
) -> list[Judgement]:
    """Ask about the whole conversations twice: ours as A, then ours as B."""
    turns, ours, theirs = map(_plain, (question.turns, ours, theirs))
    return [
        Judgement(
            question.id,
            question.category,
            part,
            prompt.render(
                questions=turns,
                references=question.references,
                shows=question.shows,
                answers_a=first,
                answers_b=second,
            ),
        )
        for part, first, second in (("as given", ours, theirs), ("swapped", theirs, ours))
    ]


def read_score(text: str) -> float | None:
    """Read the score on the last line of its form; `None` if there is none from 1 to 10."""
    found = _SCORE.findall(behind_thoughts(text))
    score = float(found[-1]) if found else None
    return score if score is not None and 1 <= score <= 10 else None


def read_winner(text: str, part: str) -> Winner | None:
    """Read who won a comparison; `None` if it does not say.

    Args:
        text: the judge's.
        part: `swapped` if ours was B.
    """
    found = _WINNER.findall(behind_thoughts(text))
    if not found:
        return None
    letter = found[-1].upper()
    if letter not in ("A", "B"):
        return "tie"
    return "ours" if (letter == "A") == (part != "swapped") else "theirs"


def agreed(winners: list[Winner]) -> Winner:
    """Of both places, the winner that they agree on; otherwise a tie (Zheng et al. 2023, 3.4)."""
    return winners[0] if len(set(winners)) == 1 else "tie"


def ask_judge(
    judgements: list[Judgement], endpoint: Endpoint, prompt: Prompt, out: Path
) -> list[Verdict]:
    """Return every verdict, in order; those that are in `out` already are not asked for again.

    Args:
        judgements: what to ask.
        endpoint: the judge.
        prompt: the file that its prompts are made from, for the record.
        out: directory.

    Raises:
        RecipeError: the judge cannot be reached, or has not answered all.
    """
    conversations = [_conversation(judgement) for judgement in judgements]
    answers = ask_all(JUDGE, endpoint, conversations, out / "verdicts")
    failed = [answer for answer in answers if answer.status == "failed"]
    if failed:
        raise RecipeError(
            f"{len(failed):,} of {len(answers):,} verdicts are missing ({failed[0].error}); the "
            "others are kept, run the same command to go on"
        )
    return [_verdict(*pair, endpoint, prompt) for pair in zip(judgements, answers)]


def _conversation(judgement: Judgement) -> list[dict[str, str]]:
    return [{"role": "user", "content": judgement.prompt}]


def _verdict(judgement: Judgement, answer: Answer, endpoint: Endpoint, prompt: Prompt) -> Verdict:
    """Make a verdict, with all that it depends on."""
    result: Any
    if answer.finish_reason == "length":
        result = None  # of a 10 that was cut off, a 1 is left
    elif judgement.part.startswith("turn"):
        result = read_score(answer.text)
    else:
        result = read_winner(answer.text, judgement.part)
    request = Request(JUDGE, _conversation(judgement))
    return {
        "id": request_id(endpoint, request).hex(),
        "question": judgement.question,
        "category": judgement.category,
        "part": judgement.part,
        "result": result,  # score or winner; `None` if it could not be read
        "status": answer.status,
        "finish_reason": answer.finish_reason,
        "judge": answer.model or endpoint.model,
        "sampling": endpoint.sampling.fields(),
        "prompt": prompt.path.name,
        "prompt_sha256": hashlib.sha256(judgement.prompt.encode()).hexdigest(),
        "text": answer.text,
    }
