"""What the judge reads, from templates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError

from data_recipes.common.errors import RecipeError

from .questions import Question


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

    @property
    def prompt_sha256(self) -> str:
        """Hash of the prompt, answers included."""
        return hashlib.sha256(self.prompt.encode()).hexdigest()


class Prompts:
    """A template.

    Args:
        path: the file; templates that it names are looked for beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._environment = Environment(
            loader=FileSystemLoader(path.parent),
            undefined=StrictUndefined,
            trim_blocks=True,
            keep_trailing_newline=False,
        )

    def _render(self, **values: object) -> str:
        try:
            return self._environment.get_template(self.path.name).render(**values).strip()
        except TemplateError as error:
            raise RecipeError(f"{self.path}: not a usable prompt ({error})") from error

    def single(self, question: Question, answers: list[str]) -> list[Judgement]:
        """Each answer on its own, with what was said before it."""
        return [
            Judgement(
                question.id,
                question.category,
                f"turn {turn}",
                self._render(
                    turn=turn,
                    exchanges=list(zip(question.turns[:turn], answers[:turn])),
                    reference=question.references[turn - 1],
                ),
            )
            for turn in range(1, len(question.turns) + 1)
        ]

    def pairwise(self, question: Question, ours: list[str], theirs: list[str]) -> list[Judgement]:
        """The whole conversation twice: ours as A, then ours as B."""
        return [
            Judgement(
                question.id,
                question.category,
                part,
                self._render(
                    questions=question.turns,
                    references=question.references,
                    answers_a=first,
                    answers_b=second,
                ),
            )
            for part, first, second in (("as given", ours, theirs), ("swapped", theirs, ours))
        ]
