"""Command line of the data recipes: `python -m data_recipes STEP …`."""

import argparse
import sys
from pathlib import Path

from . import diversity
from . import look as report
from .common.config_files import CONFIGS, find_config
from .common.errors import RecipeError
from .common.run_dir import DirectoryLock
from .debian import collect_debian
from .difficulty import run as difficulty
from .engine.executor_config import load_recipe
from .look import inspect_shards, mixture_report
from .look import packing_report as packing
from .prepare.chain import run_step
from .prepare.config import DataConfig
from .prepare.dry_run import describe
from .prepare.phases import STEPS
from .prepare.prepare import prepare, print_summary, submit_chain
from .synthesize import run as synthesize
from .tokenizer import study as tokenizer_study
from .tokenizer.shards import SPLITS
from .tokens.manifest import read_manifest, verify_files
from .toy import generate_corpus
from .translate import run as translate


def _config(args: argparse.Namespace) -> DataConfig:
    path = find_config(args.config, CONFIGS)
    return load_recipe(path, DataConfig, args.executor, args.overrides)


def _prepare(args: argparse.Namespace) -> None:
    config = _config(args)
    if args.dry_run:
        print(describe(config, args.gigabytes))
    elif config.executor.kind == "slurm":
        submit_chain(config)
    else:
        print_summary(prepare(config), config.shards_dir)


def _step(args: argparse.Namespace) -> None:
    config = _config(args)
    if config.executor.kind == "slurm":
        raise RecipeError(
            "a single step does not go to Slurm: `prepare` submits the whole chain, or run this "
            "with executor.kind=local on a node"
        )
    with DirectoryLock(config.output_dir):
        run_step(config, args.step)


def _corpus(args: argparse.Namespace) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    for stem, size in generate_corpus(args.out, args.megabytes, args.seed).items():
        print(f"{args.out / stem}.jsonl  {size:,} bytes of text")


def _debian(args: argparse.Namespace) -> None:
    collected = collect_debian(
        args.out, languages=tuple(args.languages), everything=args.everything
    )
    for stem, facts in collected.items():
        print(
            f"{args.out / stem}.jsonl  {facts['documents']:,} documents, {facts['bytes']:,} bytes"
        )


def _verify(args: argparse.Namespace) -> None:
    manifests = sorted(args.shards.rglob("manifest.json"))
    if not manifests:
        raise RecipeError(f"{args.shards}: no token data set in or below this directory")
    for settings in sorted(args.shards.rglob("settings.json")):
        for split in SPLITS:
            read_manifest(settings.parent / split)  # refuses a split that was never finished
    for path in manifests:
        verify_files(path.parent, read_manifest(path.parent), checksums=True)
        print(f"{path.parent}: ok")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_recipes", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="STEP")

    recipe = argparse.ArgumentParser(add_help=False)
    recipe.add_argument(
        "--config", required=True, help="YAML file, or its name in data_recipes/configs"
    )
    recipe.add_argument(
        "--executor", help="YAML of where to run, or its name in data_recipes/configs/executors"
    )
    recipe.add_argument("overrides", nargs="*", metavar="key=value")

    step = steps.add_parser("prepare", parents=[recipe], help="the whole chain, text to shards")
    step.add_argument("--dry-run", action="store_true", help="say what would run, and stop")
    step.add_argument(
        "--gigabytes", type=float, help="with --dry-run: text of all sources, 1e9 bytes"
    )
    step.set_defaults(run=_prepare)

    for name in STEPS:
        step = steps.add_parser(name, parents=[recipe], help=f"only the step `{name}` of a recipe")
        step.set_defaults(run=_step, step=name)

    for name, module, about in (
        ("mixture", mixture_report, "epochs, shares and synthesizers of a mixture"),
        ("packing", packing, "documents cut by concat-and-chunk and by best-fit packing"),
        ("tokenizer-study", tokenizer_study, "tokenizers compared by bytes per token"),
        ("inspect", inspect_shards, "look at documents, removed paragraphs, token windows"),
        ("report", report, "one HTML page of what a recipe did to its text"),
        ("synthesize", synthesize, "text written by language models from seeds"),
        ("difficulty", difficulty, "questions that models of two sizes get wrong"),
        ("translate", translate, "such questions in Korean, with nothing else changed"),
        ("diversity", diversity, "how varied synthetic text is, by synthesizer"),
    ):
        step = steps.add_parser(name, help=about)
        module.add_arguments(step)
        step.set_defaults(run=module.run)

    step = steps.add_parser("corpus", help="generate the embedded bilingual corpus")
    step.add_argument("--out", type=Path, required=True)
    step.add_argument("--megabytes", type=float, default=8.0)
    step.add_argument("--seed", type=int, default=0)
    step.set_defaults(run=_corpus)

    step = steps.add_parser("debian", help="collect real Korean and English text on Debian")
    step.add_argument("--out", type=Path, required=True)
    step.add_argument(
        "--languages", nargs="+", default=["ko", "en"], help="codes of Debian's translations"
    )
    step.add_argument(
        "--everything",
        action="store_true",
        help="large manuals and messages of programs too, and nothing removed (400 MB to fetch)",
    )
    step.set_defaults(run=_debian)

    step = steps.add_parser("verify", help="compare shards with the checksums in their manifests")
    step.add_argument("shards", type=Path)
    step.set_defaults(run=_verify)
    return parser


def main() -> None:
    args = _parser().parse_args()
    try:
        args.run(args)
    except (RecipeError, RuntimeError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
