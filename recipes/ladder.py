"""The whole ladder, each stage from the last one's `final/`, and one table of it.

    python -m recipes.ladder                # or: make ladder
    python -m recipes.ladder --size small   # an hour on two cores; learns to think
    python -m recipes.ladder --with vision  # and then to see

Stages that are finished are not run again; delete `runs/<size>` to start over. Held-out bits per
byte are those of the same text for every rung, measured in windows of stage 1.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recipes.command_line import CONFIGS, exit_on_error, load_stage
from recipes.config import SELF_CONTAINED, STAGES
from recipes.engine.metrics import read_metrics
from recipes.opened_run import FINAL

if TYPE_CHECKING:
    from recipes.engine.windows_data import BitsPerByte

RUNGS = (*STAGES, "sft", "dpo")
# After SFT's model, for those who ask.
MORE = {"vision": ("vision_tower", "vision_align", "vision_sft")}


@dataclass(frozen=True)
class Rung:
    """A finished stage.

    Attributes:
        stage: its name.
        tokens: it trained on.
        loss: last training loss, in nats.
        bits_per_byte: held-out, by language; empty for a tower.
        seconds: it took now; `None` if it was finished before.
    """

    stage: str
    tokens: int
    loss: float
    bits_per_byte: dict[str, float]
    seconds: float | None


def _output_dir(size: str, stage: str) -> Path:
    return load_stage(CONFIGS / size / f"{stage}.yaml", stage).logging.output_dir


def climb(size: str, stage: str) -> float | None:
    """Run a stage unless it is finished; seconds that it took.

    Raises:
        RecipeError: it failed.
    """
    from recipes.parent import run_stage

    if (_output_dir(size, stage) / FINAL).is_dir():
        return None
    start = time.perf_counter()
    print(f"\n== {stage} ({stage}.py) ==", flush=True)
    run_stage(stage, size)
    return time.perf_counter() - start


def measurement(size: str) -> BitsPerByte:
    """Make the measurement on held-out text of stage 1's sources."""
    from data_recipes.tokenizer.load import load_tokenizer
    from recipes.engine.windows_data import BitsPerByte

    config = load_stage(CONFIGS / size / "stage1.yaml", "stage1")
    return BitsPerByte(
        config.data.shards,
        list(config.data.mixture),
        config.batch.sequence_length,
        config.data.heldout_tokens,
        load_tokenizer(config.data.tokenizer),
    )


def look(size: str, stage: str, seconds: float | None, measure: BitsPerByte) -> Rung:
    """Measure what became of a stage."""
    import torch
    from transformers.utils.logging import disable_progress_bar

    from eval.local_model import load_language_model
    from recipes.engine.handover import read_lineage

    disable_progress_bar()
    output_dir = _output_dir(size, stage)
    model = None
    if stage != "vision_tower":  # reads no text
        model = load_language_model(str(output_dir / FINAL), torch.float32, "varlen")
    losses = [line["loss"] for line in read_metrics(output_dir) if "loss" in line]
    tokens = read_lineage(str(output_dir / FINAL))["tokens"]
    bits = measure(model, torch.device("cpu"))[0] if model else {}
    return Rung(stage, tokens, losses[-1], bits, seconds)


def format_rungs(rungs: list[Rung]) -> str:
    """Format the table."""
    languages = sorted(rungs[0].bits_per_byte)
    head = f"{'stage':<20}{'tokens':>12}{'loss':>8}"
    head += "".join(f"{f'{language} bits/byte':>14}" for language in languages) + f"{'time':>9}"
    lines = [head]
    for rung in rungs:
        own = rung.bits_per_byte
        bits = "".join(f"{own[k]:14.3f}" if k in own else f"{'-':>14}" for k in languages)
        spent = "-" if rung.seconds is None else f"{rung.seconds:,.0f} s"
        lines.append(f"{rung.stage:<20}{rung.tokens:12,}{rung.loss:8.3f}{bits}{spent:>9}")
    total = sum(rung.seconds or 0 for rung in rungs)
    lines.append(f"{'':<20}{sum(r.tokens for r in rungs):12,}{'':>36}{f'{total:,.0f} s':>9}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--size", choices=SELF_CONTAINED, default="tiny", help="(%(default)s)")
    parser.add_argument(
        "--with", dest="more", choices=MORE, help="what else the model of SFT learns"
    )
    args = parser.parse_args()
    size, stages = args.size, (*RUNGS, *MORE.get(args.more, ()))
    seconds = {stage: climb(size, stage) for stage in stages}
    measure = measurement(size)
    rungs = [look(size, stage, seconds[stage], measure) for stage in stages]
    print(
        f"\n{format_rungs(rungs)}\n\nThe loss of SFT is that of what the assistant says, the loss "
        "of DPO that of pairs; neither compares with the others.\nTalk to it: python -m "
        f"recipes.chat {_output_dir(size, 'sft') / 'final'}"
    )
    if args.more == "vision":
        final, pictures = _output_dir(size, "vision_sft") / FINAL, "runs/pictures/*/images/*.png"
        print(
            "The loss of a tower is SigLIP's; bits per byte of the others are what reading text "
            f"lost by seeing.\nShow it one of {pictures}: python scripts/generate.py {final} "
            "--image FILE 'What is in the picture?'"
        )


if __name__ == "__main__":
    exit_on_error(main)
