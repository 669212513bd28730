"""Requests to one endpoint through the OpenAI client library, and what its replies are worth.

The library sends, keeps connections and times out. Its own retries are off: a try goes to the next
server of the endpoint, ends when the run does, and is worth repeating for replies as well that the
library takes for answers (JSON that was cut off, another model, no choices).
"""

import asyncio
import email.utils
import itertools
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from ..common.errors import RecipeError
from .config import Endpoint
from .exchange import Answer

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

_SHOWN = 300  # characters of a server's reply that go into a message
_LONGEST_BACKOFF = 60.0  # seconds; our choice
_LONGEST_RETRY_AFTER = 3600.0  # seconds; our choice
# What a server says when the whole run is at fault, not one request.
_NO_ACCESS = (401, 402, 403, 404, 405)
# Time-out, conflict, too early, too many: another try may help.
_TRY_AGAIN = (408, 409, 425, 429)
_CONNECT_SECONDS = 30  # our choice
_MOST_TOKENS = 2**31  # no answer takes as many


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


class Hopeless(RecipeError):
    """No request to the endpoint will be answered: its settings are wrong."""


def retry_after(value: str | None) -> float:
    """Read the seconds in a Retry-After header, a number or a date (RFC 9110, 10.2.3)."""
    try:
        wait = float(value or 0)
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except ValueError:
            return 0.0
    return min(max(0.0, wait), _LONGEST_RETRY_AFTER)


def backoff(endpoint: Endpoint, tries: int, fault: Fault) -> float:
    """Draw the seconds to wait after `tries` tries.

    A uniform draw up to a bound that doubles ("full jitter", Brooker, "Exponential Backoff And
    Jitter", AWS Architecture Blog, 2015), after what the server asked for.
    """
    bound = min(_LONGEST_BACKOFF, endpoint.backoff_seconds * 2 ** (tries - 1))
    return fault.wait + random.uniform(0, bound)


def _shown(reply: bytes) -> str:
    """Shorten a server's reply for a message: its own words where there are some."""
    text = reply.decode("utf-8", "replace")
    try:
        error = orjson.loads(text)
        for key in ("error", "message", "detail"):
            if isinstance(error, dict) and error.get(key):
                error = error[key]
        text = error if isinstance(error, str) else text
    except orjson.JSONDecodeError:
        pass
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _unreachable(error: BaseException | None) -> BaseException | None:
    """Return the cause of an error that says that nothing listens at an address, if it has one."""
    import aiohttp

    while error is not None and not isinstance(error, aiohttp.ClientConnectorError):
        error = error.__cause__ or error.__context__
    return error


