"""Processes on one machine and on Ray: dead workers, errors, interrupts, who writes on stderr."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil
import pytest

from data_recipes.common.config_files import CONFIGS
from data_recipes.common.errors import RecipeError
from data_recipes.engine.executor_config import ExecutorConfig, RayConfig, load_executor
from data_recipes.engine.executors import check_room
from data_recipes.engine.steps import StepFolder
from tests.conftest import ROOT, environment

from ..hand_made import hashes_of
from ..prepare.toy_chain import run, write_inputs

SHIPPED = sorted((CONFIGS / "executors").glob("*.yaml"))
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra `ray`)"
)


def in_a_process(config: ExecutorConfig, *roots: Path) -> subprocess.Popen:
    """`run` in a process of its own, which writes down what it raised."""
    command = [
        sys.executable,
        "-m",
        "tests.data_recipes.prepare.toy_chain",
        config.model_dump_json(),
    ]
    return subprocess.Popen(
        [*command, *map(str, roots)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts background jobs, such as a test run, with Ctrl-C ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def only_a_bar(shown: str) -> bool:
    lines = [line for line in shown.replace("\r", "\n").splitlines() if line]
    return bool(lines) and all(line.startswith("drop:") for line in lines)


def test_a_worker_that_dies_ends_the_run_with_a_message(tmp_path: Path) -> None:
    """datatrove's pool would wait for it for good."""
    write_inputs(tmp_path, extra="KILL")
    with pytest.raises(RecipeError, match=r"want of memory: lower executor.workers \(2 now\)"):
        run(tmp_path, ExecutorConfig(workers=2, tasks=4))
    run(tmp_path, ExecutorConfig(workers=2, tasks=4))
    assert len(StepFolder(tmp_path / "quality" / "web_ko").done()) == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_a_mistake_in_a_step_is_one_line_and_says_where_to_look(
    tmp_path: Path, workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path, extra="BREAK")
    with pytest.raises(RuntimeError, match="KeyError: 'a mistake in a step'; traceback in") as e:
        run(tmp_path, ExecutorConfig(workers=workers))
    assert "Traceback" in Path(str(e.value).split("traceback in ")[1]).read_text()
    shown = capfd.readouterr().err
    assert "drop" in shown and "Traceback" not in shown


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_the_command(tmp_path: Path, sent: signal.Signals) -> None:
    write_inputs(tmp_path, extra="WAIT")
    process = in_a_process(ExecutorConfig(workers=2), tmp_path)
    try:
        marker = tmp_path / "filter" / "waits"
        deadline = time.monotonic() + 60
        while not (marker.is_file() and marker.read_text()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        assert int(marker.read_text()) in {child.pid for child in children}
        if sent == signal.SIGINT:
            os.killpg(process.pid, sent)  # as Ctrl-C does
        else:
            process.send_signal(sent)
        said, shown = process.communicate(timeout=20)
        assert psutil.wait_procs(children, timeout=10)[1] == []
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    # The traceback of the command itself, which no worker adds to.
    assert (said, shown.count("Traceback")) == ("", int(sent == signal.SIGINT))


def test_errors_reach_the_user_and_the_terminal_shows_nothing_else(tmp_path: Path) -> None:
    write_inputs(tmp_path / "here", extra="FAIL")
    process = in_a_process(ExecutorConfig(workers=2), tmp_path / "here")
    said, shown = process.communicate()
    assert (tmp_path / "here" / "error").read_text() == (
        "RecipeError: a text says FAIL; take it out"
    )
    assert said == "" and only_a_bar(shown)
    assert "Traceback" in (tmp_path / "here" / "logs" / "filter" / "console.txt").read_text()


@pytest.mark.parametrize("capture", ["capsys", "capfd"])
def test_a_program_that_captures_stderr_gets_it_back(
    tmp_path: Path, capture: str, request: pytest.FixtureRequest
) -> None:
    fixture = request.getfixturevalue(capture)
    write_inputs(tmp_path)
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
    wrong = {
        "FAIL": "RecipeError: a text says FAIL; take it out",
        "BREAK": "RuntimeError: KeyError: 'a mistake in a step'; traceback in",
        "KILL": "RecipeError: task 0: its worker was lost",
    }
    for name in ("ray", "local", *wrong):
        write_inputs(tmp_path / name, extra=name if name in wrong else None)
    config = ExecutorConfig(kind="ray", workers=2, ray={"memory_gb": 0.25})
    process = in_a_process(config, tmp_path / "ray", *(tmp_path / name for name in wrong))
    _, shown = process.communicate()
    for name, message in wrong.items():
        assert (tmp_path / name / "error").read_text().startswith(message)
    assert not (tmp_path / "ray" / "error").exists()
    assert only_a_bar(shown)
    run(tmp_path / "local", ExecutorConfig())
    for step in ("filter", "quality"):
        assert hashes_of(tmp_path / "ray" / step) == hashes_of(tmp_path / "local" / step) != {}


@needs_ray
def test_a_task_that_fits_on_no_node_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    node = {"Alive": True, "Resources": {"CPU": 8.0, "memory": 4.0 * 2**30}}
    monkeypatch.setattr(ray, "nodes", lambda: [node, node | {"Alive": False}])
    check_room(RayConfig(cpus_per_task=8, memory_gb=4))
    for config in (RayConfig(cpus_per_task=9), RayConfig(memory_gb=5)):
        with pytest.raises(RecipeError, match=r"no node has .* \(nodes: 8 cores 4.0 GiB\); lower"):
            check_room(config)
