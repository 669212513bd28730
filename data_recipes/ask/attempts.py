"""One request, tried until it is answered: which faults are worth another try, and when."""

import asyncio
import email.utils
import itertools
import random
import time

import aiohttp

from ..common.errors import RecipeError
from .answers import Answer, BrokenReply, parse_answer, shown
from .config import Endpoint

_LONGEST_BACKOFF = 60.0  # seconds; our choice
# What a server says when the whole run is at fault, not one request.
_NO_ACCESS = (401, 402, 403, 404, 405)
_TOO_MANY = 429
_CONNECT_SECONDS = 30  # our choice


class Fault(Exception):
    """No answer this time. `wait` is how long the server asked to be left alone, in seconds."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class WrongModel(Fault):
    """An answer by another model, which is paid for all the same."""

    def __init__(self, name: str, endpoint: Endpoint, answer: Answer) -> None:
        super().__init__(
            f"endpoint {name!r}: answered by model {answer.model!r}, not {endpoint.identity!r}; "
            "correct `model`, or give that name as `answers_as` if it is the same model"
        )
        self.answer = answer


class Refused(Exception):
    """The server will not answer this request."""


def retry_after(value: str | None) -> float:
    """Seconds in a Retry-After header, which is a number or a date (RFC 9110, 10.2.3)."""
    if not value:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0


def backoff(endpoint: Endpoint, tries: int, fault: Fault) -> float:
    """Seconds to wait after `tries` tries.

    A uniform draw up to a bound that doubles ("full jitter", Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015), after what the server asked for.
    """
    bound = min(_LONGEST_BACKOFF, endpoint.backoff_seconds * 2 ** (tries - 1))
    return fault.wait + random.uniform(0, bound)


class Hopeless(RecipeError):
    """No request to the endpoint will be answered: its settings are wrong."""


class Caller:
    """Sends requests to one endpoint.

    Args:
        name: of the endpoint.
        endpoint: the endpoint.
        session: to send with; closed by its owner.

    Raises:
        RecipeError: the key is not in the environment.
    """

    def __init__(self, name: str, endpoint: Endpoint, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.endpoint = endpoint
        self._session = session
        self._headers = endpoint.headers(name)
        self._reached = False
        self._right_model = False
        self._turn = itertools.count()

    async def reach(self) -> None:
        """Look whether the servers are there, once, before anything is asked of them.

        Raises:
            RecipeError: nothing answers at an address, or the key is not accepted there.
        """
        if not self._reached:
            for server in self.endpoint.servers:
                await self._reach(server)
        self._reached = True

    async def _reach(self, server: str) -> None:
        timeout = aiohttp.ClientTimeout(total=_CONNECT_SECONDS)
        try:
            async with self._session.get(
                f"{server}/models", headers=self._headers, timeout=timeout
            ) as reply:
                if reply.status in (401, 403):
                    raise self._no_access(server, reply.status, await reply.read())
        except aiohttp.ClientConnectorError as error:
            raise RecipeError(
                f"endpoint {self.name!r}: nothing answers at {server} ({error}); start the server, "
                "or correct base_url"
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass  # it is there, and tries of a request are patient with what else it does

    async def once(self, body: bytes) -> Answer:
        """Send a request one time.

        Raises:
            Fault: another try may help.
            Refused: none will.
            Hopeless: neither will any other request.
        """
        endpoint = self.endpoint
        # In turn, so that another try goes to another server.
        server = endpoint.servers[next(self._turn) % len(endpoint.servers)]
        try:
            async with self._session.post(
                f"{server}/chat/completions",
                data=body,
                headers={"Content-Type": "application/json", **self._headers},
                timeout=aiohttp.ClientTimeout(
                    total=endpoint.timeout_seconds, sock_connect=_CONNECT_SECONDS
                ),
            ) as reply:
                status, content = reply.status, await reply.read()
                wait = retry_after(reply.headers.get("Retry-After"))
        except TimeoutError as error:
            raise Fault(f"no answer within {endpoint.timeout_seconds:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Fault(f"connection lost ({type(error).__name__}: {error})") from error
        if status == _TOO_MANY or status >= 500:
            raise Fault(f"HTTP {status}: {shown(content)}", wait)
        if status in _NO_ACCESS:
            raise self._no_access(server, status, content)
        if status >= 300:
            raise Refused(f"HTTP {status}: {shown(content)}")
        try:
            answer = parse_answer(endpoint, content)
        except BrokenReply as error:
            raise Fault(str(error)) from error
        self._check(answer)
        return answer

    def _check(self, answer: Answer) -> None:
        if answer.model != self.endpoint.identity:
            raise WrongModel(self.name, self.endpoint, answer)
        self._right_model = True
        if self.endpoint.has_price and not answer.prompt_tokens:
            raise Hopeless(
                f"endpoint {self.name!r}: its answers do not say how many tokens they took, so its "
                "prices cannot be counted; leave prompt_price and completion_price out"
            )

    def _no_access(self, server: str, status: int, content: bytes) -> Hopeless:
        key = self.endpoint.api_key_env or "none is sent; name its variable as api_key_env"
        return Hopeless(
            f"endpoint {self.name!r}: {server} says HTTP {status}: {shown(content)}; check "
            f"base_url, model and the key ({key})"
        )

    @property
    def right_model(self) -> bool:
        """Whether the model that was asked for has answered yet."""
        return self._right_model


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Wait, but not longer than until the run is to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        pass
