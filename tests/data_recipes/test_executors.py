"""Processes on one machine and on Ray: dead workers, errors, interrupts, who writes on stderr."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data_recipes.config import CONFIGS
from data_recipes.errors import RecipeError
from data_recipes.executor_config import ExecutorConfig, load_executor
from data_recipes.executors import execute
from data_recipes.progress import show_progress
from data_recipes.steps import StepFolder
from tests.conftest import ROOT, environment

from .hand_made import hashes_of, some_texts, write_shards_of
from .toy_step import DropShort

SHIPPED = sorted((CONFIGS / "executors").glob("*.yaml"))
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra `ray`)"
)


def inputs(root: Path, extra: str | None = None) -> None:
    parts = [some_texts(40)[i::4] for i in range(4)]
    if extra:
        parts[2].append(extra)
    write_shards_of(root / "read" / "web_ko", parts)


def run(root: Path, config: ExecutorConfig) -> None:
    """Two chained steps."""
    first = DropShort({"web_ko": root / "read" / "web_ko"}, root / "filter", 400)
    second = DropShort({"web_ko": root / "filter" / "web_ko"}, root / "quality", 600)
    for step in (first, second):
        logs = root / "logs" / step.output_dir.name
        with show_progress(step.output_dir, 100, "drop"):
            execute([step], config.parts, config, logs)


def in_a_process(root: Path, config: ExecutorConfig, **how: object) -> subprocess.Popen:
    """`run` in a process of its own, which prints a `RecipeError` as the command line does."""
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from data_recipes.errors import RecipeError\n"
        "from tests.data_recipes.test_executors import ExecutorConfig, run\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        run(Path(sys.argv[1]), ExecutorConfig.model_validate_json(sys.argv[2]))\n"
        "    except (RecipeError, RuntimeError) as error:\n"
        "        sys.exit(f'error: {error}')\n"
    )
    command = [sys.executable, "-c", code, str(root), config.model_dump_json()]
    return subprocess.Popen(command, cwd=ROOT, env=environment(), **how)


def test_a_worker_that_dies_ends_the_run_with_a_message(tmp_path: Path) -> None:
    """datatrove's pool would wait for it for good."""
    inputs(tmp_path, extra="KILL")
    with pytest.raises(RecipeError, match=r"want of memory: lower executor.workers \(2 now\)"):
        run(tmp_path, ExecutorConfig(workers=2, tasks=4))
    run(tmp_path, ExecutorConfig(workers=2, tasks=4))
    assert len(StepFolder(tmp_path / "quality" / "web_ko").done()) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_in_a_step_is_one_line_and_says_where_to_look(
    tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    inputs(tmp_path, extra="BREAK")
    with pytest.raises(RuntimeError, match="KeyError: 'a mistake in a step'; traceback in") as e:
        run(tmp_path, ExecutorConfig(workers=workers))
    assert "Traceback" in Path(str(e.value).split("traceback in ")[1]).read_text()
    shown = capfd.readouterr().err
    assert "drop" in shown and "Traceback" not in shown


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_command(tmp_path: Path, sent: signal.Signals) -> None:
    inputs(tmp_path, extra="WAIT")
    process = in_a_process(tmp_path, ExecutorConfig(workers=2), stderr=subprocess.PIPE, text=True)
    marker = tmp_path / "filter" / "waits"
    deadline = time.monotonic() + 60
    while not (marker.is_file() and marker.read_text()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    worker = psutil.Process(int(marker.read_text()))
    assert worker.pid != process.pid
    children = psutil.Process(process.pid).children(recursive=True)
    assert worker in children
    process.send_signal(sent)
    shown = process.communicate(timeout=20)[1]
    assert psutil.wait_procs(children, timeout=10)[1] == []
    assert shown.count("Traceback") == (sent == signal.SIGINT)


def test_errors_go_to_the_terminal_and_nothing_else_does(tmp_path: Path) -> None:
    inputs(tmp_path, extra="FAIL")
    process = in_a_process(tmp_path, ExecutorConfig(workers=2), stderr=subprocess.PIPE, text=True)
    lines = process.communicate()[1].replace("\r", "\n").splitlines()
    assert process.returncode == 1
    assert lines[-1] == "error: a text says FAIL; take it out"
    assert len(lines) > 1 and all(line.startswith("drop:") for line in lines[:-1] if line)
    console = (tmp_path / "logs" / "filter" / "console.txt").read_text()
    assert "Traceback" in console


@pytest.mark.parametrize("capture", ["capsys", "capfd"])
def test_a_program_that_captures_stderr_gets_it_back(
    tmp_path: Path, capture: str, request: pytest.FixtureRequest
) -> None:
    fixture = request.getfixturevalue(capture)
    inputs(tmp_path)
    before = sys.stderr, os.fstat(2).st_ino
    run(tmp_path, ExecutorConfig())
    assert (sys.stderr, os.fstat(2).st_ino) == before
    print("afterwards", file=sys.stderr)
    shown = fixture.readouterr().err
    assert shown.endswith("afterwards\n") and "PIPELINE" not in shown
    assert "PIPELINE" in (tmp_path / "logs" / "filter" / "console.txt").read_text()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_executors_are_valid(path: Path) -> None:
    config = load_executor(path.name, ["executor.workers=3"])
    assert (config.kind, config.workers) == (path.stem, 3)


def test_a_cluster_that_is_not_described_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("executor: {kind: slurm}")
    with pytest.raises(RecipeError, match="kind slurm needs a section `slurm`"):
        load_executor(tmp_path / "mine.yaml", [])
    (tmp_path / "mine.yaml").write_text("executor: {kind: slurm, slurm: {partiton: cpu}}")
    with pytest.raises(RecipeError, match="did you mean 'partition'"):
        load_executor(tmp_path / "mine.yaml", [])


@needs_ray
def test_ray_writes_what_one_process_writes_and_says_what_goes_wrong(tmp_path: Path) -> None:
    """All in one process, for a cluster takes seconds to start."""
    bad = {
        "FAIL": "a text says FAIL; take it out",
        "BREAK": "KeyError: 'a mistake in a step'; traceback in",
        "KILL": "its worker was lost",
    }
    for name in ("ray", "local", *bad):
        inputs(tmp_path / name, extra=name if name in bad else None)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.data_recipes.test_executors import ExecutorConfig, run\n"
        "if __name__ == '__main__':\n"
        "    for name in ('too much', 'ray', *sys.argv[2:]):\n"
        "        memory = {'memory_gb': 1e6 if name == 'too much' else 0.25}\n"
        "        config = ExecutorConfig(kind='ray', workers=2, ray=memory)\n"
        "        try:\n"
        "            run(Path(sys.argv[1]) / name, config)\n"
        "        except (ValueError, RuntimeError) as error:\n"
        "            print(f'{name}: {type(error).__name__}: {error}')\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *bad],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
    )
    lines = [line for line in process.stdout.splitlines() if "(raylet)" not in line]
    assert [line.split(": ")[0] for line in lines] == ["too much", *bad]
    assert "no node has 1 cores and 1e+06 GiB for a task" in lines[0]
    assert all(bad[line.split(": ")[0]] in line for line in lines[1:])
    shown = process.stderr.replace("\r", "\n").splitlines()
    assert shown and all(line.startswith("drop:") for line in shown if line)
    run(tmp_path / "local", ExecutorConfig())
    for step in ("filter", "quality"):
        assert hashes_of(tmp_path / "ray" / step) == hashes_of(tmp_path / "local" / step) != {}
