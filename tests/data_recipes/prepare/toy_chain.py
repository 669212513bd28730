"""Two chained steps, as a module and as a program: `toy_chain CONFIG.json DIRECTORY…`."""

import sys
from pathlib import Path

from data_recipes.common.terminal import show_progress
from data_recipes.engine.executor_config import ExecutorConfig
from data_recipes.engine.executors import execute

from ..engine.toy_step import DropShort
from ..hand_made import some_texts, write_shards_of


def write_inputs(root: Path, extra: str | None = None) -> None:
    """Four shards of texts; `extra` is one more text in the third."""
    parts = [some_texts(40)[i::4] for i in range(4)]
    if extra:
        parts[2].append(extra)
    write_shards_of(root / "read" / "web_ko", parts)


def steps(root: Path) -> list[DropShort]:
    """Texts of 400 characters, then of 600."""
    first = DropShort({"web_ko": root / "read" / "web_ko"}, root / "filter", 400)
    return [first, DropShort({"web_ko": root / "filter" / "web_ko"}, root / "quality", 600)]


def run(root: Path, config: ExecutorConfig) -> None:
    """Run both, under a progress bar."""
    for step in steps(root):
        with show_progress(step.output_dir, 10_000, "drop"):
            execute(step, config.parts, config, root / "logs" / step.output_dir.name)


if __name__ == "__main__":
    for directory in sys.argv[2:]:
        try:
            run(Path(directory), ExecutorConfig.model_validate_json(sys.argv[1]))
        except (ValueError, RuntimeError) as error:
            # Not on stdout, where Ray's own messages may run into it.
            (Path(directory) / "error").write_text(f"{type(error).__name__}: {error}")
