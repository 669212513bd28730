"""The chain from text to shards: corpus, cleaning, tokenizer, one shard set per source."""

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ..common.config_files import CONFIGS, find_recipe
from ..common.errors import RecipeError
from ..common.files import (
    DirectoryLock,
    check_settings,
    disk_full_is_an_error,
    read_settings,
    staged_folder,
    write_json_atomically,
)
from ..engine.executor_config import ExecutorConfig, load_recipe
from ..engine.executors import Call, Job
from ..engine.slurm import submit
from ..tokenizer.expand import byte_level_spec, expand_tokenizer
from ..tokenizer.load import (
    check_continuation,
    load_tokenizer,
    padded_vocab_size,
    read_tokenizer,
)
from ..tokenizer.script_bytes import ScriptBytes
from ..tokenizer.shards import SPLITS, ShardPlan, write_shards
from ..tokenizer.train import mixed_texts, train_tokenizer
from ..tokens.manifest import Manifest, read_manifest, verify_files
from ..toy import generate_corpus
from .card import CARD, write_card
from .chain import SUMMARY, clean, cleaned, jobs, run_step, settings_of
from .config import DataConfig
from .dry_run import describe

TRAINING_RECORD = "training.json"


def make_corpus(config: DataConfig) -> None:
    """Generate the embedded corpus, unless the one that is asked for is there."""
    record = config.text_dir / "corpus.json"
    wanted = config.corpus.record()
    if record.is_file() and record.read_text(encoding="utf-8").strip() == wanted:
        return
    with disk_full_is_an_error(config.text_dir):
        config.text_dir.mkdir(parents=True, exist_ok=True)
        sizes = generate_corpus(config.text_dir, **config.corpus.model_dump())
        record.write_text(wanted + "\n", encoding="utf-8")
    print(f"corpus: {sum(sizes.values()) / 1e6:.1f} MB of text in {config.text_dir}")


def _tokenizer_texts(config: DataConfig) -> Iterator[str]:
    def warn(source: str, wanted: float, missing: float) -> None:
        if missing > 0.01 * wanted:
            print(
                f"warning: {source} has {missing / 1e6:,.1f} MB less text than its share of the "
                "tokenizer's, which leans to the other sources"
            )

    own, heldout = config.tokenizer, config.shards.heldout_fraction
    return mixed_texts(cleaned(config), own.weights, own.megabytes, heldout, "tokenizer text", warn)


def make_tokenizer(config: DataConfig) -> None:
    """Train, fetch or continue the tokenizer into `<output_dir>/tokenizer`, unless it is there.

    Raises:
        RecipeError: the directory holds a tokenizer made from other settings, or one that cannot
            be continued.
    """
    wanted = config.tokenizer.model_dump(mode="json")
    if config.tokenizer.expand is None:
        del wanted["expand"]  # records of before have none
    made = read_settings(config.tokenizer_dir / TRAINING_RECORD)
    if made is not None:
        remedy = f"delete {config.output_dir} or choose another output_dir"
        check_settings(config.tokenizer_dir, made, wanted, remedy, "made from other settings")
        return
    if config.tokenizer.expand:
        known = read_tokenizer(config.tokenizer.path)
        tokenizer, expansion = expand_tokenizer(
            known,
            _tokenizer_texts(config),
            **config.tokenizer.expand.model_dump(),
            name=config.tokenizer.path,
        )
        print(f"tokenizer: {expansion}")
    elif config.tokenizer.path:
        tokenizer = load_tokenizer(config.tokenizer.path)
    else:
        tokenizer = train_tokenizer(_tokenizer_texts(config), config.tokenizer.bpe_entries)
    with staged_folder(config.tokenizer_dir) as staging:
        tokenizer.save_pretrained(staging)
        if config.tokenizer.expand:
            # As it will be loaded, which is where added tokens may lose their ids.
            check_continuation(known, read_tokenizer(staging), str(config.tokenizer_dir))
        write_json_atomically(staging / TRAINING_RECORD, wanted)
    print(
        f"tokenizer: {len(tokenizer):,} tokens in {config.tokenizer_dir}; set "
        f"model.shape.vocab_size to {padded_vocab_size(len(tokenizer))}"
    )


def _shard_plans(config: DataConfig) -> list[ShardPlan]:
    return [
        ShardPlan(
            source,
            folder,
            config.shards,
            config.tokenizer_dir,
            config.shards_dir / source.name,
            settings_of(config),
        )
        for source, folder in zip(config.resolved_sources(), cleaned(config).values())
    ]


