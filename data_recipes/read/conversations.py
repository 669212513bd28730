"""Chat data in any of the shapes people publish, as one: messages, and what is known of them."""

import json
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from ..common.control_tokens import spelled_token
from ..common.errors import RecipeError
from .files import resolve_files
from .hub import HUB, hub_rows
from .jsonl import array_rows, is_array, lines_of
from .parquet import parquet_rows
from .rows import BOM, SetAside, normalise
from .source import END_THINK, THINK

ROLES = ("system", "user", "assistant", "tool")
# Names under which published data sets keep the chain of thought of a message or row.
_REASONING = ("reasoning_content", "reasoning", "thinking")
_ROLES_OF_OTHERS = {"human": "user", "gpt": "assistant", "model": "assistant"}
_CHATS = ("messages", "conversation", "conversations")
_PAIRS = (
    ("prompt", "completion"),
    ("question", "answer"),
    ("instruction", "output"),
    ("instruction", "response"),
)
SHAPES = (
    "messages or conversation (role, content), conversations (from, value), prompt and completion, "
    "question and answer, instruction and output"
)


@dataclass(frozen=True)
class Conversation:
    """One conversation.

    Attributes:
        messages: `role`, `content`, and where there are any `reasoning_content`, `tool_calls`.
        where: file or data set and row, for messages to people.
        tools: schemas of functions that the assistant may call.
        fields: other columns of the row, such as language or level.
        changes: what was made uniform in its texts (`rows.CHANGES`).
    """

    messages: list[dict[str, Any]]
    where: str
    tools: list[dict[str, Any]] | None
    fields: dict[str, Any]
    changes: frozenset[str] = frozenset()


