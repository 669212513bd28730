"""Rounds of translation: every row to a model, the rows with flaws to the next one."""

from dataclasses import asdict, dataclass

from sacrebleu import sentence_chrf

from ..ask import Answer, Request
from ..ask.prompts import Prompt
from ..ask.rows import AskMore, Funnel, Outcome, Stage
from ..synthesize.seeds import assign
from .checks import Checker
from .config import BACK, CONFIGS, COPIED, TranslateConfig
from .invariants import Flaw
from .rows import Row, cut, rows_of

VARIABLES = {"text"}


def translator_of(config: TranslateConfig, row_id: str, round_number: int) -> str:
    """Name who has a row in a round; over all rounds everyone has it once."""
    left = {name: translator.weight for name, translator in config.translators.items()}
    for _ in range(round_number):
        del left[assign(row_id, "translator", left)]
    return assign(row_id, "translator", left)


@dataclass(frozen=True)
class TranslationPrompts:
    """Of a recipe."""

    translate: Prompt
    back: Prompt | None


def load_prompts(config: TranslateConfig) -> TranslationPrompts:
    """Load the prompts of a recipe.

    Raises:
        RecipeError: a template is missing or wrong.
    """
    back = config.back_translation
    return TranslationPrompts(
        Prompt(config.prompt, CONFIGS, VARIABLES),
        Prompt(back.prompt, CONFIGS, VARIABLES) if back else None,
    )


@dataclass(slots=True)
class _Attempt:
    """A segment on its way."""

    where: str
    source: str
    text: str
    flaws: list[Flaw]
    chrf: float | None = None


class Round(Stage[Row]):
    """One round.

    Args:
        config: the recipe.
        number: from 0 on.
        prompts: of the recipe.
        checker: of translations.
    """

    def __init__(
        self, config: TranslateConfig, number: int, prompts: TranslationPrompts, checker: Checker
    ) -> None:
        self.name = f"round-{number + 1}"
        self.endpoints = config.endpoints
        self._config = config
        self._number = number
        self._prompts = prompts
        self._checker = checker

    def requests(self, row: Row) -> list[Request]:
        """One for each segment that is translated."""
        name = translator_of(self._config, row["id"], self._number)
        return [
            Request(name, self._prompts.translate.messages(text=segment.text))
            for segment in cut(row, self._config.fields)
            if segment.asked
        ]

    def check(self, rows: list[tuple[Row, list[Answer]]], ask_more: AskMore) -> list[Outcome]:
        attempts = [self._attempts(row, answers) for row, answers in rows]
        if self._config.back_translation is not None:
            # Of rows without a flaw alone: the others are not kept anyway.
            whole = [own for own in attempts if not any(attempt.flaws for attempt in own)]
            self._translate_back([attempt for own in whole for attempt in own], ask_more)
        return [
            {
                "id": row["id"],
                "translator": (
                    translator_of(self._config, row["id"], self._number) if own else COPIED
                ),
                "texts": [attempt.text for attempt in own],
                "flaws": [{"field": a.where, **asdict(flaw)} for a in own for flaw in a.flaws],
                **({"chrf": [a.chrf for a in own]} if self._config.back_translation else {}),
            }
            for (row, _), own in zip(rows, attempts)
        ]

    def _attempts(self, row: Row, answers: list[Answer]) -> list[_Attempt]:
        asked = [segment for segment in cut(row, self._config.fields) if segment.asked]
        return [
            _Attempt(segment.where, segment.text, *self._checker.check(segment.text, answer))
            for segment, answer in zip(asked, answers, strict=True)
        ]

    def _translate_back(self, attempts: list[_Attempt], ask_more: AskMore) -> None:
        least = self._config.back_translation.min_chrf
        requests = [Request(BACK, self._prompts.back.messages(text=a.text)) for a in attempts]
        for attempt, answer in zip(attempts, ask_more(requests)):
            if answer.missing():
                attempt.flaws.append(Flaw("no_back_translation", "it was not answered in full"))
                continue
            # chrF2 of Popović (2015), 0 to 100.
            back = answer.split_thoughts()[1]
            attempt.chrf = round(sentence_chrf(back, [attempt.source]).score, 1)
            if attempt.chrf < least:
                detail = f"chrF {attempt.chrf:g}, at least {least:g} is wanted"
                attempt.flaws.append(Flaw("low_back_translation", detail))


def make_funnel(config: TranslateConfig, prompts: TranslationPrompts) -> Funnel[Row]:
    """Build as many rounds as there are translators."""
    checker = Checker(config.checks, prompts.translate.instructions(text=""))
    return Funnel(
        config.output_dir,
        lambda: rows_of(config.items),
        lambda row: row["id"],
        [Round(config, number, prompts, checker) for number in range(len(config.translators))],
        passes_on=lambda outcome: bool(outcome["flaws"]),
    )
