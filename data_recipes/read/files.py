"""Rows of raw text files, and those that cannot be read, with where they are.

JSONL (.gz, .zst), arrays in JSON, Parquet, plain text, WET archives (text extracted from WARC), and
Hub data sets. Nothing here stops at a bad row: it comes out as `SetAside`, and reading goes on.
"""

import glob
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NoReturn

from ..common.errors import RecipeError
from . import jsonl, wet
from .hub import HUB, read_hub
from .jsonl import ARRAY_SUFFIX, parse_lines, read_jsonl
from .parquet import parquet_columns, read_parquet
from .rows import (
    BOM,
    Column,
    Follow,
    Form,
    Reading,
    Row,
    SetAside,
    as_form,
    decoded,
    listed,
    normalised,
    to_row,
)

_WARC = (".warc", ".warc.gz")
SUFFIXES = (*jsonl.SUFFIXES, ".parquet", ".txt", *wet.SUFFIXES)
# Of a directory; a .json in it is as a rule about the data (dataset_info.json).
_IN_DIRECTORY = tuple(suffix for suffix in SUFFIXES if suffix != ARRAY_SUFFIX)
# Rows without the text column after which it is the column's name that is wrong, not the rows.
_ROWS_WITHOUT_COLUMN = 100
_LONGEST = 50_000_000  # bytes of a document, where no recipe says


def resolve_files(path: str) -> list[Path]:
    """Files behind a path: a file, a directory (searched recursively) or a glob, sorted.

    A `.json` is taken by its name or a glob, not as part of a directory.

    Raises:
        RecipeError: nothing there, or a file of a kind that no reader knows.
    """
    root = Path(path)
    if root.is_dir():
        found = (p for p in sorted(root.rglob("*")) if p.is_file())
        files = [p for p in found if p.name.endswith((*_IN_DIRECTORY, *_WARC))]
    elif root.is_file():
        files = [root]
    else:
        files = [Path(p) for p in sorted(glob.glob(path, recursive=True))]
    if not files:
        kinds = ", ".join(_IN_DIRECTORY)
        raise RecipeError(f"{path}: no such file, or no {kinds} in that directory")
    for file in files:
        if file.name.endswith(_WARC):
            raise RecipeError(
                f"{file}: a WARC file holds web pages as they were sent; take the .warc.wet files, "
                "which hold their text, or extract it first, e.g. with datatrove's Trafilatura"
            )
        if not file.name.endswith(SUFFIXES):
            raise RecipeError(f"{file}: unknown file type, expected {', '.join(SUFFIXES)}")
    return files


def contents_of(path: str) -> str | list[list[str | int]]:
    """Tell one state of what lies behind a path from another: names and sizes of its files.

    Of a Hub data set that is its name. What this returns is compared with what JSON holds.

    Raises:
        RecipeError: as `resolve_files`.
    """
    if path.startswith(HUB):
        return path
    return [[file.name, file.stat().st_size] for file in resolve_files(path)]


def check_column(files: list[Path], column: str | Form, limit: int) -> None:
    """Refuse a text column that is not there.

    Args:
        files: of one source.
        column: name of the text column, or form of the text.
        limit: longest line, in bytes.

    Raises:
        RecipeError: a Parquet file does not have it, or none of the first 100 rows of JSONL (all
            rows, if there are fewer), or a file has no columns; says which columns there are.
    """
    form = as_form(column)
    for file in files:
        names = parquet_columns(file) if file.name.endswith(".parquet") else None
        if names is not None and form.missing(names):
            _refuse_column(file, form, names)
        if not isinstance(form, Column) and file.name.endswith((".txt", *wet.SUFFIXES)):
            raise RecipeError(
                f"{file}: plain text and WET have no columns; leave out the source's template"
            )
    lines = (
        (file, line)
        for file in files
        if file.name.endswith(jsonl.SUFFIXES)
        for line in parse_lines(file, limit)
    )
    first = None
    for file, line in islice(lines, _ROWS_WITHOUT_COLUMN):
        if not isinstance(line, SetAside):
            if not form.missing(line[2]):
                return
            first = first or (file, list(line[2]))
    if first:
        _refuse_column(first[0], form, first[1])


def _refuse_column(file: Path, form: Form, names: list[str]) -> NoReturn:
    raise RecipeError(f"{file}: {listed(form.missing(names), names)}. {form.remedy}")


def _read_text(path: Path, limit: int) -> Reading:
    size = path.stat().st_size
    if size > limit:
        detail = f"a file of {size:,} bytes, at most {limit:,} are read"
        yield SetAside(0, size, "too_long", detail)
        return
    text = decoded(path.read_bytes(), 0, "file")
    if isinstance(text, SetAside):
        yield text
    else:
        yield to_row(text.removeprefix(BOM.decode()), {}, 0, limit, size)


def can_be_split(path: Path) -> bool:
    """Whether several tasks can each read a share of a file."""
    return path.name.endswith((".jsonl", ".parquet"))


def read_file(
    path: Path,
    column: str | Form,
    limit: int,
    progress: Follow = lambda position: None,
    share: tuple[int, int] = (0, 1),
) -> Reading:
    """Everything in a file, or in a share of it.

    Args:
        path: of a type in `SUFFIXES`.
        column: column or JSON key with the text, or form of the text; unused for text and WET.
        limit: longest document or line, in bytes.
        progress: told how far the share has been read, in bytes on disk.
        share: index and number of the shares of a file that can be split.
    """
    if path.name.endswith(jsonl.SUFFIXES):
        return read_jsonl(path, as_form(column), limit, progress, share)
    if path.name.endswith(".parquet"):
        return read_parquet(path, as_form(column), limit, progress, share)
    if path.name.endswith(wet.SUFFIXES):
        return wet.read_wet(path, limit, progress)
    return _read_text(path, limit)


def read_documents(path: str, form: str | Form = "text") -> Iterator[Row]:
    """Rows of a source, streamed and normalised; what is not a document is passed over.

    Args:
        path: file, directory or glob; or `hub://owner/name[@revision][:config[:split]]`.
        form: column (or JSON key) that holds the text, or form of the text.

    Raises:
        RecipeError: missing file, unknown type, no such column.
    """
    if path.startswith(HUB):
        parts = [read_hub(path, form, _LONGEST)]
    else:
        files = resolve_files(path)
        check_column(files, form, _LONGEST)
        parts = (read_file(file, form, _LONGEST) for file in files)
    yield from (row for part in parts for row in normalised(part) if isinstance(row, Row))


def read_texts(path: str, text_column: str | Form = "text") -> Iterator[str]:
    """Texts of a source, as `read_documents` reads them."""
    return (row.text for row in read_documents(path, text_column))
