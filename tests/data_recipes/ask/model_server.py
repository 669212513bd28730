"""A server with the API of OpenAI's chat completions, and with the faults that servers have."""

import asyncio
import hashlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from data_recipes.ask import Endpoint, Sampling

MODEL = "stub-1b"
FAULTS = ("429", "500", "hang", "drop", "truncated", "wrong_model", "not_a_completion", "lost")
# Takes the text of the prompt and how often it was asked before; gives a fault, or None.
Faults = Callable[[str, int], str | None]
Write = Callable[[dict[str, Any]], str | dict[str, Any]]


def echo(body: dict[str, Any]) -> str:
    """A text that depends on everything that was asked."""
    return "answer " + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def no_fault(prompt: str, tries: int) -> str | None:
    return None


class ModelServer:
    """Answers what `write` writes, which gives a text or fields of a choice; see `FAULTS`.

    Attributes:
        asked: how often each prompt was asked.
        answered: how often each was answered without a fault.
        busiest: most requests under way at one time.
        key: what clients must send, if not empty.
        delay: seconds that an answer takes.
    """

    def __init__(self, write: Write = echo, faults: Faults = no_fault, model: str = MODEL) -> None:
        self.write, self.faults, self.model = write, faults, model
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.busiest = self._busy = 0
        self.key = ""
        self.delay = 0.0
        self.url = ""

    async def _models(self, request: web.Request) -> web.Response:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "no such key"}}, status=401)
        return web.json_response({"data": [{"id": self.model}]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        try:
            return await self._answer(request, await request.json())
        finally:
            self._busy -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        prompt = body["messages"][-1]["content"]
        fault = self.faults(prompt, self.asked[prompt])
        self.asked[prompt] += 1
        self.bodies.append(body)
        await asyncio.sleep(self.delay)
        if fault == "429":
            text, headers = "slow down", {"Retry-After": "0.05"}
            return web.json_response({"error": text}, status=429, headers=headers)
        if fault == "500":
            return web.Response(text="<html>oops</html>", status=500)
        if fault == "400":
            error = {"error": {"message": "prompt is longer than the context"}}
            return web.json_response(error, status=400)
        if fault == "hang":
            await self._over.wait()
        if fault == "drop":
            request.transport.abort()
            return web.Response()
        if fault == "not_a_completion":
            return web.json_response({"choices": []})
        written = self.write(body)
        choice = {"finish_reason": "stop"}
        choice |= {"message": {"content": written}} if isinstance(written, str) else written
        reply = {
            "model": "another" if fault == "wrong_model" else self.model,
            "choices": [choice],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
        if fault == "no_usage":
            del reply["usage"]
        content = json.dumps(reply).encode()
        if fault == "truncated":
            return web.Response(body=content[:-20], content_type="application/json")
        self.answered[prompt] += 1
        if fault == "lost":  # on the way back
            request.transport.abort()
        return web.Response(body=content, content_type="application/json")

    def endpoint(self, **settings: Any) -> Endpoint:
        """This server, with waits that suit tests."""
        defaults = {
            "base_url": self.url,
            "model": self.model,
            "concurrency": 8,
            "timeout_seconds": 0.5,
            "backoff_seconds": 0.01,
            "sampling": Sampling(max_tokens=32, temperature=0.7),
        }
        return Endpoint(**defaults | settings)

    @contextmanager
    def running(self) -> Iterator["ModelServer"]:
        """Serve from a thread."""
        loop = asyncio.new_event_loop()
        started = threading.Event()
        listening = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"

        async def serve() -> None:
            app = web.Application()
            app.router.add_post("/v1/chat/completions", self._complete)
            app.router.add_get("/v1/models", self._models)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
            await runner.setup()
            await web.SockSite(runner, listening).start()
            self._over = asyncio.Event()
            started.set()
            await self._over.wait()
            await runner.cleanup()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        assert started.wait(10)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(self._over.set)
            thread.join(10)
