"""`python -m data_recipes difficulty`: items asked about, judged, kept or not."""

import argparse

from ..common.config_files import find_recipe, load_config
from ..common.errors import RecipeError
from ..common.files import DirectoryLock, sha256_file
from ..engine.steps import claim
from .config import CONFIGS, DifficultyConfig
from .items import take_census
from .report import write_report
from .stages import load_prompts, make_funnel


def _claim(config: DifficultyConfig) -> None:
    items = config.items.model_dump(mode="json")
    if config.items.path is not None:
        items = {"sha256": sha256_file(config.items.path)}
    claim(
        config.outcomes_dir,
        {
            "items": items,
            # What decides an answer; not where the servers are. A list, since order matters.
            "endpoints": [
                [name, endpoint.identity, endpoint.sampling.fields()]
                for name, endpoint in config.endpoints.items()
            ],
            "prompts": {name: prompt.sha256 for name, prompt in load_prompts(config).items()},
            **config.model_dump(include={"samples", "max_correct"}),
        },
    )


def filter_items(config: DifficultyConfig) -> str:
    """Run a recipe to its end, or go on with it; gives the report.

    Raises:
        RecipeError: bad settings or items, an endpoint that does not answer, the cap. What was
            answered is kept, and the same call goes on.
    """
    with DirectoryLock(config.output_dir):
        census = take_census(config.items)
        if "free" in census.types and config.grader is None:
            raise RecipeError(
                "grader: items of type free need one, to compare answers with the right ones"
            )
        _claim(config)
        funnel = make_funnel(config)
        funnel.run(census.items, config.cap)
        return write_report(config, funnel)


def run(args: argparse.Namespace) -> None:
    """The command."""
    config = load_config(find_recipe(args.config, CONFIGS), DifficultyConfig, args.overrides)
    print(filter_items(config))
    print(f"kept items: {config.output_dir / 'kept.jsonl'}")
