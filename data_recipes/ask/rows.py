"""The one way in which rows are asked about: requests out, answers checked, outcomes kept.

A room says what it asks about a row (`Stage.requests`) and what it makes of the answers
(`Stage.check`). Everything is asked first, which fills the store of answers, in whatever order they
come; then outcomes are made in the order of the rows. So what is written depends on the answers
alone, and not on how often the run was killed.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

import orjson
from tqdm import tqdm

from ..common.errors import RecipeError
from ..common.files import open_staged
from ..common.line_log import LineLog, batches
from .asking import Seen, answers_to, ask
from .config import Endpoint
from .exchange import Answer, Request, Spent
from .progress import Follow
from .store import AnswerStore

# Rows that are checked at a time: what checking needs can run side by side, and memory is bounded.
_AT_ONCE = 64

Row = TypeVar("Row")
Outcome = dict[str, Any]
AskMore = Callable[[list[Request]], list[Answer]]


class Stage(ABC, Generic[Row]):
    """What is asked about every row, and what becomes of it.

    Attributes:
        name: names its files.
        endpoints: that it asks, by name.
    """

    name: str
    endpoints: dict[str, Endpoint]

    @abstractmethod
    def requests(self, row: Row) -> list[Request]:
        """Return what is asked about a row; nothing leaves it to `check` alone."""

    @abstractmethod
    def check(self, rows: list[tuple[Row, list[Answer]]], ask_more: AskMore) -> list[Outcome]:
        """Make an outcome, which JSON can hold, of each row.

        Args:
            rows: with the answers to their requests, in order.
            ask_more: asks what follows from the answers, under the same cap.
        """


def ask_about(
    rows: Callable[[], Iterator[Row]],
    stage: Stage[Row],
    store: AnswerStore,
    *,
    cap: float | None = None,
    seen: Seen | None = None,
    follow: Follow | None = None,
    at_once: int = _AT_ONCE,
) -> Iterator[tuple[Row, Outcome]]:
    """Ask about all rows, then yield each with its outcome, in order.

    Args:
        rows: called again for every reading.
        stage: what is asked, and what becomes of it.
        store: open; holds the answers.
        cap: spending in this store at which asking stops.
        seen: as of `ask`.
        follow: as of `ask`.
        at_once: rows that are checked together.

    Raises:
        RecipeError: as of `ask`.
    """

    def requests() -> Iterator[Request]:
        return (request for row in rows() for request in stage.requests(row))

    def ask_more(more: list[Request]) -> list[Answer]:
        if more:
            ask(more, stage.endpoints, store, cap=cap, follow=lambda totals: None)
        return [answer for _, answer in answers_to(more, stage.endpoints, store)]

    total = sum(1 for _ in requests()) if follow is None else None
    ask(requests(), stage.endpoints, store, seen=seen, cap=cap, total=total, follow=follow)
    for some in batches(rows(), at_once):
        answered = [
            (row, [a for _, a in answers_to(stage.requests(row), stage.endpoints, store)])
            for row in some
        ]
        yield from zip(some, stage.check(answered, ask_more), strict=True)


class Funnel(Generic[Row]):
    """Stages one after another, each asked about the rows that the one before passes on.

    Every outcome is a line in a log, in the order of the rows; answers and logs go on where a run
    was killed.

    Args:
        folder: of the run; `answers` and `outcomes` are made in it.
        rows: called again for every reading.
        key: of a row; outcomes must have it as `id`.
        stages: in their order.
        passes_on: whether an outcome sends its row to the next stage.
    """

    def __init__(
        self,
        folder: Path,
        rows: Callable[[], Iterator[Row]],
        key: Callable[[Row], str],
        stages: list[Stage[Row]],
        passes_on: Callable[[Outcome], bool],
    ) -> None:
        self.stages = stages
        self._folder = folder
        self._rows = rows
        self._key = key
        self._passes_on = passes_on

    def run(self, total: int, cap: float | None) -> None:
        """Ask and check what is not yet.

        Args:
            total: number of rows.
            cap: spending at which asking stops, over all runs and stages.

        Raises:
            RecipeError: as of `ask`.
        """
        for number, stage in enumerate(self.stages):
            own_cap = None
            if cap is not None:
                others = sum(self.spent(s).cost for s in self.stages if s is not stage)
                own_cap = max(0.0, cap - others)
            self._run_stage(number, total, own_cap)
            total = sum(1 for _ in self._reach(number + 1))

    def _run_stage(self, number: int, total: int, cap: float | None) -> None:
        stage, log = self.stages[number], self._log(self.stages[number])
        done = log.count()
        if done == total:
            return
        print(f"{stage.name}: {total - done:,} of {total:,} rows", flush=True)

        def rest() -> Iterator[Row]:
            return islice(self._reach(number), done, None)

        with self._store(stage) as store, log:
            outcomes = ask_about(rest, stage, store, cap=cap)
            with tqdm(total=total, initial=done, unit=" rows", desc="checked") as bar:
                for _, outcome in outcomes:
                    log.add(outcome)
                    bar.update()

    def fates(self) -> Iterator[tuple[Row, list[Outcome]]]:
        """Yield every row with the outcomes of the stages that it reached.

        Raises:
            RecipeError: a stage is not through, or its outcomes are those of other rows.
        """
        logs = [self._log(stage).rows() for stage in self.stages]
        for row in self._rows():
            history: list[Outcome] = []
            for stage, log in zip(self.stages, logs):
                history.append(self._matching(stage, row, next(log, None)))
                if not self._passes_on(history[-1]):
                    break
            yield row, history

    def spent(self, stage: Stage[Row]) -> Spent:
        """Return what the answers of a stage cost, over all runs."""
        with self._store(stage) as store:
            return store.spent()

    def _store(self, stage: Stage[Row]) -> AnswerStore:
        return AnswerStore(self._folder / "answers" / stage.name)

    def _log(self, stage: Stage[Row]) -> LineLog:
        # `done` is where a recipe's settings look for work that was finished under them.
        return LineLog(
            self._folder / "outcomes" / "done" / f"{stage.name}.jsonl",
            "delete the file, and the command makes it again from the answers that are kept",
        )

    def _matching(self, stage: Stage[Row], row: Row, outcome: Outcome | None) -> Outcome:
        path = self._log(stage).path
        if outcome is None:
            raise RecipeError(f"{path}: not whole; run the same command to go on")
        if outcome["id"] != self._key(row):
            raise RecipeError(
                f"{path}: has {outcome['id']!r} where the row is {self._key(row)!r}; delete "
                f"{path.parents[1]} and run the same command again, answers are kept"
            )
        return outcome

    def _reach(self, number: int) -> Iterator[Row]:
        """Rows that reach a stage, as far as the one before is through."""
        if number == 0:
            yield from self._rows()
            return
        before = self.stages[number - 1]
        for row, outcome in zip(self._reach(number - 1), self._log(before).rows()):
            if self._passes_on(self._matching(before, row, outcome)):
                yield row


@contextmanager
def row_files(paths: dict[str, Path]) -> Iterator[Callable[[str, dict[str, Any]], None]]:
    """Yield what writes a row to one of some JSONL files; all get their names once all are whole.

    Args:
        paths: by the name that is written to.

    Raises:
        RecipeError: the disk is full.
    """
    with ExitStack() as stack:
        files = {name: stack.enter_context(open_staged(path, "wb")) for name, path in paths.items()}

        def write(name: str, row: dict[str, Any]) -> None:
            files[name].write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

        yield write
