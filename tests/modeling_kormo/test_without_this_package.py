"""Saved models load where this package is not, nor torchvision; each in a process of its own."""

import json
from pathlib import Path

import pytest
import torch

from modeling_kormo.export import save_portable
from modeling_kormo.vision import save_vision_model
from recipes.export import export_command
from tests.conftest import ROOT, Once, environment
from tests.forks import Start, start_each
from tests.random_model import random_model
from tests.vision_models import draw, vision_tokenizer

from .test_vision import KINDS, ask, make

_BARE = f"""
import sys, torch
sys.path = [p for p in sys.path if p not in ("", {str(ROOT)!r})]
sys.modules["modeling_kormo"] = None  # an installed copy must not be found either
"""
_PROGRAMS = {
    "portable": """
from transformers import AutoModel, AutoModelForCausalLM
folder, again = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
assert type(model).__module__.startswith("transformers_modules"), type(model)
assert AutoModel.from_pretrained(folder, trust_remote_code=True).embed_tokens is not None
ids, logits = torch.load(folder + "/expected.pt")
assert torch.allclose(model(ids).logits, logits, atol=1e-5)
assert model.generate(ids, max_new_tokens=3, eos_token_id=None).shape == (1, 12)
model.save_pretrained(again)
""",
    "llava": """
from transformers import AutoModelForImageTextToText, AutoProcessor, AutoTokenizer
folder, kind = sys.argv[1:]
model = AutoModelForImageTextToText.from_pretrained(folder).eval()
assert type(model.model.language_model).__name__ == "LlamaModel"
inputs, logits = torch.load(folder + "/expected.pt")
assert torch.equal(model(**inputs).logits, logits)
assert AutoTokenizer.from_pretrained(folder).image_token == "<image>"
if kind == "llava":
    processor = AutoProcessor.from_pretrained(folder)
    assert processor.chat_template and processor.image_token_id == model.config.image_token_id
""",
}


@torch.no_grad()
def _save(directory: Path) -> None:
    """Write a portable KORMo and two LLaVAs, what they compute, and the programs."""
    tokenizer = vision_tokenizer(directory / "tokenizer")
    for name, program in _PROGRAMS.items():
        (directory / f"{name}.py").write_text(_BARE + program)
    model = random_model(tokenizer, 320, layers=2, initializer_range=0.2).eval()
    save_portable(model, directory / "portable")
    ids = torch.randint(3, 300, (1, 9))
    torch.save((ids, model(ids).logits), directory / "portable" / "expected.pt")
    for kind in KINDS:
        model, processor = make(tokenizer, kind, rows=311)
        save_vision_model(model, processor, directory / f"own-{kind}")
        paths = map(str, (directory / f"own-{kind}", directory / kind))
        export_command(["--as", "llava", "--dtype", "float32", *paths])
        inputs = ask(processor, draw("green"))
        expected = dict(inputs), model(**inputs).logits
        torch.save(expected, directory / kind / "expected.pt")


@pytest.fixture(scope="module")
def saved(once: Once) -> Path:
    return once("without-this-package", _save)


@pytest.fixture(scope="module")
def started(saved: Path, once: Once) -> dict[str, Start]:
    """What each of them did, by the name of the model."""
    commands = {
        "portable": f"{saved}/portable.py {saved}/portable {saved}/again",
        **{kind: f"{saved}/llava.py {saved}/{kind} {kind}" for kind in KINDS},
        "no torchvision": "import modeling_kormo.vision",
    }
    starts = start_each(
        once,
        "loaded-without-this-package",
        list(commands.values()),
        ("torch", "transformers.modeling_utils", "transformers.generation.utils"),
        environment(),
        absent=("torchvision",),
    )
    return {name: starts[command] for name, command in commands.items()}


def test_remote_code(saved: Path, started: dict[str, Start]) -> None:
    auto_map = json.loads((saved / "portable" / "config.json").read_text())["auto_map"]
    assert set(auto_map) == {"AutoConfig", "AutoModel", "AutoModelForCausalLM"}
    assert started["portable"].status == 0, started["portable"].errors
    assert (saved / "again" / "modeling_kormo.py").is_file()


@pytest.mark.parametrize("kind", KINDS)
def test_the_llava_layout(saved: Path, started: dict[str, Start], kind: str) -> None:
    assert started[kind].status == 0, started[kind].errors
    config = json.loads((saved / kind / "config.json").read_text(encoding="utf-8"))
    assert config["text_config"]["rope_theta"] == 500_000
    classes = {"llava": "LlavaProcessor", "onevision": "LlavaOnevisionProcessor"}
    for name in ("processor_config.json", "preprocessor_config.json"):
        processor = json.loads((saved / kind / name).read_text(encoding="utf-8"))
        assert processor["processor_class"] == classes[kind]


def test_no_torchvision(started: dict[str, Start]) -> None:
    start = started["no torchvision"]
    assert start.status == 0 and "modeling_kormo.vision" in start.modules, start.errors
    assert "torchvision" not in start.modules
