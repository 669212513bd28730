"""What needs no extra runs without one; a command that lacks its extra says how to get it."""

import configparser
import json
import subprocess
import sys

import pytest

from data_recipes.common.terminal import ONLY_IN, SHARED
from recipes.__main__ import COMMANDS
from tests.conftest import ROOT, Once, environment
from tests.forks import Start, start_each

# Imported under another name than they are installed by.
DISTRIBUTIONS = {
    "fasttext": "fasttext-community",
    "aiohttp": "openai",
    "latex2sympy2_extended": "math-verify",
    "liger_kernel": "liger-kernel",
    "lm_eval": "lm-eval",
    "math_verify": "math-verify",
    "PIL": "pillow",
    "sympy": "math-verify",
}
# torch and transformers bring two themselves.
BLOCKED = sorted({*SHARED, *sum(ONLY_IN.values(), ()), "sklearn"} - {"sympy", "regex"})
PROGRAM = f"""
import sys
for name in {BLOCKED}:
    sys.modules[name] = None
"""
KORMO = f"{PROGRAM}\nfrom recipes.__main__ import main; main()"


def without_extras(program: str, *words: str, lines: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        input=lines,
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )


# Commands, and the extra that each lacks.
LACKING = {
    "-m recipes data prepare --config tiny.yaml output_dir=/nowhere/x": "data",
    "-m recipes train stage1 logging.output_dir=/nowhere/x": "train",
    "-m recipes train sft logging.output_dir=/nowhere/x": "train",
    f"-m recipes eval --model {ROOT / 'tests'} --suite quick --out /nowhere/x": "eval",
}


@pytest.fixture(scope="module")
def started(once: Once) -> dict[str, Start]:
    """What the model needs and these commands, each in a process that finds no extra."""
    commands = ["import modeling_kormo", "import modeling_kormo.export", *LACKING]
    libraries = ("torch", "transformers.modeling_utils", "transformers.generation.utils")
    return start_each(once, "extras", commands, libraries, environment(), absent=tuple(BLOCKED))


def test_the_model_alone_needs_torch_and_transformers(started: dict[str, Start]) -> None:
    for module in ("modeling_kormo", "modeling_kormo.export"):
        start = started[f"import {module}"]
        assert start.status == 0, start.errors
        assert module in start.modules and "data_recipes" not in start.modules


@pytest.mark.parametrize("command", LACKING)
def test_a_command_that_lacks_its_extra_names_it(command: str, started: dict[str, Start]) -> None:
    start = started[command]
    assert start.status == 1 and "Traceback" not in start.errors, start.errors
    assert f"\n  pip install 'kormo-recipes[{LACKING[command]}]'" in start.errors


def test_every_command_explains_itself_without_extras() -> None:
    program = f"""{PROGRAM}
import json
from recipes.__main__ import COMMANDS, main
ends = {{}}
for words in COMMANDS:
    sys.argv = ["kormo", *words.split(), "--help"]
    try:
        main()
    except SystemExit as end:
        if end.code:
            ends[words] = str(end.code)
print("\\n" + json.dumps(ends))
"""
    done = without_extras(program)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout.splitlines()[-1])
    # These declare their options beside what they import.
    heavy = {"eval judge", "eval contamination", "train knowledge_vqa"}
    assert len(COMMANDS) > 20 and set(ends) <= heavy, ends
    assert all("pip install 'kormo-recipes[" in said for said in ends.values()), ends


def test_the_table_of_modules_is_that_of_setup_cfg() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lists = {
        name: {line.partition("[")[0].partition(">")[0].strip() for line in text.split("\n")}
        for name, text in parser["options.extras_require"].items()
    }
    for extra, modules in ONLY_IN.items():
        for module in modules:
            package = DISTRIBUTIONS.get(module, module)
            assert package in lists[extra], module
            owners = {name for name in ("data", "train", "eval") if package in lists[name]}
            assert owners <= {extra}, module
    for module in SHARED:
        assert sum(DISTRIBUTIONS.get(module, module) in own for own in lists.values()) > 1, module


def test_windows_is_told_of_wsl() -> None:
    program = "import sys; sys.platform = 'win32'\nfrom recipes.__main__ import main; main()"
    done = without_extras(program, "train", "stage1")
    assert done.returncode == 1 and done.stderr.startswith("error: "), done.stderr
    assert "use WSL" in done.stderr
