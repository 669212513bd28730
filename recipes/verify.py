"""Replay the first steps of a run and a later window, and say whether they come out the same.

    kormo verify runs/tiny/stage2
    kormo verify runs/tiny/stage2 --steps 100

RUN is the directory of a pretraining stage with its `reproduce.json`. First every file that the run
read is hashed, and each that has other bytes is named. Then steps are computed again, from the
start and from a checkpoint that is still there, and compared with what was recorded:

    bit-equal            every loss and every hash of the weights is the same
    equal to rounding    the losses differ by less than the bound, which is said
    different            by more; the first step is named

    incomplete           what could be replayed is the same, but a window could not; it is said why

The exit status is 0 for the first two with unchanged inputs, else 1. It runs in one process, with
as many threads as the run had.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_recipes.common.config_files import documented_parser, positive
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import find_differences
from recipes.command_line import exit_on_error
from recipes.opened_run import OTHER_BYTES, REPRODUCE, find_changes, open_run, read_reproduce

_STEPS = 10
_SAME = ("bit-equal", "equal to rounding")  # verdicts that begin so
# How far losses (nats per token) may differ and still be called rounding: our choice.
# In fp32, two threads in place of one moved the losses of a model of 64 units by 2e-7 in ten steps.
_BOUND = {"fp32": 1e-4, "bf16": 1e-2}


@dataclass(frozen=True)
class Comparison:
    """Replayed steps against recorded ones.

    Attributes:
        steps: that were compared.
        hashes: of them, those whose weights were hashed in both.
        largest: difference of losses, in nats per token.
        first: step that first differs in loss, gradient norm or weights; `None` if none does.
        losses: by step, recorded and replayed.
    """

    steps: int
    hashes: int
    largest: float
    first: int | None
    losses: dict[int, tuple[float, float]]


def compare_steps(
    recorded: Mapping[str, Mapping[str, Any]], replayed: Mapping[str, Mapping[str, Any]]
) -> Comparison:
    """Compare what both have of each step.

    Args:
        recorded: facts by step, as `reproduce.json` has them.
        replayed: the same of the steps that were computed again.
    """
    first, hashes, losses = None, 0, {}
    for step in sorted(map(int, replayed.keys() & recorded.keys())):
        was, now = recorded[str(step)], replayed[str(step)]
        both = was.keys() & now.keys()
        hashes += "weights" in both
        if "loss" in both:
            losses[step] = was["loss"], now["loss"]
        if first is None and any(was[key] != now[key] for key in both):
            first = step
    largest = max((_apart(a, b) for a, b in losses.values()), default=0.0)
    return Comparison(len(losses), hashes, largest, first, losses)


def _apart(was: float, now: float) -> float:
    # `max` passes over a NaN that does not come first.
    return math.inf if math.isnan(was - now) else abs(was - now)


def judge(found: Sequence[Comparison], bound: float) -> str:
    """Say in one line what comparisons come to."""
    steps, hashes = sum(f.steps for f in found), sum(f.hashes for f in found)
    if all(f.first is None for f in found):
        return f"bit-equal: {steps:,} losses and {hashes:,} hashes of all weights are the same"
    largest = max(f.largest for f in found)
    if largest <= bound:
        first = min(f.first for f in found if f.first is not None)
        return (
            f"equal to rounding: {steps:,} losses differ by at most {largest:.2g} nats (bound "
            f"{bound:g}); losses, gradient norms or weights differ from step {first:,} on"
        )
    step, (was, now) = next(
        (step, pair)
        for f in found
        for step, pair in f.losses.items()
        if not abs(pair[0] - pair[1]) <= bound
    )
    first = min(f.first for f in found if f.first is not None)
    more = f"; beyond the bound of {bound:g} at step {step:,}" if step != first else ""
    return f"different, first at step {first:,}{more}: loss {now:.6f} instead of {was:.6f}"


def verify(directory: Path, count: int, threads: int | None) -> Iterator[str]:
    """Verify a run, and say so line by line; the last line is the verdict.

    Args:
        directory: of the run.
        count: steps to replay at the start and from a checkpoint.
        threads: of torch; `None` for as many as the run had.

    Raises:
        RecipeError: no run that can be verified.
    """
    record = read_reproduce(directory)
    if record is None:
        open_run(directory)  # names a directory that is no run at all
        raise RecipeError(
            f"{directory}: has no {REPRODUCE}; runs begun before it was written cannot be verified"
        )
    changes = find_changes(record["inputs"], directory)
    yield f"inputs: {len(record['inputs']):,} files hashed, {len(changes):,} changed"
    yield from (f"  changed: {change}" for change in changes)
    run = open_run(directory)

    # torch takes seconds to load: a mistake above is told without it.
    import torch

    from recipes.engine.replayed_steps import find_windows, replay_window
    from recipes.engine.reproduce import describe_code, describe_machine

    machine = record["attempts"][0]["machine"]
    torch.set_num_threads(threads or machine["threads"])
    for attempt in record["attempts"]:
        now = {"code": describe_code(), "machine": describe_machine()}
        lines = find_differences({k: attempt[k] for k in now}, now)
        if lines:
            yield f"made otherwise, from step {attempt['from_step']:,}:"
            yield from (f"  {line}" for line in lines)
    bound = _BOUND[run.config.parallelism.precision]
    found = []
    windows = find_windows(run, record, count)
    for window in windows:
        if window.missing:
            yield f"{window.name}: not replayed, {window.missing}"
            continue
        try:
            replayed = replay_window(run, window)
        except RecipeError as error:
            yield f"{window.name}: cannot be replayed: {error}"
            if any(OTHER_BYTES in change for change in changes):
                yield f"different: the inputs of {directory} are not those that it read"
                return
            continue
        own = compare_steps(record["steps"], replayed)
        found.append(own)
        yield f"{window.name}: {judge([own], bound)}"
    if not found:
        raise RecipeError(f"{directory}: nothing of it can be replayed; see the reasons above")
    verdict = judge(found, bound)
    if len(found) < len(windows) and not verdict.startswith("different"):
        verdict = f"incomplete: a window was not replayed, see above; the other is {verdict}"
    if changes:
        verdict += f"; {len(changes)} of its inputs have changed, see above"
    yield verdict


def main() -> None:
    parser = documented_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="output directory of a run")
    parser.add_argument(
        "--steps", type=positive, default=_STEPS, help="to replay at each place (%(default)s)"
    )
    parser.add_argument("--threads", type=positive, help="of torch (as many as the run had)")
    args = parser.parse_args()
    line = ""
    for line in verify(args.run, args.steps, args.threads):
        print(line, flush=True)
    if not line.startswith(_SAME) or "have changed" in line:
        sys.exit(1)


if __name__ == "__main__":
    exit_on_error(main)
