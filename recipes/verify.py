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

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from data_recipes.common.arguments import positive
from data_recipes.common.errors import RecipeError
from data_recipes.common.run_dir import find_differences

from .command_line import exit_on_error
from .engine.run_inputs import OTHER_BYTES, REPRODUCE, find_changes, read_reproduce
from .opened_run import open_run

_STEPS = 10
_SAME = ("bit-equal", "equal to rounding")  # verdicts that begin so


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

    from .engine.replayed_steps import find_windows, replay_window
    from .engine.reproduce import describe_code, describe_machine
    from .engine.verdict import bound_of, compare_steps, judge

    machine = record["attempts"][0]["machine"]
    torch.set_num_threads(threads or machine["threads"])
    for attempt in record["attempts"]:
        now = {"code": describe_code(), "machine": describe_machine()}
        lines = find_differences({k: attempt[k] for k in now}, now)
        if lines:
            yield f"made otherwise, from step {attempt['from_step']:,}:"
            yield from (f"  {line}" for line in lines)
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
        yield f"{window.name}: {judge([own], bound_of(run.config))}"
    if not found:
        raise RecipeError(f"{directory}: nothing of it can be replayed; see the reasons above")
    verdict = judge(found, bound_of(run.config))
    if len(found) < len(windows) and not verdict.startswith("different"):
        verdict = f"incomplete: a window was not replayed, see above; the other is {verdict}"
    if changes:
        verdict += f"; {len(changes)} of its inputs have changed, see above"
    yield verdict


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
