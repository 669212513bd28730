"""A pass over rows: all of them asked about, then judged, one outcome a line."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from tqdm import tqdm

from ..common.line_log import LineLog, batches
from . import AnswerStore, Endpoint, Request, Spent, ask

# Rows that are judged at a time: what judging needs can run side by side, and memory is bounded.
_AT_ONCE = 64

Row = TypeVar("Row")


@dataclass(frozen=True)
class Pass(Generic[Row]):
    """A pass, which goes on where it was killed.

    Attributes:
        name: for the terminal.
        rows: what it is over, in order; called again for every reading.
        endpoints: that are asked, by name.
        answers: folder of their answers.
        log: outcomes, in the order of the rows.
        requests: about some rows.
        judge: outcomes of some rows whose answers are in the store. It may ask more.
    """

    name: str
    rows: Callable[[], Iterator[Row]]
    endpoints: dict[str, Endpoint]
    answers: Path
    log: LineLog
    requests: Callable[[Iterable[Row]], Iterator[Request]]
    judge: Callable[[list[Row], AnswerStore], list[dict[str, Any]]]

    def spent(self) -> Spent:
        """What its answers cost, over all runs."""
        with AnswerStore(self.answers) as store:
            return store.spent()

    def run(self, total: int, cap: float | None) -> None:
        """Ask and judge what is not yet.

        Args:
            total: number of rows.
            cap: spending at which asking stops, over all runs of this pass.

        Raises:
            RecipeError: as of `client.ask`.
        """
        done = self.log.count()
        if done == total:
            return
        print(f"{self.name}: {total - done:,} of {total:,} rows", flush=True)
        count = sum(1 for _ in self.requests(self._rest(done)))
        with AnswerStore(self.answers) as store, self.log:
            ask(self.requests(self._rest(done)), self.endpoints, store, cap=cap, total=count)
            with tqdm(total=total, initial=done, unit=" rows", desc="judged") as bar:
                for some in batches(self._rest(done), _AT_ONCE):
                    for outcome in self.judge(some, store):
                        self.log.add(outcome)
                    bar.update(len(some))

    def _rest(self, done: int) -> Iterator[Row]:
        return islice(self.rows(), done, None)
