"""The notebooks run from top to bottom, with values that make them small."""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tests.conftest import ROOT
from tests.documented import CHATS, MICRO_DATA, PRETRAIN

NOTEBOOKS = ROOT / "docs" / "notebooks"
SMALL = {
    "train_and_chat": {"DATA": MICRO_DATA, "STAGE": PRETRAIN, "CHAT": CHATS},
    "your_language": {"STAGE": PRETRAIN},
}


def run(name: str, directory: Path) -> dict[str, Any]:
    """Run the code of a notebook in a directory; returns its names.

    A cell of commands is run as Jupyter would, with `{NAME}` filled in, but in forks of a process
    that has loaded the libraries.
    """
    notebook = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] != "code":
            continue
        assert not cell["outputs"], "outputs are not committed: they would differ in each run"
        if source.startswith("!"):
            for line in source.replace("\\\n", " ").splitlines():
                words = shlex.split(line.removeprefix("!").format(**names))
                assert words[0] == "kormo", line
                done = processes.run(["-m", "recipes", *words[1:]], cwd=directory)
                assert done.returncode == 0, f"{line}\n{done.stderr}"
        else:
            exec(compile(source, f"{name}.ipynb", "exec"), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            assert names.keys() >= SMALL[name].keys()
            names |= SMALL[name]
    return names


def test_there_are_no_others() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == SMALL.keys()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    return tmp_path


def test_train_and_chat(stages: Path, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Its first command finds what it would make.
    shutil.copytree(stages / "runs/tiny/data", directory / "runs/tiny/data")
    names = run("train_and_chat", directory)
    assert len(names["measured"]) == 4 and "bytes per token" in capsys.readouterr().out
    assert isinstance(names["ask"]("둘?", tokens=4), str)


def test_your_language(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("your_language", directory)  # kormo data prepare and inspect, kormo train stage1
    assert "Min søster" in capsys.readouterr().out
    assert (directory / "runs/da/stage1/final").is_dir()
