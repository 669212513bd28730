"""What carries loss in a conversation: marked by the chat template, and audited from token ids.

The contract (KORMo's format): of assistant turns after the last question, the reasoning,
`</think>`, the answer and `<|EOT|>` are learned; `<think>`, an empty think block, headers, other
roles and earlier answers are not.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from data_recipes.common.control_tokens import spelled_token
from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.read.conversations import Conversation, flaw
from modeling_kormo import CHAT_TEMPLATE
from modeling_kormo.chat_config import control_tokens
from modeling_kormo.loss_kormo import IGNORE_INDEX

_TURN = ("<|BOT|>", "<|EOT|>", "<think>", "</think>")
_SHOWN = 3  # violations quoted
# In KORMo's template, what stands before an answer without reasoning; and with its block learned.
_EMPTY = "{{- '<think>\\n\\n</think>\\n\\n' -}}\n            {%- generation -%}{{- answer -}}"
_LEARNED = "{{- '<think>' -}}{%- generation -%}{{- '\\n\\n</think>\\n\\n' ~ answer -}}"


def turn_rows(tokenizer: PreTrainedTokenizerBase) -> list[int] | None:
    """Ids of `_TURN`; `None` if the chat template is of another format than KORMo's."""
    vocabulary, template = tokenizer.get_vocab(), tokenizer.chat_template or ""
    if _TURN[0] not in template or not all(t in vocabulary for t in _TURN):
        return None
    return [vocabulary[token] for token in _TURN]


def training_template(tokenizer: PreTrainedTokenizerBase, name: str) -> str:
    """Return the chat template with its loss spans marked by `{% generation %}`.

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


@contextmanager
def empty_thinking_learned(tokenizer: PreTrainedTokenizerBase, learned: bool) -> Iterator[None]:
    """Have the template mark empty think blocks as learned, if asked to; it renders the same.

    Only meanwhile: a model that was trained so leaves with the template of all others.

    Args:
        tokenizer: with the template that `training_template` gave.
        learned: false changes nothing.

    Raises:
        RecipeError: another template than KORMo's.
    """
    own = tokenizer.chat_template
    if learned and own.count(_EMPTY) != 1:
        raise RecipeError(
            "data.learn_empty_thinking: the chat template is not KORMo's, and where another puts "
            "an empty think block is not known; set it to false"
        )
    tokenizer.chat_template = own.replace(_EMPTY, _LEARNED) if learned else own
    try:
        yield
    finally:
        tokenizer.chat_template = own


@dataclass(frozen=True)
class Tokens:
    """A conversation, tokenised.

    Attributes:
        input_ids: its tokens.
        labels: the same, -100 where a token carries no loss; not shifted.
        where: where it comes from, for messages to people.
    """

    input_ids: list[int]
    labels: list[int]
    where: str


class ChatTokenizer:
    """Turns conversations into `Tokens`, as TRL does with `assistant_only_loss`.

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
        self.control = control_tokens(tokenizer)

    def _apply(self, conversation: Conversation, messages: int, **how: Any) -> Any:
        with errors_about(
            f"{conversation.where}: the chat template says", TemplateError, TypeError
        ):
            return self.tokenizer.apply_chat_template(
                conversation.messages[:messages], tools=conversation.tools, **how
            )

    def render(self, conversation: Conversation, messages: int) -> Tokens:
        """Tokenise the first `messages` messages.

        Raises:
            RecipeError: the template refuses them.
        """
        found = self._apply(
            conversation, messages, return_dict=True, return_assistant_tokens_mask=True
        )
        ids = list(found["input_ids"])
        labels = [i if m else IGNORE_INDEX for i, m in zip(ids, found["assistant_masks"])]
        return Tokens(ids, labels, conversation.where)

    @cached_property
    def scores_all_turns(self) -> bool:
        """Whether the template scores earlier answers, too, as those of other families do."""
        turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        one, two = (self.render(Conversation(turn * n, "", None, {}), 2 * n) for n in (1, 2))
        scored = (sum(label != IGNORE_INDEX for label in tokens.labels) for tokens in (one, two))
        return next(scored) != next(scored)

    def samples(self, conversation: Conversation) -> list[int] | str:
        """Say what is learned from a conversation.

        Returns:
            Numbers of messages, one for each training sample, or why it is left out. Each answer
            is a sample of its own if the template scores the last alone: an earlier one stands
            without its think block, which no prompt at inference has.
        """
        if reason := flaw(conversation):
            return reason
        if spelled_token([conversation.messages, conversation.tools], self.control):
            return "control_token"  # it would open or close a turn
        ends = _ends(conversation)
        if self.overlong == "drop":
            ends = [] if not self._fits(conversation, ends[0]) else ends
        fitting = next((n for n, end in enumerate(ends) if self._fits(conversation, end)), None)
        if fitting is None:
            return "too_long"
        return ends[fitting : fitting + 1] if self.scores_all_turns else ends[fitting:][::-1]

    def room(self, conversation: Conversation, messages: int) -> int:
        """Longest text of the first `messages` messages, in tokens."""
        return self.max_length

    def _fits(self, conversation: Conversation, end: int) -> bool:
        room, text = self.room(conversation, end), self._apply(conversation, end, tokenize=False)
        # No token is shorter than a byte, so most conversations need not be tokenised for this.
        return len(text.encode()) <= room or (
            len(self.tokenizer(text, add_special_tokens=False)["input_ids"]) <= room
        )

    def __call__(self, conversation: Conversation) -> Tokens | str:
        """Tokenise what fits of a conversation, or say why it is left out."""
        found = self.samples(conversation)
        return found if isinstance(found, str) else self.render(conversation, found[-1])


