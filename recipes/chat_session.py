"""A chat with a model: its history, its commands, and how an answer is made."""

import sys
from collections.abc import Callable

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from data_recipes.common.control_tokens import spelled_token
from data_recipes.common.errors import RecipeError, errors_about
from eval.local_model import load_model, load_tokenizer
from modeling_kormo.chat_config import (
    END_OF_THINKING,
    chat_generation_config,
    control_tokens,
    token_id,
)

from .chat_screen import AnswerStreamer, ChatScreen

HELP = """\
/think, /nothink   reason before answering, or answer at once
/show, /fold       show the reasoning, or only its length
/system TEXT       instructions for the whole chat, which starts anew
/reset             forget the chat, keep the instructions
/quit              leave (so do Ctrl-D, and Ctrl-C at the prompt)"""


def load_chat_model(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model and tokenizer, on the GPU if there is one.

    Raises:
        RecipeError: not there, or not a chat model.
    """
    tokenizer = load_tokenizer(name)
    if not tokenizer.chat_template:
        raise RecipeError(
            f"{name}: the tokenizer has no chat template, so this is a base model; fine-tune it "
            "with recipes/sft.py, or let it continue text with scripts/generate.py"
        )
    with errors_about(name):
        token_id(tokenizer, END_OF_THINKING)
    return load_model(name), tokenizer


class Chat:
    """A conversation: its history, and how the next answer is made.

    Args:
        model: a chat model.
        tokenizer: its tokenizer.
        screen: shows the answers.
        think: reason before answering.
        max_tokens: of an answer, reasoning included.
        temperature: 0 is greedy.
        top_p: share of probability to draw from.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        screen: ChatScreen,
        think: bool,
        max_tokens: int,
        temperature: float,
        top_p: float,
    ) -> None:
        self.model, self.tokenizer, self.screen = model, tokenizer, screen
        self.think, self.max_tokens = think, max_tokens
        self.sampling = chat_generation_config(tokenizer, temperature, top_p)
        self.history: list[dict[str, str]] = []
        # Called with the answer, without its reasoning, when it is on the screen.
        self.after_answer: Callable[[str], None] | None = None

    def ask(self, question: str) -> None:
        """Answer a question on the screen; both go into the history, also if it is stopped."""
        if self._refuse(question):
            return
        messages = [*self.history, {"role": "user", "content": question}]
        inputs = self.tokenizer.apply_chat_template(
            messages,
            add_generation_prompt=True,
            enable_thinking=self.think,
            return_tensors="pt",
            return_dict=True,
        ).to(self.model.device)
        length = inputs["input_ids"].shape[1]
        room = self.model.config.max_position_embeddings - length
        if room <= 0:
            self.screen.say("the model's context is full: /reset, then ask again")
            return
        streamer = AnswerStreamer(self.tokenizer, self.think, self.screen.piece)
        limit = self.sampling.max_new_tokens = min(room, self.max_tokens)
        try:
            output = self.model.generate(
                **inputs, generation_config=self.sampling, streamer=streamer
            )
            ended = output[0, -1].item() in self.sampling.eos_token_id
            note = None if ended else f"(cut at {limit} tokens)"
        except KeyboardInterrupt:
            note = "(stopped)"
        self.screen.end(note)
        self.history = [*messages, streamer.message()]
        if self.after_answer and streamer.message()["content"]:
            self.after_answer(streamer.message()["content"])

    def _refuse(self, text: str) -> bool:
        token = spelled_token(text, control_tokens(self.tokenizer))
        if token:
            self.screen.say(f"not sent: {token} would be a control token; write it another way")
        return token is not None

    def command(self, line: str) -> bool:
        """Carry out a line that begins with a slash.

        Returns:
            Whether to go on.
        """
        name, _, text = line.partition(" ")
        if name == "/quit":
            return False
        if name in ("/think", "/nothink"):
            self.think = name == "/think"
            self.screen.say("answers after thinking" if self.think else "answers at once")
        elif name in ("/show", "/fold"):
            self.screen.thinking = name[1:]
            self.screen.say(f"reasoning: {name[1:]}")
        elif name == "/system":
            if self._refuse(text):
                return True
            self.history = [{"role": "system", "content": text.strip()}] if text.strip() else []
            self.screen.say("a new chat with these instructions" if self.history else "a new chat")
        elif name == "/reset":
            self.history = [m for m in self.history if m["role"] == "system"]
            self.screen.say("a new chat")
        else:
            self.screen.say(HELP if name == "/help" else f"{name}: no such command\n{HELP}")
        return True

    def run(self) -> None:
        """Read lines until they end."""
        # input() alone edits lines and knows Ctrl-C; a prompt in piped output would be noise.
        prompt = "\n> " if sys.stdin.isatty() else ""
        while True:
            try:
                line = input(prompt).strip()
            except (EOFError, KeyboardInterrupt):
                return
            if line.startswith("/"):
                if not self.command(line):
                    return
            elif line:
                self.ask(line)