def read_rows(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of JSONL, JSON or Parquet files, or of a Hub data set, with where they stand.

    Args:
        path: file, directory or glob; or `hub://owner/name[@revision][:config[:split]]`.

    Raises:
        RecipeError: missing file, another type, or a line that is not an object.
    """
    if path.startswith(HUB):
        for number, row in hub_rows(path, 0, 1):
            yield f"{path}, row {number}", row
        return
    for file in resolve_files(path):
        if file.suffix == ".parquet":
            for number, row in enumerate(parquet_rows(file)):
                yield f"{file}, row {number}", row
        elif is_array(file):
            yield from _json_array(file)
        else:
            yield from _json_lines(file)


def _json_array(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, row in enumerate(array_rows(file)):
        where = f"{file}, row {number}"
        if isinstance(row, SetAside):
            raise RecipeError(f"{where}, byte {row.place}: {row.detail}")
        if not isinstance(row[2], dict):
            raise RecipeError(f"{where}: a row must be a JSON object")
        try:
            json.dumps(row[2], ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # no tokenizer takes it
            raise RecipeError(f"{where}: half a surrogate pair ({error})") from error
        yield where, row[2]


def _json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, item in enumerate(lines_of(file, sys.maxsize), start=1):
        if isinstance(item, SetAside):
            raise RecipeError(f"{file}: damaged or cut ({item.detail}); get it again")
        place, line = item
        if not line.strip():
            continue
        try:
            # More strictly than `parse_lines`: what Python alone takes cannot be written again.
            row = orjson.loads(line if place else line.removeprefix(BOM))
        except orjson.JSONDecodeError as error:
            raise RecipeError(f"{file}:{number}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise RecipeError(f"{file}:{number}: a row must be a JSON object")
        yield f"{file}:{number}", row


def as_messages(value: Any, role: str) -> list[dict[str, Any]]:
    """A text as a message of `role`; messages as they are.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if not isinstance(value, list) or not all(isinstance(m, dict) for m in value):
        raise ValueError("messages must be a text, or a list of objects with role and content")
    return value


def about_picture(exchanges: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    """Lay questions and answers out as turns about a picture, which stands before the first."""
    messages: list[dict[str, Any]] = []
    for question, answer in exchanges:
        shown = [] if messages else [{"type": "image"}]
        asked = [*shown, {"type": "text", "text": question}]
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
    return messages


def _own_messages(row: dict[str, Any]) -> tuple[list[dict[str, Any]], set[str]]:
    """Messages of a row in any known shape, and the columns that they came from."""
    for name in _CHATS:
        if row.get(name) is None:
            continue
        if isinstance(row[name], str):
            raise ValueError(f"messages must be a list, and {name!r} is a text")
        messages = as_messages(row[name], "user")
        if name != "conversations":
            return messages, {name}
        # Late, because it imports torch, which reading text does without.
        from trl.data_utils import maybe_convert_to_chatml

        return maybe_convert_to_chatml({name: messages})["messages"], {name}
    for question, answer in _PAIRS:
        if row.get(question) is None or row.get(answer) is None:
            continue
        asked = row[question]
        if isinstance(asked, str) and row.get("input"):
            asked = f"{asked}\n\n{row['input']}"
        answers = as_messages(row[answer], "assistant")
        if not answers:
            raise ValueError(f"messages must be at least one, and {answer!r} has none")
        messages = [*as_messages(asked, "user"), *answers]
        used = {question, answer, "input", *_REASONING}
        return [*messages[:-1], {**{k: row.get(k) for k in _REASONING}, **messages[-1]}], used
    raise ValueError(f"no chat in columns {', '.join(row)}; known are {SHAPES}")


def chat_columns(names: Collection[str]) -> bool:
    """Whether rows with these columns may hold a chat in one of the known shapes."""
    return any(name in names for name in _CHATS) or any(set(p) <= set(names) for p in _PAIRS)


def split_reasoning(content: str) -> tuple[str, str]:
    """Split a text that begins with a think block into reasoning and answer.

    A tag that stands anywhere else is something that the text speaks of, and cuts nothing. The chat
    template has the same rule.

    Returns:
        Both without the whitespace around them; no reasoning and the text as it is if there is no
        such block.
    """
    opened = content.lstrip().removeprefix(THINK)
    reasoning, closed, answer = opened.partition(END_THINK)
    if not closed or not content.lstrip().startswith(THINK):
        return "", content
    return reasoning.strip(), answer.strip()


def clean_message(message: dict[str, Any], changes: set[str] | None) -> dict[str, Any]:
    """Return a message without empty fields, its reasoning under the name the template knows.

    Args:
        message: as it was read.
        changes: takes what is made uniform in its texts; `None` leaves them as they are.

    Raises:
        ValueError: a field is of a type that no template lays out.
    """
    message = {k: v for k, v in message.items() if v is not None}
    for name, types in (("role", str), ("content", str | list), *((k, str) for k in _REASONING)):
        if not isinstance(message.get(name, ""), types):
            raise ValueError(f"a message's {name} is a {type(message[name]).__name__}, and no text")
    if not _objects(message.get("tool_calls") or []):
        raise ValueError("a message's tool_calls are no list of objects")
    message["role"] = _ROLES_OF_OTHERS.get(message.get("role"), message.get("role"))
    reasoning = next((message.pop(k) for k in _REASONING if message.get(k)), None)
    own = {k: v for k, v in message.items() if k not in _REASONING}
    if own["role"] == "assistant" and isinstance(own.get("content"), str) and not reasoning:
        reasoning, own["content"] = split_reasoning(own["content"])
    if own.get("tool_calls"):
        own["tool_calls"] = without_nulls(own["tool_calls"])
    own |= {"reasoning_content": reasoning} if reasoning else {}
    if changes is None:
        return own
    texts = {k: own[k] for k in ("content", "reasoning_content") if k in own}
    return own | {k: uniform_content(text, changes) for k, text in texts.items()}


def uniform_content(content: Any, changes: set[str]) -> Any:
    """Make a content's texts uniform (`rows.normalise`), those in a list of parts, too.

    Args:
        content: a text, or parts.
        changes: takes what was made uniform.

    Raises:
        ValueError: a part of text has none, and would be laid out as the word None.
    """
    if isinstance(content, str):
        text, made = normalise(content)
        changes.update(made)
        return text
    parts = []
    for part in content:
        if isinstance(part, dict) and part.get("type") == "text":
            if not isinstance(part.get("text"), str):
                raise ValueError("a message's content has a part of text without a text")
            part = part | {"text": uniform_content(part["text"], changes)}
        parts.append(part)
    return parts


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(own, dict) for own in value)


def without_nulls(value: Any) -> Any:
    """Drop the nulls of objects at every depth: Arrow gives each the keys of all others."""
    if isinstance(value, dict):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


def to_conversation(row: dict[str, Any], where: str, uniform: bool = True) -> Conversation:
    """Read a row as a conversation. System messages without a text are left out.

    Args:
        row: in one of the published shapes.
        where: it stands, for messages.
        uniform: make its texts uniform (`rows.normalise`).

    Raises:
        RecipeError: none of the known shapes.
    """
    with named(where):
        messages, used = _own_messages(row)
        fields = {k: v for k, v in row.items() if k not in used and k != "tools"}
        changes: set[str] | None = set() if uniform else None
        messages = clean_messages(messages, changes)
        return Conversation(messages, where, read_tools(row), fields, frozenset(changes or ()))


@contextmanager
def named(where: str) -> Iterator[None]:
    """Say of what cannot be read where it stands.

    Raises:
        RecipeError: in place of a `ValueError`.
    """
    try:
        yield
    except ValueError as error:
        raise RecipeError(f"{where}: {error}") from error


def clean_messages(
    messages: list[dict[str, Any]], changes: set[str] | None
) -> list[dict[str, Any]]:
    """Clean each message (`clean_message`), and leave out system messages without a text."""
    clean = [clean_message(message, changes) for message in messages]
    return [m for m in clean if m["role"] != "system" or str(m.get("content", "")).strip()]


def read_tools(row: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the schemas in the column `tools`, a list or its JSON.

    Raises:
        ValueError: it is neither.
    """
    tools = row.get("tools") or None
    try:
        tools = orjson.loads(tools) if isinstance(tools, str) else tools
    except orjson.JSONDecodeError as error:
        raise ValueError(f"column tools is no JSON ({error})") from error
    if not _objects(tools or []):
        raise ValueError("column tools is no list of objects, each a function's schema")
    return without_nulls(tools)


def _says_something(message: dict[str, Any]) -> bool:
    content = message.get("content")
    return bool(content.strip() if isinstance(content, str) else content) or bool(
        message.get("tool_calls")
    )


def flaw(conversation: Conversation) -> str | None:
    """Say why a conversation cannot be learned from; `None` if it can.

    `unknown_role`, `no_text` (a message says nothing), `no_answer` (nothing of the assistant's to
    learn), `ends_with_question` (the last word is not the assistant's), `think_tag` (a think tag
    stands in a text, where it would be a real one).
    """
    messages = conversation.messages
    if any(m.get("role") not in ROLES for m in messages):
        return "unknown_role"
    if not any(m["role"] == "assistant" for m in messages):
        return "no_answer"
    if messages[-1]["role"] != "assistant":
        return "ends_with_question"
    if not all(_says_something(m) for m in messages):
        return "no_text"
    if spelled_token([messages, conversation.tools], (THINK, END_THINK)):
        return "think_tag"
    return None
