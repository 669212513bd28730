"""The command `python -m data_recipes diversity`."""

import argparse

from pydantic import ValidationError

from ..common.config_files import CONFIGS, find_recipe, list_mistakes, load_config
from ..common.errors import RecipeError
from ..common.files import write_json_atomically
from ..prepare.config import DataConfig
from ..read.source import SourceConfig
from .config import DiversityConfig
from .page import build_page
from .report import Measured, breaches, measure_all
from .sample import draw_samples

_NAME = "diversity"  # of the report's files


def _sources(args: argparse.Namespace) -> list[SourceConfig]:
    """What the command line asks to look at.

    Raises:
        RecipeError: nothing, a source that the recipe does not have, a name without a path.
    """
    sources: list[SourceConfig] = []
    if args.recipe:
        config = load_config(find_recipe(args.recipe, CONFIGS, "--recipe"), DataConfig, [])
        sources = config.resolved_sources()
        if unknown := sorted(set(args.only) - {source.name for source in sources}):
            known = ", ".join(source.name for source in sources)
            raise RecipeError(f"--only {', '.join(unknown)}: {args.recipe} has {known}")
        sources = [s for s in sources if s.name in args.only or not args.only]
    elif args.only:
        raise RecipeError("--only names sources of a recipe; give it with --recipe")
    for text in args.text:
        name, named, path = text.rpartition("=")
        if named and not (name and path):
            raise RecipeError(f"--text {text!r}: write it as NAME=PATH, or PATH alone")
        try:
            source = SourceConfig(
                name="text", path=path, text_column=args.text_column, language=args.language,
                licence="not asked", synthesizer=name or None,
            )  # fmt: skip
        except ValidationError as error:
            raise RecipeError(f"--text {text!r}: {'; '.join(list_mistakes(error))}") from error
        sources.append(source.model_copy(update={"name": path}))  # which is no name of a source
    if not sources:
        raise RecipeError("nothing to look at: give a data recipe with --recipe, or --text PATH")
    return sources


def _line(result: Measured) -> str:
    shown = ("distinct_3", "compression_ratio", "self_bleu", "top_openings", "near_duplicates")
    values = "  ".join(f"{n} {result.values[n]:.3f}" for n in shown if n in result.values)
    return f"{result.sample.language}  {result.sample.name:<24}  {values}"


def run(args: argparse.Namespace) -> None:
    """Write the report, and print a line for each synthesizer.

    Raises:
        RecipeError: text that cannot be measured; or a value beyond its limit, after the report is
            written.
    """
    config = load_config(find_recipe(args.config, CONFIGS), DiversityConfig, args.overrides)
    sources = _sources(args)
    bits_per_byte = None
    if args.model is not None:
        from .scorer import load_scorer

        bits_per_byte = load_scorer(args.model, config.model_tokens, args.device)
    samples = draw_samples(sources, config, args.seed_column)
    results = measure_all(samples, config, bits_per_byte)
    found = breaches(results, config.limits)
    report = {
        "config": config.model_dump(),
        "samples": [result.record() for result in results],
        "breaches": [str(breach) for breach in found],
    }
    html = args.out / f"{_NAME}.html"
    args.out.mkdir(parents=True, exist_ok=True)
    write_json_atomically(html.with_suffix(".json"), report)
    page = build_page(config, results, found)
    page.write_both(html)
    for result in results:
        print(_line(result))
    print(html)
    if found:
        raise RecipeError(
            f"{html}: text beyond the limits of {args.config}:\n  " + "\n  ".join(map(str, found))
        )
