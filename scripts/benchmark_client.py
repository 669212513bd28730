"""How fast the client is, and whether its memory stays flat, against a server that does no work.

    python scripts/benchmark_client.py --requests 100000

The server is a process of its own that answers every request with a constant; what is measured is
the client: reading requests, hashing, sending, parsing, and one commit to disk per answer.
"""

import argparse
import json
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from aiohttp import web

from data_recipes.ask import AnswerStore, Endpoint, Request, Sampling, Totals, ask

MODEL = "stub"
_MEMORY_EVERY = 10_000  # requests between two looks at the memory


def serve() -> None:
    """Answer on a free port, which is printed, until killed."""
    reply = json.dumps(
        {
            "model": MODEL,
            "choices": [
                {"message": {"role": "assistant", "content": "A sentence. " * 40}}
                | {"finish_reason": "stop"}
            ],
            "usage": {"prompt_tokens": 200, "completion_tokens": 120},
        }
    ).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=reply, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    app.router.add_get("/v1/models", answer)

    async def started(app: web.Application) -> None:
        print(app["port"], flush=True)

    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    app["port"] = listening.getsockname()[1]
    app.on_startup.append(started)
    web.run_app(app, sock=listening, print=None, access_log=None)


def make_requests(count: int) -> Iterator[Request]:
    """Different prompts of about a kilobyte."""
    for number in range(count):
        prompt = f"{number} " + "Rewrite the following text in plain words. " * 24
        yield Request("stub", [{"role": "user", "content": prompt}])


def resident_megabytes() -> float:
    """Memory of this process now, in 1e6 bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(count: int, concurrency: int) -> None:
    """Ask `count` requests and print what that took."""
    command = [sys.executable, __file__, "--serve"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        try:
            port = int(server.stdout.readline())
            endpoint = Endpoint(
                base_url=f"http://127.0.0.1:{port}/v1",
                model=MODEL,
                concurrency=concurrency,
                sampling=Sampling(max_tokens=256),
            )
            memory: dict[int, float] = {}

            def follow(totals: Totals) -> None:
                if totals.settled % _MEMORY_EVERY == 0:
                    memory[totals.settled] = resident_megabytes()

            for run in ("first", "again"):
                memory.clear()
                with AnswerStore(Path(folder)) as store:
                    start, busy = time.perf_counter(), time.process_time()
                    totals = ask(make_requests(count), {"stub": endpoint}, store, follow=follow)
                    seconds = time.perf_counter() - start
                busy = time.process_time() - busy
                print(
                    f"{run}: {count / seconds:,.0f} requests/s, {totals.answered:,} asked, "
                    f"{totals.stored:,} from the store, {seconds:.1f} s ({busy:.1f} s of CPU)"
                )
                for done, megabytes in memory.items():
                    print(f"  {done:>9,} requests  {megabytes:,.1f} MB")
        finally:
            server.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--concurrency", type=int, default=128)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve()
    else:
        measure(args.requests, args.concurrency)


if __name__ == "__main__":
    main()