def _ends(conversation: Conversation) -> list[int]:
    """Numbers of messages to keep, the most first: up to answers that the user speaks after."""
    roles = [message["role"] for message in conversation.messages]
    return [
        end
        for end in range(len(roles), 0, -1)
        if roles[end - 1] == "assistant" and (end == len(roles) or roles[end] == "user")
    ]


@dataclass
class Audit:
    """What an audit found.

    Attributes:
        counts: conversations and tokens by what they are.
        left_out: what was left out before, by reason.
        violations: each a sentence.
    """

    counts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The counts, for people."""
        c = self.counts
        rows = [
            ("conversations", f"{c['conversations']:,}"),
            ("tokens", f"{c['tokens']:,}"),
            ("  learned", f"{c['learned']:,} ({c['learned'] / max(1, c['tokens']):.1%})"),
        ]
        if c["image_tokens"]:
            rows += [
                ("  of pictures", f"{c['image_tokens']:,}"),
                ("    learned", f"{c['image_tokens_learned']:,}"),
            ]
        if c["turns"]:
            rows[1:1] = [
                (
                    "  with thinking",
                    f"{c['thinking']:,} ({c['thinking'] / c['conversations']:.1%})",
                ),
                ("  without", f"{c['conversations'] - c['thinking']:,}"),
            ]
            rows += [
                ("assistant turns", f"{c['turns']:,}"),
                ("  <|EOT|> learned", f"{c['eot_learned']:,}"),
                ("  <think> learned", f"{c['think_learned']:,} of {c['think']:,}"),
                ("  </think> learned", f"{c['end_learned']:,} of {c['end']:,}"),
                ("  empty think blocks", f"{c['empty']:,}"),
            ]
        rows += [(f"left out, {reason}", f"{k:,}") for reason, k in sorted(self.left_out.items())]
        return "\n".join(f"{name:<30}{value:>16}" for name, value in rows)

    def check(self) -> None:
        """Raise RecipeError if a mask breaks the contract, the first violations quoted."""
        if self.violations:
            more = len(self.violations) - _SHOWN
            shown = [*self.violations[:_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
            raise RecipeError("\n  ".join(["the loss mask breaks its contract:", *shown]))


class MaskAudit:
    """Audits conversations.

    Args:
        tokenizer: if its chat template is of another format than KORMo's, only what holds for any
            format is checked.
        empty_learned: whether an empty think block carries loss (`empty_thinking_learned`).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, empty_learned: bool = False) -> None:
        self.tokenizer = tokenizer
        self.empty_learned = empty_learned
        self.image = getattr(tokenizer, "image_token_id", None)
        self.kormo = bool(rows := turn_rows(tokenizer))
        if self.kormo:
            self.bot, self.eot, self.think, self.end = rows

    def __call__(self, rows: Iterable[Tokens], left_out: Counter[str]) -> Audit:
        """Count over all rows, and find what breaks the contract.

        Args:
            rows: tokenised conversations.
            left_out: what was left out before, by reason.
        """
        audit = Audit(left_out=left_out)
        for row in rows:
            learned = sum(label != IGNORE_INDEX for label in row.labels)
            audit.counts.update(conversations=1, tokens=len(row.input_ids), learned=learned)
            audit.violations += [f"{row.where}: {p}" for p in self._problems(row, audit.counts)]
        return audit

    def _problems(self, row: Tokens, counts: Counter[str]) -> list[str]:
        ids, labels = row.input_ids, row.labels
        problems = []
        if all(label == IGNORE_INDEX for label in labels):
            problems.append("nothing is learned")
        if wrong := [i for i, (t, x) in enumerate(zip(ids, labels)) if x not in (t, IGNORE_INDEX)]:
            problems.append(f"label {wrong[0]} is another token than the input")
        if self.image is not None:
            shown = [x for t, x in zip(ids, labels) if t == self.image]
            learned = sum(x != IGNORE_INDEX for x in shown)
            counts.update(image_tokens=len(shown), image_tokens_learned=learned)
            if learned:
                problems.append(f"{learned} tokens of pictures are learned")
        if not self.kormo:
            return problems
        expected = self.expected(ids, counts)
        for place, (label, wanted) in enumerate(zip(labels, expected)):
            if (label != IGNORE_INDEX) != wanted:
                around = self.tokenizer.decode(ids[max(0, place - 8) : place + 4])
                token = self.tokenizer.decode([ids[place]])
                state = "not learned" if wanted else "learned"
                problems.append(f"token {place} {token!r} is {state}, in {around!r}")
                break
        counts.update(
            eot_learned=sum(t == self.eot and x == t for t, x in zip(ids, labels)),
            think_learned=sum(t == self.think and x == t for t, x in zip(ids, labels)),
            end_learned=sum(t == self.end and x == t for t, x in zip(ids, labels)),
        )
        if ids.count(self.eot) != ids.count(self.bot):
            problems.append("a turn is not closed by <|EOT|>")
        return problems

    def expected(self, ids: list[int], counts: Counter[str]) -> list[bool]:
        """Return which tokens the contract says are learned.

        Args:
            ids: a conversation.
            counts: `turns`, `think`, `end`, `empty` and `thinking` (the last answer came with
                reasoning) are added to.
        """
        learned = [False] * len(ids)
        place, thinking = 0, False
        while place < len(ids):
            if ids[place] != self.bot:
                place += 1
                continue
            stop = ids.index(self.eot, place) if self.eot in ids[place:] else len(ids) - 1
            header = place + 1
            while header < stop and "\n" not in self.tokenizer.decode([ids[header]]):
                header += 1
            role = self.tokenizer.decode(ids[place + 1 : header + 1]).strip()
            answer = "<tool_response>" in self.tokenizer.decode(ids[header + 1 : stop])
            if role == "user" and not answer:
                learned[:place] = [False] * place
            if role == "assistant":
                start = header + 1
                counts["turns"] += 1
                thinking = False
                if start <= stop and ids[start] == self.think:
                    counts["think"] += 1
                    start += 2  # with the newline after it
                    if ids[start] == self.end:
                        # The block was empty: its end, and the blank line, are not learned either.
                        counts.update(empty=1, end=1)
                        start += -1 if self.empty_learned else 2
                    else:
                        thinking = True
                        counts["end"] += self.end in ids[start:stop]
                learned[start : stop + 1] = [True] * (stop + 1 - start)
            place = stop + 1
        counts["thinking"] += thinking
        return learned
