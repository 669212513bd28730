"""An answer as it is generated: tokens in, stretches of reasoning and of answer out."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedTokenizerBase
from transformers.convert_slow_tokenizer import bytes_to_unicode
from transformers.generation.streamers import BaseStreamer

from modeling_kormo.chat_config import END_OF_THINKING, THINK, token_id

_BYTES = {character: byte for byte, character in bytes_to_unicode().items()}


class TextDecoder:
    """Text of byte-level tokens, each character as soon as its last byte is there.

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
        """What becomes complete with a token; special tokens have no text."""
        if token in self._added:
            added = self._added[token]
            data = b"" if added.special else added.content.encode()
        else:
            # A row of the embedding that pads the vocabulary has no token.
            spelling = self._tokenizer.convert_ids_to_tokens(token) or ""
            data = bytes(_BYTES[character] for character in spelling)
        return self._decoder.decode(data)


@dataclass
class Answer:
    """What a model has said so far in a turn."""

    reasoning: str = ""
    content: str = ""
    reasoning_tokens: int = 0

    def message(self) -> dict[str, str]:
        """As an entry of the history; the template decides what of it the model sees again."""
        message = {"role": "assistant", "content": self.content.strip()}
        if self.reasoning.strip():
            message["reasoning_content"] = self.reasoning.strip()
        return message


@dataclass
class AnswerStreamer(BaseStreamer):
    """For `generate(streamer=...)`: collects the answer, and shows each stretch of it at once.

    Args:
        tokenizer: a KORMo tokenizer.
        thinking: the prompt ends inside `<think>`.
        show: gets stretches of text, and whether they are reasoning.
    """

    tokenizer: PreTrainedTokenizerBase
    thinking: bool
    show: Callable[[str, bool], None]
    answer: Answer = field(default_factory=Answer)

    def __post_init__(self) -> None:
        self._prompt_seen = False
        self._think = token_id(self.tokenizer, THINK)
        self._end_of_thinking = token_id(self.tokenizer, END_OF_THINKING)
        self._decoder = TextDecoder(self.tokenizer)
        self._begun = False

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
            self.thinking = token == self._think
            self._decoder = TextDecoder(self.tokenizer)
            self._begun = False
            return
        self.answer.reasoning_tokens += self.thinking
        text = self._decoder.step(token)
        if not self._begun:
            text = text.lstrip("\n")  # that the template puts after the think tags
        if not text:
            return
        self._begun = True
        if self.thinking:
            self.answer.reasoning += text
        else:
            self.answer.content += text
        self.show(text, self.thinking)
