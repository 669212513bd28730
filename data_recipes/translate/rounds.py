"""Rounds of translation: every row to a model, the rows with flaws to the next one."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ..ask import AnswerStore, Endpoint, Request, Spent, answers_to, ask
from ..ask.passes import Pass
from ..ask.prompts import Prompt
from ..common.errors import RecipeError
from ..common.line_log import LineLog
from ..synthesize.assign import assign
from .checks import Checker
from .chrf import chrf
from .config import BACK, CONFIGS, COPIED, TranslateConfig
from .invariants import Flaw
from .rows import Row
from .segments import cut

Outcome = dict[str, Any]
VARIABLES = {"text"}


def translator_of(config: TranslateConfig, row_id: str, round_number: int) -> str:
    """Who has a row in a round; over all rounds everyone has it once."""
    left = {name: translator.weight for name, translator in config.translators.items()}
    for _ in range(round_number):
        del left[assign(row_id, "translator", left)]
    return assign(row_id, "translator", left)


@dataclass(frozen=True)
class Prompts:
    """Of a recipe.

    Raises:
        RecipeError: a template is missing or wrong.
    """

    translate: Prompt
    back: Prompt | None

    @classmethod
    def of(cls, config: TranslateConfig) -> "Prompts":
        back = config.back_translation
        return cls(
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


class Round:
    """One round.

    Args:
        config: the recipe.
        number: from 0 on.
        rows: that reach it; called again for every reading.
        prompts: of the recipe.
        checker: of translations.
    """

    def __init__(
        self,
        config: TranslateConfig,
        number: int,
        rows: Callable[[], Iterator[Row]],
        prompts: Prompts,
        checker: Checker,
    ) -> None:
        self.config = config
        self.number = number
        self.rows = rows
        self._prompts = prompts
        self._checker = checker
        self._cap: float | None = None
        endpoints: dict[str, Endpoint] = dict(config.translators)
        if config.back_translation:
            endpoints[BACK] = config.back_translation.endpoint
        name = f"round-{number + 1}"
        # `done`, as `claim` looks for what was finished under the settings.
        self.log = LineLog(config.outcomes_dir / "done" / f"{name}.jsonl")
        answers = config.output_dir / "answers" / name
        self._pass = Pass(name, rows, endpoints, answers, self.log, self.requests, self.judge)

    def run(self, total: int, cap: float | None) -> None:
        """Ask and judge what is not yet; as of `Pass.run`."""
        self._cap = cap
        self._pass.run(total, cap)

    def spent(self) -> Spent:
        """What its answers cost, over all runs."""
        return self._pass.spent()

    def left(self) -> Iterator[Row]:
        """Rows that nobody has translated well so far."""
        for row, outcome in zip(self.rows(), self.log.rows()):
            if outcome["id"] != row["id"]:
                raise RecipeError(
                    f"{self.log.path}: has {outcome['id']!r} where the row is {row['id']!r}; "
                    f"delete {self.config.outcomes_dir} and run the same command again, answers "
                    "are kept"
                )
            if outcome["flaws"]:
                yield row

    def requests(self, rows: Iterable[Row]) -> Iterator[Request]:
        """One for each segment that is translated."""
        for row in rows:
            name = translator_of(self.config, row["id"], self.number)
            for segment in cut(row, self.config.fields):
                if segment.asked:
                    messages = self._prompts.translate.messages(text=segment.text)
                    yield Request(name, messages, data=(row["id"], segment))

    def judge(self, rows: list[Row], store: AnswerStore) -> list[Outcome]:
        """Outcomes of rows."""
        attempts: dict[str, list[_Attempt]] = {row["id"]: [] for row in rows}
        endpoints = dict(self.config.translators)
        for request, answer in answers_to(self.requests(rows), endpoints, store):
            row_id, segment = request.data
            text, flaws = self._checker.check(segment.text, answer)
            attempts[row_id].append(_Attempt(segment.where, segment.text, text, flaws))
        if self.config.back_translation is not None:
            whole = [own for own in attempts.values() if not any(a.flaws for a in own)]
            self._translate_back([attempt for own in whole for attempt in own], store)
        return [
            {
                "id": row["id"],
                "translator": translator_of(self.config, row["id"], self.number) if own else COPIED,
                "texts": [attempt.text for attempt in own],
                "flaws": [{"field": a.where, **asdict(flaw)} for a in own for flaw in a.flaws],
                **({"chrf": [a.chrf for a in own]} if self.config.back_translation else {}),
            }
            for row, own in ((row, attempts[row["id"]]) for row in rows)
        ]

    def _translate_back(self, attempts: list[_Attempt], store: AnswerStore) -> None:
        back = self.config.back_translation
        requests = [Request(BACK, self._prompts.back.messages(text=a.text)) for a in attempts]
        endpoints = {BACK: back.endpoint}
        ask(requests, endpoints, store, cap=self._cap, follow=lambda totals: None)
        for attempt, (_, answer) in zip(attempts, answers_to(requests, endpoints, store)):
            if answer.status != "answered" or answer.finish_reason != "stop":
                attempt.flaws.append(Flaw("no_back_translation", "it was not answered in full"))
                continue
            attempt.chrf = round(chrf(answer.text, attempt.source), 1)
            if attempt.chrf < back.min_chrf:
                detail = f"chrF {attempt.chrf:g}, at least {back.min_chrf:g} is wanted"
                attempt.flaws.append(Flaw("low_back_translation", detail))
