"""From chat data sets to packed windows: read, tokenise, choose, check, pack.

Tokens lie in Arrow files below the run's directory and are read through a memory map, so that
memory does not grow with the data. The first process makes them, the others read them.
"""

import hashlib
import json
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset, Features, List, Value, disable_progress_bars, load_from_disk
from datasets.exceptions import DatasetGenerationError
from transformers import PreTrainedTokenizerBase
from trl import pack_dataset

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import write_json_atomically
from data_recipes.read.conversations import read_rows, to_conversation

from .masks import Audit, ChatTokenizer, MaskAudit, Tokens
from .sft_config import ChatDataConfig, ChatSource

_IDS = List(Value("int32"))
_FEATURES = Features(
    {
        "input_ids": _IDS,
        "labels": _IDS,
        "thinking": Value("bool"),
        "cut": Value("int32"),
        "reasoned": Value("int32"),
        "where": Value("string"),
        "group": Value("string"),
        "dropped": Value("string"),
        "key": Value("int64"),
    }
)
_SPLITS = ("train", "heldout")
_RECORD = "record.json"
_NOTHING = Tokens([], [], False, 0, 0, "")


@dataclass(frozen=True)
class ChatData:
    """Windows to train and to measure on.

    Attributes:
        train: columns `input_ids`, `labels`, `seq_lengths` (of the conversations in the window).
        heldout: the same.
        fingerprint: changes whenever any window could.
        table: the audit's.
    """

    train: Dataset
    heldout: Dataset
    fingerprint: str
    table: str


def _rows(
    sources: list[dict[str, Any]], tokenize: ChatTokenizer, balance: str | None, seed: int
) -> Iterator[dict[str, Any]]:
    for source in map(ChatSource.model_validate, sources):
        for number, (where, row) in enumerate(read_rows(source.path)):
            if number == source.max_rows:
                break
            found = tokenize(to_conversation(row, where))
            tokens = _NOTHING if isinstance(found, str) else found
            group = row.get(balance) if balance else None
            if balance and group is None:
                raise RecipeError(
                    f"data.balance: {where} has no {balance!r}; label every row, or leave "
                    "data.balance out"
                )
            # The text decides over held out or not: copies land on the same side.
            digest = hashlib.sha256(f"{seed}/{tokens.input_ids}".encode()).digest()
            yield {
                **asdict(tokens),
                "group": None if group is None else str(group),
                "dropped": found if isinstance(found, str) else None,
                "key": int.from_bytes(digest[:8], "little") >> 1,
            }


def read_tokens(
    config: ChatDataConfig, tokenize: ChatTokenizer, directory: Path
) -> tuple[Dataset, Counter[str]]:
    """All conversations as tokens, and how many were left out for which reason.

    Args:
        config: sources and what to balance.
        tokenize: makes tokens.
        directory: for the Arrow files.

    Raises:
        RecipeError: a source that cannot be read or is no chat data, or nothing left.
    """
    try:
        rows = Dataset.from_generator(
            partial(_rows, tokenize=tokenize, balance=config.balance, seed=config.seed),
            gen_kwargs={"sources": [s.model_dump() for s in config.sources]},
            features=_FEATURES,
            cache_dir=str(directory),
        )
    except DatasetGenerationError as error:
        raise error.__cause__ or error from None
    reasons = rows.data.column("dropped").to_pylist()
    dropped = Counter(reason for reason in reasons if reason)
    kept = [i for i, reason in enumerate(reasons) if reason is None]
    if not kept:
        counted = ", ".join(f"{reason} {n:,}" for reason, n in dropped.items()) or "no rows"
        raise RecipeError(f"data.sources: no conversation is left ({counted})")
    return rows.select(kept), dropped


def split(rows: Dataset, heldout: int) -> tuple[Dataset, Dataset]:
    """Training and held-out conversations; equal ones are never on both sides.

    Raises:
        RecipeError: too few.
    """
    keys = np.array(rows["key"], dtype=np.int64)
    distinct = np.unique(keys)
    if len(distinct) <= heldout:
        raise RecipeError(
            f"data.heldout_rows is {heldout:,}, but there are only {len(distinct):,} different "
            "conversations"
        )
    apart = keys < distinct[heldout]
    return rows.select(np.flatnonzero(~apart)), rows.select(np.flatnonzero(apart))


def pack(rows: Dataset, length: int, seed: int) -> Dataset:
    """Windows of whole conversations, best fit first; columns as in `ChatData`."""
    return pack_dataset(rows.select_columns(["input_ids", "labels"]).shuffle(seed), length, "bfd")