def _is_tokens(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MOST_TOKENS


def read_reply(endpoint: Endpoint, reply: bytes) -> Answer:
    """Read a chat completion, every field checked, since what is wrong must not reach the store.

    Raises:
        Fault: not JSON (a cut connection, most often), or not what a completion is made of.
    """
    try:
        body = orjson.loads(reply)
        choice = body["choices"][0]
        message = choice["message"]
        usage = {} if body.get("usage") is None else body["usage"]
        # Servers that do not count leave fields out, or empty.
        tokens = [usage.get(f"{kind}_tokens") or 0 for kind in ("prompt", "completion")]
        reasoning = message.get("reasoning_content") or message.get("reasoning") or ""
        answer = Answer(
            "answered",
            "" if message.get("content") is None else message["content"],
            reasoning,
            choice.get("finish_reason"),
            body["model"],
            *tokens,
        )
    except (orjson.JSONDecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Fault(f"not a chat completion ({error!r}): {_shown(reply)}") from error
    for name, fits in (
        ("content", isinstance(answer.text, str)),
        ("reasoning_content", isinstance(answer.reasoning, str)),
        ("finish_reason", isinstance(answer.finish_reason, str | None)),
        ("model", isinstance(answer.model, str)),
        ("usage", all(map(_is_tokens, tokens))),
    ):
        if not fits:
            raise Fault(f"not a chat completion (bad `{name}`): {_shown(reply)}")
    return replace(answer, cost=endpoint.cost(*tokens))


class Client:
    """Sends requests to one endpoint.

    Args:
        name: of the endpoint.
        endpoint: the endpoint.

    Raises:
        RecipeError: the key is not in the environment.
    """

    def __init__(self, name: str, endpoint: Endpoint) -> None:
        self.name = name
        self.endpoint = endpoint
        self.right_model = False  # whether the model that was asked for has answered yet
        self._key = endpoint.key(name)
        self._headers: dict[str, Any] = {}
        self._servers: list[AsyncOpenAI] = []
        self._turn = itertools.count()

    async def reach(self) -> None:
        """Look whether the servers are there, once, before anything is asked of them.

        Raises:
            RecipeError: nothing answers at an address, or the key is not accepted there.
        """
        if self._servers:
            return
        # A second of imports, which `--help` and a finished run do without.
        import aiohttp
        import httpx2
        import openai

        if not self._key:  # a server that needs none is sent none
            self._headers = {"Authorization": openai.Omit()}
        for address in self.endpoint.servers:
            server = openai.AsyncOpenAI(
                base_url=address,
                api_key=self._key or "none",  # it does not go without
                max_retries=0,
                timeout=openai.Timeout(self.endpoint.timeout_seconds, connect=_CONNECT_SECONDS),
                # aiohttp takes a quarter of the CPU of the library's default, whose pool looks at
                # all of its connections at every request. Addresses are reached directly: the
                # servers of a cluster are not behind the proxy that its nodes have.
                http_client=openai.DefaultAioHttpClient(
                    limits=httpx2.Limits(max_connections=None), trust_env=False
                ),
            )
            self._servers.append(server)
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    await server.models.with_raw_response.list(extra_headers=self._headers)
            except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
                raise self._no_access(address, error) from error
            except openai.APIConnectionError as error:
                if cause := _unreachable(error):
                    raise RecipeError(
                        f"endpoint {self.name!r}: nothing answers at {address} ({cause}); start "
                        "the server, or correct base_url"
                    ) from error
                # It is there, and tries of a request are patient with what else it does.
            except (openai.OpenAIError, aiohttp.ClientError, TimeoutError):
                pass

    async def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            await server.close()

    async def once(self, body: dict[str, Any]) -> Answer:
        """Send a request one time.

        Args:
            body: as `request_body` builds it.

        Raises:
            Fault: another try may help.
            Refused: none will.
            Hopeless: neither will any other request.
        """
        import aiohttp
        import httpx2
        import openai

        # In turn, so that another try goes to another server.
        turn = next(self._turn) % len(self._servers)
        try:
            # The library's own time-out is of each wait for a byte, not of the whole answer.
            async with asyncio.timeout(self.endpoint.timeout_seconds):
                # Not `chat.completions.create`, which takes the messages apart at every request
                # and reads replies leniently.
                reply = await self._servers[turn].post(
                    "/chat/completions",
                    body=body,
                    cast_to=httpx2.Response,
                    options={"headers": self._headers},
                )
        except TimeoutError as error:
            raise Fault(f"no answer within {self.endpoint.timeout_seconds:g} s") from error
        # Not all of aiohttp's own errors become the library's.
        except (openai.APIConnectionError, aiohttp.ClientError) as error:
            cause = _unreachable(error) or error.__cause__ or error
            raise Fault(f"connection lost ({type(cause).__name__}: {cause})") from error
        except openai.APIStatusError as error:
            status, said = error.status_code, _shown(error.response.content)
            if status in _TRY_AGAIN or status >= 500:
                wait = retry_after(error.response.headers.get("Retry-After"))
                raise Fault(f"HTTP {status}: {said}", wait) from error
            if status in _NO_ACCESS:
                raise self._no_access(self.endpoint.servers[turn], error) from error
            raise Refused(f"HTTP {status}: {said}") from error
        answer = read_reply(self.endpoint, reply.content)
        self._check(answer)
        return answer

    def _check(self, answer: Answer) -> None:
        if answer.model != self.endpoint.identity:
            raise WrongModel(self.name, self.endpoint, answer)
        self.right_model = True
        if self.endpoint.has_price and not answer.prompt_tokens:
            raise Hopeless(
                f"endpoint {self.name!r}: its answers do not say how many tokens they took, so its "
                "prices cannot be counted; leave prompt_price and completion_price out"
            )

    def _no_access(self, server: str, error: "APIStatusError") -> Hopeless:
        key = self.endpoint.api_key_env or "none is sent; name its variable as api_key_env"
        return Hopeless(
            f"endpoint {self.name!r}: {server} says HTTP {error.status_code}: "
            f"{_shown(error.response.content)}; check base_url, model and the key ({key})"
        )
