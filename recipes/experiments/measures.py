"""Measures of a finished run: functions of its log, its data and its settings."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.tokens.mixture import Mixture

from ..engine.metrics import read_metrics
from ..pretrain import plan_steps
from .lengths import bytes_per_token
from .runs import PlannedStage, Run

Lines = list[dict[str, Any]]
# All others are better the lower they are.
_HIGHER_IS_BETTER = ("quick/", "answers/", "suite/", "mode/", "vision/", "needle/", "heldout/found")
# Of pairs; above, `found` is how often a tower finds the picture of a caption.
_HIGHER_IS_BETTER += tuple(f"heldout/rewards/{own}" for own in ("accuracies", "margins", "chosen"))
_HIGHER_IS_BETTER += ("heldout/logps/chosen",)
BITS = "bits_per_byte/"
_HELDOUT = "heldout_"


def higher_is_better(name: str) -> bool:
    """Whether a larger value of a measure is the better one."""
    return name.startswith(_HIGHER_IS_BETTER)


def _last(lines: Lines, prefix: str) -> dict[str, float]:
    keys = dict.fromkeys(key for line in lines for key in line if key.startswith(prefix))
    return {key: [line[key] for line in lines if key in line][-1] for key in keys}


def _first_and_last(lines: Lines, prefix: str) -> dict[str, float]:
    """Values at the end and, where a run does not branch off another, before the first step."""
    begun = _last([line for line in lines if line["step"] == 0], prefix)
    return _last(lines, prefix) | {f"{key} before": value for key, value in begun.items()}


def _bits_per_byte(run: Run, lines: Lines) -> dict[str, float]:
    """Held-out bits per byte by language."""
    return _first_and_last(lines, BITS)


def _averaged(run: Run, lines: Lines) -> dict[str, float]:
    """Bits per byte of the run's running average; of its last weights, if it keeps none.

    So that an average can be compared with a decay, each at what it would be used for.
    """
    found = {key.removeprefix(BITS): value for key, value in _last(lines, BITS).items()}
    of_average = _last(lines, f"average_{BITS}")
    found |= {key.removeprefix(f"average_{BITS}"): value for key, value in of_average.items()}
    return {f"averaged/{language}": value for language, value in found.items()}


def _logged(name: str) -> Callable[[Run, Lines], dict[str, float]]:
    """Make the measure of what a run evaluated while it trained: a suite, or held-out text."""
    return lambda run, lines: _last(lines, f"{name}/")


def _unrest(run: Run, lines: Lines) -> dict[str, float]:
    """How much the loss goes up and down from one line of the log to the next.

    Standard deviation of the differences in the second half, over the root of two: that of the
    noise about a slow trend. In nats per token; nothing for less than three lines.
    """
    losses = [line["loss"] for line in lines if "loss" in line]
    losses = losses[len(losses) // 2 :]
    steps = [after - before for before, after in zip(losses, losses[1:])]
    return {"unrest": statistics.stdev(steps) / 2**0.5} if len(steps) > 1 else {}


def _spikes(run: Run, lines: Lines) -> dict[str, float]:
    """Updates that the guard skipped."""
    found = _last(lines, "skipped_updates")
    return {"skipped updates": found["skipped_updates"]} if found else {}


def _gradient_norm(run: Run, lines: Lines) -> dict[str, float]:
    """Largest norm before clipping after the warm-up, and the share of logged steps clipped."""
    config = run.cells[-1].config
    warm = plan_steps(config).warmup
    norms = [line["grad_norm"] for line in lines if "grad_norm" in line and line["step"] > warm]
    if not norms:
        return {}
    clipped = sum(norm > config.optimizer.max_grad_norm for norm in norms) / len(norms)
    return {"largest gradient norm": max(norms), "share of steps clipped": clipped}


def _mixture(run: Run, lines: Lines) -> dict[str, float]:
    """Sources of synthetic Korean text, who wrote them, and passes over the one seen most.

    Nothing of a mixture without Korean: of another language, all of it would be 0.
    """
    config = run.cells[-1].config
    data, length = config.data, config.batch.sequence_length
    mixture = Mixture(data.shards, data.mixture, length, data.seed)
    rows = mixture.plan(config.schedule.total_tokens // length)
    if all(r.language != "ko" for r in rows):
        return {}
    rows = [r for r in rows if r.language == "ko" and r.synthesizer and r.name not in data.heldout]
    return {
        "synthetic sources": float(len(rows)),
        "synthesizers": float(len({r.synthesizer for r in rows})),
        "epochs": max((r.epochs for r in rows), default=0.0),
    }


def _compression(run: Run, lines: Lines) -> dict[str, float]:
    """Bytes of text that a token stands for, in the last stage's mixture."""
    return {"bytes per token": bytes_per_token(run.cells[-1].config)}


