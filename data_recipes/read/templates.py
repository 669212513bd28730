"""Text made of several columns: the options `template` and `pair` of a source."""

import string
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from .rows import Column, Form, NoText

# Stands between the two texts of a pair, from reading to tokens; removed from the texts themselves.
BETWEEN = "\x1e"

TRACES = "traces"
THINK, END_THINK = "<think>", "</think>"
_REMEDY = "Correct the source's template"


def trace_text(question: str, reasoning: str, answer: str) -> str:
    """Question, reasoning and answer in the form of the chat template's assistant turns."""
    return f"{question}\n{THINK}\n{reasoning}\n{END_THINK}\n\n{answer}"


@dataclass(frozen=True)
class Template:
    """Columns put into a text.

    Attributes:
        parts: text that stands between columns, and the name of the column after it; `None` at the
            end.
    """

    parts: tuple[tuple[str, str | None], ...]
    remedy = _REMEDY

    @staticmethod
    def parse(text: str) -> "Template":
        """A text with `{column}` in it; `{{` and `}}` stand for braces.

        Raises:
            ValueError: single braces, no column, or a format after its name.
        """
        try:
            found = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{error}; write {{column}}, and {{{{ or }}}} for a brace") from error
        names = [name for _, name, _, _ in found if name is not None]
        if not names or not all(names):
            raise ValueError(f"write the columns as {{name}}, or {TRACES!r} for rows of a chat")
        if any(spec or conversion for _, _, spec, conversion in found):
            raise ValueError("a column in braces takes no format: its text goes in as it is")
        return Template(tuple((literal, name) for literal, name, _, _ in found))

    @property
    def columns(self) -> list[str]:
        """Names of the columns, each once."""
        return list(dict.fromkeys(name for _, name in self.parts if name is not None))

    def missing(self, names: Collection[str]) -> str | None:
        absent = [repr(name) for name in self.columns if name not in names]
        return f"no column {', '.join(absent)}" if absent else None

    def take(self, fields: dict[str, Any]) -> str:
        values = {name: _field(name, fields[name]) for name in self.columns}
        for name in values:
            del fields[name]
        return "".join(text + (values[name] if name else "") for text, name in self.parts)


def _field(name: str, value: Any) -> str:
    if value is None:
        raise NoText("no_text", f"column {name!r} is null")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise NoText("not_text", f"column {name!r} is a {type(value).__name__}")
    text = str(value)
    if not text or text.isspace():
        raise NoText("empty", f"column {name!r} has no characters but white space")
    return text


class Traces:
    """Rows of a chat, in any published shape, as the embedded corpus writes its traces.

    Each question with the reasoning and the answer to it; a system prompt before the first, a blank
    line between them. Reasoning may be a field of its own or a think block that the answer begins
    with. A turn without reasoning is its question and answer; a row without any is set aside.
    """

    remedy = f"Only chats can be read with the template {TRACES!r}; write one with {{column}}"

    def missing(self, names: Collection[str]) -> str | None:
        from .conversations import SHAPES, chat_columns

        return None if chat_columns(names) else f"no chat ({SHAPES})"

    def take(self, fields: dict[str, Any]) -> str:
        from ..common.errors import RecipeError
        from .conversations import flaw, to_conversation

        try:
            conversation = to_conversation(fields, "the row")
        except (RecipeError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise NoText("no_text", f"the chat cannot be read ({error})") from error
        if found := flaw(conversation):
            reason = found if found in ("no_text", "think_tag") else "no_trace"
            raise NoText(reason, f"a chat with {found}")
        text = _exchanges(conversation.messages)
        for name in fields.keys() - conversation.fields.keys():
            del fields[name]
        return text


def _exchanges(messages: list[dict[str, Any]]) -> str:
    parts: list[str] = []
    question, reasoned = "", False
    for message in messages:
        content = message.get("content")
        if message["role"] == "tool" or message.get("tool_calls"):
            raise NoText("no_trace", "a chat with tool calls has no form as a plain text")
        if not isinstance(content, str):
            raise NoText("not_text", f"a message is a {type(content).__name__}, not a text")
        if message["role"] != "assistant":
            question = f"{question}\n\n{content}" if question else content
            continue
        reasoning, answer = message.get("reasoning_content", "").strip(), content.strip()
        if not answer:
            raise NoText("no_trace", "a turn of the assistant ends in its reasoning")
        if not question:
            raise NoText("no_trace", "an answer without a question")
        reasoned = reasoned or bool(reasoning)
        parts.append(
            trace_text(question, reasoning, answer) if reasoning else f"{question}\n\n{answer}"
        )
        question = ""
    if not reasoned:
        raise NoText("no_trace", "no turn of the assistant has any reasoning")
    return "\n\n".join(parts)


@dataclass(frozen=True)
class Pair:
    """Two columns, as a rule one text in two languages, that become one segment of attention.

    Attributes:
        columns: the first one's text decides the direction and the split (`tokenizer.shards`).
    """

    columns: tuple[str, str]
    remedy = "Name both columns with the source's pair"

    def missing(self, names: Collection[str]) -> str | None:
        absent = [repr(name) for name in self.columns if name not in names]
        return f"no column {', '.join(absent)}" if absent else None

    def take(self, fields: dict[str, Any]) -> str:
        texts = [_field(name, fields.pop(name)).replace(BETWEEN, " ") for name in self.columns]
        return BETWEEN.join(texts)


def form_of(text_column: str, template: str | None, pair: tuple[str, str] | None = None) -> Form:
    """The form of a source's text.

    Args:
        text_column: the column, if there is no template.
        template: `traces`, or a text with `{column}` in it.
        pair: two columns that make a segment of two documents.

    Raises:
        ValueError: not a template.
    """
    if pair is not None:
        return Pair(pair)
    if template is None:
        return Column(text_column)
    return Traces() if template == TRACES else Template.parse(template)
