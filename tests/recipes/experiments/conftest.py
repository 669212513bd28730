"""Small experiments, run in this process; and stages that a planted law measures, not trained."""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from data_recipes.common.config_files import load_config
from recipes.command_line import parse_command_line
from recipes.config import StageConfig
from recipes.engine.reproduce import write_recipe
from recipes.experiment import main
from recipes.experiments.config import ExperimentConfig
from recipes.experiments.plan import seed_runs, values_of
from recipes.experiments.runs import Run
from tests.conftest import SMALL, environment, release_outputs

Law = Callable[[StageConfig, int], dict[str, float]]
Start = Callable[..., str]


def finish(command: list[str], law: Law) -> bool:
    """Leave what the stage of a command leaves: its record, lineage and log."""
    stage = Path(command[1]).stem
    if stage == "expand_vocabulary":
        directory = Path(command[4])
        directory.mkdir(parents=True)
        (directory / "lineage.json").write_text("{}")
        return True
    config: StageConfig = parse_command_line(stage, "", command[2:]).config
    directory, total = config.logging.output_dir, config.schedule.total_tokens
    final = directory / "final"
    final.mkdir(parents=True)
    lines = [{"step": 0, "tokens": 0, "bits_per_byte/en": 9.0, "bits_per_byte/ko": 9.0}]
    for part in range(1, 9):
        tokens = total * part // 8
        values = law(config, tokens)
        bits = {k if "/" in k else f"bits_per_byte/{k}": v for k, v in values.items()}
        lines.append({"step": part, "tokens": tokens, "loss": 1.0, "tokens_per_second": 1000.0})
        lines.append({"step": part, "tokens": tokens, **bits})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    lineage = {"commit": "0" * 40, "python": "3", "packages": {}, "parent": config.model.init_from}
    lineage |= {"data_fingerprint": str(config.data.mixture), "parent_lineage": None}
    lineage |= {"initial_weights": {"embedding": "a", "others": "b"}}
    (final / "lineage.json").write_text(json.dumps(lineage))
    write_recipe(config, final)
    return True


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Callable[[Law], list[list[str]]]:
    """Have every stage finished by a law; returns the list of commands that were run."""

    def plant(law: Law) -> list[list[str]]:
        ran: list[list[str]] = []

        def run(command: list[str]) -> bool:
            ran.append(command)
            return finish(command, law)

        monkeypatch.setattr("recipes.experiments.train.succeeds", run)
        return ran

    return plant


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command's `main` with arguments; what it prints."""

    def run(main: Callable[[], None], *arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        capsys.readouterr()
        main()
        return capsys.readouterr().out

    return run


def load(path: Path, *overrides: str) -> ExperimentConfig:
    return load_config(path, ExperimentConfig, list(overrides))


def planned(experiment: ExperimentConfig, size: str = "tiny") -> list[Run]:
    values = values_of(experiment)
    return seed_runs(experiment, size, dict.fromkeys(experiment.arms, values[0]))


def small(data_dir: Path, output: Path, **changes: object) -> dict:
    """An experiment of two arms and two seeds on the shared data, four steps a run."""
    own = dict(item.split("=", 1) for item in SMALL if "total_tokens" not in item)
    shared = {key: yaml.safe_load(value) for key, value in own.items()} | {
        "data.recipe": str(data_dir / "recipe.yaml"),
        "data.shards": str(data_dir / "shards"),
        "data.tokenizer": str(data_dir / "tokenizer"),
        "logging.eval_every_tokens": 2048,
        "logging.save_every_tokens": 1024,
    }
    return {
        "question": "Does it?",
        "stages": ["stage1"],
        "output_dir": str(output),
        "baseline": "a",
        "arms": {"a": {}, "b": {"optimizer.weight_decay": 0.5}},
        "seeds": [1, 2],
        "budget": {"tokens": 4096},
        "shared": shared | changes.pop("shared", {}),
        "measures": ["bits_per_byte", "spikes", "gradient_norm"],
        "decide": {"bits_per_byte/en": 0.02, "bits_per_byte/ko": 0.02},
    } | changes


def run_here(command: list[str]) -> bool:
    """Run a stage, or an evaluation, in this process, which has loaded torch already."""
    if command[0] == "false":
        return False
    module, words = f"recipes.{Path(command[1]).stem}", command[1:]
    if command[1] == "-m":
        module, words = f"{command[2]}.__main__", command[2:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        importlib.import_module(module).main()
    release_outputs()
    return True


@pytest.fixture
def start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Start:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("recipes.experiments.train.succeeds", run_here)
    # What is published grows, and is not what these tests are about.
    monkeypatch.setattr("recipes.experiments.results.RECORDS", tmp_path / "published")

    def run(path: Path, *arguments: str) -> str:
        given = ["experiment", str(path), "--size", "tiny", *arguments]
        monkeypatch.setattr(sys, "argv", given)
        capfd.readouterr()  # of one that was refused
        main()
        return capfd.readouterr().out

    return run
