"""Data written by hand, so that what reads them is tested against something else."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_recipes.common.files import sha256_file, write_json_atomically
from data_recipes.engine.documents import SCHEMA, ShardWriter, read_batches, reject
from data_recipes.engine.executor_config import ExecutorConfig
from data_recipes.engine.steps import Outcome, StepFolder, Tally
from data_recipes.read.source import ReadConfig, SourceConfig
from data_recipes.read.step import ReadStep
from data_recipes.tokenizer.shards import ShardConfig, ShardPlan, write_shards
from data_recipes.tokens.shards import MANIFEST, Manifest, ShardFile
from data_recipes.toy import documents

TOKENIZER = "0" * 64


def jsonl(texts: list[str], column: str = "text") -> bytes:
    """The texts as JSON lines."""
    return "".join(json.dumps({column: t}, ensure_ascii=False) + "\n" for t in texts).encode()


def some_texts(count: int, seed: int = 11) -> list[str]:
    """Documents of the embedded corpus, Korean and English in turn."""
    ko, en = (documents("web", language, seed) for language in ("ko", "en"))
    return [next(ko if i % 2 else en) for i in range(count)]


def write_data_set(
    directory: Path,
    files: list[list[list[int]]],
    language: str = "ko",
    synthesizer: str | None = None,
    tokenizer: str = TOKENIZER,
    dtype: str = "<u2",
) -> Manifest:
    """Write `files`, each a list of documents, each a list of token ids."""
    directory.mkdir(parents=True)
    shards = []
    for number, own in enumerate(files):
        path = directory / f"{number:05d}.ds"
        np.array([t for d in own for t in d], dtype).tofile(path)
        np.cumsum([len(d) for d in own]).astype("<u8").tofile(f"{path}.index")
        shards.append(
            ShardFile(
                path=path.name,
                tokens=sum(map(len, own)),
                documents=len(own),
                sha256=sha256_file(path),
                index_sha256=sha256_file(Path(f"{path}.index")),
            )
        )
    manifest = Manifest(
        name=directory.parent.name,
        split=directory.name,
        tokenizer_sha256=tokenizer,
        dtype=dtype,
        documents=sum(s.documents for s in shards),
        tokens=sum(s.tokens for s in shards),
        language=language,
        licence="none",
        source="by hand",
        synthesizer=synthesizer,
        pipeline={},
        files=shards,
    )
    write_json_atomically(directory / MANIFEST, manifest.model_dump())
    return manifest


def write_shards_of(
    folder: Path, shards: list[list[str]], source: str = "web_ko", language: str = "ko"
) -> StepFolder:
    """Texts as the kept shards of a step, `<step>/<source>`, with ids and stats."""
    step = StepFolder(folder)
    for number, texts in enumerate(shards):
        name = f"{number:05d}-00000"
        rows = {
            "id": [f"{source}/{number}:{row}" for row in range(len(texts))],
            "text": texts,
            "source": [source] * len(texts),
            "language": [language] * len(texts),
            "metadata": ["{}"] * len(texts),
        }
        batch = pa.RecordBatch.from_pydict(rows, SCHEMA)
        with ShardWriter(step.kept(name), SCHEMA) as writer:
            writer.write(batch)
        tally = Tally()
        tally.add(batch, Outcome(batch, reject(batch.slice(0, 0), [], [])))
        step.stats(name).parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(step.stats(name), vars(tally))
    return step


def rows_of(folder: Path) -> list[dict[str, object]]:
    """Rows of all shards in a directory, in order."""
    shards = sorted(folder.glob("*.parquet"))
    return [row for path in shards for batch in read_batches(path) for row in batch.to_pylist()]


def hashes_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every shard below a directory."""
    return {str(p.relative_to(folder)): sha256_file(p) for p in sorted(folder.rglob("*.parquet"))}


def read_source(source: SourceConfig, output_dir: Path, **settings: object) -> StepFolder:
    """The `read` step on one source, in this process."""
    step = ReadStep([source], output_dir, ReadConfig(**settings))
    assert list(step.run()) == []
    return StepFolder(output_dir / source.name)


def tokenise(
    source: SourceConfig, config: ShardConfig, tokenizer_dir: Path, output_dir: Path
) -> dict[str, Manifest]:
    """Read a source and write its shards to `output_dir`."""
    text = read_source(source, output_dir.with_name(output_dir.name + "_read"))
    plan = ShardPlan(source, text, config, tokenizer_dir, output_dir)
    return write_shards(plan, ExecutorConfig())
