"""The chain from text to shards: corpus, cleaning, tokenizer, a shard set per source, data card."""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import yaml

from ..common.config_files import CONFIGS, find_recipe
from ..common.errors import RecipeError
from ..common.files import (
    DirectoryLock,
    check_settings,
    open_staged,
    read_settings,
    staged_folder,
    write_json_atomically,
)
from ..common.page import Block, Heading, Page, Paragraph, Span, Table, made
from ..engine.executor_config import ExecutorConfig, load_recipe
from ..engine.executors import Call, Job
from ..engine.slurm import submit
from ..engine.steps import Tally
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
from ..tokens.shards import Manifest, read_manifest, verify_files
from ..toy import keep_corpus
from .chain import SUMMARY, clean, cleaned, folder, jobs, run_step, settings_of, steps_of
from .config import DataConfig
from .dry_run import describe

TRAINING_RECORD = "training.json"
CARD = "README.md"
# Where a step that masks personal data counts what it masked, by kind.
PERSONAL = "personal"
_SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def make_corpus(config: DataConfig) -> None:
    """Generate the embedded corpus, unless the one that is asked for is there."""
    if sizes := keep_corpus(config.text_dir, config.corpus):
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
    if config.tokenizer.weights:  # what is held out later must not be learned from
        wanted["heldout_fraction"] = config.shards.heldout_fraction
        wanted["cleaning"] = settings_of(config)  # of the text that it is learned from
    made = read_settings(config.tokenizer_dir / TRAINING_RECORD)
    if made is not None:
        # Records of before lack them.
        made = {name: wanted.get(name) for name in ("heldout_fraction", "cleaning")} | made
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


def size_category(documents: int) -> str:
    """Name the range of a number of documents as the Hub does."""
    for place, name in enumerate(_SIZES):
        if documents < 10 ** (place + 3):
            return f"{_SIZES[place - 1]}<n<{name}" if place else "n<1K"
    return "n>1T"


def _front_matter(config: DataConfig, manifests: list[Manifest]) -> str:
    train = [m for m in manifests if m.split == "train"]
    values = {
        "language": sorted({m.language for m in train}),
        "license": sorted({m.licence.lower() for m in train}),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(sum(m.documents for m in manifests))],
        "tags": ["kormo", *(["synthetic"] if any(m.synthesizer for m in train) else [])],
        "pretty_name": config.output_dir.name,
    }
    return f"---\n{yaml.safe_dump(values, sort_keys=False, allow_unicode=True)}---\n\n"


def _sources(manifests: dict[str, dict[str, Manifest]]) -> Table:
    rows = []
    for name, splits in manifests.items():
        train, heldout = splits["train"], splits["heldout"]
        facts = [name, train.language, train.licence, train.synthesizer or "people", train.source]
        counts = (train.documents, train.tokens, heldout.documents, heldout.tokens)
        rows.append([*facts, *(f"{n:,}" for n in counts)])
    columns = "source|language|licence|written by|read from|documents>|tokens>"
    columns += "|documents held out>|tokens held out>"
    return Table(columns.split("|"), rows)


def _funnel(config: DataConfig, tallies: dict[str, dict[str, Tally]]) -> list[Block]:
    rows, reasons = [], []
    for step in steps_of(config):
        total = sum(tallies[step].values(), Tally())
        counts = (total.documents_in, total.documents_kept, total.documents_rejected)
        sizes = (total.bytes_in, total.bytes_kept)
        rows.append([step, *(f"{n:,}" for n in counts), *(f"{n / 1e6:,.2f}" for n in sizes)])
        for reason, lost in sorted(total.reasons.items(), key=lambda r: -r[1]["documents"]):
            reasons.append([step, reason, f"{lost['documents']:,}", f"{lost['bytes'] / 1e6:,.2f}"])
    columns = ["step", "documents in>", "kept>", "removed>", "MB in>", "MB kept>"]
    blocks: list[Block] = [Table(columns, rows)]
    if reasons:
        blocks.append(Table(["step", "removed because", "documents>", "MB>"], reasons))
    return blocks


def _synthesizers(manifests: dict[str, dict[str, Manifest]]) -> Table:
    tokens: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for splits in manifests.values():
        train = splits["train"]
        tokens[train.language][train.synthesizer or "people"] += train.tokens
    rows = [
        [language, who, f"{count:,}", f"{count / sum(own.values()):.1%}"]
        for language, own in sorted(tokens.items())
        for who, count in sorted(own.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Table(["language", "written by", "tokens>", "share of the language>"], rows)


def _personal(tallies: dict[str, dict[str, Tally]]) -> Block:
    counted: dict[str, int] = defaultdict(int)
    looked = False
    for own in tallies.values():
        for tally in own.values():
            looked |= PERSONAL in tally.counts
            for kind, number in tally.counts.get(PERSONAL, {}).items():
                counted[kind] += number
    if not looked:
        return Paragraph(
            [Span("Not searched for"), ": no step of this recipe looks for personal data."]
        )
    if not counted:
        return Paragraph("None was found.")
    return Table(["kind", "masked>"], [[k, f"{n:,}"] for k, n in sorted(counted.items())])


def write_card(config: DataConfig, manifests: dict[str, dict[str, Manifest]]) -> Path:
    """Write `README.md` beside the shards of a recipe, as the Hub reads it.

    Args:
        config: the recipe.
        manifests: of its shards, by source and split.

    Returns:
        The card.

    Raises:
        RecipeError: the disk is full.
    """
    tallies = {
        step: {source: folder(config, step, source).tally() for source in config.languages}
        for step in steps_of(config)
    }
    page = Page(f"Prepared corpus: {config.output_dir.name}")
    page.add(
        made(),
        Paragraph("Token shards of KORMo Recipes (datatrove's format), cleaned and tokenised."),
        Heading("Sources"),
        _sources(manifests),
        Heading("What was removed"),
        *_funnel(config, tallies),
        Heading("Who wrote the text"),
        _synthesizers(manifests),
        Heading("Personal data"),
        _personal(tallies),
    )
    every = [manifest for splits in manifests.values() for manifest in splits.values()]
    hashes = ", ".join(sorted({m.tokenizer_sha256 for m in every}))
    page.add(Heading("Tokenizer"), Paragraph(f"SHA-256 of tokenizer.json: {hashes}", "dim"))
    path = config.output_dir / CARD
    with open_staged(path) as file:
        file.write(_front_matter(config, every) + page.to_markdown())
    return path


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
