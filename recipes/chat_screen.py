"""An answer while it is generated: tokens in, text on the terminal, reasoning dimmed or folded."""

import codecs
from collections.abc import Callable

import torch
from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from transformers import PreTrainedTokenizerBase
from transformers.generation.streamers import BaseStreamer

from data_recipes.common.terminal import visible
from data_recipes.tokenizer.load import BYTES
from modeling_kormo.chat_config import END_OF_THINKING, THINK, token_id

SHOW, FOLD = "show", "fold"


class TextDecoder:
    """Decodes byte-level tokens, each character as soon as its last byte is there.

    transformers' own `TextStreamer` waits for a space before it prints, which in Korean means
    words of several syllables, and prints U+FFFD where generation ends inside a syllable;
    `DecodeStream` of tokenizers prints U+FFFD for bytes that are no text. Here such bytes are
    dropped.

    Args:
        tokenizer: a byte-level BPE tokenizer.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._added = tokenizer.added_tokens_decoder
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def step(self, token: int) -> str:
        """Return what becomes complete with a token; special tokens have no text."""
        if token in self._added:
            added = self._added[token]
            data = b"" if added.special else added.content.encode()
        else:
            # A row of the embedding that pads the vocabulary has no token.
            spelling = self._tokenizer.convert_ids_to_tokens(token) or ""
            data = bytes(BYTES[character] for character in spelling)
        return self._decoder.decode(data)


class AnswerStreamer(BaseStreamer):
    """Collects an answer for `generate(streamer=...)` and shows each stretch of it at once.

    Args:
        tokenizer: a KORMo tokenizer.
        thinking: the prompt ends inside `<think>`.
        show: gets stretches of text; with reasoning also how many tokens that has by now, else
            `None`.

    Attributes:
        reasoning: said so far between the think tags, whitespace included.
        content: said so far after them.
        reasoning_tokens: number of tokens in `reasoning`.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        thinking: bool,
        show: Callable[[str, int | None], None],
    ) -> None:
        self.reasoning, self.content, self.reasoning_tokens = "", "", 0
        self._tokenizer, self._thinking, self._show = tokenizer, thinking, show
        self._think = token_id(tokenizer, THINK)
        self._end_of_thinking = token_id(tokenizer, END_OF_THINKING)
        self._prompt_seen = False
        self._begin()

    def _begin(self) -> None:
        self._decoder, self._begun = TextDecoder(self._tokenizer), False

    def put(self, value: torch.Tensor) -> None:
        """Take the prompt, which is skipped, and then one token after the other."""
        if not self._prompt_seen:
            self._prompt_seen = True
            return
        for token in value.flatten().tolist():
            self._take(token)

    def end(self) -> None:
        """Nothing is held back that could still become text."""

    def _take(self, token: int) -> None:
        if token in (self._think, self._end_of_thinking):
            self._thinking = token == self._think
            self._begin()
            return
        self.reasoning_tokens += self._thinking
        text = self._decoder.step(token)
        if not self._begun:
            text = text.lstrip("\n")  # that the template puts after the think tags
        if not text:
            return
        self._begun = True
        if self._thinking:
            self.reasoning += text
        else:
            self.content += text
        self._show(text, self.reasoning_tokens if self._thinking else None)

    def message(self) -> dict[str, str]:
        """Return an entry for the history; the template decides what the model sees again."""
        message = {"role": "assistant", "content": self.content.strip()}
        if self.reasoning.strip():
            message["reasoning_content"] = self.reasoning.strip()
        return message


class ChatScreen:
    """Prints an answer piece by piece.

    Args:
        thinking: `show` prints reasoning dimmed, `fold` only counts it.
        console: where to, for tests.
    """

    def __init__(self, thinking: str, console: Console | None = None) -> None:
        # What a model writes is text, never markup.
        self.console = console or Console(highlight=False, markup=False, emoji=False)
        self.thinking = thinking
        self._thought: int | None = None  # tokens of the reasoning that is being printed

    def piece(self, text: str, reasoning_tokens: int | None) -> None:
        """Print a stretch of the answer, or of reasoning if its tokens are given."""
        if reasoning_tokens is None:
            self._close_reasoning()
            self._write(text)
            return
        self._thought = reasoning_tokens
        if self.thinking == SHOW:
            self._write(text, "dim")
        elif self.console.is_terminal:
            self._return()
            self._write(f"thinking: {reasoning_tokens} tokens", "dim")

    def end(self, note: str | None = None) -> None:
        """End the answer; `note` says why, if not by itself."""
        self._close_reasoning()
        self._write("\n")
        if note:
            self.say(note)

    def say(self, text: str) -> None:
        """Print a line of the program's own."""
        self.console.print(text, style="cyan", soft_wrap=True)

    def _close_reasoning(self) -> None:
        if self._thought is None:
            return
        if self.thinking == SHOW:
            self._write("\n\n")
        else:
            self._return()
            self._write(f"thought for {self._thought} tokens\n", "dim")
        self._thought = None

    def _return(self) -> None:
        """Go to the start of the line, which the count overwrites; rich drops a plain `\\r`."""
        self.console.control(Control(ControlType.CARRIAGE_RETURN))

    def _write(self, text: str, style: str | None = None) -> None:
        # What commands a terminal must not reach it from a model's text.
        self.console.print(visible(text), style=style, end="", soft_wrap=True)
        self.console.file.flush()