def _answers(run: Run, lines: Lines) -> dict[str, float]:
    """Share of right answers by split, and of who reads the question alone (eval/knowledge)."""
    found = {}
    for split, own in run.cells[-1].answers("answers")["splits"].items():
        shares = own["groups"]["all"]["all"]
        found[f"answers/{split}"] = shares["seen"]["share"]
        found[f"{split}, question only"] = shares["question only"]["share"]
    return found


def _heldout(run: Run, lines: Lines) -> dict[str, float]:
    """What a stage on rows measures on those it holds out."""
    found = _first_and_last(lines, _HELDOUT)
    return {key.replace("_", "/", 1): value for key, value in found.items()}


def _suite(run: Run, lines: Lines) -> dict[str, float]:
    """Scores from 0 to 1; what is measured in bits per byte is named so, and is better if low."""
    found = {}
    for row in run.cells[-1].answers("suite")["rows"]:
        bits = "bits" in row["metric"]
        found[f"{'bits' if bits else 'suite'}/{row['label']}"] = row["value"]
    return found


def _needle(run: Run, lines: Lines) -> dict[str, float]:
    """Share of facts found again, by language and length of the text."""
    by_language = run.cells[-1].answers("needle")["lengths"]
    return {
        f"needle/{language} {length}": own["share"]
        for language, lengths in by_language.items()
        for length, own in lengths.items()
    }


def _mode(run: Run, lines: Lines) -> dict[str, float]:
    """Share of answers with a think block that has content where it was asked for, else without."""
    results = run.cells[-1].answers("suite")
    found = {}
    for row in results["rows"]:
        shares = [results["units"][key]["metrics"].get("as_asked,none") for key in row["units"]]
        if None not in shares:
            found[f"mode/{row['label']}"] = statistics.fmean(shares)
    return found


def _vision(run: Run, lines: Lines) -> dict[str, float]:
    """Share of right answers by language and split, and the lead over the best of the blind."""
    found = {}
    for split, results in run.cells[-1].answers("vision")["splits"].items():
        for language, own in results["languages"].items():
            shares = {k: v["share"] for k, v in own["all"].items() if isinstance(v, dict)}
            seen = shares.pop("seen")
            found[f"vision/{language} {split}"] = seen
            found[f"vision/{language} {split}, lead"] = seen - max(shares.values())
    return found


_MEASURES: dict[str, Callable[[Run, Lines], dict[str, float]]] = {
    "bits_per_byte": _bits_per_byte,
    "averaged": _averaged,
    "source_bits": _logged("source_bits"),
    "position_bits": _logged("position_bits"),
    "unrest": _unrest,
    "spikes": _spikes,
    "gradient_norm": _gradient_norm,
    "mixture": _mixture,
    "compression": _compression,
    "proxy": _logged("proxy"),
    "quick": _logged("quick"),
    "heldout": _heldout,
    "suite": _suite,
    "mode": _mode,
    "needle": _needle,
    "vision": _vision,
    "answers": _answers,
}


def measure_run(run: Run, names: list[str]) -> dict[str, float]:
    """Measure the last stage of a finished run.

    Args:
        run: with its `metrics.jsonl`.
        names: of the measures.

    Raises:
        RecipeError: it was not measured in a way that is asked for.
    """
    lines, found = read_metrics(run.cells[-1].directory), {}
    for name in names:
        values = _MEASURES[name](run, lines)
        if not values:
            raise RecipeError(
                f"{run.cells[-1].directory}: its log has nothing for the measure {name!r}; leave "
                "it out, train longer, or log more often (logging.log_every)"
            )
        found |= values
    return found


def curve_of(run: Run) -> dict[str, list[tuple[int, float]]]:
    """Read loss and held-out bits per byte over the tokens that the last stage has trained on."""
    curve: dict[str, list[tuple[int, float]]] = {}
    cell = run.cells[-1]
    for line in read_metrics(cell.directory):
        for key, value in line.items():
            known = key in ("loss", "heldout_loss") or key.startswith(BITS)
            if known and "tokens" in line:  # some stages on rows count steps alone
                curve.setdefault(key, []).append((line["tokens"] - cell.branched_at, value))
    return curve


def training_seconds(cells: Iterable[PlannedStage]) -> float:
    """Add up the seconds of training proper that the logs of stages tell, of each once."""
    seconds = 0.0
    for cell in {cell.directory: cell for cell in cells}.values():
        before = cell.branched_at
        for line in read_metrics(cell.directory):
            seconds += line.get("seconds", 0.0)
            if "tokens_per_second" in line:
                seconds += (line["tokens"] - before) / line["tokens_per_second"]
                before = line["tokens"]
    return seconds
