"""A chain of steps on Slurm: submitted whole, looked after by calling `submit` again."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from math import ceil
from pathlib import Path

import dill
from datatrove.executor import SlurmPipelineExecutor
from datatrove.executor.base import DistributedEnvVars

from ..common.errors import RecipeError
from ..common.files import write_json_atomically
from .executor_config import ExecutorConfig
from .executors import Job, run_rank

_RECORD = "submitted.json"


class _SlurmExecutor(SlurmPipelineExecutor):
    # datatrove's own launch is not used: it splits tasks beyond the largest array into jobs of
    # which the next step would wait for the last alone, adds a job that merges statistics (and
    # stays in the queue for good when a task fails), and needs `launch_pickled_pipeline` and
    # `scontrol` on the PATH of the nodes.

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> None:
        failure = Path(self.logging_dir.resolve_paths(f"errors/{rank:05d}"))
        try:
            run_rank(self, rank)
        except (RecipeError, RuntimeError) as error:
            failure.parent.mkdir(exist_ok=True)
            failure.write_text(str(error), encoding="utf-8")
            sys.exit(f"error: {error}")
        failure.unlink(missing_ok=True)

    def get_distributed_env(self, node_rank: int = -1) -> DistributedEnvVars:
        return DistributedEnvVars(
            datatrove_node_ips=os.environ.get("SLURMD_NODENAME", ""),
            datatrove_cpus_per_task=str(self.cpus_per_task),
            datatrove_mem_per_cpu=str(self.mem_per_cpu_gb),
            datatrove_gpus_on_node="0",
            datatrove_executor="SLURM",
        )

    def script(self) -> str:
        """The batch script. A job is its own only process, so no `srun` can start it twice."""
        elements = ceil(self.tasks / self.tasks_per_job)
        options = [
            f"#SBATCH --{name}" + (f"={shlex.quote(str(value))}" if value != "" else "")
            for name, value in self.get_sbatch_args(elements).items()
        ]
        python = "python" if self.env_command else shlex.quote(sys.executable)
        pickled = shlex.quote(self.logging_dir.resolve_paths("executor.pik"))
        lines = [
            "#!/bin/bash",
            *options,
            "set -e",
            *([self.env_command] if self.env_command else []),
            "export PYTHONUNBUFFERED=1",
            f"exec {python} -m datatrove.tools.launch_pickled_pipeline {pickled}",
        ]
        return "\n".join(lines) + "\n"

    def launch(self, after: str | None) -> str:
        """Submit, to start when job `after` has ended well. Returns the job's id."""
        folder = Path(self.logging_dir.resolve_paths(""))
        for old in ("completions", "errors"):
            shutil.rmtree(folder / old, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "executor.pik").open("wb") as file:
            dill.dump(self, file)
        write_json_atomically(folder / "ranks_to_run.json", list(range(self.tasks)))
        script = folder / "launch_script.slurm"
        script.write_text(self.script(), encoding="utf-8")
        dependency = [f"--dependency=afterok:{after}"] if after else []
        # Some sites print more than the id; with --parsable it is `id` or `id;cluster`.
        answer = _slurm("sbatch", "--parsable", *dependency, str(script))
        return answer.split()[-1].split(";")[0]


def _slurm(*command: str) -> str:
    if shutil.which(command[0]) is None:
        raise RecipeError(
            f"executor kind slurm: no `{command[0]}` here; run this on a login node of the "
            "cluster, or choose executor.kind local or ray"
        )
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RecipeError(f"`{shlex.join(command)}` failed: {done.stderr.strip()}")
    return done.stdout


def _executor(job: Job, config: ExecutorConfig, logs: Path) -> _SlurmExecutor:
    slurm = config.slurm
    return _SlurmExecutor(
        [job.step],
        tasks=job.tasks,
        workers=config.workers,
        time=slurm.time,
        partition=slurm.partition,
        cpus_per_task=slurm.cpus_per_task,
        mem_per_cpu_gb=slurm.mem_per_cpu_gb,
        qos=slurm.qos,
        env_command=slurm.env_command,
        # What waits for a job that failed is taken out of the queue.
        sbatch_args={"kill-on-invalid-dep": "yes", **slurm.sbatch_args},
        tasks_per_job=ceil(job.tasks / slurm.max_array_size),
        job_name=job.name,
        logging_dir=str((logs / job.name).resolve()),
        skip_completed=False,
        requeue_signals=None,
    )


def _raise_failure(job: dict[str, str | int], logs: Path) -> None:
    folder = logs / str(job["name"])
    where = f"its output is in {folder / 'slurm_logs'}/{job['id']}_*.out"
    again = "mend that, and run the same command to go on"
    for failure in sorted((folder / "errors").glob("*")):
        message = failure.read_text(encoding="utf-8")
        raise RecipeError(f"{job['name']}, task {int(failure.name)}: {message}\n  {where}; {again}")
    done = {int(path.name) for path in (folder / "completions").glob("*")}
    lost = sorted(set(range(int(job["tasks"]))) - done)
    if lost:
        raise RecipeError(
            f"{job['name']}: {len(lost)} of {job['tasks']} tasks (the first: {lost[0]}) ended "
            f"without a word: cancelled, out of time or out of memory? {where}; {again}"
        )


def _still_there(record: dict[str, list[dict[str, str | int]]]) -> set[str]:
    queued = set(_slurm("squeue", "--me", "--noheader", "--format=%F").split())
    return queued & {str(job["id"]) for job in record["jobs"]}


def submit(jobs: list[Job], config: ExecutorConfig, logs: Path) -> None:
    """Send a chain to Slurm, each job to start when all tasks of the one before have ended well.

    Called again while jobs of the last call are in the queue, it prints how far they are; when
    they have failed, it raises what the first of them said, once; otherwise it submits again.

    Args:
        jobs: what is left to be done, in order; names differ.
        config: with a `slurm` section.
        logs: a directory that all nodes see.

    Raises:
        RecipeError: no Slurm here, Slurm refuses, or the last submission failed.
    """
    if "SLURM_ARRAY_TASK_ID" in os.environ:
        raise RecipeError(
            "executor kind slurm: this is a task of a job array already; submit from a login node, "
            "or choose executor.kind local"
        )
    record = logs / _RECORD
    if record.is_file():
        last = json.loads(record.read_text(encoding="utf-8"))
        if active := _still_there(last):
            for job in last["jobs"]:
                done = len(list((logs / job["name"] / "completions").glob("*")))
                state = "in the queue" if job["id"] in active else "ended"
                print(
                    f"{job['name']:<24}job {job['id']:<12}{done} of {job['tasks']} tasks, {state}"
                )
            return
        record.unlink()
        for job in last["jobs"]:
            _raise_failure(job, logs)
    # Asked before the first job is sent, so that what cannot be looked after is not started.
    _slurm("squeue", "--me", "--noheader", "--format=%F")
    after, submitted = None, []
    for job in jobs:
        after = _executor(job, config, logs).launch(after)
        submitted.append({"name": job.name, "id": after, "tasks": job.tasks})
        write_json_atomically(record, {"jobs": submitted})
        print(f"{job.name:<24}job {after:<12}{job.tasks} tasks")
    print("submitted; run the same command to see how far it is")
