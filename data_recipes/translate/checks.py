"""Checks of a translation: delivered, Korean, of a fitting length, and nothing changed in it."""

from ..answers.text import letters_of
from ..ask import Answer
from ..filter.profiles import KOREAN
from ..filter.step import DocumentFilter
from ..synthesize import answer_checks as checks
from ..synthesize.phrases import find_phrase
from .config import CheckConfig
from .invariants import Flaw, find_flaws
from .spans import take_apart


class Checker:
    """Finds what is wrong with translations.

    Args:
        config: what is accepted.
        instructions: lines of the prompt, which no translation repeats.

    Raises:
        RecipeError: a model of the profile is missing.
    """

    def __init__(self, config: CheckConfig, instructions: list[str]) -> None:
        self.config = config
        self._instructions = instructions
        self._filter = DocumentFilter(config.filter.profiles[KOREAN])

    def check(self, source: str, answer: Answer) -> tuple[str, list[Flaw]]:
        """Return the translation in an answer, and its flaws."""
        text = answer.split_thoughts()[1]
        if missing := answer.missing():
            return text, [Flaw(*missing)]
        if not text:
            return text, [Flaw("empty", "nothing but white space")]
        if phrase := find_phrase(text, source):
            return text, [Flaw(phrase[0], f"says {phrase[1]!r}")]
        if copied := checks.copied_instruction(text, self._instructions):
            return text, [Flaw("copied_prompt", copied)]
        markup = checks.broken_markup(text)
        if markup and not checks.broken_markup(source):
            return text, [Flaw("broken_markup", markup)]
        return text, [*self._language(source, text), *find_flaws(source, text)]

    def _language(self, source: str, text: str) -> list[Flaw]:
        config, flaws = self.config, []
        english, korean = (" ".join(take_apart(t).prose.split()) for t in (source, text))
        letters = letters_of(korean)
        hangul = letters["ko"] / max(1, letters.total())
        if hangul < config.min_hangul:
            detail = f"{hangul:.0%} of its letters are Hangul, at least {config.min_hangul:.0%}"
            flaws.append(Flaw("hangul", f"{detail} are wanted"))
        for name, share in checks.foreign_scripts(korean).items():
            if share > config.max_foreign_script:
                most = f"{share:.1%} of its letters, at most {config.max_foreign_script:.1%}"
                flaws.append(Flaw(f"foreign_{name}", most))
        ratio = len(korean) / max(1, len(english))
        if len(english) >= config.ratio_from:
            if not config.min_ratio <= ratio <= config.max_ratio:
                detail = f"{ratio:.2f} characters per character of the source"
                limits = f"{config.min_ratio:g} to {config.max_ratio:g} are accepted"
                flaws.append(Flaw("ratio", f"{detail}; {limits}"))
        if len(korean) >= config.judged_from and not flaws:
            flaws += self._profile(korean)
        return flaws

    def _profile(self, korean: str) -> list[Flaw]:
        judged = self._filter.apply_to([korean])
        reason, detail = judged.reasons[0], judged.details[0]
        return [] if reason is None else [Flaw(reason, detail)]
