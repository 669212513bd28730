"""Conversations that a fine-tuning run learns from: read, fitted into a window, chosen, split.

What comes out are messages. TRL renders, tokenises, masks and packs them.
"""

import hashlib
import random
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from accelerate import PartialState
from datasets import Dataset, Features, Json, List, Value, disable_progress_bars
from transformers import PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import to_conversation

from .chat_config import ChatDataConfig, ChatSource
from .chat_files import (
    SPLITS,
    Chats,
    generate,
    preparation_key,
    print_uniform,
    read_chats,
    read_record,
    source_rows,
    split,
    split_key,
    take_fitting,
    workers,
    write_record,
)
from .masks import ChatTokenizer, Tokens

# Messages as JSON: Arrow's own columns would give the arguments of a tool call the keys of all
# others.
_FEATURES = Features(
    {
        "messages": List(Json()),
        "tools": Json(),
        "thinking": Value("bool"),
        "group": Value("string"),
        "left_out": Value("string"),
        "cut": Value("bool"),
        "changes": List(Value("string")),
        "key": Value("int64"),
    }
)


def build_chats(
    config: ChatDataConfig, tokenizer: PreTrainedTokenizerBase, length: int, directory: Path
) -> Chats:
    """Choose the conversations of a run. The first process does, the others read its choice.

    They lie in Arrow files and are read through a memory map, so that memory does not grow with
    the data. A start that would make the same ones again takes those that are there.

    Args:
        config: its section.
        tokenizer: with a template that marks what carries loss.
        length: of a window, in tokens.
        directory: for the Arrow files; made anew if anything that decides them has changed.

    Raises:
        RecipeError: a source that cannot be read or is no chat data, a share that the data cannot
            give, or too few conversations.
    """
    disable_progress_bars()  # of reading, packing and saving; training has its own
    state = PartialState()
    with state.main_process_first():
        if state.is_main_process:
            key = preparation_key(config, tokenizer, length)
            if read_record(directory).get("key") != key:
                shutil.rmtree(directory, ignore_errors=True)
                write_record(
                    directory, {"key": key, **_write_chats(config, tokenizer, length, directory)}
                )
    return read_chats(directory)


def _write_chats(
    config: ChatDataConfig, tokenizer: PreTrainedTokenizerBase, length: int, directory: Path
) -> dict[str, Any]:
    tokenize = ChatTokenizer(tokenizer, length, config.overlong)
    rows, left_out = _read(config, tokenize, directory / "rows")
    groups = rows["group"][:] if config.balance else None
    thinking = rows["thinking"][:]
    if config.thinking_share and not any(thinking):
        print("data.thinking_share: no conversation has reasoning; the data are taken as they are")
    chosen = select(thinking, groups, config.thinking_share, config.seed)
    if len(chosen) < len(rows):
        left_out["not_chosen"] = len(rows) - len(chosen)
    digest = hashlib.sha256(f"{length}/{config.seed}/{tokenizer.chat_template}".encode())
    for name, part in zip(SPLITS, split(rows.select(chosen), config.heldout_rows)):
        digest.update(np.array(part["key"], dtype=np.int64).tobytes())
        shuffled = part.select_columns(["messages", "tools"]).shuffle(config.seed)
        shuffled.save_to_disk(directory / name)
    shutil.rmtree(directory / "rows")
    return {"fingerprint": digest.hexdigest(), "left_out": left_out}


def _read(
    config: ChatDataConfig, tokenize: ChatTokenizer, directory: Path
) -> tuple[Dataset, Counter[str]]:
    """All conversations that fit, and how many do not for which reason."""
    raw = generate(_raw_rows, config.sources, cache_dir=str(directory))
    rows = raw.map(
        partial(_samples, tokenize=tokenize, balance=config.balance, seed=config.seed),
        batched=True,
        remove_columns=raw.column_names,
        features=_FEATURES,
        num_proc=workers(len(raw)),
    )
    changes = [own for own in rows["changes"][:] if own]
    print_uniform(Counter(chain.from_iterable(changes)), len(changes), len(raw), "conversations")
    kept, left_out = take_fitting(rows, "conversation")
    if cut := sum(rows["cut"][:]):
        left_out["later_turns"] = cut
    return kept, left_out


def _raw_rows(sources: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    """Rows as JSON, which is read quickly by one process and dealt out to several."""
    for source in map(ChatSource.model_validate, sources):
        for where, row in source_rows(source, "conversations"):
            text = orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS)
            yield {"where": where, "row": text.decode()}


def _samples(
    batch: dict[str, list[str]], tokenize: ChatTokenizer, balance: str | None, seed: int
) -> dict[str, list[Any]]:
    made = [
        sample
        for where, row in zip(batch["where"], batch["row"])
        for sample in _samples_of(orjson.loads(row), where, tokenize, balance, seed)
    ]
    return {name: [sample[name] for sample in made] for name in _FEATURES}


def _samples_of(
    row: dict[str, Any], where: str, tokenize: ChatTokenizer, balance: str | None, seed: int
) -> Iterator[dict[str, Any]]:
    conversation = to_conversation(row, where)
    found, changes = tokenize.samples(conversation), sorted(conversation.changes)
    if isinstance(found, str):
        empty = {**dict.fromkeys(_FEATURES), "messages": [], "cut": False}
        yield empty | {"left_out": found, "changes": changes}
        return
    group = row.get(balance) if balance else None
    if balance and group is None:
        raise RecipeError(
            f"data.balance: {where} has no {balance!r}; label every row, or leave data.balance out"
        )
    messages, tools = conversation.messages[: found[-1]], conversation.tools
    # The text of the whole decides over held out or not: copies, and all samples of a
    # conversation, land on the same side.
    key = split_key(f"{seed}/".encode() + orjson.dumps([messages, tools]))
    for end in found:
        yield {
            "messages": messages[:end],
            "tools": tools,
            "thinking": bool(messages[end - 1].get("reasoning_content")),
            "group": None if group is None else str(group),
            "left_out": None,
            "cut": end == found[-1] < len(conversation.messages),
            "key": key,
            "changes": changes if end == found[0] else [],  # once for each conversation
        }


def select(
    thinking: Sequence[bool], groups: Sequence[str] | None, share: float | None, seed: int
) -> list[int]:
    """Choose as many conversations as the asked shares allow, none twice.

    Args:
        thinking: of each conversation, whether its last answer came with reasoning.
        groups: of each, the value that shall be equally frequent, within thinking and not, such as
            a difficulty: KORMo's SFT data are balanced by it (section 5). `None`: as they are.
        share: of conversations with reasoning; `None`: as they are, which is also what data
            without any reasoning are.
        seed: of the choice.

    Returns:
        Their numbers, in order.

    Raises:
        RecipeError: a share that the data cannot give.
    """
    kinds = {kind: [i for i, t in enumerate(thinking) if t == kind] for kind in (True, False)}
    if groups is not None:
        kinds = {kind: _balanced(own, groups, seed) for kind, own in kinds.items()}
    if share == 1 or (share is not None and any(thinking)):
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


def unpack(windows: Dataset, number: int) -> Iterator[Tokens]:
    """Take the first conversations out of the windows that TRL has packed.

    Args:
        windows: columns `input_ids`, `labels` and `seq_lengths` (of the conversations in each).
        number: of conversations, at most.
    """
    for window, row in enumerate(windows):
        start = 0
        for length in row["seq_lengths"]:
            if not number:
                return
            part = slice(start, start + length)
            where = f"window {window}, token {start}"
            yield Tokens(row["input_ids"][part], row["labels"][part], where)
            start, number = start + length, number - 1
