"""The chain from text to shards: corpus, tokenizer, one shard set per source."""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

from .config import DataConfig, SourceConfig
from .corpus import generate_corpus
from .errors import RecipeError
from .manifest import Manifest, write_json_atomically
from .readers import read_texts
from .shards import write_shards
from .tokenizer import load_tokenizer, padded_vocab_size, train_tokenizer

TRAINING_RECORD = "training.json"


def make_corpus(config: DataConfig) -> None:
    """Generate the embedded corpus, unless the one that is asked for is there."""
    record = config.text_dir / "corpus.json"
    wanted = config.corpus.model_dump_json()
    if record.is_file() and record.read_text(encoding="utf-8").strip() == wanted:
        return
    config.text_dir.mkdir(parents=True, exist_ok=True)
    sizes = generate_corpus(config.text_dir, config.corpus.megabytes, config.corpus.seed)
    record.write_text(wanted + "\n", encoding="utf-8")
    print(f"corpus: {sum(sizes.values()) / 1e6:.1f} MB of text in {config.text_dir}")


def _tokenizer_texts(config: DataConfig, sources: dict[str, SourceConfig]) -> Iterator[str]:
    total = sum(config.tokenizer.weights.values())
    budget = config.tokenizer.megabytes * 1e6
    with tqdm(
        total=int(budget), unit="B", unit_scale=True, desc="tokenizer text", file=sys.stderr
    ) as bar:
        for name, weight in config.tokenizer.weights.items():
            left = budget * weight / total
            for text in read_texts(sources[name].path, sources[name].text_column):
                size = len(text.encode())
                left -= size
                bar.update(size)
                yield text
                if left <= 0:
                    break
            else:
                print(
                    f"warning: {name} has {left / 1e6:,.1f} MB less text than its share of the "
                    "tokenizer's, which leans to the other sources"
                )


def make_tokenizer(config: DataConfig) -> None:
    """Train (or fetch) the tokenizer into `<output_dir>/tokenizer`, unless it is there.

    Raises:
        RecipeError: the directory holds a tokenizer made from other settings.
    """
    record = config.tokenizer_dir / TRAINING_RECORD
    wanted = config.tokenizer.model_dump_json()
    if record.is_file():
        if record.read_text(encoding="utf-8").strip() != wanted:
            raise RecipeError(
                f"{config.tokenizer_dir}: made from other settings; delete {config.output_dir} or "
                "choose another output_dir"
            )
        return
    if config.tokenizer.path:
        tokenizer = load_tokenizer(config.tokenizer.path)
    else:
        sources = {s.name: s for s in config.resolved_sources()}
        texts = _tokenizer_texts(config, sources)
        tokenizer = train_tokenizer(texts, config.tokenizer.bpe_entries)
    # The record is the last file of a directory that appears under its name only when whole.
    staging = config.tokenizer_dir.with_name("tokenizer.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    tokenizer.save_pretrained(staging)
    (staging / TRAINING_RECORD).write_text(wanted + "\n", encoding="utf-8")
    os.replace(staging, config.tokenizer_dir)
    print(
        f"tokenizer: {len(tokenizer):,} tokens in {config.tokenizer_dir}; set "
        f"model.shape.vocab_size to {padded_vocab_size(len(tokenizer))}"
    )


def prepare(config: DataConfig) -> dict[str, dict[str, Manifest]]:
    """Run the whole chain; steps that are done are kept. Returns manifests by source and split."""
    config.output_dir.mkdir(parents=True, exist_ok=True)
    if config.corpus:
        make_corpus(config)
    make_tokenizer(config)
    manifests: dict[str, dict[str, Manifest]] = {}
    for source in tqdm(config.resolved_sources(), desc="shards", unit="source", file=sys.stderr):
        output = config.shards_dir / source.name
        manifests[source.name] = write_shards(source, config.shards, config.tokenizer_dir, output)
    summary = {
        name: {split: {"documents": m.documents, "tokens": m.tokens} for split, m in splits.items()}
        for name, splits in manifests.items()
    }
    write_json_atomically(config.shards_dir / "summary.json", summary)
    return manifests


def print_summary(manifests: dict[str, dict[str, Manifest]], shards_dir: Path) -> None:
    """Table of what `prepare` made."""
    print(f"{'source':<24}{'language':>10}{'documents':>12}{'tokens':>16}{'held out':>14}")
    for name, splits in manifests.items():
        train, heldout = splits["train"], splits["heldout"]
        print(
            f"{name:<24}{train.language:>10}{train.documents:>12,}{train.tokens:>16,}"
            f"{heldout.tokens:>14,}"
        )
    print(f"shards: {shards_dir}")
