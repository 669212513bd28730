"""The config section that says where steps run."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, model_validator

from ..common.config_files import Strict, find_config, load_config

Recipe = TypeVar("Recipe", bound=Strict)
_SHIPPED = Path(__file__).parents[1] / "configs" / "executors"


class SlurmConfig(Strict):
    """What a task asks of Slurm.

    Attributes:
        partition: partition to submit to.
        time: wall-clock limit of a task, as sbatch takes it (`HH:MM:SS` or `D-HH:MM:SS`).
        cpus_per_task: cores of a task.
        mem_per_cpu_gb: memory per core, in GiB.
        qos: quality of service; leave out for the partition's own (datatrove would ask for one
            called "normal", which many sites do not have).
        max_array_size: largest job array of the site (`scontrol show config | grep MaxArraySize`);
            more tasks than that share the elements of one array. 1,001 is Slurm's own default.
        env_command: shell line that makes `python` the one with this package, run first in every
            job; leave out to use the interpreter that submits.
        sbatch_args: further options of sbatch by long name, e.g. `{account: mine}`; an empty
            value is an option without one.
    """

    partition: str
    time: str = Field(default="24:00:00", pattern=r"^(\d+-)?\d{1,3}(:\d{2}){0,2}$")
    cpus_per_task: int = Field(default=1, gt=0)
    mem_per_cpu_gb: int = Field(default=4, gt=0)
    qos: str | None = None
    max_array_size: int = Field(default=1001, gt=0)
    env_command: str | None = None
    sbatch_args: dict[str, str | int] = {}


class RayConfig(Strict):
    """What a task asks of Ray.

    Attributes:
        address: a running cluster (`auto`, or `ray://…`); leave out for what `RAY_ADDRESS` says,
            or else a cluster on this machine alone that lives as long as the command.
        cpus_per_task: cores of a task.
        memory_gb: memory that Ray sets aside for a task, in GiB.
    """

    address: str | None = None
    cpus_per_task: int = Field(default=1, gt=0)
    memory_gb: float = Field(default=4, gt=0)


class ExecutorConfig(Strict):
    """How the work of a step is spread.

    A recipe may describe a cluster and still be run on one machine: only the section that `kind`
    names is looked at.

    Attributes:
        kind: `local`: processes on this machine; `slurm`: jobs on a cluster; `ray`: tasks of a
            Ray cluster.
        workers: tasks at a time.
        tasks: parts that the shards of a step are dealt into; leave out for as many as `workers`.
            What is written does not depend on it.
        slurm: needed by `kind: slurm`.
        ray: for `kind: ray`.
    """

    kind: Literal["local", "slurm", "ray"] = "local"
    workers: int = Field(default=1, gt=0)
    tasks: int | None = Field(default=None, gt=0)
    slurm: SlurmConfig | None = None
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _described(self) -> "ExecutorConfig":
        if self.kind == "slurm" and self.slurm is None:
            raise ValueError("kind slurm needs a section `slurm` with at least the `partition`")
        return self

    @property
    def parts(self) -> int:
        """Tasks of a step that can be spread."""
        return self.tasks or self.workers


class _ExecutorFile(Strict):
    executor: ExecutorConfig


def load_executor(path: str | Path, overrides: list[str]) -> ExecutorConfig:
    """The `executor` section of a file of its own, which may be a shipped one.

    Such a file also serves as the `base:` of a recipe.

    Args:
        path: YAML file, or its name in `data_recipes/configs/executors`.
        overrides: `executor.key=value`.

    Raises:
        RecipeError: no such file, unknown keys, bad values.
    """
    return load_config(find_config(path, _SHIPPED), _ExecutorFile, overrides).executor


def load_recipe(
    path: Path, schema: type[Recipe], executor: str | None, overrides: list[str]
) -> Recipe:
    """A recipe, with the executor of another file in place of its own if one is named.

    Args:
        path: YAML file.
        schema: of the recipe, with a field `executor`.
        executor: as `load_executor` takes it.
        overrides: `key=value`; those of `executor` go to that file.

    Raises:
        RecipeError: no such file, unknown keys, bad values.
    """
    apart = [o for o in overrides if executor and o.startswith("executor.")]
    config = load_config(path, schema, [o for o in overrides if o not in apart])
    if executor is None:
        return config
    return config.model_copy(update={"executor": load_executor(executor, apart)})
