"""Tokenise one source into datatrove shards, with a held-out split and a manifest."""

import hashlib
import json
import os
import shutil
import struct
import sys
from contextlib import nullcontext, redirect_stderr
from functools import cached_property
from pathlib import Path
from typing import Any

from datatrove.data import Document, DocumentsPipeline
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.tokens import DocumentTokenizer
from loguru import logger
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from .config import ShardConfig, SourceConfig
from .errors import RecipeError
from .manifest import (
    MANIFEST,
    Manifest,
    ShardFile,
    read_manifest,
    sha256_file,
    write_json_atomically,
)
from .readers import SourceReader, resolve_files
from .tokenizer import load_tokenizer

SPLITS = ("train", "heldout")
SETTINGS = "settings.json"


class ShardTokenizer(DocumentTokenizer):
    """datatrove's writer, with BOS and EOS around each document and no markup read from text."""

    def __init__(self, output_folder: Path, tokenizer_dir: Path, seed: int) -> None:
        super().__init__(
            str(output_folder),
            str(tokenizer_dir / "tokenizer.json"),
            seed=seed,
            save_final_metadata=False,
        )
        special = load_tokenizer(tokenizer_dir)
        self.bos, self.eos = special.bos_token, special.eos_token

    @cached_property
    def tokenizer(self) -> Tokenizer:
        tokenizer = Tokenizer.from_file(self.tokenizer_name_or_path)
        tokenizer.post_processor = TemplateProcessing(
            single=f"{self.bos} $A {self.eos}",
            special_tokens=[(t, tokenizer.token_to_id(t)) for t in (self.bos, self.eos)],
        )
        return tokenizer

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        # A web page that spells "<|EOS|>" must not be able to end the document. Set here because
        # the executor copies its steps, and the copy of a tokenizer forgets this.
        self.tokenizer.encode_special_tokens = True
        return super().run(data, rank, world_size)


class HeldoutSplit(PipelineStep):
    """Sets a share of the documents aside, chosen by a hash of their text.

    By text, not by position: copies of one document land on the same side.
    """

    name = "Held-out split"
    type = "SPLIT"

    def __init__(self, fraction: float, writer: ShardTokenizer) -> None:
        super().__init__()
        self.threshold = int(fraction * 2**32)
        self.writer = writer

    def is_heldout(self, text: str) -> bool:
        digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
        return struct.unpack("<I", digest)[0] < self.threshold

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:
        heldout: list[Document] = []
        for document in data:
            if self.is_heldout(document.text):
                heldout.append(document)
            else:
                yield document
        self.writer.run(iter(heldout), rank, world_size)


def tokenizer_hash(tokenizer_dir: Path) -> str:
    """SHA-256 of `tokenizer.json`.

    Raises:
        RecipeError: no such file.
    """
    path = tokenizer_dir / "tokenizer.json"
    if not path.is_file():
        raise RecipeError(f"{path}: no such tokenizer; `python -m data_recipes prepare` makes one")
    return sha256_file(path)


def _shard_files(directory: Path) -> list[ShardFile]:
    files = []
    for path in sorted(directory.glob("*.ds")):
        index = path.with_name(path.name + ".index")
        documents = index.stat().st_size // 8
        if documents == 0:
            continue
        with index.open("rb") as handle:
            handle.seek(-8, 2)
            (tokens,) = struct.unpack("<Q", handle.read(8))
        files.append(
            ShardFile(
                path=path.name,
                tokens=tokens,
                documents=documents,
                sha256=sha256_file(path),
                index_sha256=sha256_file(index),
            )
        )
    return files


def _inputs(source: SourceConfig) -> list[list[str | int]]:
    """What a source's text is: names and sizes of its files, or the Hub's name for it."""
    if source.path.startswith("hub://"):
        return [[source.path]]
    return [[path.name, path.stat().st_size] for path in resolve_files(source.path)]


