"""A chain on Slurm: rendered scripts, pickles, dependencies and failures, run by a stand-in."""

import json
import os
import sys
from functools import partial
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.deduplicate.config import MinhashConfig
from data_recipes.deduplicate.whole_documents import whole_document_phases
from data_recipes.engine.executor_config import ExecutorConfig
from data_recipes.engine.executors import Call, Job, execute
from data_recipes.engine.slurm import submit
from data_recipes.engine.steps import StepFolder
from tests.conftest import ROOT

from ..deduplicate.dedup_by_files import SOURCES, run, write
from ..hand_made import hashes_of
from ..prepare.toy_chain import steps, write_inputs
from .fake_slurm import COMMANDS, INTERPRETER, run_queue
from .toy_step import count_kept

PYTHON = Path(sys.executable)
SLURM = {"partition": "cpu", "max_array_size": 2, "sbatch_args": {"account": "mine"}}
CONFIG = ExecutorConfig(kind="slurm", workers=2, tasks=3, slurm=SLURM)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    queue = tmp_path / "queue"
    queue.mkdir()
    monkeypatch.setenv("PATH", f"{COMMANDS}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_SHIM", str(queue))
    monkeypatch.setattr(sys, "executable", str(INTERPRETER))
    monkeypatch.chdir(ROOT)
    return queue


def chain(root: Path) -> list[Job]:
    first, second = steps(root)
    last = Call(partial(count_kept, root / "quality" / "web_ko", root / "kept.txt"))
    return [Job("filter", first, 3), Job("quality", second, 2), Job("finish", last, 1)]


def in_turn(root: Path) -> Path:
    write_inputs(root)
    for job in chain(root):
        execute(job.step, job.tasks, ExecutorConfig(), root / "logs" / job.name)
    return root


def test_a_chain_is_submitted_whole_and_writes_what_one_process_writes(
    queue: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A directory whose name needs quoting.
    root = tmp_path / "a b"
    write_inputs(root)
    submit(chain(root), CONFIG, root / "logs")
    jobs = [json.loads(path.read_text()) for path in sorted(queue.glob("*.json"))]
    assert [job["after"] for job in jobs] == [[], ["100"], ["101"]]
    # Three tasks in an array of at most two elements.
    assert [job["directives"]["array"] for job in jobs] == ["0-1%2", "0-1%2", "0-0%2"]
    assert jobs[0]["directives"]["account"] == "mine"
    assert "qos" not in jobs[0]["directives"]

    capfd.readouterr()
    submit(chain(root), CONFIG, root / "logs")
    assert len(list(queue.glob("*.json"))) == 3
    assert "0 of 3 tasks, in the queue" in capfd.readouterr().out

    assert run_queue(queue) == {"100": "ok", "101": "ok", "102": "ok"}
    reference = in_turn(tmp_path / "local")
    for step in ("filter", "quality"):
        assert hashes_of(root / step) == hashes_of(reference / step) != {}
    assert (root / "kept.txt").read_text() == (reference / "kept.txt").read_text() != "0"


def test_stages_of_deduplication_meet_in_files(queue: Path, tmp_path: Path) -> None:
    """Submitted before there is anything to plan for."""
    root = tmp_path / "cluster"
    inputs = {name: root / "read" / name for name in SOURCES}
    stages = whole_document_phases(inputs, root / "minhash", MinhashConfig(), 2)
    submit([Job(str(i), s, n) for i, (s, n) in enumerate(stages)], CONFIG, root / "logs")
    for place in (root, tmp_path / "local"):
        write(place)
    assert set(run_queue(queue).values()) == {"ok"}
    assert hashes_of(root / "minhash") == hashes_of(run(tmp_path / "local", "minhash")) != {}


def test_what_a_task_said_reaches_the_user_once_and_the_chain_goes_on(
    queue: Path, tmp_path: Path
) -> None:
    write_inputs(tmp_path, extra="FAIL")
    submit(chain(tmp_path), CONFIG, tmp_path / "logs")
    assert run_queue(queue) == {"100": "failed", "101": "cancelled", "102": "cancelled"}
    with pytest.raises(RecipeError) as failure:
        submit(chain(tmp_path), CONFIG, tmp_path / "logs")
    message = str(failure.value)
    assert message.startswith("filter, task 2: a text says FAIL; take it out\n")
    (output,) = Path(message.split("output is in ")[1].split(";")[0]).parent.glob("100_1.out")
    assert "take it out" in output.read_text()
    # Mended: the shards that were finished stay.
    folder = StepFolder(tmp_path / "filter" / "web_ko")
    assert folder.done() == ["00000-00000", "00001-00000", "00003-00000"]
    write_inputs(tmp_path)
    submit(chain(tmp_path), CONFIG, tmp_path / "logs")
    states = run_queue(queue)
    assert [states[job] for job in ("103", "104", "105")] == ["ok"] * 3
    assert int((tmp_path / "kept.txt").read_text()) > 0


def test_a_task_that_was_killed_is_noticed(queue: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path, extra="KILL")
    submit(chain(tmp_path)[:1], CONFIG, tmp_path / "logs")
    assert run_queue(queue) == {"100": "failed"}
    with pytest.raises(RecipeError, match=r"filter: 1 of 3 tasks \(the first: 2\) ended without"):
        submit(chain(tmp_path)[:1], CONFIG, tmp_path / "logs")


def test_where_there_is_no_slurm_the_user_hears_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="no `squeue` here; run this on a login node"):
        submit(chain(tmp_path), CONFIG, tmp_path / "logs")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    with pytest.raises(RecipeError, match="a task of a job array already"):
        submit(chain(tmp_path), CONFIG, tmp_path / "logs")


def test_what_sbatch_says_is_passed_on(queue: Path, tmp_path: Path) -> None:
    write_inputs(tmp_path)
    (queue / "refuse").write_text("sbatch: error: invalid partition specified: cpu")
    with pytest.raises(RecipeError, match="sbatch .* failed: .*invalid partition"):
        submit(chain(tmp_path), CONFIG, tmp_path / "logs")
    (queue / "refuse").unlink()
    submit(chain(tmp_path), CONFIG, tmp_path / "logs")
    assert len(list(queue.glob("*.json"))) == 3


def test_a_line_that_makes_the_environment_comes_first(queue: Path, tmp_path: Path) -> None:
    """One that fails ends the job, rather than going on with another Python."""
    write_inputs(tmp_path)
    mine = f"export PATH={PYTHON.parent}:$PATH"
    for line, state, written in (("false", "failed", False), (mine, "ok", True)):
        config = ExecutorConfig(kind="slurm", slurm=SLURM | {"env_command": line})
        jobs = chain(tmp_path)[:1]
        submit(jobs, config, tmp_path / state / "logs")
        assert list(run_queue(queue).values())[-1] == state
        assert (tmp_path / "filter").exists() == written
