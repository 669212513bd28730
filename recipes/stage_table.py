"""Tables of stages for docs/training.md, made from the YAML: `python -m recipes.stage_table`."""

import argparse
from collections.abc import Callable
from typing import Any

from recipes.command_line import CONFIGS, load_stage
from recipes.config import SELF_CONTAINED, STAGES, StageConfig
from recipes.post.chat_config import ChatStageConfig
from recipes.pretrain import plan_steps, split_windows

SIZES = (*SELF_CONTAINED, "1b", "10b")


def _count(number: int) -> str:
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def _table(stages: tuple[str, ...], row: Callable[[Any], dict[str, str]]) -> str:
    """Markdown table with a row for each of some stages at each size, if there is one."""
    rows = []
    for size in SIZES:
        for path in (CONFIGS / size / f"{stage}.yaml" for stage in stages):
            if path.is_file():
                config = load_stage(path, path.stem)
                name = f"`{config.stage}.py --config {path.parent.name}/{path.name}`"
                rows.append({"recipe": name, **row(config)})
    lines = [list(rows[0]), *(row.values() for row in rows)]
    head, *body = (f"| {' | '.join(cells)} |" for cells in lines)
    return "\n".join([head, f"|{'---|' * len(rows[0])}", *body])


def _planned_for(config: StageConfig | ChatStageConfig, split: str = "") -> str:
    machine = config.parallelism
    return f"{machine.gpus} × {machine.gpu}{split}" if machine.require_gpu else "CPU or any GPU"


def _row(config: StageConfig) -> dict[str, str]:
    from recipes.engine.metrics import count_parameters

    split = split_windows(config, config.parallelism.gpus)
    passes = f", {split.micro_batch} × {split.accumulation}"
    return {
        "parameters": _count(count_parameters(config.model.shape)),
        "starts from": config.model.init_from or "random",
        "tokens": _count(config.schedule.total_tokens),
        "steps": f"{plan_steps(config).total:,}",
        "sequence": f"{config.batch.sequence_length:,}",
        "tokens a step": f"{config.batch.tokens_per_step:,}",
        "peak LR": f"{config.optimizer.learning_rate:g}",
        "planned for (windows × passes)": _planned_for(config, passes),
    }


def _chat_row(config: ChatStageConfig) -> dict[str, str]:
    return {
        "starts from": config.model.init_from,
        "epochs": f"{config.schedule.epochs:g}",
        "sequence": f"{config.batch.sequence_length:,}",
        "tokens a step": f"{config.batch.tokens_per_step:,}",
        "peak LR": f"{config.optimizer.learning_rate:g}",
        "planned for": _planned_for(config),
    }


def stage_table() -> str:
    """Markdown table of pretraining and mid-training."""
    return _table(STAGES, _row)


def chat_table() -> str:
    """Markdown table of SFT and preference tuning."""
    return _table(("sft", "dpo"), _chat_row)


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    print(stage_table(), chat_table(), sep="\n\n")


if __name__ == "__main__":
    main()
