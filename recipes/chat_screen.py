"""How a chat looks in a terminal: reasoning dimmed or folded, answers as they come."""

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType

from data_recipes.common.terminal import visible

from .streaming import Answer

SHOW, FOLD = "show", "fold"


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
        self._answer: Answer | None = None
        self._last_was_reasoning = False

    def begin(self, answer: Answer) -> None:
        """A new answer; the count of its reasoning is read from it."""
        self._answer, self._last_was_reasoning = answer, False

    def piece(self, text: str, reasoning: bool) -> None:
        """A stretch of reasoning or answer."""
        if reasoning:
            self._last_was_reasoning = True
            if self.thinking == SHOW:
                self._write(text, "dim")
            elif self.console.is_terminal:
                self._return()
                self._write(f"thinking: {self._answer.reasoning_tokens} tokens", "dim")
            return
        self._fold()
        self._write(text)

    def end(self, note: str | None = None) -> None:
        """The answer is over; `note` says why, if not by itself."""
        self._fold()
        self._write("\n")
        if note:
            self.say(note)

    def say(self, text: str) -> None:
        """A line of the program's own."""
        self.console.print(text, style="cyan", soft_wrap=True)

    def _fold(self) -> None:
        """Close the reasoning, if the last piece was of it."""
        if not self._last_was_reasoning:
            return
        self._last_was_reasoning = False
        if self.thinking == SHOW:
            self._write("\n\n")
        else:
            self._return()
            self._write(f"thought for {self._answer.reasoning_tokens} tokens\n", "dim")

    def _return(self) -> None:
        """To the start of the line, which the count overwrites; rich drops a plain `\\r`."""
        self.console.control(Control(ControlType.CARRIAGE_RETURN))

    def _write(self, text: str, style: str | None = None) -> None:
        # What commands a terminal must not reach it from a model's text.
        self.console.print(visible(text), style=style, end="", soft_wrap=True)
        self.console.file.flush()
