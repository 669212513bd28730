"""Conversations as token ids and labels: what carries loss is marked by the chat template."""

from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import Conversation, flaw
from modeling_kormo import CHAT_TEMPLATE
from modeling_kormo.loss_kormo import IGNORE_INDEX


@dataclass(frozen=True)
class Tokens:
    """A conversation, tokenised.

    Attributes:
        input_ids: its tokens.
        labels: the same, -100 where a token carries no loss; not shifted.
        thinking: whether the last answer came with reasoning.
        cut: messages left out at the end because the conversation was too long.
        reasoned: assistant messages that came with reasoning, shown by the template or not.
        where: file or data set and row.
    """

    input_ids: list[int]
    labels: list[int]
    thinking: bool
    cut: int
    reasoned: int
    where: str


def training_template(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """The chat template with its loss spans marked by `{% generation %}`.

    KORMo's is used for a tokenizer that has its control tokens and no template yet. For other
    families TRL keeps templates that are marked and render the same.

    Raises:
        RecipeError: no template, or one that marks nothing and that TRL does not know.
    """
    own = tokenizer.chat_template
    if own is None and {"<|BOT|>", "<|EOT|>", "<think>"} <= set(tokenizer.get_added_vocab()):
        own = CHAT_TEMPLATE.read_text(encoding="utf-8")
    if own is None:
        raise RecipeError(
            f"{name}: its tokenizer has no chat template; name one with model.chat_template"
        )
    if has_generation_markers(own):
        return own
    try:
        return get_training_chat_template(tokenizer)
    except ValueError as error:
        raise RecipeError(
            f"{name}: its chat template does not mark what carries loss ({{% generation %}} around "
            "the assistant's words and the end of turn), and TRL knows no marked version; give "
            "one with model.chat_template"
        ) from error


def _has_reasoning(message: dict[str, Any]) -> bool:
    return bool(message.get("reasoning_content")) or "</think>" in str(message.get("content"))


class ChatTokenizer:
    """Turns conversations into `Tokens`.

    Args:
        tokenizer: with the template that `training_template` gave.
        max_length: longest conversation, in tokens.
        overlong: `cut` leaves out whole exchanges at the end until the rest fits and still ends
            with an answer; `drop` leaves out the conversation.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int, overlong: str = "cut"
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.overlong = overlong
        self.control = tokenizer.all_special_tokens

    def render(self, conversation: Conversation, messages: int) -> tuple[list[int], list[int]]:
        """Ids and labels of the first `messages` messages.

        Raises:
            RecipeError: the template refuses them.
        """
        own = conversation.messages[:messages]
        try:
            found = self.tokenizer.apply_chat_template(
                own,
                tools=conversation.tools,
                return_dict=True,
                return_assistant_tokens_mask=True,
            )
        except (TemplateError, TypeError) as error:
            raise RecipeError(f"{conversation.where}: the chat template says: {error}") from error
        ids = list(found["input_ids"])
        labels = [i if m else IGNORE_INDEX for i, m in zip(ids, found["assistant_masks"])]
        return ids, labels

    def __call__(self, conversation: Conversation) -> Tokens | str:
        """The conversation as tokens, or the reason why it is left out."""
        if reason := flaw(conversation):
            return reason
        messages = conversation.messages
        texts = [str(m.get(k, "")) for m in messages for k in ("content", "reasoning_content")]
        if any(token in text for text in texts for token in self.control):
            return "control_token"  # it would open or close a turn
        for end in self._ends(messages):
            ids, labels = self.render(conversation, end)
            if len(ids) <= self.max_length:
                break
            if self.overlong == "drop":
                return "too_long"
        else:
            return "too_long"
        if all(label == IGNORE_INDEX for label in labels):
            return "nothing_to_learn"
        reasons = [_has_reasoning(m) for m in messages[:end]]
        cut = len(messages) - end
        return Tokens(ids, labels, reasons[-1], cut, sum(reasons), conversation.where)

    @staticmethod
    def _ends(messages: list[dict[str, Any]]) -> list[int]:
        """Where the conversation may end: after answers that the user speaks next to, or last."""
        after = [*(m["role"] for m in messages[1:]), "user"]
        ends = [
            i + 1
            for i, (m, then) in enumerate(zip(messages, after))
            if m["role"] == "assistant" and then == "user"
        ]
        return ends[::-1]
