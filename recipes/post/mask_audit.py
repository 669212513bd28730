"""Does what carries loss keep the contract? Found out from the token ids alone, not the template.

The contract (KORMo's format): of assistant turns, the reasoning, `</think>`, the answer and
`<|EOT|>` are learned; `<think>`, an empty think block, headers and other roles are not.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from transformers import PreTrainedTokenizerBase

from modeling_kormo.loss_kormo import IGNORE_INDEX

from .chat_tokens import Tokens

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
