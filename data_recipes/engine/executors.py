"""Running a step: datatrove's executors behind one config section.

datatrove says what a task is, logs it and counts it. How processes are started is ours, because a
worker that dies (for want of memory, most often) must end the run with a message: datatrove's pools
wait for it for good, and its Ray executor takes a run with failed tasks for a finished one.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from datatrove.data import DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor
from datatrove.executor.base import PipelineExecutor
from datatrove.pipeline.base import PipelineStep
from loguru import logger

from ..common.errors import RecipeError
from .executor_config import ExecutorConfig, RayConfig

GO_ON = "finished shards are kept: run the same command to go on"
_CANCEL_SECONDS = 10  # our choice; a forced end takes less than one


@dataclass(frozen=True)
class Job:
    """A step of datatrove, and the tasks that its work is dealt into.

    Attributes:
        name: names its folder of logs, and the job on Slurm.
        step: run by every task. It is pickled when submitted, before the jobs in front of it
            have run, so it may look at its inputs only when a task runs.
        tasks: parts that the work is dealt into.
    """

    name: str
    step: PipelineStep
    tasks: int


class Call(PipelineStep):
    """Calls a function when its task runs, the only one of its job.

    For work that cannot be described before the steps in front of it have run, as a chain on a
    cluster must be.

    Args:
        function: takes nothing, as a `functools.partial` of a function at the top of a module does,
            which is pickled by reference.
    """

    name = "Call"
    type = "CLEANING"

    def __init__(self, function: Callable[[], object]) -> None:
        super().__init__()
        self.function = function

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        self.function()
        yield from ()


def run_rank(executor: PipelineExecutor, rank: int) -> None:
    """Run one task in this process.

    Raises:
        RecipeError: from a step.
        RuntimeError: for anything else that a step raised, with where its traceback is.
    """
    try:
        # The base's own: Ray's would log to a folder of /tmp that all users of a machine share.
        PipelineExecutor._run_for_rank(executor, rank, local_rank=rank)
    except RecipeError:
        raise
    except Exception as error:
        log = executor.logging_dir.resolve_paths(f"logs/task_{rank:05d}.log")
        raise RuntimeError(f"{type(error).__name__}: {error}; traceback in {log}") from error


def _start_worker() -> None:
    # Ctrl-C reaches every process of a terminal; the parent decides and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def follow_parent() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=follow_parent, daemon=True).start()


class _LocalExecutor(LocalPipelineExecutor):
    def run(self) -> None:
        if self.workers > 1:
            self._run_in_processes()
            return
        pipeline = self.pipeline
        for rank in range(self.tasks):
            self.pipeline = deepcopy(pipeline)
            run_rank(self, rank)

    def _run_in_processes(self) -> None:
        # Not forkserver, whose children would keep the first step's stderr for good.
        context = multiprocessing.get_context("spawn")
        others = set(multiprocessing.active_children())
        pool = ProcessPoolExecutor(self.workers, context, initializer=_start_worker)
        try:
            futures = [pool.submit(run_rank, self, rank) for rank in range(self.tasks)]
            for future in as_completed(futures):
                future.result()
        except BrokenProcessPool as error:
            raise RecipeError(
                "a worker process was killed, most likely for want of memory: lower "
                f"executor.workers ({self.workers} now); {GO_ON}"
            ) from error
        except BaseException:
            for child in set(multiprocessing.active_children()) - others:
                child.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


def _connect(config: RayConfig) -> None:
    import ray

    if ray.is_initialized():
        return
    try:
        ray.init(
            address=config.address,
            include_dashboard=None if config.address else False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"executor.ray.address {config.address!r}: cannot reach a Ray cluster ({error}); start "
            "one with `ray start --head`, or leave the address out to use this machine alone"
        ) from error


def check_room(config: RayConfig) -> None:
    """Ray would wait for good for a node that is large enough.

    Raises:
        RecipeError: no node has the cores and the memory of a task.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    memory = config.memory_gb * 2**30
    if not any(
        n.get("CPU", 0) >= config.cpus_per_task and n.get("memory", 0) >= memory for n in nodes
    ):
        sizes = ", ".join(
            f"{n.get('CPU', 0):g} cores {n.get('memory', 0) / 2**30:.1f} GiB" for n in nodes
        )
        raise RecipeError(
            f"executor.ray: no node has {config.cpus_per_task} cores and {config.memory_gb:g} GiB "
            f"for a task (nodes: {sizes}); lower cpus_per_task or memory_gb"
        )


