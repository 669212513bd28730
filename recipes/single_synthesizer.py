"""The experiment of KORMo's section 4.3: stage 2 on one, two and five synthetic Korean sources.

    python scripts/single_synthesizer.py                       # tiny, some ten minutes on a CPU
    python scripts/single_synthesizer.py --config 1b.yaml --dry-run    # the commands, for a cluster

Runs differ in the synthetic Korean alone: parent, tokens, order, learning rate and all other text
are the same, and so is the natural Korean text, kept out of training, that they are measured on.
Finished runs are not run again, and a run that was interrupted goes on from its last checkpoint.
"""

import argparse
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict, find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import write_json_atomically

from .command_line import CONFIGS, parse_command_line
from .config import StageConfig
from .engine.handover import FINAL
from .single_synthesizer_report import RESULTS, Run, draw, read_run, table

_STAGE = "stage2"


class ArmConfig(Strict):
    """One way to fill the synthetic Korean share.

    Attributes:
        sources: that share it out evenly.
        allow_single_synthesizer: run although it is what collapsed; by name, as in a stage.
    """

    sources: list[str] = Field(min_length=1)
    allow_single_synthesizer: bool = False


class ExperimentConfig(Strict):
    """The experiment.

    Attributes:
        recipe: of stage 2, that every run starts from; below recipes/configs.
        output_dir: one folder per run, and the results.
        common: weights of the sources that all runs share.
        synthetic_weight: weight that the sources of an arm share out.
        arms: by name.
        natural: sources of text by people, on whose held-out part runs are measured.
        seeds: runs of each arm, that differ in the order of the windows.
        overrides: further settings of all runs, as `dotted.key: value`.
    """

    recipe: str
    output_dir: Path
    common: dict[str, float] = Field(min_length=1)
    synthetic_weight: float = Field(gt=0)
    arms: dict[str, ArmConfig] = Field(min_length=2)
    natural: list[str] = Field(min_length=1)
    seeds: list[int] = Field(min_length=1)
    overrides: dict[str, Any] = {}

    @model_validator(mode="after")
    def _apart(self) -> "ExperimentConfig":
        used = {name for arm in self.arms.values() for name in arm.sources}
        if both := sorted(used & set(self.common)):
            raise ValueError(f"{', '.join(both)}: both in `common` and in an arm")
        if both := sorted(used & set(self.natural)):
            raise ValueError(f"{', '.join(both)}: both in `natural` and in an arm")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("a seed is given twice")
        return self


@dataclass(frozen=True)
class Planned:
    """A run that the experiment wants.

    Attributes:
        arm: its name.
        seed: of the order of windows.
        overrides: of the stage's command line.
        config: with them.
    """

    arm: str
    seed: int
    overrides: list[str]
    config: StageConfig

    @property
    def done(self) -> bool:
        """Whether it is finished."""
        return (self.config.logging.output_dir / FINAL).is_dir()


def _as_override(key: str, value: Any) -> str:
    # One line, as a shell passes it on.
    text = yaml.safe_dump(value, default_flow_style=True, width=10**6).strip()
    return f"{key}={text.removesuffix('...').strip()}"


def plan(experiment: ExperimentConfig) -> list[Planned]:
    """The runs, seed by seed, so that all arms can be compared as early as possible.

    Raises:
        RecipeError: a bad override, or a recipe of another stage.
    """
    runs = []
    for seed in experiment.seeds:
        for name, arm in experiment.arms.items():
            own = experiment.synthetic_weight / len(arm.sources)
            settings = experiment.overrides | {
                "data.mixture": experiment.common | dict.fromkeys(arm.sources, own),
                "data.allow_single_synthesizer": arm.allow_single_synthesizer,
                "data.heldout": experiment.natural,
                "data.seed": seed,
                "logging.output_dir": str(experiment.output_dir / f"{name}-{seed}"),
            }
            overrides = [_as_override(key, value) for key, value in settings.items()]
            invocation = parse_command_line(_STAGE, "", ["--config", experiment.recipe, *overrides])
            runs.append(Planned(name, seed, overrides, invocation.config))
    return runs


def command(experiment: ExperimentConfig, run: Planned, launcher: list[str]) -> list[str]:
    """The command line of a run."""
    script = str(Path(__file__).parent / f"{_STAGE}.py")
    return [*launcher, script, "--config", experiment.recipe, *run.overrides]


def _train(experiment: ExperimentConfig, runs: list[Planned], launcher: list[str]) -> None:
    left = [run for run in runs if not run.done]
    start = time.monotonic()
    for number, run in enumerate(left):
        where = f"run {len(runs) - len(left) + number + 1} of {len(runs)}: {run.arm}, {run.seed}"
        spent = time.monotonic() - start
        eta = f", about {spent / number * (len(left) - number) / 60:.0f} min left" if number else ""
        print(f"\n== {where}{eta} ==", flush=True)
        if subprocess.run(command(experiment, run, launcher), check=False).returncode:
            raise RecipeError(
                f"{where}: failed; see its message above, then start this command again"
            )


def report(experiment: ExperimentConfig, runs: list[Planned]) -> list[Run]:
    """Write table, plot and numbers of the runs that are finished.

    Raises:
        RecipeError: none is.
    """
    done = [read_run(run.arm, run.seed, run.config) for run in runs if run.done]
    if not done:
        raise RecipeError(f"{experiment.output_dir}: no finished run to report on")
    results = experiment.output_dir / RESULTS
    write_json_atomically(results.with_suffix(".json"), [run.record() for run in done])
    results.with_suffix(".md").write_text(table(done) + "\n", encoding="utf-8")
    draw(done, results.with_suffix(".png"))
    return done


def main() -> None:
    """Run what is not finished, and report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--config",
        default="tiny.yaml",
        help="YAML file, or its name in recipes/configs/single_synthesizer",
    )
    parser.add_argument(
        "--launcher",
        default=shlex.quote(sys.executable),
        help='what starts a stage, such as "accelerate launch --config_file FILE"',
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands and exit")
    parser.add_argument(
        "--report", action="store_true", help="only look at the runs that are finished"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    args = parser.parse_args()
    path = find_config(args.config, CONFIGS / "single_synthesizer")
    experiment = load_config(path, ExperimentConfig, args.overrides)
    runs, launcher = plan(experiment), shlex.split(args.launcher)
    if args.dry_run:
        for run in runs:
            print(shlex.join(command(experiment, run, launcher)))
        return
    if not args.report:
        _train(experiment, runs, launcher)
    done = report(experiment, runs)
    print(f"\n{table(done)}\n\n{experiment.output_dir / RESULTS}.{{md,json,png}}")
