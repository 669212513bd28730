"""`python -m data_recipes translate`: rows translated, compared with their source, kept or not."""

import argparse
from typing import Any

from ..common.config_files import find_recipe, load_config
from ..common.files import DirectoryLock, sha256_file
from ..engine.steps import claim
from .config import CONFIGS, TranslateConfig
from .output import table, write_rows
from .rows import check_rows
from .stage import TranslationPrompts, load_prompts, make_funnel


def _claim(config: TranslateConfig, prompts: TranslationPrompts) -> None:
    back = config.back_translation
    claim(
        config.outcomes_dir,
        {
            "items": sha256_file(config.items),
            # A list, since an outcome has the texts of all fields in their order.
            "fields": [list(pair) for pair in config.fields.items()],
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
        prompts = load_prompts(config)
        _claim(config, prompts)
        funnel = make_funnel(config, prompts)
        funnel.run(total, config.cap)
        return write_rows(config, funnel, prompts)


def run(args: argparse.Namespace) -> None:
    """The command."""
    config = load_config(find_recipe(args.config, CONFIGS), TranslateConfig, args.overrides)
    print(table(translate(config)))
    print(f"kept: {config.output_dir / 'kept'}, set aside: {config.output_dir / 'set_aside.jsonl'}")
