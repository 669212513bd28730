"""Validation of answers: the first thing that is wrong with each."""

from dataclasses import dataclass
from typing import Literal

from ..ask import Answer
from ..filter.profiles import KOREAN
from ..filter.step import DocumentFilter
from . import answer_checks
from .config import Style, ValidationConfig
from .phrases import find_phrase
from .picture_checks import find_flaw


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer on its way to be checked.

    Attributes:
        seed: what it was written from, as it stood in the prompt.
        style: how it was to be written.
        answer: as the client has it.
        tags: as of the seed.
    """

    seed: str
    style: Style
    answer: Answer
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Validated:
    """An answer without thoughts around it, and what is wrong with it.

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


class Validator:
    """Checks answers by a recipe's rules.

    Args:
        config: the rules.
        form: of the answers, as in the recipe.
        vocabulary: tags of all seeds.

    Raises:
        RecipeError: a model of a profile is missing or of the wrong kind.
    """

    def __init__(
        self,
        config: ValidationConfig,
        form: Literal["text", "reasoning", "picture"],
        vocabulary: frozenset[str] = frozenset(),
    ) -> None:
        self.config = config
        self._vocabulary = vocabulary
        self._reasoning = form == "reasoning"
        languages = {config.language, config.reasoning_language} - {None}
        self._filters = {name: DocumentFilter(config.filter.profiles[name]) for name in languages}

    def check(self, drafts: list[Draft]) -> list[Validated]:
        """Check each draft; what is found does not depend on the other drafts."""
        found = [self._one(draft) for draft in drafts]
        self._by_profile(found, "text", self.config.language, "")
        if self._reasoning:
            self._by_profile(found, "reasoning", self.config.reasoning_language, "reasoning_")
        return found

    def _one(self, draft: Draft) -> Validated:
        answer = draft.answer
        if self._reasoning:
            reasoning, text = answer.split_thoughts()
        else:
            # Thoughts that were not asked for are taken off, and not kept.
            reasoning, text = "", answer.split_thoughts()[1]
        flaw = answer.missing() or self._content(draft, reasoning, text)
        return Validated(text, reasoning, *(flaw or ()))

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
        if copied := answer_checks.copied_instruction(text, draft.style.instructions):
            return "copied_prompt", copied
        if markup := answer_checks.broken_markup(text):
            return "broken_markup", markup
        if flaw := self._length(draft.seed, text) or self._compared(draft.seed, text):
            return flaw
        checks = self.config.pictures
        return checks and find_flaw(text, draft.tags, self._vocabulary, checks)

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
            share = answer_checks.copied_share(text, seed)
            if share > config.max_copied:
                detail = f"{share:.0%} of its words are the seed's, at most {config.max_copied:.0%}"
                return "copied_seed", f"{detail} are accepted"
        if config.language == KOREAN:
            own = answer_checks.foreign_scripts(seed)
            for name, share in answer_checks.foreign_scripts(text).items():
                most = max(config.max_foreign_script, own[name])
                if share > most:
                    return f"foreign_{name}", f"{share:.1%} of its letters, at most {most:.1%}"
        return None

    def _by_profile(self, found: list[Validated], field: str, language: str, prefix: str) -> None:
        rows = [i for i, own in enumerate(found) if own.reason is None]
        if not rows:
            return
        judged = self._filters[language].apply_to([getattr(found[i], field) for i in rows])
        for i, reason, detail in zip(rows, judged.reasons, judged.details):
            if reason is not None:
                old = found[i]
                found[i] = Validated(old.text, old.reasoning, prefix + reason, detail)
