"""Tables of stages for docs/training.md, made from the YAML: `python -m recipes.stage_table`."""

import argparse
from pathlib import Path

from .command_line import CONFIGS, load_stage
from .config import SELF_CONTAINED, STAGES
from .engine.schedule import plan_steps, split_windows

SIZES = (*SELF_CONTAINED, "1b", "10b")


def _count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _row(path: Path) -> str:
    from .engine.flops import count_parameters  # loads torch

    config = load_stage(path, path.stem)
    split = split_windows(config, config.parallelism.gpus)
    device = f"{config.parallelism.gpus} × {config.parallelism.gpu}"
    cells = [
        f"`{config.stage}.py --config {path.parent.name}/{path.name}`",
        _count(count_parameters(config.model.shape)),
        config.model.init_from or "random",
        _count(config.schedule.total_tokens),
        f"{plan_steps(config).total:,}",
        f"{config.batch.sequence_length:,}",
        f"{config.batch.tokens_per_step:,}",
        f"{config.optimizer.learning_rate:g}",
        f"{device}, {split.micro_batch} × {split.accumulation}"
        if config.parallelism.require_gpu
        else "CPU or any GPU",
    ]
    return f"| {' | '.join(cells)} |"


def _chat_row(path: Path) -> str:
    config = load_stage(path, path.stem)
    gpus = f"{config.parallelism.gpus} × {config.parallelism.gpu}"
    cells = [
        f"`{config.stage}.py --config {path.parent.name}/{path.name}`",
        config.model.init_from,
        f"{config.schedule.epochs:g}",
        f"{config.batch.sequence_length:,}",
        f"{config.batch.tokens_per_step:,}",
        f"{config.optimizer.learning_rate:g}",
        gpus if config.parallelism.require_gpu else "CPU or any GPU",
    ]
    return f"| {' | '.join(cells)} |"


def chat_table() -> str:
    """Markdown table of SFT and preference tuning at every size."""
    head = ["recipe", "starts from", "epochs", "sequence", "tokens a step", "peak LR"]
    head.append("planned for")
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for size in SIZES:
        paths = [CONFIGS / size / f"{stage}.yaml" for stage in ("sft", "dpo")]
        lines += [_chat_row(path) for path in paths if path.is_file()]
    return "\n".join(lines)


def stage_table() -> str:
    """Markdown table with one row per stage of pretraining and mid-training, and size."""
    head = ["recipe", "parameters", "starts from", "tokens", "steps", "sequence", "tokens a step"]
    head += ["peak LR", "planned for (windows × passes)"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for size in SIZES:
        paths = [CONFIGS / size / f"{stage}.yaml" for stage in STAGES]
        lines += [_row(path) for path in paths]
    return "\n".join(lines)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(stage_table(), chat_table(), sep="\n\n")


if __name__ == "__main__":
    main()
