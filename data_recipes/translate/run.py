"""`python -m data_recipes translate`: rows translated, compared with their source, kept or not."""

import argparse
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..common.config_files import find_config, load_config
from ..common.files import sha256_file
from ..common.run_dir import DirectoryLock
from ..engine.steps import claim
from .checks import Checker
from .config import CONFIGS, TranslateConfig
from .output import table, write_rows
from .rounds import Prompts, Round
from .rows import Row, check_rows, read_rows


def _claim(config: TranslateConfig, prompts: Prompts) -> None:
    back = config.back_translation
    claim(
        config.outcomes_dir,
        {
            "items": sha256_file(config.items),
            "fields": dict(config.fields),
            # What decides what is written; not where the servers are.
            "translators": {
                name: [t.identity, t.weight, t.sampling.fields()]
                for name, t in config.translators.items()
            },
            "prompt": prompts.translate.sha256,
            "checks": config.checks.model_dump(mode="json"),
            "back_translation": back
            and [
                back.endpoint.identity,
                back.endpoint.sampling.fields(),
                prompts.back.sha256,
                back.min_chrf,
            ],
        },
    )


def translate(config: TranslateConfig) -> dict[str, Any]:
    """Run a recipe to its end, or go on with it; gives the report.

    Raises:
        RecipeError: bad settings or rows, an endpoint that does not answer, the cap. What was
            answered is kept, and the same call goes on.
    """
    with DirectoryLock(config.output_dir):
        total = check_rows(config)
        prompts = Prompts.of(config)
        _claim(config, prompts)
        checker = Checker(config.checks, prompts.translate.instructions(text=""))
        rounds: list[Round] = []
        rows: Callable[[], Iterator[Row]] = partial(read_rows, config.items)
        for number in range(len(config.translators)):
            rounds.append(Round(config, number, rows, prompts, checker))
            rows = rounds[-1].left
        for own in rounds:
            cap = config.cap
            if cap is not None:
                cap = max(0.0, cap - sum(r.spent().cost for r in rounds if r is not own))
            own.run(total, cap)
            total = sum(1 for _ in own.left())
        return write_rows(config, rounds, prompts)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--config", required=True, help="YAML file, or its name in data_recipes/configs/translate"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")


def run(args: argparse.Namespace) -> None:
    """The command."""
    config = load_config(find_config(args.config, CONFIGS), TranslateConfig, args.overrides)
    print(table(translate(config)))
    print(f"kept: {config.output_dir / 'kept'}, set aside: {config.output_dir / 'set_aside.jsonl'}")
