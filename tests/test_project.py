"""The README runs as it says, and the rooms keep to their order."""

import ast
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from data_recipes.common.config_files import find_config, load_config
from recipes.__main__ import COMMANDS
from recipes.command_line import CONFIGS, parse_command_line
from recipes.knowledge_config import KgeConfig, KnowledgeVqaConfig
from recipes.stage_table import chat_table, stage_table
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md"))]
ROOMS = ["modeling_kormo", "data_recipes", "eval", "recipes"]


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    whole = (block.replace("\\\n", " ") for block in blocks)
    return [line for block in whole for line in block.splitlines() if line.strip()]


# Stages that train no language model on tokens, and have a schema of their own.
_KNOWLEDGE = {"kge": KgeConfig, "knowledge_vqa": KnowledgeVqaConfig}


def test_every_command_in_the_documents_parses() -> None:
    trained = 0
    for page in PAGES:
        for command in commands(page):
            words = shlex.split(command, comments=True)
            if words[:2] == ["accelerate", "launch"]:
                script = next(w for w in words if w.endswith(".py"))
                arguments = words[words.index(script) + 1 :]
                assert (ROOT / script).is_file(), command
                parse_command_line(Path(script).stem, "", arguments)
            elif words[0] == "make":
                subprocess.run(
                    ["make", "-n", *words[1:]], cwd=ROOT, check=True, capture_output=True
                )
            elif words[:2] == ["kormo", "train"]:
                if words[2] in _KNOWLEDGE:
                    path = words[words.index("--config") + 1]
                    overrides = [word for word in words[3:] if "=" in word]
                    load_config(find_config(path, CONFIGS), _KNOWLEDGE[words[2]], overrides)
                # The reader's own config, named as an example.
                elif "yours/stage1.yaml" not in words:
                    parse_command_line(words[2], "", words[3:])
                trained += 1
            elif words[0] == "kormo":
                assert any(" ".join(words[1:n]) in COMMANDS for n in (2, 3)), command
            else:
                assert words[0] in ("python", "lm_eval"), command
    assert trained >= 8


def test_stage_table_is_the_one_of_the_yaml() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert stage_table() in text and chat_table() in text


def test_the_readme_is_short_and_the_korean_one_has_its_commands() -> None:
    english, korean = ROOT / "README.md", ROOT / "README.ko.md"
    assert len(english.read_text(encoding="utf-8").splitlines()) < 150
    assert commands(english) == commands(korean)


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def imported_rooms(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {
        n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level
    }
    return {name.split(".")[0] for name in names}


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_one_way(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    for path in files:
        assert not imported_rooms(path) & above, path
