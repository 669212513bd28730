"""The four kinds asked of a served model that sees: mechanics alone, for its weights are random."""

import json
import multiprocessing
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.pictures.config import CONFIGS as PICTURES
from data_recipes.pictures.config import PicturesConfig
from data_recipes.pictures.run import make_pictures
from data_recipes.synthesize.run import synthesize
from modeling_kormo.vision import build_processor, build_vision_model, save_vision_model
from recipes.export import export_command
from tests.random_model import random_model
from tests.vision_models import random_tower, vision_tokenizer

from ..ask.model_server import MODEL, ModelServer
from .test_pictures import config_of, rows

_KILLED_AT, _CONCURRENCY = 5, 2
_PATIENCE = 120  # seconds, until the server answers


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """`transformers serve` with our LLaVA export: its address, and the model's name there."""
    root = tmp_path_factory.mktemp("served")
    tokenizer = vision_tokenizer(root / "tokenizer")
    language = random_model(tokenizer, 320, layers=2, max_position_embeddings=2048)
    tower = random_tower()
    model = build_vision_model(language, tower, tokenizer, "llava")
    save_vision_model(model, build_processor(tokenizer, tower.config, "llava"), root / "model")
    out = str(root / "llava")
    export_command(["--as", "llava", "--dtype", "float32", str(root / "model"), out])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    serve = "from transformers.cli.transformers import main; main()"
    options = ["--device", "cpu", "--host", "127.0.0.1", "--port", port]
    options += ["--chat-template-kwargs", '{"enable_thinking": false}']
    with (root / "log").open("wb") as log:
        command = [sys.executable, "-c", serve, "serve", out, *options]
        with subprocess.Popen(command, stdout=log, stderr=log) as server:
            try:
                for _ in range(2 * _PATIENCE):
                    assert server.poll() is None, (root / "log").read_text()
                    with socket.socket() as probe:
                        if not probe.connect_ex(("127.0.0.1", int(port))):
                            break
                    time.sleep(0.5)
                yield f"http://127.0.0.1:{port}/v1/chat/completions", out
            finally:
                server.kill()


def test_asked_of_a_served_model_and_killed_and_not_paid_twice(
    served: tuple[str, str], tmp_path: Path
) -> None:
    url, name = served
    scenes = "{train: 13, heldout_scenes: 1, heldout_combinations: 1, heldout_objects: 1}"
    folder = tmp_path / "set"
    given = [f"output_dir={folder}", f"scenes={scenes}"]
    make_pictures(load_config(PICTURES / "tiny.yaml", PicturesConfig, given))

    def pass_on(body: dict[str, Any]) -> dict[str, Any]:
        data = json.dumps(body | {"model": name}).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_PATIENCE) as reply:
            (choice,) = json.load(reply)["choices"]
        return {"message": choice["message"], "finish_reason": choice["finish_reason"]}

    with ModelServer(pass_on).running() as counting:
        endpoint = {"base_url": counting.url, "model": MODEL, "concurrency": _CONCURRENCY}
        sampling = {"max_tokens": 12, "temperature": 0.7}
        synthesizers = {"served": endpoint | {"sampling": sampling}}
        config = config_of(counting, folder, tmp_path / "out", synthesizers=synthesizers)
        run = multiprocessing.get_context("fork").Process(target=synthesize, args=(config,))
        run.start()
        while run.is_alive() and len(counting.answered) < _KILLED_AT:
            time.sleep(0.01)
        run.kill()
        run.join()
        assert _KILLED_AT <= len(counting.answered) < 16
        with pytest.raises(RecipeError, match="no answer was accepted"):  # of random weights
            synthesize(config)
        assert len(counting.answered) == 16
        # What was under way when it was killed may be asked again, and nothing else.
        assert sum(counting.answered.values()) <= 16 + _CONCURRENCY
    kept, rejected = (rows(tmp_path / "out", outcome) for outcome in ("kept", "rejected"))
    reasons = Counter(row["reason"] for row in rejected)
    print(f"asked 16, accepted {len(kept)}, rejected {dict(reasons)}")
    assert not kept and len(rejected) == 16 and all(reasons)
    texts = {body["messages"][0]["content"][1]["text"][:60] for body in counting.bodies}
    assert len(texts) > 2  # the pictures' kinds of instruction
