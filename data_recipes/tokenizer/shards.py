"""Tokenise one source into datatrove shards, with a held-out split and a manifest."""

import hashlib
import json
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.tokens.tokenizer import TokenizedFile
from pydantic import Field
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from ..common.config_files import Strict
from ..common.errors import RecipeError
from ..common.files import sha256_file, write_json_atomically
from ..common.terminal import Progress, show_progress
from ..engine.documents import read_batches, text_bytes
from ..engine.executor_config import ExecutorConfig
from ..engine.executors import execute
from ..engine.steps import StepFolder, Tally, claim
from ..read.source import BETWEEN, SourceConfig
from ..tokens.shards import MANIFEST, Manifest, ShardFile, read_manifest
from .load import load_tokenizer, tokenizer_hash

SPLITS = ("train", "heldout")
DONE = "done"
# Encoded at a time (our choice): enough for all cores, and some 100 MB of encodings.
_BATCH_CHARACTERS = 1_000_000


class ShardConfig(Strict):
    """How sources become shards.

    Attributes:
        heldout_fraction: share of documents kept out of training, to measure bits per byte on.
        tasks: parts of a source, each resumable on its own and with shards of its own.
        seed: order of the documents inside each shard.
    """

    heldout_fraction: float = Field(gt=0, lt=1)
    tasks: int = Field(default=1, gt=0)
    seed: int = 42


class ShardTokenizer(DocumentTokenizer):
    """datatrove's writer, with BOS and EOS around each document and a bounded batch in memory.

    Args:
        output_folder: of one split.
        tokenizer_dir: directory with `tokenizer.json`.
        seed: order of the documents.
        markup: whether `<think>` or `<tool_call>` in the text is the token of that name, as in a
            source that declares a template; spelled in any other text, it is letters.
        pairs: whether documents are pairs, written as `BOS a EOS BOS b EOS`.
    """

    def __init__(
        self,
        output_folder: Path,
        tokenizer_dir: Path,
        seed: int,
        markup: bool = False,
        pairs: bool = False,
    ) -> None:
        super().__init__(
            str(output_folder),
            str(tokenizer_dir / "tokenizer.json"),
            seed=seed,
            save_final_metadata=False,
        )
        special = load_tokenizer(tokenizer_dir)
        self.bos, self.eos = special.bos_token, special.eos_token
        self.markup = markup
        self.pairs = pairs

    @cached_property
    def tokenizer(self) -> Tokenizer:
        description = json.loads(Path(self.tokenizer_name_or_path).read_text(encoding="utf-8"))
        if not self.markup:
            # `encode_special_tokens` reads special tokens as letters, but no others.
            for token in description["added_tokens"]:
                token["special"] |= not token["content"].isspace()
        tokenizer = Tokenizer.from_str(json.dumps(description))
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

    def write_unshuffled(self, data: DocumentsPipeline, filename: str) -> TokenizedFile:
        # In place of datatrove's, which encodes 10,000 documents at a time however long they are,
        # and with the offsets of every token, which nothing here looks at.
        file = TokenizedFile(
            self.output_folder,
            filename,
            save_index=True,
            tokenizer_name_or_path=self.tokenizer_name_or_path,
            save_final_metadata=False,
            token_size=self.token_size,
        )
        for batch in _batches(data):
            for ids in self._encoded(batch):
                file.write(ids, None)
                self.stat_update("tokens", value=len(ids))
        file.close()
        return file

    def _encoded(self, texts: list[str]) -> Iterator[list[int]]:
        """Token ids of each document; of a pair, those of the two, one after the other."""
        parts = [part for text in texts for part in in_order(text)] if self.pairs else texts
        ids = [encoded.ids for encoded in self.tokenizer.encode_batch_fast(parts)]
        return (a + b for a, b in zip(ids[::2], ids[1::2])) if self.pairs else iter(ids)


def _batches(documents: DocumentsPipeline) -> Iterator[list[str]]:
    """Texts of documents, about `_BATCH_CHARACTERS` at a time."""
    texts: list[str] = []
    size = 0
    for document in documents:
        texts.append(document.text)
        size += len(document.text)
        if size >= _BATCH_CHARACTERS:
            yield texts
            texts, size = [], 0
    if texts:
        yield texts


def is_heldout(text: str, fraction: float) -> bool:
    """Whether a document is kept out of training.

    By a hash of its text, not by position: copies of one document land on the same side.
    """
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return struct.unpack("<I", digest)[0] < int(fraction * 2**32)


def in_order(text: str) -> tuple[str, str]:
    """Split a pair into the two texts in the order of its segment: half of them turned round.

    By a hash of the first column, so that sources that differ in the second one agree.
    """
    first, _, second = text.partition(BETWEEN)
    turned = hashlib.blake2b(first.encode(), digest_size=1, person=b"direction").digest()[0] % 2
    return (second, first) if turned else (first, second)


def _token_bytes(tokenizer_dir: Path) -> int:
    return 2 if len(load_tokenizer(tokenizer_dir)) <= 2**16 else 4


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


