"""Stages that are not trained but measured by a law that a test has planted."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from recipes.command_line import parse_command_line
from recipes.config import StageConfig
from recipes.engine.reproduce import write_recipe

Law = Callable[[StageConfig, int], dict[str, float]]


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
        bits = {f"bits_per_byte/{k}": v for k, v in law(config, tokens).items()}
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