def _run_on_ray(
    step: PipelineStep, tasks: int, workers: int, config: RayConfig, logs: Path
) -> None:
    """Run `step` as `tasks` tasks, `workers` at a time, and wait for them.

    Every node sees the files of the recipe under the same paths, and has this package installed.

    Raises:
        RecipeError: whatever a step raised; Ray is not installed, cannot be reached, has no node
            that is large enough, or lost a task.
        RuntimeError: a step failed in another way.
    """
    try:
        import ray
    except ImportError as error:
        raise RecipeError("executor kind ray: install it with `pip install -e '.[ray]'`") from error

    _connect(config)
    check_room(config)
    executor = RayPipelineExecutor(
        [step], tasks, logging_dir=str(logs.resolve()), skip_completed=False
    )
    # Not retried: a task that was killed for its memory would be killed again, without end.
    task = ray.remote(run_rank).options(
        num_cpus=config.cpus_per_task,
        memory=int(config.memory_gb * 2**30),
        max_retries=0,
        scheduling_strategy="SPREAD",
    )
    shared = ray.put(executor)
    waiting, running = list(reversed(range(tasks))), {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                rank = waiting.pop()
                running[task.remote(shared, rank)] = rank
            (done,), _ = ray.wait(list(running), num_returns=1)
            rank = running.pop(done)
            try:
                ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except ray.exceptions.RayError as error:
                raise RecipeError(
                    f"task {rank}: its worker was lost ({type(error).__name__}), most likely for "
                    f"want of memory: raise executor.ray.memory_gb; {GO_ON}"
                ) from error
    finally:
        for left in running:
            ray.cancel(left, force=True)
        if running:
            # So that nothing writes any more when this returns.
            ray.wait(list(running), num_returns=len(running), timeout=_CANCEL_SECONDS)


@contextmanager
def _stderr_to(path: Path) -> Iterator[None]:
    # datatrove describes every step and prints every traceback there; its files under `logs` have
    # the same. By descriptor, so that it holds for worker processes, and by name, for whoever has
    # put another file in the name's place.
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = os.dup(2)
    with path.open("a", encoding="utf-8") as file, redirect_stderr(file):
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            logger.remove()  # datatrove leaves one that would go on printing to the file
            os.dup2(saved, 2)
            os.close(saved)


def execute(step: PipelineStep, tasks: int, config: ExecutorConfig, logs: Path) -> None:
    """Run `step` as `tasks` tasks, on this machine or on Ray, and wait for them.

    The step itself knows what is done already, so every task is started again on every call.

    Args:
        step: whose tasks they are.
        tasks: parts that the work is dealt into.
        config: where to run; for `kind: slurm`, which does not wait, see `slurm.submit`.
        logs: directory for datatrove's logs and for what is printed on stderr meanwhile.

    Raises:
        RecipeError: whatever a step raised; a worker was killed; Ray is not installed, not there
            or too small.
        RuntimeError: a step failed in another way.
    """
    if config.kind == "slurm":
        raise ValueError("execute() waits for its tasks; submit() sends them to Slurm")
    workers = min(config.workers, tasks)
    with _stderr_to(logs / "console.txt"):
        if config.kind == "ray":
            _run_on_ray(step, tasks, workers, config.ray, logs)
        else:
            _LocalExecutor(
                [step], tasks, workers, logging_dir=str(logs), skip_completed=False
            ).run()
