"""Imports point one way, have no circles, and an entry point loads no more than it needs."""

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

from recipes.__main__ import COMMANDS as KORMO
from tests.conftest import ROOT, Once, environment
from tests.forks import Start, start_each

_PACKAGES = ("recipes", "eval", "data_recipes", "modeling_kormo")
# From the ground up; a room may use those below it.
_FLOORS = (
    ("common", "text", "answers"),
    ("debian", "engine", "tokens", "ask"),
    ("read",),
    ("filter", "personal", "deduplicate", "decontaminate"),
    ("quality", "toy"),
    ("tokenizer", "pictures", "knowledge"),
    ("prepare",),
    ("synthesize", "look"),
    ("difficulty", "translate", "diversity"),
    ("__main__",),
)
_FLOOR = {room: number for number, rooms in enumerate(_FLOORS) for room in rooms}
# What training and evaluation may take of the data recipes when they are imported.
_TAKEN = ("common", "tokens", "tokenizer.load", "answers", "ask", "read")
# Contamination is measured as text is decontaminated; needles are hidden in long documents of the
# embedded corpus.
_EXCEPTIONS = (
    "eval.contamination -> data_recipes.engine.documents",
    *(
        f"eval.contamination -> data_recipes.decontaminate.{m}"
        for m in ("compare", "config", "index", "items")
    ),
    # Answers are traced to the shards with suffix arrays.
    "recipes.engine -> data_recipes.text.suffixes",
    "eval.needle -> data_recipes.toy.long_documents",
    "eval -> data_recipes.toy.items",
    # Facts and their names are what a knowledge model answers from.
    *(f"recipes{room} -> data_recipes.knowledge.triples" for room in ("", ".post")),
    "eval.knowledge -> data_recipes.knowledge.triples",
    "eval.knowledge -> data_recipes.knowledge.wordings",
)


