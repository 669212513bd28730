"""Conversations as token ids and labels: what carries loss is marked by the chat template."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
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


_TURN = ("<|BOT|>", "<|EOT|>", "<think>", "</think>")
_SHOWN = 3  # violations quoted


@dataclass
class Audit:
    """What an audit found.

    Attributes:
        counts: conversations and tokens by what they are.
        dropped: conversations left out, by reason.
        violations: each a sentence.
    """

    counts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def table(self) -> str:
        """The counts, for people."""
        c, n = self.counts, max(1, self.counts["conversations"])
        rows = [
            ("conversations", f"{c['conversations']:,}"),
            ("  with thinking", f"{c['thinking']:,} ({c['thinking'] / n:.1%})"),
            ("  without", f"{n - c['thinking'] if c['conversations'] else 0:,}"),
            ("  cut at a turn", f"{c['cut']:,}"),
            ("  nothing learned", f"{c['fully_masked']:,}"),
            ("tokens", f"{c['tokens']:,}"),
            ("  learned", f"{c['learned']:,} ({c['learned'] / max(1, c['tokens']):.1%})"),
        ]
        if c["turns"]:
            left_out = c["reasoned"] - c["think"] + c["empty"]
            rows += [
                ("assistant turns", f"{c['turns']:,}"),
                ("  <|EOT|> learned", f"{c['eot_learned']:,}"),
                ("  <think> learned", f"{c['think_learned']:,} of {c['think']:,}"),
                ("  </think> learned", f"{c['end_learned']:,} of {c['end']:,}"),
                ("  empty think blocks", f"{c['empty']:,}"),
                ("  reasoning left out", f"{left_out:,} (earlier turns)"),
            ]
        rows += [(f"dropped, {reason}", f"{k:,}") for reason, k in sorted(self.dropped.items())]
        return "\n".join(f"{name:<22}{value:>24}" for name, value in rows)

    def errors(self) -> str:
        """The violations, the first ones quoted."""
        shown = "\n  ".join(self.violations[:_SHOWN])
        more = len(self.violations) - _SHOWN
        return f"{shown}\n  and {more:,} more" if more > 0 else shown


class MaskAudit:
    """Audits conversations.

    Args:
        tokenizer: if its chat template is of another format than KORMo's, only what holds for any
            format is checked.
        answers_only: of a conversation, only what follows the last question is learned, as in
            preference tuning.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, answers_only: bool = False) -> None:
        self.tokenizer = tokenizer
        self.answers_only = answers_only
        vocabulary = tokenizer.get_vocab()
        template = tokenizer.chat_template or ""
        self.kormo = _TURN[0] in template and all(token in vocabulary for token in _TURN)
        if self.kormo:
            self.bot, self.eot, self.think, self.end = (vocabulary[t] for t in _TURN)

    def __call__(self, rows: Iterable[Tokens], dropped: Counter[str]) -> Audit:
        """Counts over all rows, and what breaks the contract.

        Args:
            rows: tokenised conversations.
            dropped: those left out before, by reason.
        """
        audit = Audit(dropped=dropped)
        for row in rows:
            self._count(row, audit)
            problems = self._problems(row, audit)
            audit.violations += [f"{row.where}: {p}" for p in problems]
        return audit

    def _count(self, row: Tokens, audit: Audit) -> None:
        learned = sum(label != IGNORE_INDEX for label in row.labels)
        audit.counts.update(
            conversations=1,
            thinking=row.thinking,
            cut=row.cut > 0,
            tokens=len(row.input_ids),
            learned=learned,
            fully_masked=learned == 0,
        )

    def _problems(self, row: Tokens, audit: Audit) -> list[str]:
        ids, labels = row.input_ids, row.labels
        problems = []
        if all(label == IGNORE_INDEX for label in labels):
            problems.append("nothing is learned")
        if wrong := [i for i, (t, x) in enumerate(zip(ids, labels)) if x not in (t, IGNORE_INDEX)]:
            problems.append(f"label {wrong[0]} is another token than the input")
        if not self.kormo:
            return problems
        expected = self.expected(ids, audit.counts)
        for place, (label, wanted) in enumerate(zip(labels, expected)):
            if (label != IGNORE_INDEX) != wanted:
                around = self.tokenizer.decode(ids[max(0, place - 8) : place + 4])
                token = self.tokenizer.decode([ids[place]])
                state = "not learned" if wanted else "learned"
                problems.append(f"token {place} {token!r} is {state}, in {around!r}")
                break
        audit.counts.update(
            eot_learned=sum(t == self.eot and x == t for t, x in zip(ids, labels)),
            think_learned=sum(t == self.think and x == t for t, x in zip(ids, labels)),
            end_learned=sum(t == self.end and x == t for t, x in zip(ids, labels)),
            reasoned=row.reasoned,
        )
        if ids.count(self.eot) != ids.count(self.bot):
            problems.append("a turn is not closed by <|EOT|>")
        return problems

    def expected(self, ids: list[int], counts: Counter[str]) -> list[bool]:
        """Which tokens the contract says are learned.

        Args:
            ids: a conversation.
            counts: `turns`, `think`, `end` and `empty` are added to.
        """
        learned = [False] * len(ids)
        place = 0
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
            if self.answers_only and role == "user" and not answer:
                learned[:place] = [False] * place
            if role == "assistant":
                start = header + 1
                counts["turns"] += 1
                if start <= stop and ids[start] == self.think:
                    counts["think"] += 1
                    start += 2  # with the newline after it
                    if ids[start] == self.end:
                        # The block was empty: its end, and the blank line, are not learned either.
                        counts.update(empty=1, end=1)
                        start += 2
                    else:
                        counts["end"] += self.end in ids[start:stop]
                learned[start : stop + 1] = [True] * (stop + 1 - start)
            place = stop + 1
        return learned
