"""Tasks of a step on a Ray cluster."""

from pathlib import Path

from datatrove.executor import RayPipelineExecutor
from datatrove.pipeline.base import PipelineStep

from ..common.errors import RecipeError
from .executor_config import RayConfig
from .executors import GO_ON, run_rank

_CANCEL_SECONDS = 10  # our choice; a forced end takes less than one


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


def run_on_ray(
    pipeline: list[PipelineStep], tasks: int, workers: int, config: RayConfig, logs: Path
) -> None:
    """Run `pipeline` as `tasks` tasks, `workers` at a time, and wait for them.

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
        pipeline, tasks, logging_dir=str(logs.resolve()), skip_completed=False
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
