"""What is no model, or sees nothing, is named before anything is read of the picture."""

import json
import runpy
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from tests.conftest import ROOT


@pytest.mark.parametrize("there", [False, True])
def test_the_model_is_to_blame_and_not_the_picture(
    there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model"
    if there:
        model.mkdir()
        (model / "config.json").write_text(json.dumps({"model_type": "llama"}))
    monkeypatch.setattr("sys.argv", ["generate.py", str(model), "--image", "picture.png", "무엇?"])
    program = runpy.run_path(str(ROOT / "scripts" / "generate.py"))
    said = "not a model that sees" if there else "no such model directory"
    with pytest.raises(RecipeError, match=f"^{model}: {said}"):
        program["main"]()
