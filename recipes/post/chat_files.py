"""What fine-tuning has tokenised once, kept beside the run, and what makes it worthless."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset, load_from_disk
from transformers import PreTrainedTokenizerBase

from data_recipes.common.files import staged_folder, write_json_atomically
from data_recipes.read.files import resolve_files
from data_recipes.read.hub import HUB

from .sft_config import ChatDataConfig

_RECORD = "record.json"
_WINDOWS = "windows"
_SPLITS = ("train", "heldout")
# Processes that tokenise, at most, and rows that are worth one (our choice). Not the number of
# cores: how conversations share windows depends on how they were dealt out.
_WORKERS = 16
_ROWS_OF_A_WORKER = 5_000


def workers(rows: int) -> int | None:
    """Processes to tokenise so many rows with; `None` for this one."""
    count = min(_WORKERS, rows // _ROWS_OF_A_WORKER)
    return count if count > 1 else None


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


def write_record(directory: Path, record: dict[str, Any]) -> None:
    """Note it, last of all."""
    write_json_atomically(directory / _RECORD, record)


def read_windows(directory: Path) -> tuple[Dataset, Dataset] | None:
    """Open the packed windows to train and to measure on; `None` if there are none yet."""
    if not (directory / _WINDOWS).is_dir():
        return None
    train, heldout = (load_from_disk(directory / _WINDOWS / name) for name in _SPLITS)
    return train, heldout


def keep_windows(directory: Path, train: Dataset, heldout: Dataset) -> None:
    """Keep packed windows for the next start, whole or not at all. Called on all processes."""
    state = PartialState()
    if state.is_main_process:
        with staged_folder(directory / _WINDOWS) as staging:
            for name, windows in zip(_SPLITS, (train, heldout)):
                windows.save_to_disk(staging / name)
    state.wait_for_everyone()