@cache
def _modules() -> dict[str, Path]:
    """Every module of ours by its dotted name; a package by that of its folder."""
    found = {}
    for package in _PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements that run when a module is imported."""
    found = []
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            continue
        found.append(statement)
        for name in ("body", "orelse", "finalbody"):
            found += _statements(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            found += _statements(handler.body)
    return found


def _imports(name: str, path: Path) -> set[str]:
    modules, found = _modules(), set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for statement in _statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(statement, ast.Import):
            found |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            base = statement.module.split(".") if statement.module else []
            if statement.level:
                base = [*package[: len(package) - statement.level + 1], *base]
            dotted = ".".join(base)
            # `from package import module` imports the module, and the package around it.
            inner = {f"{dotted}.{alias.name}" for alias in statement.names} & modules.keys()
            found |= inner or {dotted}
    return {other for other in found & modules.keys() if other != name}


@cache
def _edges() -> dict[str, set[str]]:
    return {name: _imports(name, path) for name, path in _modules().items()}


def _room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_imports_point_one_way() -> None:
    assert len(_modules()) > 100
    wrong = []
    for name, others in _edges().items():
        for other in others:
            here, there = (_PACKAGES.index(n.split(".")[0]) for n in (name, other))
            upwards = there < here
            if name.startswith("data_recipes.") and other.startswith("data_recipes."):
                rooms = _room(name), _room(other)
                upwards = rooms[0] != rooms[1] and _FLOOR[rooms[0]] <= _FLOOR[rooms[1]]
            if upwards:
                wrong.append(f"{name} -> {other}")
    assert not wrong, "\n".join(sorted(wrong))


def _imported_again(body: list[ast.stmt], seen: set[str]) -> list[str]:
    """Imports in a block of what it or a block around it has imported."""
    found, seen = [], set(seen)
    for statement in body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            dots = "." * getattr(statement, "level", 0) + (getattr(statement, "module", "") or "")
            names = {f"{dots}:{alias.name} as {alias.asname}" for alias in statement.names}
            found += [f"line {statement.lineno}: {name}" for name in names & seen]
            seen |= names
        for inner in ("body", "orelse", "finalbody"):
            found += _imported_again(getattr(statement, inner, []), seen)
    return found


def test_nothing_is_imported_twice_or_late() -> None:
    """Files that were joined: a second import hides that the first one loads what it puts off."""
    wrong = []
    for path in _modules().values():
        body = ast.parse(path.read_text(encoding="utf-8")).body
        again = _imported_again(body, set())
        kinds = [isinstance(s, ast.Import | ast.ImportFrom) for s in body]
        first = kinds.index(True) if True in kinds else 0
        if any(b and not a for a, b in zip(kinds[first:], kinds[first + 1 :])):
            again.append("an import below other statements")
        wrong += [f"{path.relative_to(ROOT)}: {each}" for each in again]
    assert not wrong, "\n".join(sorted(wrong))


def test_training_and_evaluation_take_little_of_the_data_recipes() -> None:
    allowed = [f"data_recipes.{name}" for name in _TAKEN]
    wrong = [
        f"{name} -> {other}"
        for name, others in _edges().items()
        if name.startswith(("recipes", "eval"))
        for other in others
        if other.startswith("data_recipes.")
        and not any(other == own or other.startswith(f"{own}.") for own in allowed)
        and f"{name.rpartition('.')[0]} -> {other}" not in _EXCEPTIONS
    ]
    assert not wrong, "\n".join(sorted(wrong))


def test_no_circles() -> None:
    edges, state, circles = _edges(), defaultdict(int), []

    def visit(name: str, above: list[str]) -> None:
        if state[name] == 1:
            circles.append(" -> ".join([*above[above.index(name) :], name]))
        if state[name]:
            return
        state[name] = 1
        for other in sorted(edges[name]):
            visit(other, [*above, name])
        state[name] = 2

    for name in edges:
        visit(name, [])
    assert not circles, "\n".join(circles)


_FACTORY = ("numba", "fasttext", "py3langid", "datatrove")
# What an entry point may load of the data recipes, and of libraries may not.
_ENTRY_POINTS = {
    "recipes.stage1": ({"common", "tokens", "tokenizer"}, _FACTORY),
    "recipes.stage2": ({"common", "tokens", "tokenizer"}, _FACTORY),
    # What a stage loads once its arguments are read.
    "recipes.build": ({"common", "tokens", "tokenizer"}, _FACTORY),
    # A step is looked up without torch, in a second.
    "recipes.replay": ({"common", "tokens"}, (*_FACTORY, "torch", "transformers")),
    "recipes.verify": ({"common", "tokens"}, (*_FACTORY, "torch", "transformers")),
    "recipes.sft": ({"common", "tokens", "tokenizer", "read", "text"}, _FACTORY),
    "recipes.dpo": ({"common", "tokens", "tokenizer", "read", "text"}, _FACTORY),
    "recipes.grpo": ({"common", "tokens", "tokenizer", "read", "text", "answers"}, _FACTORY),
    "recipes.vision_tower": ({"common", "tokens", "tokenizer", "read", "text"}, _FACTORY),
    # What the two after it load once their arguments are read.
    "recipes.post.pictures": ({"common", "tokens", "tokenizer", "read", "text"}, _FACTORY),
    "recipes.post.seeing": ({"common", "tokens", "tokenizer", "read", "text"}, _FACTORY),
    "recipes.chat_session": ({"common", "tokens", "tokenizer", "read", "text"}, _FACTORY),
    "eval.run": ({"common", "answers", "tokenizer", "read", "text", "toy"}, _FACTORY),
    "eval.contamination.__main__": (
        {"common", "answers", "decontaminate", "engine", "read", "text", "tokens", "tokenizer"},
        ("fasttext", "py3langid", "torch"),
    ),
    "eval.judge.__main__": ({"common", "ask", "answers", "read", "text", "tokenizer"}, _FACTORY),
    "eval.vision.__main__": ({"common", "read", "text"}, ("torch", "PIL", *_FACTORY)),
    "eval.needle.__main__": (
        {"common", "answers", "tokenizer", "read", "text"},
        ("numba", "datatrove"),
    ),
}


# What they may load and takes seconds; those that may not are started without it.
_SLOW = ("transformers.trainer", "datasets", "torch.distributed.fsdp", "trl", "peft")


@pytest.fixture(scope="module")
def loaded(once: Once) -> dict[str, Start]:
    """Each entry point's import, in a process of its own."""
    light = [m for m, (_, libraries) in _ENTRY_POINTS.items() if "torch" in libraries]
    heavy = [m for m in _ENTRY_POINTS if m not in light]
    found = {}
    for name, modules, libraries in (("light", light, ()), ("heavy", heavy, _SLOW)):
        # The last one has loaded the libraries alone.
        commands = [f"import {module}" for module in (*modules, "json")]
        starts = start_each(once, f"imports-{name}", commands, libraries, environment())
        assert not starts["import json"].modules & {*_FACTORY, *_PACKAGES}
        found |= {module: starts[f"import {module}"] for module in modules}
    return found