def audit_rows(rows: Dataset, number: int, audit: MaskAudit, dropped: Counter[str]) -> Audit:
    """Audit of the first rows."""
    fields = _NOTHING.__dataclass_fields__
    own = ({k: row[k] for k in fields} for row in rows.select(range(min(number, len(rows)))))
    return audit((Tokens(**row) for row in own), dropped)


def build_data(
    config: ChatDataConfig, tokenizer: PreTrainedTokenizerBase, length: int, directory: Path
) -> ChatData:
    """The data of a run.

    Args:
        config: its section.
        tokenizer: with a template that marks what carries loss.
        length: of a window, in tokens.
        directory: for the Arrow files; made anew, because sources may have changed.

    Raises:
        RecipeError: unreadable or unusable data, or a loss mask that breaks the contract.
    """
    state = PartialState()
    with state.main_process_first():
        if state.is_main_process:
            shutil.rmtree(directory, ignore_errors=True)
            _make(config, tokenizer, length, directory)
    record = json.loads((directory / _RECORD).read_text(encoding="utf-8"))
    train, heldout = (load_from_disk(directory / name) for name in _SPLITS)
    return ChatData(train, heldout, record["fingerprint"], record["table"])


def _make(
    config: ChatDataConfig, tokenizer: PreTrainedTokenizerBase, length: int, directory: Path
) -> None:
    tokenize = ChatTokenizer(tokenizer, length, config.overlong)
    rows, dropped = read_tokens(config, tokenize, directory / "rows")
    groups = rows["group"][:] if config.balance else None
    chosen = select(rows["thinking"][:], groups, config.thinking_share, config.seed)
    if len(chosen) < len(rows):
        dropped["not_chosen"] = len(rows) - len(chosen)
    parts = split(rows.select(chosen), config.heldout_rows)
    audit = audit_rows(parts[0], config.audit_rows, MaskAudit(tokenizer), dropped)
    print(audit.table(), flush=True)
    if audit.violations:
        raise RecipeError(f"the loss mask breaks its contract:\n  {audit.errors()}")
    disable_progress_bars()  # of packing and saving, which take no time beside reading
    digest = hashlib.sha256(f"{length}/{config.seed}/{tokenizer.chat_template}".encode())
    for name, part in zip(_SPLITS, parts):
        digest.update(np.array(part["key"], dtype=np.int64).tobytes())
        pack(part, length, config.seed).save_to_disk(directory / name)
    record = {"fingerprint": digest.hexdigest(), "table": audit.table()}
    write_json_atomically(directory / _RECORD, record)


def select(
    thinking: Sequence[bool], groups: Sequence[str] | None, share: float | None, seed: int
) -> list[int]:
    """As many conversations as the asked shares allow, none twice.

    Args:
        thinking: of each conversation, whether its last answer came with reasoning.
        groups: of each, the value that shall be equally frequent, within thinking and not, such as
            a difficulty: KORMo's SFT data are balanced by it (section 5). `None`: as they are.
        share: of conversations with reasoning; `None`: as they are.
        seed: of the choice.

    Returns:
        Their numbers, in order.

    Raises:
        RecipeError: a share that the data cannot give.
    """
    kinds = {kind: [i for i, t in enumerate(thinking) if t == kind] for kind in (True, False)}
    if groups is not None:
        kinds = {kind: _balanced(own, groups, seed) for kind, own in kinds.items()}
    if share is not None:
        shares = {True: share, False: 1 - share}
        for kind, own in shares.items():
            if own and not kinds[kind]:
                what = "with" if kind else "without"
                raise RecipeError(
                    f"data.thinking_share is {share}, but no conversation {what} reasoning is "
                    "left; add a source, or leave the share out"
                )
        total = min(len(kinds[k]) / own for k, own in shares.items() if own)
        kinds = {k: _sample(kinds[k], round(total * own), seed) for k, own in shares.items()}
    return sorted([*kinds[True], *kinds[False]])


def _sample(numbers: list[int], count: int, seed: int) -> list[int]:
    return random.Random(seed).sample(numbers, min(count, len(numbers)))


def _balanced(numbers: list[int], groups: Sequence[str], seed: int) -> list[int]:
    members: dict[str, list[int]] = defaultdict(list)
    for number in numbers:
        members[groups[number]].append(number)
    smallest = min(map(len, members.values()), default=0)
    return [n for own in members.values() for n in _sample(own, smallest, seed)]
