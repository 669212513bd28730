"""The run: requests in, as they are needed; answers into the store; stops that lose nothing."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import aiohttp
import orjson

from ..common.errors import RecipeError
from .answers import Answer
from .attempts import Caller, Fault, Hopeless, Refused, WrongModel, backoff, pause
from .config import Endpoint, check_cap
from .request import Request, request_body, request_id
from .show import progress_bar
from .store import AnswerStore
from .totals import Totals

# Requests of one endpoint without an answer, one after another, after which it is taken to be the
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
    follow: Callable[[Totals], None] | None = None,
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
            after waiting for what is under way, an endpoint has not answered 20 requests in a row;
            the cap; whatever `seen` raised. All say what to do.
    """
    try:
        check_cap(endpoints, cap)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    with progress_bar(total, follow) as follow:
        run = _Run(endpoints, store, seen or _unseen, cap, follow)
        return asyncio.run(run.all(iter(requests)))


def answers_to(
    requests: Iterable[Request], endpoints: dict[str, Endpoint], store: AnswerStore
) -> Iterator[tuple[Request, Answer]]:
    """The requests, in their order, with their answers from the store.

    Raises:
        RecipeError: one was never asked.
    """
    for request in requests:
        key = request_id(_endpoint(endpoints, request), request)
        answer = store.get(request.endpoint, key)
        if answer is None:
            raise RecipeError(
                f"{store.folder}: a request to {request.endpoint!r} has no answer yet; run the "
                "command again to ask it"
            )
        yield request, answer


def _unseen(request: Request, answer: Answer) -> None:
    pass


def _endpoint(endpoints: dict[str, Endpoint], request: Request) -> Endpoint:
    if request.endpoint not in endpoints:
        raise RecipeError(
            f"a request names the endpoint {request.endpoint!r}; there are {', '.join(endpoints)}"
        )
    return endpoints[request.endpoint]


@dataclass(frozen=True, slots=True)
class _Job:
    key: bytes
    request: Request
    done: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Line:
    caller: Caller
    queue: asyncio.Queue[_Job | None]


class _Run:
    def __init__(
        self,
        endpoints: dict[str, Endpoint],
        store: AnswerStore,
        seen: Seen,
        cap: float | None,
        follow: Callable[[Totals], None],
    ) -> None:
        self._endpoints = endpoints
        self._store = store
        self._seen = seen
        self._cap = cap
        self._follow = follow
        self._spent = store.spent().cost if cap is not None else 0.0
        self._totals = Totals()
        self._under_way: dict[bytes, asyncio.Event] = {}
        self._in_a_row: dict[str, list[bytes]] = {name: [] for name in endpoints}
        self._error: RecipeError | None = None

    async def all(self, requests: Iterator[Request]) -> Totals:
        self._stop = asyncio.Event()
        slots = sum(endpoint.concurrency for endpoint in self._endpoints.values())
        connector = aiohttp.TCPConnector(limit=slots + len(self._endpoints))
        async with aiohttp.ClientSession(connector=connector) as session:
            lines = {
                name: _Line(
                    Caller(name, endpoint, session), asyncio.Queue(_WAITING * endpoint.concurrency)
                )
                for name, endpoint in self._endpoints.items()
            }
            try:
                async with asyncio.TaskGroup() as tasks:
                    for line in lines.values():
                        for _ in range(line.caller.endpoint.concurrency):
                            tasks.create_task(self._work(line))
                    try:
                        await self._feed(requests, lines)
                    except RecipeError as error:
                        self._end(error)
                    for line in lines.values():
                        for _ in range(line.caller.endpoint.concurrency):
                            await line.queue.put(None)
            except ExceptionGroup as group:
                # One cause is enough to tell; the others are its like.
                cause: Exception = group
                while isinstance(cause, ExceptionGroup):
                    cause = cause.exceptions[0]
                raise cause from None
        if self._error is not None:
            raise self._error
        return self._totals

    async def _feed(self, requests: Iterator[Request], lines: dict[str, _Line]) -> None:
        for number, request in enumerate(requests):
            if number % 64 == 0:
                await asyncio.sleep(0)  # answers from the store alone would hold the others up
            endpoint = _endpoint(self._endpoints, request)
            key = request_id(endpoint, request)
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
            await line.caller.reach()
            self._under_way[key] = asyncio.Event()
            await line.queue.put(_Job(key, request, self._under_way[key]))

    async def _work(self, line: _Line) -> None:
        while (job := await line.queue.get()) is not None:
            try:
                # When the run is to stop, what waits is not sent.
                if not self._stop.is_set():
                    await self._settle(line.caller, job)
            except Hopeless:
                raise  # what is under way will fare no better
            except RecipeError as error:
                self._end(error)
            finally:
                del self._under_way[job.key]
                job.done.set()

    async def _settle(self, caller: Caller, job: _Job) -> None:
        self._check_cap()
        try:
            answer = await self._tries(caller, job.request)
        except Refused as refusal:
            answer = Answer("refused", error=str(refusal))
        if answer is None:  # the run is to stop
            return
        self._store.add(caller.name, job.key, answer)
        self._count(answer)
        self._watch(caller.name, job.key, answer)
        self._tell(job.request, answer)

    async def _tries(self, caller: Caller, request: Request) -> Answer | None:
        body = orjson.dumps(request_body(caller.endpoint, request))
        for tries in range(1, caller.endpoint.attempts + 1):
            try:
                return await caller.once(body)
            except Fault as fault:
                last = fault
            if isinstance(last, WrongModel):
                self._store.pay(caller.name, last.answer)
                self._pay(last.answer)
                if not caller.right_model:
                    raise Hopeless(str(last))
            if tries < caller.endpoint.attempts:
                self._totals.retries += 1
                await pause(self._stop, backoff(caller.endpoint, tries, last))
                if self._stop.is_set():
                    return None
        return Answer("failed", error=f"{caller.endpoint.attempts} attempts; the last: {last}")

    def _count(self, answer: Answer) -> None:
        setattr(self._totals, answer.status, getattr(self._totals, answer.status) + 1)
        self._pay(answer)

    def _pay(self, answer: Answer) -> None:
        self._totals.prompt_tokens += answer.prompt_tokens
        self._totals.completion_tokens += answer.completion_tokens
        self._totals.cost += answer.cost
        self._spent += answer.cost

    def _watch(self, name: str, key: bytes, answer: Answer) -> None:
        row = self._in_a_row[name]
        if answer.status == "answered":
            row.clear()
            return
        row.append(key)
        if len(row) >= IN_A_ROW:
            # They are not at fault, so the next run asks them again.
            self._store.forget(name, row)
            raise RecipeError(
                f"endpoint {name!r}: {len(row)} requests in a row were not answered, the last: "
                f"{answer.error}. Look at the server and the endpoint's settings, and run the same "
                "command to go on"
            )

    def _tell(self, request: Request, answer: Answer) -> None:
        self._follow(self._totals)
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
