"""Text sources: JSONL (.gz, .zst), Parquet, plain text, and Hub data sets."""

import glob
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from .errors import RecipeError

_JSONL = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_SUFFIXES = (*_JSONL, ".parquet", ".txt")
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_HUB = "hub://"


def resolve_files(path: str) -> list[Path]:
    """Files behind a path: a file, a directory (searched recursively) or a glob, sorted.

    Raises:
        RecipeError: nothing there, or a file of a kind that no reader knows.
    """
    root = Path(path)
    if root.is_dir():
        found = (p for p in sorted(root.rglob("*")) if p.is_file())
        files = [p for p in found if p.name.endswith(_SUFFIXES)]
    elif root.is_file():
        files = [root]
    else:
        files = [Path(p) for p in sorted(glob.glob(path, recursive=True))]
    if not files:
        raise RecipeError(f"{path}: no such file, or no {', '.join(_SUFFIXES)} in that directory")
    unknown = [p for p in files if not p.name.endswith(_SUFFIXES)]
    if unknown:
        raise RecipeError(f"{unknown[0]}: unknown file type, expected {', '.join(_SUFFIXES)}")
    return files


@contextmanager
def _open_text(path: Path) -> Iterator[IO[str]]:
    # Arrow's streams, unlike zstandard's own, say so when the file ends too early.
    compression = _COMPRESSIONS.get(path.suffix)
    if compression and path.stat().st_size == 0:
        raise OSError("an archive of no bytes")
    with pa.input_stream(str(path), compression=compression) as stream:
        yield io.TextIOWrapper(stream, encoding="utf-8", newline="\n")


def _text_of(row: dict[str, Any], column: str, where: str) -> str:
    if column not in row:
        raise RecipeError(
            f"{where}: no column {column!r}; columns are {', '.join(map(repr, row))}. "
            "Name the text column with text_column"
        )
    text = row[column]
    if not isinstance(text, str):
        raise RecipeError(f"{where}: column {column!r} holds {type(text).__name__}, expected text")
    return text


def _read_jsonl(path: Path, column: str) -> Iterator[str]:
    with _open_text(path) as handle:
        for number, line in enumerate(handle, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise RecipeError(f"{where}: not valid JSON ({error})") from error
            if not isinstance(row, dict):
                raise RecipeError(f"{where}: expected a JSON object, got {type(row).__name__}")
            text = _text_of(row, column, where)
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise RecipeError(f"{where}: half a surrogate pair, not text ({error})") from error
            yield text


def _read_parquet(path: Path, column: str) -> Iterator[str]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        if column not in names:
            _text_of(dict.fromkeys(names), column, str(path))
        for batch in file.iter_batches(columns=[column]):
            for text in batch.column(0).to_pylist():
                yield _text_of({column: text}, column, str(path))


def _read_file(path: Path, column: str) -> Iterator[str]:
    try:
        if path.name.endswith(_JSONL):
            yield from _read_jsonl(path, column)
        elif path.name.endswith(".parquet"):
            yield from _read_parquet(path, column)
        else:
            yield path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 ({error})") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise RecipeError(
            f"{path}: truncated or not of the type its name says ({error})"
        ) from error


def _read_hub(path: str, column: str, rank: int, world_size: int) -> Iterator[str]:
    from datasets import load_dataset

    name, _, options = path.removeprefix(_HUB).partition(":")
    config, _, split = options.partition(":")
    name, _, revision = name.partition("@")
    rows = load_dataset(
        name, config or None, split=split or "train", streaming=True, revision=revision or None
    )
    if world_size > 1 and rows.num_shards >= world_size:
        rows = rows.shard(num_shards=world_size, index=rank)
    elif world_size > 1:
        # Fewer files on the Hub than tasks: every task reads all and keeps its turn.
        rows = (row for i, row in enumerate(rows) if i % world_size == rank)
    for row in rows:
        yield _text_of(row, column, path)


def read_texts(
    path: str, text_column: str = "text", rank: int = 0, world_size: int = 1
) -> Iterator[str]:
    """Texts of a source, streamed. Empty documents are passed over.

    Args:
        path: file, directory or glob; or `hub://owner/name[@revision][:config[:split]]`.
        text_column: column (or JSON key) that holds the text; unused for `.txt`.
        rank: which part to read; files (or Hub shards) are dealt out in turn.
        world_size: number of parts.

    Raises:
        RecipeError: missing file, wrong column, broken line, wrong encoding, truncated archive.
    """
    if path.startswith(_HUB):
        texts = _read_hub(path, text_column, rank, world_size)
    else:
        files = resolve_files(path)[rank::world_size]
        texts = (text for file in files for text in _read_file(file, text_column))
    return (text for text in texts if text.strip())


class SourceReader(PipelineStep):
    """datatrove reader over `read_texts`."""

    name = "Source"
    type = "READER"

    def __init__(self, path: str, text_column: str) -> None:
        super().__init__()
        self.path = path
        self.text_column = text_column

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        for i, text in enumerate(read_texts(self.path, self.text_column, rank, world_size)):
            self.stat_update("documents")
            self.stat_update("text_bytes", value=len(text.encode()))
            yield Document(text=text, id=f"{rank}/{i}")