@pytest.mark.parametrize("module", _ENTRY_POINTS)
def test_an_entry_point_loads_its_rooms_alone(module: str, loaded: dict[str, Start]) -> None:
    rooms, libraries = _ENTRY_POINTS[module]
    start = loaded[module]
    assert start.status == 0, start.errors
    assert module in start.modules
    own = {_room(name) for name in start.modules if name.startswith("data_recipes.")}
    assert own <= rooms, sorted(n for n in start.modules if _room(n) in own - rooms)
    assert not start.modules & set(libraries)


# Every command of `kormo`, those that it passes on, and what is started in another way.
_COMMANDS = (
    *(f"-m recipes {words}" for words in KORMO),
    *(
        f"-m data_recipes {name}"
        for name in (
            "prepare corpus debian filter mixture packing difficulty translate synthesize "
            "diversity pictures knowledge inspect report tokenizer-study verify"
        ).split()
    ),
    *(f"-m eval{name}" for name in (" compare", " ladder", ".local_data")),
    "recipes/stage1.py",
    *(f"scripts/{name}.py" for name in ("benchmark_data", "tune_filters", "generate")),
)
_HEAVY = {"torch", "transformers", "lm_eval", "datasets", "pyarrow", "scipy", *_FACTORY}
# These declare their options beside what they import.
_LOADED_FIRST = {
    "-m recipes eval judge",
    "-m recipes eval contamination",
    "-m recipes train knowledge_vqa",
    "scripts/benchmark_data.py",
    "scripts/tune_filters.py",
}


@pytest.fixture(scope="module")
def explained(once: Once) -> dict[str, Start]:
    """Each command's `--help`, in a process of its own."""
    given = [f"{command} --help" for command in _COMMANDS]
    light = ("argparse", "numpy", "pydantic", "yaml")
    return start_each(once, "explained", given, light, environment())


@pytest.mark.parametrize("command", _COMMANDS)
def test_help_imports_nothing_heavy(command: str, explained: dict[str, Start]) -> None:
    start = explained[f"{command} --help"]
    assert start.status == 0 and "usage:" in start.output, start.errors
    refused = _HEAVY
    if command in _LOADED_FIRST:
        refused = {"torch", "transformers"} if command.startswith("-m recipes ") else set()
    assert not start.modules & refused


def test_public_classes_have_names_of_their_own() -> None:
    places = defaultdict(list)
    for path in [*_modules().values(), *(ROOT / "scripts").glob("*.py")]:
        for statement in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(statement, ast.ClassDef) and not statement.name.startswith("_"):
                places[statement.name].append(str(path.relative_to(ROOT)))
    doubles = {name: own for name, own in places.items() if len(own) > 1}
    assert len(places) > 100 and not doubles, doubles


def test_what_is_started_by_its_path_imports_by_full_names() -> None:
    # Launchers and experiments start files of recipes by path; a relative import, even one within a
    # function, then fails when it is reached, and after what was trained before it.
    started = [
        path
        for path in (ROOT / "recipes").glob("*.py")
        if '__name__ == "__main__"' in path.read_text("utf-8")
    ]
    relative = {
        f"{path.name}:{node.lineno}"
        for path in started
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    }
    assert len(started) > 20 and not relative, relative
