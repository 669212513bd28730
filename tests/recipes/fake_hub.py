"""As much of the Hub's API as uploading to it takes, in memory, on this machine."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants


class FakeHub:
    """A server whose content can be looked at.

    Attributes:
        branches: of each repository, the files of each branch by path.
        uploaded: hashes of large files, each time that one was sent.
        commits: branches, each time that one was committed to.
        fail_after: large files that are taken before the server breaks down; `None` is for ever.
        url: of the server.
    """

    def __init__(self) -> None:
        self.branches: dict[str, dict[str, dict[str, bytes]]] = {}
        self.objects: dict[str, bytes] = {}
        self.uploaded: list[str] = []
        self.commits: list[str] = []
        self.fail_after: int | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def _answer(self, value: object, status: int = 200) -> None:
                data = json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def _handle(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = unquote(urlsplit(self.path).path)
                self._answer(*hub.answer(self.command, path, body))

            do_GET = do_POST = do_PUT = _handle

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: bytes) -> tuple[object, int]:
        """Answer a request: what is sent back as JSON, and the status."""
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
            self.branches.setdefault(name, {"main": {}})
            return {"url": f"{self.url}/{name}"}, 200
        if path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}, 200
        if match := re.fullmatch(r"/lfs/(\w+)", path):
            if self.fail_after is not None and len(self.uploaded) >= self.fail_after:
                return {"error": "no more"}, 403
            assert hashlib.sha256(body).hexdigest() == match[1]
            self.objects[match[1]] = body
            self.uploaded.append(match[1])
            return {}, 200
        if path.endswith("/info/lfs/objects/batch"):
            return self._batch(json.loads(body)), 200
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(\w+)(?:/(.+))?", path)
        if match is None or match[1] not in self.branches:
            return {"error": f"{method} {path}: Repository not found"}, 404
        branches, action, revision = self.branches[match[1]], match[2], match[3]
        if action == "refs":
            names = [{"name": b, "ref": f"refs/heads/{b}", "targetCommit": "0"} for b in branches]
            return {"branches": names, "tags": [], "converts": []}, 200
        if action == "branch":
            if revision in branches:
                return {"error": "Reference already exists"}, 409
            branches[revision] = dict(branches["main"])
            return {}, 200
        files = branches[revision]
        if action == "tree":
            return [self._file(name, data) for name, data in files.items()], 200
        if action == "preupload":
            asked = json.loads(body)["files"]
            return {"files": [self._mode(own["path"]) for own in asked]}, 200
        assert action == "commit", path
        self.commits.append(revision)
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        address = f"{self.url}/{match[1]}/commit/{'1' * 40}"
        return {"commitUrl": address, "commitOid": "1" * 40}, 200

    def _batch(self, asked: dict) -> dict:
        objects = []
        for own in asked["objects"]:
            action = {"upload": {"href": f"{self.url}/lfs/{own['oid']}"}}
            objects.append({**own, **({} if own["oid"] in self.objects else {"actions": action})})
        return {"transfer": "basic", "objects": objects}

    @staticmethod
    def _mode(path: str) -> dict:
        mode = "lfs" if path.endswith(".safetensors") else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": None}

    @staticmethod
    def _file(name: str, data: bytes) -> dict:
        found = {"type": "file", "path": name, "size": len(data)}
        found["oid"] = hashlib.sha1(data).hexdigest()
        if name.endswith(".safetensors"):
            sha256 = hashlib.sha256(data).hexdigest()
            found["lfs"] = {"oid": sha256, "size": len(data), "pointerSize": 100}
        return found


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Run the server, and have the client in this process talk to it alone."""
    hub = FakeHub()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # another protocol, in Rust
        patch.setenv("HF_TOKEN", "hf_test")
        try:
            yield hub
        finally:
            hub.close()
