"""What a trained model is asked when its run is over, and where the answers are."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from data_recipes.common.config_files import Strict
from data_recipes.common.files import SETTINGS, read_settings
from eval.local_model import model_identity

from ..opened_run import FINAL, LINEAGE

RESULTS = "results.json"  # of any evaluation
# The evaluation that a measure is read from, where it is not read from the log.
SOURCES = {"suite": "suite", "mode": "suite"} | {k: k for k in ("vision", "needle", "answers")}


class SuiteConfig(Strict):
    """Questions in text, of `kormo eval`.

    Attributes:
        suites: names, or paths of YAML files.
        tasks: single ones.
        limit: questions of each, at most.
        think: in place of what the suites say.
    """

    suites: list[str] = []
    tasks: list[str] = []
    limit: PositiveInt | None = None
    think: Literal["off", "on", "both"] | None = None

    @model_validator(mode="after")
    def _asks(self) -> SuiteConfig:
        if not self.suites and not self.tasks:
            raise ValueError("name suites or tasks")
        return self


class PictureQuestionsConfig(Strict):
    """Questions about pictures, of `kormo eval vision`.

    Attributes:
        set: directory of a picture set.
        splits: of it; all that training does not see by default.
        kinds: of questions; all by default.
        limit: questions of each kind in each split, at most.
    """

    set: Path
    splits: list[str] = []
    kinds: list[str] = []
    limit: PositiveInt | None = None


class NeedleConfig(Strict):
    """Facts in long text, of `kormo eval needle`, in both languages.

    Attributes:
        lengths: tokens of a prompt.
        depths: places from first to last.
        prompts: of each length, place and language.
        style: of the facts and questions.
        distractors: near-identical facts that are not asked for.
    """

    lengths: list[PositiveInt] = Field(min_length=1)
    depths: PositiveInt = 5
    prompts: PositiveInt = 10
    style: Literal["general", "recall"] = "general"
    distractors: NonNegativeInt = 0


class EvaluationsConfig(Strict):
    """What the models of all arms are asked.

    Attributes:
        suite: for the measures `suite` and `mode`.
        vision: for `vision`.
        needle: for `needle`.
    """

    suite: SuiteConfig | None = None
    vision: PictureQuestionsConfig | None = None
    needle: NeedleConfig | None = None


def _options(name: str, values: list[str]) -> list[str]:
    return [word for value in values for word in (name, value)]


def _limit(items: int | None) -> list[str]:
    return ["--limit", str(items)] if items else []


def evaluation(
    name: str, asked: EvaluationsConfig, directory: Path, data: Path | None
) -> tuple[list[str], Path]:
    """Say how the model of a finished stage is asked.

    Args:
        name: of the evaluation.
        asked: settings.
        directory: of the stage, below which the results are. Asked otherwise, they are elsewhere.
        data: of a knowledge model, which is asked about it.

    Returns:
        The words after the interpreter, and the file with the results.
    """
    model = str(directory / FINAL)
    if name == "answers":
        words, folder = ["-m", "eval.knowledge", "--model", model, "--data", str(data)], name
        return [*words, "--out", str(directory / folder)], directory / folder / RESULTS
    if name == "suite":
        own = asked.suite
        words = ["-m", "eval", "--model", model, *_options("--suite", own.suites)]
        words += _options("--task", own.tasks) + (["--think", own.think] if own.think else [])
        words += _limit(own.limit)
    elif name == "vision":
        own = asked.vision
        words = ["-m", "eval.vision", model, str(own.set), *_options("--split", own.splits)]
        words += _options("--kind", own.kinds) + _limit(own.limit)
    else:
        own = asked.needle
        words = ["-m", "eval.needle", "--model", model, "--lengths", *map(str, own.lengths)]
        words += ["--depths", str(own.depths), "-n", str(own.prompts), "--style", own.style]
        words += ["--distractors", str(own.distractors)]
    digest = hashlib.sha256(own.model_dump_json().encode()).hexdigest()[:8]
    place = directory / f"{name}_{digest}"
    return [*words, "--out", str(place)], place / RESULTS


def answers_are_of(place: Path, model: Path) -> bool:
    """Whether an evaluation was of the weights that a model has now, as far as it noted them.

    Args:
        place: of the evaluation. It tells weights by `model_identity`, or by their SHA-256, which
            the model's lineage has, too.
        model: directory; what is not there yet gave no answers.
    """
    if not model.is_dir():
        return False
    noted = read_settings(place / SETTINGS) or {}
    own = noted.get("model")
    if files := (own if isinstance(own, dict) else noted).get("files"):
        return files == model_identity(str(model))["files"]
    weights = (read_settings(model / LINEAGE) or {}).get("weights_sha256") or {}
    return all(noted.get(f"sha256 of {name}", known) == known for name, known in weights.items())