@dataclass(frozen=True)
class ShardPlan:
    """What the shards of a source are made of and how.

    Attributes:
        source: what is said about the text.
        text: folder of the last cleaning step for this source.
        config: held-out share, parts, seed.
        tokenizer_dir: directory with `tokenizer.json`.
        output_dir: `<shards>/<source name>`.
        cleaning: settings of the steps that the text went through.
    """

    source: SourceConfig
    text: StepFolder
    config: ShardConfig
    tokenizer_dir: Path
    output_dir: Path
    cleaning: dict[str, Any] = field(default_factory=dict)

    @property
    def markup(self) -> bool:
        """Whether names of control tokens in the text are those tokens."""
        return self.source.template is not None

    @property
    def pairs(self) -> bool:
        """Whether documents are pairs of texts."""
        return self.source.pair is not None

    @property
    def tasks(self) -> int:
        """Parts, each with files of its own; at most one per shard of text."""
        return max(1, min(self.config.tasks, len(self.text.shards())))

    @property
    def done(self) -> bool:
        """Whether both splits are finished."""
        return all((self.output_dir / split / MANIFEST).is_file() for split in SPLITS)

    def pipeline(self) -> dict[str, Any]:
        """What decides the tokens, besides the tokenizer."""
        tallies = ((shard, Tally.read(self.text.stats(shard))) for shard in self.text.shards())
        return {
            "inputs": [[shard, t.documents_kept, t.bytes_kept] for shard, t in tallies],
            "cleaning": self.cleaning,
            "shards": self.config.model_dump() | {"tasks": self.tasks},
        } | self.source.model_dump(mode="json", include={"template", "pair"}, exclude_none=True)

    def claim(self) -> None:
        """Bind the directory to these settings.

        Raises:
            RecipeError: it holds shards made from other settings.
        """
        tokenizer = {"tokenizer_sha256": tokenizer_hash(self.tokenizer_dir)}
        claim(self.output_dir, tokenizer | self.pipeline())


class Tokenize(PipelineStep):
    """Writes the shards of one source, `<output_dir>/{train,heldout}/<task>_*.ds`.

    Each task has its share of the cleaned documents, which it reads once per split, so that it
    holds neither. A task that was killed starts again; those that are done are marked.

    Of pairs, what is held out is decided by the first column alone.
    """

    name = "Tokenize"
    type = "TOKENIZER"

    def __init__(self, plan: ShardPlan) -> None:
        super().__init__()
        self.plan = plan

    def _documents(self, split: str, shards: list[str], progress: Progress) -> DocumentsPipeline:
        fraction = self.plan.config.heldout_fraction
        for shard in shards:
            for batch in read_batches(self.plan.text.kept(shard), ["id", "text"]):
                for name, text in zip(*(column.to_pylist() for column in batch.columns)):
                    judged = text.partition(BETWEEN)[0] if self.plan.pairs else text
                    if is_heldout(judged, fraction) == (split == "heldout"):
                        yield Document(text=text, id=name)
                progress.update(int(text_bytes(batch).sum()))

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        plan = self.plan
        shards = plan.text.shards()[rank::world_size]
        with Progress(plan.output_dir, rank) as progress:
            for split in SPLITS:
                done = plan.output_dir / DONE / f"{split}-{rank:05d}"
                if not done.is_file():
                    writer = ShardTokenizer(
                        plan.output_dir / split,
                        plan.tokenizer_dir,
                        plan.config.seed,
                        plan.markup,
                        plan.pairs,
                    )
                    writer.run(self._documents(split, shards, progress), rank, world_size)
                    done.parent.mkdir(parents=True, exist_ok=True)
                    done.touch()
        yield from ()


def finish_shards(plan: ShardPlan) -> dict[str, Manifest]:
    """Write the manifests of both splits, or bring what they say about the text up to date.

    Raises:
        RecipeError: no documents in one of the splits, or documents are missing.
    """
    source = plan.source
    facts = source.model_dump(include={"name", "language", "licence", "synthesizer"})
    facts["source"] = source.path
    directories = {split: plan.output_dir / split for split in SPLITS}
    if plan.done:
        # What is said about the text may be corrected without tokenising it again.
        manifests = {s: read_manifest(d).model_copy(update=facts) for s, d in directories.items()}
        for split, manifest in manifests.items():
            if manifest != read_manifest(directories[split]):
                write_json_atomically(directories[split] / MANIFEST, manifest.model_dump())
        return manifests
    manifests = {}
    for split, directory in directories.items():
        files = _shard_files(directory)
        if not files:
            shutil.rmtree(plan.output_dir)
            raise RecipeError(
                f"{source.path}: no documents for the {split} split of source {source.name!r}. "
                "Is the source too small, or heldout_fraction too small for it?"
            )
        manifests[split] = Manifest(
            **facts,
            split=split,
            tokenizer_sha256=tokenizer_hash(plan.tokenizer_dir),
            dtype=f"<u{_token_bytes(plan.tokenizer_dir)}",
            documents=sum(f.documents for f in files),
            tokens=sum(f.tokens for f in files),
            pipeline=plan.pipeline(),
            files=files,
        )
    written, given = sum(m.documents for m in manifests.values()), plan.text.tally().documents_kept
    if written != given:
        raise RecipeError(
            f"{plan.output_dir}: {written:,} documents were tokenised, {given:,} given; delete the "
            "directory and make the shards again"
        )
    # Written last and together: a data set without its manifest counts as unfinished.
    for split, directory in directories.items():
        write_json_atomically(directory / MANIFEST, manifests[split].model_dump())
    return manifests


def write_shards(plan: ShardPlan, executor: ExecutorConfig) -> dict[str, Manifest]:
    """Tokenise a source, or go on with it; returns the manifests by split.

    Raises:
        RecipeError: no documents in one of the splits; shards there that were made from other
            settings; a full disk.
    """
    plan.claim()
    if not plan.done:
        total = len(SPLITS) * plan.text.tally().bytes_kept
        with show_progress(plan.output_dir, total, f"shards of {plan.source.name}"):
            execute(Tokenize(plan), plan.tasks, executor, plan.output_dir / "logs")
    return finish_shards(plan)
