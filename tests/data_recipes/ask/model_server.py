"""A server with the API of OpenAI's chat completions, and with the faults that servers have."""

import hashlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from data_recipes.ask import Endpoint, Sampling

MODEL = "stub-1b"
FAULTS = ("429", "500", "hang", "drop", "truncated", "bad_chunk")
FAULTS += ("wrong_model", "not_a_completion", "lost")
# Takes the text of the prompt and how often it was asked before; gives a fault, or None.
Faults = Callable[[str, int], str | None]
Write = Callable[[dict[str, Any]], str | dict[str, Any]]


def echo(body: dict[str, Any]) -> str:
    """A text that depends on everything that was asked."""
    return "answer " + hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def no_fault(prompt: str, tries: int) -> str | None:
    return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    owner: "ModelServer"

    def do_GET(self) -> None:
        if self.owner.key and self.headers["Authorization"] != f"Bearer {self.owner.key}":
            self.say({"error": {"message": "no such key"}}, 401)
        else:
            self.say({"data": [{"id": self.owner.model}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.owner.enter()
        try:
            self.complete(body)
        finally:
            self.owner.leave()

    def complete(self, body: dict[str, Any]) -> None:
        owner = self.owner
        prompt, fault = owner.note(body)
        time.sleep(owner.delay)
        if fault == "hang":
            owner.over.wait()
        if fault in ("hang", "drop"):
            return self.abort()
        if fault == "500":
            return self.say(b"<html>oops</html>", 500)
        if fault == "429":
            return self.say({"error": "slow down"}, 429, {"Retry-After": "0.05"})
        if fault and fault.isdigit():
            return self.say({"error": {"message": "prompt is longer than the context"}}, int(fault))
        if fault == "not_a_completion":
            return self.say({"choices": []})
        written = owner.write(body)
        choice = {"finish_reason": "stop"}
        choice |= {"message": {"content": written}} if isinstance(written, str) else written
        reply = {
            "model": "another" if fault == "wrong_model" else owner.model,
            "choices": [choice],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5},
        }
        # Fields of the reply itself stand beside those of the choice.
        reply |= {name: choice.pop(name) for name in ("model", "usage") if name in choice}
        if fault == "no_usage":
            del reply["usage"]
        content = json.dumps(reply).encode()
        if fault == "truncated":
            return self.say(content[:-20])
        if fault == "bad_chunk":
            return self.bad_chunk()
        owner.count(prompt)
        if fault == "lost":  # on the way back
            return self.abort()
        self.say(content)

    def say(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # the client has gone
            self.close_connection = True

    def bad_chunk(self) -> None:
        """Say no size of a chunk where one stands."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"zz\r\nxx\r\n")
        self.close_connection = True

    def abort(self) -> None:
        # Without lingering, closing resets the connection.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:
            pass

    def log_message(self, *_: object) -> None: ...


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients are killed on purpose."""


class ModelServer:
    """Answers what `write` writes, which gives a text or fields of a choice; see `FAULTS`.

    A fault of digits is an HTTP status.

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
        self.over = threading.Event()
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self._busy += 1
            self.busiest = max(self.busiest, self._busy)

    def leave(self) -> None:
        with self._lock:
            self._busy -= 1

    def note(self, body: dict[str, Any]) -> tuple[str, str | None]:
        """Count a request; gives its prompt and its fault."""
        prompt = body["messages"][-1]["content"]
        if not isinstance(prompt, str):  # parts, pictures among them
            prompt = json.dumps(prompt)
        with self._lock:
            fault = self.faults(prompt, self.asked[prompt])
            self.asked[prompt] += 1
            self.bodies.append(body)
        return prompt, fault

    def count(self, prompt: str) -> None:
        with self._lock:
            self.answered[prompt] += 1

    def endpoint(self, **settings: Any) -> Endpoint:
        """This server, with waits that suit tests."""
        defaults = {
            "base_url": self.url,
            "model": self.model,
            "concurrency": 8,
            # Only "hang" should take so long: sixteen first requests at once on two busy cores
            # took over half a second.
            "timeout_seconds": 5,
            "backoff_seconds": 0.01,
            "sampling": Sampling(max_tokens=32, temperature=0.7),
        }
        return Endpoint(**defaults | settings)

    @contextmanager
    def running(self) -> Iterator["ModelServer"]:
        """Serve from threads."""
        server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.over.set()
            server.shutdown()
            server.server_close()
            thread.join(10)
