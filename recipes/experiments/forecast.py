"""A forecast: a ladder of small runs, a law, a prediction that is sealed, and its check."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    check_settings,
    git_commit,
    read_settings,
    write_json_atomically,
)
from data_recipes.common.page import Block, Heading, Page, Paragraph, Span, Table, made

from ..config import PretrainingStage
from .config import BudgetConfig, Overrides, Seeds, refuse_unused
from .plan import plan_run
from .runs import Run

FORECAST, SEAL = "forecast.json", "forecast.sha256"
_BITS = "bits_per_byte/"


class RungConfig(Strict):
    """A run of the ladder, or the target.

    Attributes:
        tokens: to train on.
        set: what it sets, as `dotted.key: value`; its shape above all, and its learning rate.
    """

    tokens: int = Field(gt=0)
    set: Overrides = {}


class ForecastConfig(Strict):
    """A forecast.

    Attributes:
        question: that it answers.
        stage: of the size's recipes.
        output_dir: a folder per run, the forecast, and its check.
        rungs: small runs by name.
        target: the large run that is predicted.
        seeds: of each rung; the target has the first.
        shared: settings of all runs.
        times: the target costs at least so many times the FLOPs of any rung.
        fit_from: a rung's measurements count from this share of its tokens on; before, the warm-up
            is most of what they show. Of a rate that decays, only the last counts.
        languages: whose held-out bits per byte are predicted.
        within: relative error that the check accepts.
        note: what the result cannot say.
    """

    question: str = Field(min_length=1)
    stage: PretrainingStage
    output_dir: Path
    rungs: dict[str, RungConfig] = Field(min_length=4)
    target: RungConfig
    seeds: Seeds = Field(min_length=1)
    shared: Overrides = {}
    times: float = Field(default=30, gt=1)
    fit_from: float = Field(default=0.25, gt=0, le=1)
    languages: list[str] = Field(min_length=1)
    within: float = Field(default=0.01, gt=0)
    note: str = ""

    @model_validator(mode="after")
    def _names(self) -> ForecastConfig:
        if "target" in self.rungs:
            raise ValueError("rungs: `target` is the name of what they predict")
        for where, rung in {**self.rungs, "target": self.target}.items():
            refuse_unused(where, rung.set, [self.stage])
        refuse_unused("shared", self.shared, [self.stage])
        return self


def _run(config: ForecastConfig, size: str, name: str, rung: RungConfig, seed: int) -> Run:
    place = config.output_dir / name / str(seed)
    budget = BudgetConfig(tokens=rung.tokens)
    return plan_run(size, name, seed, place, [config.stage], [config.shared, rung.set], budget)


def plan_forecast(config: ForecastConfig, size: str) -> tuple[list[Run], Run]:
    """Plan the rungs and the target.

    Raises:
        RecipeError: a rung that costs more than its share of the target.
    """
    from .cost import cost_of  # loads torch

    target = _run(config, size, "target", config.target, config.seeds[0])
    limit = cost_of(target.cells).flops / config.times
    rungs = []
    for name, rung in config.rungs.items():
        rungs += [_run(config, size, name, rung, seed) for seed in config.seeds]
        if (flops := cost_of(rungs[-1].cells).flops) > limit:
            raise RecipeError(
                f"rungs.{name}: {flops:.3g} FLOPs are more than {limit:.3g}, the target's divided "
                f"by {config.times:g}: give it fewer tokens, or lower `times`"
            )
    return rungs, target


def _place_on_law(run: Run) -> tuple[float, int]:
    """N and D of a run at its end."""
    from ..build import trained_shape  # loads torch
    from ..engine.metrics import flops_per_token

    config = run.cells[0].config
    per_token = flops_per_token(trained_shape(config), config.batch.sequence_length, None)
    return per_token / 6, run.tokens


def read_points(config: ForecastConfig, rungs: list[Run], language: str) -> list[Any]:
    """Read what finished rungs measured, as points of a law.

    Raises:
        RecipeError: a rung has no such measurement.
    """
    from ..engine.metrics import read_metrics
    from .law import Point

    points = []
    for run in rungs:
        parameters, tokens = _place_on_law(run)
        first = tokens if run.cells[0].config.schedule.decay_tokens else config.fit_from * tokens
        lines = read_metrics(run.cells[0].directory)
        own = {
            line["tokens"]: line[f"{_BITS}{language}"]
            for line in lines
            if f"{_BITS}{language}" in line
        }
        if not own:
            found = sorted({k.removeprefix(_BITS) for m in lines for k in m if k.startswith(_BITS)})
            raise RecipeError(
                f"languages: {run.name} has no bits per byte of {language}, but of "
                f"{', '.join(found)}; name these (no run is lost: start the forecast again)"
            )
        points += [Point(run.name, parameters, t, loss) for t, loss in own.items() if t >= first]
    return points


def _digest(forecast: dict[str, Any]) -> str:
    told = {key: value for key, value in forecast.items() if key != "sha256"}
    text = json.dumps(told, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def seal(
    config: ForecastConfig, name: str, size: str, rungs: list[Run], target: Run
) -> dict[str, Any]:
    """Fit, predict, and write `forecast.json` with its hash, also beside the target that begins.

    Raises:
        RecipeError: the target has been started already, or the rungs cannot hold a law.
    """
    from .law import predict

    directory = target.cells[0].directory
    refuse_started(directory)
    parameters, tokens = _place_on_law(target)
    laws, prediction, points = {}, {}, {}
    for language in config.languages:
        own = read_points(config, rungs, language)
        law, (value, low, high) = predict(own, parameters, tokens)
        laws[language] = vars(law)
        prediction[language] = {"value": value, "low": low, "high": high}
        points[language] = [vars(point) for point in own]
    forecast = {
        "name": name,
        "size": size,
        "forecast": config.model_dump(mode="json"),
        "target": target.cells[0].config.model_dump(mode="json"),
        "parameters": parameters,
        "tokens": tokens,
        "points": points,
        "laws": laws,
        "prediction": prediction,
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": git_commit(),
    }
    forecast["sha256"] = _digest(forecast)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SEAL).write_text(f"{forecast['sha256']}\n", encoding="utf-8")
    write_json_atomically(config.output_dir / FORECAST, forecast)
    return forecast


def refuse_started(directory: Path) -> None:
    """Make sure that a target has not begun.

    Raises:
        RecipeError: there is more in its directory than a seal.
    """
    there = sorted(p.name for p in directory.glob("*") if p.name != SEAL)
    if there:
        raise RecipeError(
            f"{directory}: the target has been started already ({there[0]} is there), so that a "
            "forecast made now would be none; delete it, or give the forecast another output_dir"
        )


def read_sealed(config: ForecastConfig, target: Run, known: str | None) -> dict[str, Any] | None:
    """Read a forecast and make sure that it is the one that was sealed; `None` if there is none.

    Args:
        config: of the forecast.
        target: that it predicts.
        known: hash that somebody noted.

    Raises:
        RecipeError: the file is damaged, or it or the settings were changed afterwards.
    """
    path, seal_file = config.output_dir / FORECAST, target.cells[0].directory / SEAL
    forecast = read_settings(path, "restore it, or take another output_dir")
    if forecast is None:
        return None
    says = str(forecast.get("sha256"))
    sealed = seal_file.read_text(encoding="utf-8").strip() if seal_file.is_file() else "missing"
    hashes = {"its content": _digest(forecast), str(seal_file): sealed}
    hashes |= {"the hash given": known} if known else {}
    for where, value in hashes.items():
        if value != says:
            raise RecipeError(
                f"{path}: is not the forecast that was sealed: it says {says[:12]}…, and "
                f"{where} is {value[:12]}…; restore it, or take another output_dir"
            )
    now = target.cells[0].config.model_dump(mode="json")
    said = "predicts a target with other settings than it has now"
    check_settings(path, forecast["target"], now, "undo the change:", said)
    # Only what is said of it may be put better afterwards.
    was, own = forecast["forecast"], config.model_dump(mode="json")
    own |= {name: was[name] for name in ("question", "note")}
    said = "was sealed with other settings than the forecast has now"
    check_settings(path, was, own, "undo the change, or take another output_dir:", said)
    return forecast


def check(forecast: dict[str, Any], target: Run) -> dict[str, Any]:
    """Compare a sealed prediction with the target, by the error that was sealed with it.

    Raises:
        RecipeError: the target is not finished.
    """
    from ..engine.metrics import read_metrics

    if not target.done:
        raise RecipeError(
            f"{target.cells[0].directory}: the target is not finished, so there is nothing to "
            "check; train it with --target"
        )
    lines, within = read_metrics(target.cells[0].directory), forecast["forecast"]["within"]
    found = {}
    for language, own in forecast["prediction"].items():
        key = f"{_BITS}{language}"
        actual = [line[key] for line in lines if key in line][-1]
        error = own["value"] / actual - 1
        found[language] = {
            "actual": actual,
            "error": error,
            "inside": own["low"] <= actual <= own["high"],
            "held": abs(error) <= within,
        }
    return found


def forecast_page(forecast: dict[str, Any], checked: dict[str, Any] | None) -> Page:
    """Say what is predicted and from what, and what it came to."""
    from .law import Law  # loads numpy

    config, rows, doubts = forecast["forecast"], [], []
    for language, own in forecast["prediction"].items():
        law, found = forecast["laws"][language], (checked or {}).get(language)
        row = [language, f"{own['value']:.4f} [{own['low']:.4f}, {own['high']:.4f}]"]
        row += [f"{law['floor']:.3f}", f"{law['alpha']:.3f}", f"{law['beta']:.3f}"]
        if found:
            where = "inside" if found["inside"] else "outside"
            verdict = "held" if found["held"] else "missed"
            row += [f"{found['actual']:.4f}", f"{found['error']:+.2%}", where, verdict]
        rows.append(row)
        if untold := Law(**law).untold():
            doubts.append(
                f"{language}: the rungs do not tell {', '.join(untold)}, which the fit left at a "
                "bound: do not trust this forecast; give the ladder longer or larger rungs"
            )
    columns = ["language", "bits per byte [95 %]>", "E>", "alpha>", "beta>"]
    columns += (
        ["actual>", "error>", "interval", f"within {config['within']:.1%}"] if checked else []
    )
    ladder = [
        [name, f"{rung['tokens']:,}", ", ".join(f"{k} = {v}" for k, v in rung["set"].items())]
        for name, rung in {**config["rungs"], "target": config["target"]}.items()
    ]
    blocks: list[Block] = [
        Paragraph([Span(config["question"], "strong")]),
        Table(columns, rows),
        *map(Paragraph, doubts),
        Paragraph(["Sealed ", forecast["date"], ", sha256 ", Span(forecast["sha256"], "code")]),
        Heading("The ladder"),
        Table(["run", "tokens>", "sets"], ladder),
        Paragraph(
            "E + A N^-alpha + B D^-beta, N being FLOPs per token over 6. The interval holds if the "
            "law does; it cannot say how far beyond the rungs that is."
        ),
        made(),
    ]
    if config["note"]:
        blocks.append(Paragraph(config["note"]))
    return Page(f"Forecast {forecast['name']}, {forecast['size']}", blocks)
