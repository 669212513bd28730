"""A model that sees is asked in text alone, whoever saved it."""

import runpy
from pathlib import Path

import pytest
import torch

from eval.local_model import load_language_model
from modeling_kormo.vision import build_processor, build_vision_model, save_vision_model
from recipes.export import export_command
from tests.conftest import ROOT
from tests.random_model import random_model
from tests.vision_models import random_tower, vision_tokenizer


@pytest.mark.parametrize("layout", ["kormo", "llama"])
@torch.no_grad()
def test_the_language_model_of_one_that_sees(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = vision_tokenizer(tmp_path / "tokenizer")
    language = random_model(tokenizer, 320, layers=2, initializer_range=0.2).eval()
    ids = torch.randint(3, 300, (2, 20))
    expected = language(ids).logits
    tower = random_tower()
    model = build_vision_model(language, tower, tokenizer, "llava")
    path = str(tmp_path / "sees")
    save_vision_model(model, build_processor(tokenizer, tower.config, "llava"), Path(path))
    if layout == "llama":
        exported = str(tmp_path / "exported")
        export_command(["--as", "llava", "--dtype", "float32", path, exported])
        path = exported
    loaded = load_language_model(path, "float32")
    assert loaded.config.model_type == layout and not loaded.training
    assert torch.equal(loaded(ids).logits, expected)
    # Text is continued without a picture, too.
    monkeypatch.setattr("sys.argv", ["generate.py", path, "사과", "--tokens", "3"])
    capsys.readouterr()
    runpy.run_path(str(ROOT / "scripts" / "generate.py"))["main"]()
    assert "사과" in capsys.readouterr().out
