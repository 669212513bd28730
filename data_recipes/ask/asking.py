"""Requests in, as they are needed; answers into the store; stops that lose nothing."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ..common.errors import RecipeError
from .client import Client, Fault, Hopeless, Refused, WrongModel, backoff
from .config import Endpoint, check_cap
from .exchange import Answer, Request, request_body, request_id
from .progress import Follow, Totals, progress_bar
from .store import AnswerStore

# Requests of one endpoint that failed, one after another, after which it is taken to be the
# endpoint that is at fault and not they (our choice).
IN_A_ROW = 20
# Requests that wait for a free connection of their endpoint, per connection, so that a slow
# endpoint does not hold up the others at once.
_WAITING = 2

Seen = Callable[[Request, Answer], None]


def ask(
    requests: Iterable[Request],
    endpoints: dict[str, Endpoint],
    store: AnswerStore,
    *,
    seen: Seen | None = None,
    cap: float | None = None,
    total: int | None = None,
    follow: Follow | None = None,
) -> Totals:
    """Ask until every request has its answer in the store; what is there already is not asked.

    Requests are read as connections become free. Equal requests are asked once. Whenever this
    ends, by an error, by Ctrl-C or by `kill -9`, the answers so far are in the store, and the same
    call goes on from there.

    Args:
        requests: what to ask.
        endpoints: by the name that requests give.
        store: open; holds the answers.
        seen: told every request and its answer, in the order of arrival, those from the store
            included. It may raise `RecipeError` to stop the run.
        cap: no request is sent any more once the answers in the store, and those that could not be
            used, have cost as much; those under way are waited for.
        total: number of requests, for the progress bar's ETA.
        follow: told the totals after every request, in place of a progress bar on stderr.

    Returns:
        What was done. With `failed` above 0 some requests have no answer yet: the next call asks
        them again.

    Raises:
        RecipeError: an endpoint cannot be reached, refuses the key, answers by another model; and,
            after waiting for what is under way, 20 requests to an endpoint failed in a row; the
            cap; whatever `seen` raised. All say what to do.
    """
    try:
        check_cap(endpoints, cap)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    with progress_bar(total, follow) as follow:
        run = _Run(endpoints, store, seen, cap, follow)
        return asyncio.run(run.all(requests))


def answers_to(
    requests: Iterable[Request], endpoints: dict[str, Endpoint], store: AnswerStore
) -> Iterator[tuple[Request, Answer]]:
    """Yield the requests, in their order, with their answers from the store.

    Raises:
        RecipeError: one was never asked.
    """
    for request in requests:
        answer = store.get(request.endpoint, request_id(_endpoint(endpoints, request), request))
        if answer is None:
            raise RecipeError(
                f"{store.folder}: a request to {request.endpoint!r} has no answer yet; run the "
                "command again to ask it"
            )
        yield request, answer


def _endpoint(endpoints: dict[str, Endpoint], request: Request) -> Endpoint:
    if request.endpoint not in endpoints:
        raise RecipeError(
            f"a request names the endpoint {request.endpoint!r}; there are {', '.join(endpoints)}"
        )
    return endpoints[request.endpoint]


@dataclass
class _Line:
    """An endpoint at work: its client, and how many requests it may have at a time."""

    client: Client
    failed: int = 0  # requests, one after another

    def __post_init__(self) -> None:
        concurrency = self.client.endpoint.concurrency
        self.sending = asyncio.Semaphore(concurrency)
        self.read_ahead = asyncio.Semaphore((1 + _WAITING) * concurrency)


class _Run:
    def __init__(
        self,
        endpoints: dict[str, Endpoint],
        store: AnswerStore,
        seen: Seen | None,
        cap: float | None,
        follow: Follow,
    ) -> None:
        self._endpoints = endpoints
        self._store = store
        self._seen = seen
        self._cap = cap
        self._follow = follow
        self._spent = store.spent().cost if cap is not None else 0.0
        self._totals = Totals()
        self._under_way: dict[bytes, asyncio.Event] = {}
        self._error: RecipeError | None = None

    async def all(self, requests: Iterable[Request]) -> Totals:
        self._stop = asyncio.Event()
        lines = {name: _Line(Client(name, own)) for name, own in self._endpoints.items()}
        try:
            async with asyncio.TaskGroup() as tasks:
                try:
                    await self._feed(requests, lines, tasks)
                except RecipeError as error:
                    self._end(error)
        except ExceptionGroup as group:
            # One cause is enough to tell; the others are its like.
            cause: Exception = group
            while isinstance(cause, ExceptionGroup):
                cause = cause.exceptions[0]
            raise cause from None
        finally:
            for line in lines.values():
                await line.client.close()
        if self._error is not None:
            raise self._error
        return self._totals

    async def _feed(
        self, requests: Iterable[Request], lines: dict[str, _Line], tasks: asyncio.TaskGroup
    ) -> None:
        for number, request in enumerate(requests):
            if number % 64 == 0:
                await asyncio.sleep(0)  # answers from the store alone would hold the others up
            key = request_id(_endpoint(self._endpoints, request), request)
            if key in self._under_way:
                await self._under_way[key].wait()
            if self._stop.is_set():
                return
            if self._store.settled(request.endpoint, key):
                self._totals.stored += 1
                self._tell(request, self._store.get(request.endpoint, key))
                continue
            self._check_cap()
            line = lines[request.endpoint]
            await line.client.reach()
            await line.read_ahead.acquire()
            self._under_way[key] = asyncio.Event()
            tasks.create_task(self._work(line, key, request))

    async def _work(self, line: _Line, key: bytes, request: Request) -> None:
        try:
            async with line.sending:
                # When the run is to stop, what waits is not sent.
                if not self._stop.is_set():
                    await self._settle(line, key, request)
        except Hopeless:
            self._stop.set()
            raise  # what is under way will fare no better
        except RecipeError as error:
            self._end(error)
        finally:
            self._under_way.pop(key).set()
            line.read_ahead.release()

    async def _settle(self, line: _Line, key: bytes, request: Request) -> None:
        self._check_cap()
        try:
            answer = await self._tries(line.client, request)
        except Refused as refusal:
            answer = Answer("refused", error=str(refusal))
        if answer is None:  # the run is to stop
            return
        self._store.add(line.client.name, key, answer)
        setattr(self._totals, answer.status, getattr(self._totals, answer.status) + 1)
        self._pay(answer)
        self._watch(line, answer)
        self._tell(request, answer)

    async def _tries(self, client: Client, request: Request) -> Answer | None:
        body = request_body(client.endpoint, request)
        for tries in range(1, client.endpoint.attempts + 1):
            try:
                return await client.once(body)
            except Fault as fault:
                last = fault
            if isinstance(last, WrongModel):
                self._store.pay(client.name, last.answer)
                self._pay(last.answer)
                if not client.right_model:
                    raise Hopeless(str(last))
            if tries < client.endpoint.attempts:
                self._totals.retries += 1
                await self._pause(backoff(client.endpoint, tries, last))
                if self._stop.is_set():
                    return None
        return Answer("failed", error=f"{client.endpoint.attempts} attempts; the last: {last}")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not longer than until the run is to stop."""
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            pass

    def _pay(self, answer: Answer) -> None:
        self._totals.prompt_tokens += answer.prompt_tokens
        self._totals.completion_tokens += answer.completion_tokens
        self._totals.cost += answer.cost
        self._spent += answer.cost

    def _watch(self, line: _Line, answer: Answer) -> None:
        """Stop at an endpoint that fails; one that refuses has read the request, and works."""
        line.failed = line.failed + 1 if answer.status == "failed" else 0
        if line.failed >= IN_A_ROW:
            raise RecipeError(
                f"endpoint {line.client.name!r}: {line.failed} requests in a row were not "
                f"answered, the last: {answer.error}. Look at the server and the endpoint's "
                "settings, and run the same command to go on"
            )

    def _tell(self, request: Request, answer: Answer) -> None:
        self._follow(self._totals)
        if self._seen is not None:
            try:
                self._seen(request, answer)
            except RecipeError as error:
                self._end(error)

    def _check_cap(self) -> None:
        if self._cap is not None and self._spent >= self._cap:
            raise RecipeError(
                f"spending cap of {self._cap:g} reached: {self._spent:.4f} spent. The answers are "
                "kept; raise the cap and run the same command to go on"
            )

    def _end(self, error: RecipeError) -> None:
        self._error = self._error or error
        self._stop.set()