def prepare(config: DataConfig) -> dict[str, dict[str, Manifest]]:
    """Run the whole chain; steps that are done are kept. Returns manifests by source and split.

    Raises:
        RecipeError: bad input, or another run at work in the same directory.
    """
    with DirectoryLock(config.output_dir):
        _text_and_tokenizer(config)
        manifests = {p.source.name: write_shards(p, config.executor) for p in _shard_plans(config)}
        summary = {
            name: {s: {"documents": m.documents, "tokens": m.tokens} for s, m in splits.items()}
            for name, splits in manifests.items()
        }
        write_json_atomically(config.shards_dir / SUMMARY, summary)
        write_card(config, manifests)
    return manifests


def _text_and_tokenizer(config: DataConfig) -> None:
    if config.corpus:
        make_corpus(config)
    clean(config)
    make_tokenizer(config)


def submit_chain(config: DataConfig) -> None:
    """Send what is left of the chain to Slurm, or say how far it is.

    The cleaning steps are spread; what follows them runs on one node, on as many of its cores as
    a task has.
    """
    config.output_dir.mkdir(parents=True, exist_ok=True)
    if config.corpus:
        make_corpus(config)
    local = ExecutorConfig(workers=config.executor.slurm.cpus_per_task)
    left = jobs(config)
    if not left and (config.shards_dir / SUMMARY).is_file():
        print(f"done: {config.shards_dir}")
        return
    rest = Call(partial(prepare, config.model_copy(update={"executor": local})))
    submit([*left, Job("shards", rest, 1)], config.executor, config.output_dir / "slurm")


def print_summary(manifests: dict[str, dict[str, Manifest]], shards_dir: Path) -> None:
    """Print a table of what `prepare` made."""
    print(f"{'source':<24}{'language':>10}{'documents':>12}{'tokens':>16}{'held out':>14}")
    for name, splits in manifests.items():
        train, heldout = splits["train"], splits["heldout"]
        print(
            f"{name:<24}{train.language:>10}{train.documents:>12,}{train.tokens:>16,}"
            f"{heldout.tokens:>14,}"
        )
    print(f"shards: {shards_dir}")


def _config(args: argparse.Namespace) -> DataConfig:
    path = find_recipe(args.config, CONFIGS)
    return load_recipe(path, DataConfig, args.executor, args.overrides)


def _check_expansion(config: DataConfig) -> None:
    """Refuse what cannot be continued before hours of reading and cleaning."""
    if config.tokenizer.expand:
        byte_level_spec(read_tokenizer(config.tokenizer.path), config.tokenizer.path)
        ScriptBytes(config.tokenizer.expand.scripts)


def run(args: argparse.Namespace) -> None:
    """Run the command `prepare`.

    Raises:
        RecipeError: a mistake in the recipe, or whatever its steps refuse.
    """
    config = _config(args)
    if args.dry_run:
        print(describe(config, args.gigabytes))
        return
    _check_expansion(config)
    if config.executor.kind == "slurm":
        submit_chain(config)
    else:
        print_summary(prepare(config), config.shards_dir)
        print(f"card: {config.output_dir / CARD}")


def run_one(args: argparse.Namespace) -> None:
    """Run the command of a single step.

    Raises:
        RecipeError: as `run`, and for a recipe that is to run on Slurm.
    """
    config = _config(args)
    if config.executor.kind == "slurm":
        raise RecipeError(
            "a single step does not go to Slurm: `prepare` submits the whole chain, or run this "
            "with executor.kind=local on a node"
        )
    with DirectoryLock(config.output_dir):
        run_step(config, args.command)


def run_expand_tokenizer(args: argparse.Namespace) -> None:
    """Run the command `expand-tokenizer`: the chain up to the tokenizer, without shards.

    Raises:
        RecipeError: a recipe that continues no tokenizer, and whatever the steps refuse.
    """
    config = _config(args)
    if config.tokenizer.expand is None:
        raise RecipeError(
            f"{args.config}: continues no tokenizer; set tokenizer.path to the one to continue, "
            "and tokenizer.expand.scripts and tokenizer.expand.entries"
        )
    _check_expansion(config)
    with DirectoryLock(config.output_dir):
        _text_and_tokenizer(config)


def verify(args: argparse.Namespace) -> None:
    """Run the command `verify`.

    Raises:
        RecipeError: no data set, one that was never finished, or a file that differs.
    """
    manifests = sorted(args.shards.rglob("manifest.json"))
    if not manifests:
        raise RecipeError(f"{args.shards}: no token data set in or below this directory")
    for settings in sorted(args.shards.rglob("settings.json")):
        for split in SPLITS:
            read_manifest(settings.parent / split)  # refuses a split that was never finished
    for path in manifests:
        verify_files(path.parent, read_manifest(path.parent), checksums=True)
        print(f"{path.parent}: ok")
