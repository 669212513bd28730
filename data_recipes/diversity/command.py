"""The command `python -m data_recipes diversity`."""

import argparse
from typing import Any

from pydantic import ValidationError

from ..common.config_files import CONFIGS, find_config, load_config
from ..common.errors import RecipeError
from ..common.files import write_json_atomically
from ..prepare.config import DataConfig
from ..read.source import SourceConfig
from .config import DiversityConfig
from .page import render
from .report import Measured, breaches, measure_all
from .sample import Input, draw_samples

REPORT, PAGE = "diversity.json", "diversity.html"


def inputs_of(args: argparse.Namespace) -> list[Input]:
    """What the command line asks to look at.

    Raises:
        RecipeError: nothing, a source that the recipe does not have, a name without a path.
    """
    sources: list[SourceConfig] = []
    if args.recipe:
        config = load_config(find_config(args.recipe, CONFIGS), DataConfig, [])
        sources = config.resolved_sources()
        if unknown := sorted(set(args.only) - {source.name for source in sources}):
            known = ", ".join(source.name for source in sources)
            raise RecipeError(f"--only {', '.join(unknown)}: {args.recipe} has {known}")
        sources = [s for s in sources if s.name in args.only or not args.only]
    elif args.only:
        raise RecipeError("--only names sources of a recipe; give it with --recipe")
    inputs = [
        Input(s.name, s.path, s.form, s.language, s.synthesizer, args.seed_column) for s in sources
    ]
    for text in args.text:
        name, named, path = text.rpartition("=")
        if named and not (name and path):
            raise RecipeError(f"--text {text!r}: write it as NAME=PATH, or PATH alone")
        try:
            source = SourceConfig(
                name="text", path=path, text_column=args.text_column, language=args.language,
                licence="not asked",
            )  # fmt: skip
        except ValidationError as error:
            raise RecipeError(f"--text {text!r}: {error}") from error
        inputs.append(
            Input(path, source.path, source.form, args.language, name or None, args.seed_column)
        )
    if not inputs:
        raise RecipeError("nothing to look at: give a data recipe with --recipe, or --text PATH")
    return inputs


def _model(args: argparse.Namespace, config: DiversityConfig) -> Any:
    if args.model is None:
        return None
    # Heavy, and only wanted here.
    import modeling_kormo  # noqa: F401  registers the model type

    from .scorer import Scorer, ScorerConfig

    return Scorer(
        ScorerConfig(model=args.model, max_tokens=config.model_tokens, device=args.device)
    )


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
    config = load_config(find_config(args.config, CONFIGS), DiversityConfig, args.overrides)
    inputs = inputs_of(args)
    model = _model(args, config)
    results = measure_all(draw_samples(inputs, config), config, model)
    found = breaches(results, config.limits)
    args.out.mkdir(parents=True, exist_ok=True)
    report = {
        "config": config.model_dump(),
        "samples": [result.record() for result in results],
        "breaches": [str(breach) for breach in found],
    }
    write_json_atomically(args.out / REPORT, report)
    (args.out / PAGE).write_text(render(config, results, found), encoding="utf-8")
    for result in results:
        print(_line(result))
    print(args.out / PAGE)
    if found:
        raise RecipeError(
            f"{args.out / PAGE}: text beyond the limits of {args.config}:\n  "
            + "\n  ".join(map(str, found))
        )
