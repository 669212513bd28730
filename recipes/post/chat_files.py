"""What a run has chosen and tokenised of its data: in files beside it, split, kept while valid."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset, load_from_disk
from datasets.exceptions import DatasetGenerationError
from pydantic import BaseModel
from transformers import PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import staged_folder, write_json_atomically
from data_recipes.read.conversations import read_rows
from data_recipes.read.files import resolve_files
from data_recipes.read.hub import HUB

from .chat_config import ChatDataConfig, ChatSource

_RECORD = "record.json"
_WINDOWS = "windows"
SPLITS = ("train", "heldout")
# Processes that tokenise, at most, and rows that are worth one (our choice). Not the number of
# cores: how conversations share windows depends on how they were dealt out.
_WORKERS = 16
_ROWS_OF_A_WORKER = 5_000


@dataclass(frozen=True)
class Chats:
    """Conversations to train and to measure on.

    Attributes:
        train: columns `messages` and `tools`, in the order that they are packed in; about pictures,
            `messages`, `images` (paths) and `language`.
        heldout: the same; none of them, or of their pictures, is in `train`.
        left_out: conversations that are not used, by reason; `later_turns` counts those that are
            cut behind an answer.
        fingerprint: changes whenever any conversation could.
        directory: of their files.
    """

    train: Dataset
    heldout: Dataset
    left_out: Counter[str]
    fingerprint: str
    directory: Path


def workers(rows: int) -> int | None:
    """Processes to tokenise so many rows with; `None` for this one."""
    count = min(_WORKERS, rows // _ROWS_OF_A_WORKER)
    return count if count > 1 else None


def source_rows(source: ChatSource, what: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Read the rows of a source that a run takes, with where they stand.

    Args:
        source: the source.
        what: the rows are, for messages.

    Raises:
        RecipeError: a file that cannot be read, a row without a column of `where`, or no row.
    """
    taken = 0
    for where, row in read_rows(source.path):
        if missing := source.where.keys() - row.keys():
            raise RecipeError(
                f"data.sources: {where} has no column {min(missing)!r}, which `where` asks for; "
                f"there are {', '.join(sorted(row))}"
            )
        if any(row[column] not in values for column, values in source.where.items()):
            continue
        if taken == source.max_rows:
            return
        taken += 1
        yield where, row
    if not taken:
        found = f"has no row where {source.where}" if source.where else "is empty"
        raise RecipeError(f"data.sources: {source.path} {found}; name one with {what}")


def print_uniform(changes: Counter[str], changed: int, total: int, what: str) -> None:
    """Say in how many rows texts were made uniform, and how; nothing if in none.

    Args:
        changes: rows by what was done.
        changed: rows in which anything was.
        total: rows that were read.
        what: they are.
    """
    if changed:
        listed = ", ".join(f"{change} {n:,}" for change, n in sorted(changes.items()))
        print(f"{changed:,} of {total:,} {what} made uniform: {listed}")


def preparation_key(config: ChatDataConfig, tokenizer: PreTrainedTokenizerBase, length: int) -> str:
    """Digest everything that decides what is tokenised.

    Files are told by size and time of change. A Hub data set is told by its name: its revision is
    part of it if it is given.

    Args:
        config: of the data.
        tokenizer: with its template.
        length: of a window, in tokens.
    """
    files = [
        (str(file), file.stat().st_size, file.stat().st_mtime_ns)
        for source in config.sources
        if not source.path.startswith(HUB)
        for file in resolve_files(source.path)
    ]
    decisive = {
        "data": config.model_dump(mode="json", exclude={"audit_rows", "recipe"}),
        "length": length,
        "files": files,
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "special": tokenizer.special_tokens_map,
        "template": tokenizer.chat_template,
        "packages": {name: version(name) for name in ("trl", "transformers", "tokenizers")},
    }
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def read_record(directory: Path) -> dict[str, Any]:
    """Read what was noted of the chats in a directory; empty where they are not whole."""
    try:
        return json.loads((directory / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def read_chats(directory: Path) -> Chats:
    """Open what was chosen, by any process; memory does not grow with the data."""
    record = read_record(directory)
    train, heldout = (load_from_disk(directory / name) for name in SPLITS)
    return Chats(train, heldout, Counter(record["left_out"]), record["fingerprint"], directory)


def write_record(directory: Path, record: dict[str, Any]) -> None:
    """Note it, last of all."""
    write_json_atomically(directory / _RECORD, record)


def generate(rows: Callable[..., Any], sources: Sequence[BaseModel], **settings: Any) -> Dataset:
    """Write what a generator makes of `sources` (each as a dictionary) to an Arrow file."""
    try:
        found = [source.model_dump() for source in sources]
        return Dataset.from_generator(rows, gen_kwargs={"sources": found}, **settings)
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None


def take_fitting(rows: Dataset, what: str) -> tuple[Dataset, Counter[str]]:
    """Take the rows whose column `left_out` has no reason; and how many have which.

    Args:
        rows: of all sources.
        what: they are, for messages.

    Raises:
        RecipeError: none is left.
    """
    reasons = rows["left_out"][:]
    left_out = Counter(reason for reason in reasons if reason)
    kept = [i for i, reason in enumerate(reasons) if reason is None]
    if not kept:
        counted = ", ".join(f"{reason} {n:,}" for reason, n in left_out.items()) or "no rows"
        raise RecipeError(f"data.sources: no {what} is left ({counted})")
    return rows.select(kept), left_out


def split_key(content: bytes) -> int:
    """Draw the number by which `split` holds out, from what must land on one side."""
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") >> 1


def split(rows: Dataset, heldout: int, what: str = "conversations") -> tuple[Dataset, Dataset]:
    """Split into training and held-out conversations; equal ones are never on both sides.

    Args:
        rows: with the column `key`, equal for equal conversations.
        heldout: different conversations to hold out.
        what: they are, for messages.

    Raises:
        RecipeError: too few.
    """
    keys = np.array(rows["key"], dtype=np.int64)
    distinct = np.unique(keys)
    if len(distinct) <= heldout:
        raise RecipeError(
            f"data.heldout_rows is {heldout:,}, but there are only {len(distinct):,} different "
            f"{what}"
        )
    apart = keys < distinct[heldout]
    return rows.select(np.flatnonzero(~apart)), rows.select(np.flatnonzero(apart))


def read_windows(directory: Path) -> tuple[Dataset, Dataset] | None:
    """Open the packed windows to train and to measure on; `None` if there are none yet."""
    if not (directory / _WINDOWS).is_dir():
        return None
    train, heldout = (load_from_disk(directory / _WINDOWS / name) for name in SPLITS)
    return train, heldout


def keep_windows(directory: Path, train: Dataset, heldout: Dataset) -> None:
    """Keep packed windows for the next start, whole or not at all. Called on all processes."""
    state = PartialState()
    if state.is_main_process:
        with staged_folder(directory / _WINDOWS) as staging:
            for name, windows in zip(SPLITS, (train, heldout)):
                windows.save_to_disk(staging / name)
    state.wait_for_everyone()
