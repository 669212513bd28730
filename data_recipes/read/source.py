"""One text source: its schema, and how the text of a document is made of the columns of a row."""

import string
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from ..common.config_files import Licence, Strict
from ..common.errors import RecipeError
from .hub import HUB
from .rows import Column, Form, NoText

# Stands between the two texts of a pair, from reading to tokens; removed from the texts themselves.
BETWEEN = "\x1e"

TRACES = "traces"
THINK, END_THINK = "<think>", "</think>"


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
    remedy = "Correct the source's template"

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
        return _absent(self.columns, names)

    def take(self, fields: dict[str, Any]) -> str:
        values = {name: _field(name, fields[name]) for name in self.columns}
        for name in values:
            del fields[name]
        return "".join(text + (values[name] if name else "") for text, name in self.parts)


def _absent(columns: Collection[str], names: Collection[str]) -> str | None:
    absent = [repr(name) for name in columns if name not in names]
    return f"no column {', '.join(absent)}" if absent else None


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
        from .conversations import flaw, to_conversation

        try:
            # Its text is made uniform as a whole, and counted, like that of any row.
            conversation = to_conversation(fields, "the row", uniform=False)
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
        return _absent(self.columns, names)

    def take(self, fields: dict[str, Any]) -> str:
        texts = [_field(name, fields.pop(name)).replace(BETWEEN, " ") for name in self.columns]
        return BETWEEN.join(texts)


class SourceConfig(Strict):
    """One text source.

    Attributes:
        name: its name in mixtures, and its folder.
        path: file, directory, glob, or `hub://owner/name[@revision][:config[:split]]`;
            `{output_dir}` stands for the recipe's own.
        text_column: column with the text.
        template: the text made of several columns, such as "{question}\\n\\n{answer}"; or `traces`,
            for chats, which become question, reasoning and answer.
        pair: two columns, as a rule one text in two languages, that become one segment of two
            documents (`data.pairs` of a stage); which stands first changes from row to row.
        language: language code; bits per byte are reported per language.
        licence: licence of the text.
        synthesizer: the model or program that wrote it; leave out for text by people.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    path: str
    text_column: str = "text"
    template: str | None = None
    pair: tuple[str, str] | None = None
    language: str
    licence: Licence
    synthesizer: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "SourceConfig":
        if self.template is not None and "text_column" in self.model_fields_set:
            raise ValueError("give either `text_column` or `template`")
        if self.pair is not None:
            if self.template is not None or "text_column" in self.model_fields_set:
                raise ValueError("give either `pair` or one text, by `text_column` or `template`")
            if self.pair[0] == self.pair[1]:
                raise ValueError("`pair` names one column twice")
        _ = self.form  # a template that is none is refused here
        return self

    @property
    def form(self) -> Form:
        """How the text is made of a row."""
        if self.pair is not None:
            return Pair(self.pair)
        if self.template is None:
            return Column(self.text_column)
        return Traces() if self.template == TRACES else Template.parse(self.template)

    def below(self, output_dir: Path) -> Self:
        """Fill in what `{output_dir}` stands for."""
        path = self.path.replace("{output_dir}", str(output_dir))
        return self.model_copy(update={"path": path})

    @property
    def on_hub(self) -> bool:
        """Whether it is streamed from the Hub."""
        return self.path.startswith(HUB)


class ReadConfig(Strict):
    """How raw text is read. The numbers are our choice.

    Attributes:
        shard_megabytes: text in a shard, in 1e6 UTF-8 bytes. A shard is the unit of work of every
            step after this one: it is what a killed run repeats at most.
        max_document_megabytes: longer documents are set aside, in 1e6 bytes; longer lines are never
            held in memory.
        max_set_aside: largest share of a source's rows that may be set aside (empty documents do
            not count); more is an error, because it is more likely a wrong setting than bad text.
        normalise: give every text "\\n" as the end of a line, no blanks before it, no zero-width
            characters and composed (NFC) Hangul. What that changed is counted in the report.
        hub_parts: parts that a Hub data set is read in, each resumable on its own.
    """

    shard_megabytes: float = Field(default=64, gt=0)
    max_document_megabytes: float = Field(default=50, gt=0)
    max_set_aside: float = Field(default=0.05, ge=0, le=1, exclude=True)
    normalise: bool = True
    hub_parts: int = Field(default=16, gt=0)