def _claim(output_dir: Path, settings: dict[str, Any]) -> None:
    # Before the first shard: finished tasks of a killed run must not mix with other settings.
    record = output_dir / SETTINGS
    if not record.is_file():
        output_dir.mkdir(parents=True, exist_ok=True)
        write_json_atomically(record, settings)
    elif json.loads(record.read_text(encoding="utf-8")) != settings:
        raise RecipeError(
            f"{output_dir}: holds shards made from other text, with another tokenizer or other "
            "settings; delete it to make them again, or choose another output_dir"
        )


def write_shards(
    source: SourceConfig, config: ShardConfig, tokenizer_dir: Path, output_dir: Path
) -> dict[str, Manifest]:
    """Tokenise `source` into `output_dir/{train,heldout}`, or return what is already there.

    A killed run goes on with the tasks (input files) that were not finished.

    Args:
        source: where the text is and what it is.
        config: tasks, workers, held-out share, seed.
        tokenizer_dir: directory with `tokenizer.json`.
        output_dir: `<shards>/<source name>`.

    Raises:
        RecipeError: no documents in the source or in one of the splits; shards there that were
            made from other settings.
    """
    inputs = _inputs(source)
    tasks = min(config.tasks, len(inputs)) if isinstance(inputs[0][-1], int) else config.tasks
    pipeline = {
        "inputs": inputs,
        "text_column": source.text_column,
        "shards": config.model_dump(exclude={"workers"}) | {"tasks": tasks},
    }
    tokenizer_sha256 = tokenizer_hash(tokenizer_dir)
    _claim(output_dir, {"tokenizer_sha256": tokenizer_sha256, **pipeline})
    facts = source.model_dump(include={"name", "language", "licence", "synthesizer"})
    facts["source"] = source.path
    directories = {split: output_dir / split for split in SPLITS}
    if all((d / MANIFEST).is_file() for d in directories.values()):
        # What is said about the text may be corrected without tokenising it again.
        manifests = {s: read_manifest(d).model_copy(update=facts) for s, d in directories.items()}
        for split, manifest in manifests.items():
            if manifest != read_manifest(directories[split]):
                write_json_atomically(directories[split] / MANIFEST, manifest.model_dump())
        return manifests

    logs = output_dir / "logs"
    writers = {s: ShardTokenizer(d, tokenizer_dir, config.seed) for s, d in directories.items()}
    dtype = f"<u{writers['train'].token_size}"
    executor = LocalPipelineExecutor(
        pipeline=[
            SourceReader(source.path, source.text_column),
            HeldoutSplit(config.heldout_fraction, writers["heldout"]),
            writers["train"],
        ],
        tasks=tasks,
        workers=min(config.workers, tasks),
        logging_dir=str(logs),
    )
    # datatrove describes every step on stderr. That is progress when many workers share a long
    # job and noise for a small one; the files under `logs` keep it either way.
    with open(os.devnull, "w") if executor.workers == 1 else nullcontext(sys.stderr) as stderr:
        with redirect_stderr(stderr):
            try:
                executor.run()
            except RecipeError:
                # Nothing was made yet, so the settings that led here may be mended.
                if not any((logs / "completions").glob("*")):
                    (output_dir / SETTINGS).unlink()
                raise
            finally:
                logger.remove()

    manifests = {}
    for split, directory in directories.items():
        files = _shard_files(directory)
        if not files:
            shutil.rmtree(logs, ignore_errors=True)
            (output_dir / SETTINGS).unlink()
            raise RecipeError(
                f"{source.path}: no documents for the {split} split of source {source.name!r}. "
                "Is the source empty, or heldout_fraction too small for it?"
            )
        manifests[split] = Manifest(
            **facts,
            split=split,
            tokenizer_sha256=tokenizer_sha256,
            dtype=dtype,
            documents=sum(f.documents for f in files),
            tokens=sum(f.tokens for f in files),
            pipeline=pipeline,
            files=files,
        )
    # Written last and together: a data set without its manifest counts as unfinished.
    for split, directory in directories.items():
        write_json_atomically(directory / MANIFEST, manifests[split].model_dump())
    return manifests
