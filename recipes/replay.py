"""What a training step read: documents, sources, licences, text and the loss of each document.

    kormo replay runs/tiny/stage2 --step 240 --text
    kormo replay runs/tiny/stage2 --step 240 --loss
    kormo replay runs/tiny/stage2 --steps 1-1000
    kormo replay runs/tiny/stage2 --find "a sentence"

RUN is the directory of a pretraining stage, finished or not. The order of the data is computed from
its recipe as training computes it; nothing is stored, and shards that have changed are refused.
"""

import argparse
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import visible
from recipes.command_line import exit_on_error
from recipes.opened_run import OpenedRun, open_run
from recipes.read_order import Spelling, find_text, readings, visits


def _spelling(run: OpenedRun) -> Spelling:
    from data_recipes.tokenizer.load import token_bytes

    return Spelling(token_bytes(run.tokenizer))


def describe_step(run: OpenedRun, step: int, text: bool, loss: bool) -> Iterator[str]:
    """Describe what a step read, a line for each window and each document in it."""
    windows = run.windows_of(step)
    mixture = run.mixture
    spelling = _spelling(run) if text else None
    losses = {}
    yield (
        f"step {step:,} of {run.steps.total:,}: {len(windows)} windows of "
        f"{mixture.sequence_length:,} tokens"
    )
    if loss:
        from recipes.engine.replayed_steps import document_losses

        losses, weights = document_losses(run, windows)
        yield f"losses: nats per token that is scored, with the weights of {weights}"
    for window in windows:
        shown = readings(run, window)
        manifest = mixture.sources[shown[0].source].manifest
        yield (
            f"window {window:,}: {manifest.name}, epoch {shown[0].epoch}, {manifest.language}, "
            f"{manifest.licence}, synthesizer {manifest.synthesizer or 'none'}"
        )
        for number, reading in enumerate(shown):
            end = reading.begin + len(reading.tokens) - 1
            line = f"  document {reading.document:,}: tokens {reading.begin:,} to {end:,} of "
            line += f"{reading.document_tokens:,}"
            if loss:
                value, scored = losses[window][number]
                line += f", loss {value:.4f} of {scored:,}" if scored else ", no token scored"
            yield line
            if spelling:
                written = spelling.text(reading.tokens).decode(errors="replace")
                yield "\n".join(f"    {row}" for row in visible(written).splitlines())


def list_steps(run: OpenedRun, first: int, last: int) -> Iterator[str]:
    """List the windows of some steps, a line each, separated by tabs."""
    yield "step\twindow\tsource\tepoch\tdocuments"
    for step in range(first, last + 1):
        for window in run.windows_of(step):
            shown = readings(run, window)
            documents = " ".join(str(own.document) for own in shown)
            yield f"{step}\t{window}\t{shown[0].source}\t{shown[0].epoch}\t{documents}"


def describe_places(run: OpenedRun, text: str) -> Iterator[str]:
    """Say which steps saw a text, a line for each time it was read.

    Raises:
        RecipeError: an empty text.
    """
    if not text:
        raise RecipeError("--find: an empty text is everywhere; give a sentence")
    places, times = 0, 0
    for source, document, start, length in find_text(run, text, _spelling(run)):
        places += 1
        for visit in visits(run, source, start, length):
            times += 1
            part = "" if visit.whole else ", a part of it, at the edge of the window"
            yield (
                f"step {visit.step:,}: {source}, document {document:,}, window {visit.window:,}, "
                f"epoch {visit.epoch}{part}"
            )
    if not places:
        yield f"not in the training shards of {', '.join(run.mixture.sources)}"
    else:
        yield f"{places:,} places in the shards, read {times:,} times in {run.steps.total:,} steps"


def _range(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([\d_,]+)-([\d_,]+)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}: write FIRST-LAST, such as 1-1000")
    first, last = (int(re.sub("[_,]", "", number)) for number in match.groups())
    if not 1 <= first <= last:
        raise argparse.ArgumentTypeError(f"{text!r}: the first step is 1, the last no earlier")
    return first, last


def main() -> None:
    parser = documented_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="output directory of a run")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--step", type=int, help="what this step read, from 1")
    what.add_argument("--steps", type=_range, metavar="1-1000", help="list these, a line a window")
    what.add_argument("--find", metavar="TEXT", help="which steps read this text")
    parser.add_argument("--text", action="store_true", help="with --step: the text, too")
    parser.add_argument(
        "--loss", action="store_true", help="with --step: loss of each document (loads the model)"
    )
    args = parser.parse_args()
    if (args.text or args.loss) and args.step is None:
        parser.error("--text and --loss go with --step")
    run = open_run(args.run)
    if args.find is not None:
        lines = describe_places(run, args.find)
    elif args.steps:
        run.windows_of(args.steps[1])  # refuses steps that there are not before it prints any
        lines = list_steps(run, *args.steps)
    else:
        lines = describe_step(run, args.step, args.text, args.loss)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    for line in lines:
        print(line)


if __name__ == "__main__":
    exit_on_error(main)
