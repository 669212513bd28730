"""Validation of answers: the first thing that is wrong with each."""

import json
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from ..ask import Answer
from ..engine.documents import SCHEMA
from ..filter.profiles import KOREAN
from ..filter.step import DocumentFilter
from . import checks
from .phrases import find_phrase
from .styles import Style
from .validation_config import ValidationConfig

_THOUGHTS_END = "</think>"
_THOUGHTS_BEGIN = "<think>"


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer on its way to be judged.

    Attributes:
        seed: what it was written from, as it stood in the prompt.
        style: how it was to be written.
        answer: as the client has it.
    """

    seed: str
    style: Style
    answer: Answer


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found.

    Attributes:
        text: the answer without thoughts and without white space around it.
        reasoning: the thoughts, likewise.
        reason: why it is rejected, machine-readable; `None` if it is accepted.
        detail: a sentence.
    """

    text: str
    reasoning: str
    reason: str | None = None
    detail: str = ""


def split_thoughts(answer: Answer) -> tuple[str, str]:
    """Thoughts and text, whether the server took them apart or not; no thoughts are empty."""
    if answer.reasoning:
        return answer.reasoning.strip(), answer.text.strip()
    # Many templates write the opening tag into the prompt, so that the answer lacks it.
    thoughts, end, text = answer.text.partition(_THOUGHTS_END)
    if not end:
        return "", answer.text.strip()
    return thoughts.strip().removeprefix(_THOUGHTS_BEGIN).strip(), text.strip()


def undelivered(answer: Answer) -> tuple[str, str] | None:
    """Why a server's reply is no whole answer, as a name and a sentence; `None` if it is one."""
    if answer.status == "refused":
        return "refused_by_server", answer.error
    if answer.status == "failed":
        return "no_answer", answer.error
    if answer.finish_reason == "length":
        return "truncated", f"stopped after {answer.completion_tokens} tokens"
    if answer.finish_reason != "stop":
        return "unfinished", f"finish_reason {answer.finish_reason!r}"
    return None


class Validator:
    """Judges answers by a recipe's rules.

    Args:
        config: the rules.
        form: of the answers, as in the recipe.

    Raises:
        RecipeError: a model of a profile is missing or of the wrong kind.
    """

    def __init__(self, config: ValidationConfig, form: Literal["text", "reasoning"]) -> None:
        self.config = config
        self._reasoning = form == "reasoning"
        languages = {config.language, config.reasoning_language} - {None}
        self._filters = {name: DocumentFilter(config.filter.profiles[name]) for name in languages}

    def judge(self, drafts: list[Draft]) -> list[Verdict]:
        """One verdict per draft; a verdict does not depend on the other drafts."""
        verdicts = [self._one(draft) for draft in drafts]
        self._by_profile(verdicts, "text", self.config.language, "")
        if self._reasoning:
            self._by_profile(verdicts, "reasoning", self.config.reasoning_language, "reasoning_")
        return verdicts

    def _one(self, draft: Draft) -> Verdict:
        answer = draft.answer
        if self._reasoning:
            reasoning, text = split_thoughts(answer)
        else:
            # Thoughts that were not asked for are taken off, and not kept.
            reasoning, text = "", split_thoughts(answer)[1]
        flaw = undelivered(answer) or self._content(draft, reasoning, text)
        return Verdict(text, reasoning, *(flaw or ()))

    def _content(self, draft: Draft, reasoning: str, text: str) -> tuple[str, str] | None:
        if not text:
            return "empty", "nothing but white space"
        if self._reasoning and not reasoning:
            return (
                "no_reasoning",
                "neither reasoning_content nor <think> tags; is the server's reasoning parser on?",
            )
        if phrase := find_phrase(text, draft.seed):
            return phrase[0], f"says {phrase[1]!r}"
        if copied := checks.copied_instruction(text, draft.style.instructions):
            return "copied_prompt", copied
        if markup := checks.broken_markup(text):
            return "broken_markup", markup
        return self._length(draft.seed, text) or self._compared(draft.seed, text)

    def _length(self, seed: str, text: str) -> tuple[str, str] | None:
        config, size = self.config, len(text)
        ratio = size / max(1, len(seed))
        for name, value, least, most, unit in (
            ("length", size, config.min_characters, config.max_characters, "characters"),
            ("ratio", ratio, config.min_ratio, config.max_ratio, "of the seed's length"),
        ):
            if least is not None and value < least:
                return f"low_{name}", f"{value:.4g} {unit}, at least {least:g} are accepted"
            if most is not None and value > most:
                return f"high_{name}", f"{value:.4g} {unit}, at most {most:g} are accepted"
        return None

    def _compared(self, seed: str, text: str) -> tuple[str, str] | None:
        config = self.config
        if config.max_copied is not None:
            share = checks.copied_share(text, seed)
            if share > config.max_copied:
                detail = f"{share:.0%} of its words are the seed's, at most {config.max_copied:.0%}"
                return "copied_seed", f"{detail} are accepted"
        if config.language == KOREAN:
            own = checks.foreign_scripts(seed)
            for name, share in checks.foreign_scripts(text).items():
                most = max(config.max_foreign_script, own[name])
                if share > most:
                    return f"foreign_{name}", f"{share:.1%} of its letters, at most {most:.1%}"
        return None

    def _by_profile(self, verdicts: list[Verdict], field: str, language: str, prefix: str) -> None:
        rows = [i for i, verdict in enumerate(verdicts) if verdict.reason is None]
        if not rows:
            return
        columns = {
            "id": [str(i) for i in rows],
            "text": [getattr(verdicts[i], field) for i in rows],
            "source": ["answers"] * len(rows),
            "language": [language] * len(rows),
            "metadata": [json.dumps({})] * len(rows),
        }
        judged = self._filters[language].apply(pa.RecordBatch.from_pydict(columns, SCHEMA))
        for i, reason, detail in zip(rows, judged.reasons, judged.details):
            if reason is not None:
                old = verdicts[i]
                verdicts[i] = Verdict(old.text, old.reasoning, prefix + reason, detail)
