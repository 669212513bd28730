"""Preference pairs as token ids, with the same masks as in SFT, padded into batches."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.trainer.utils import pad

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import (
    Conversation,
    as_messages,
    clean_messages,
    named,
    read_tools,
)
from modeling_kormo.loss_kormo import IGNORE_INDEX

from .chat_config import ChatSource
from .chat_files import print_uniform, source_rows
from .masks import ChatTokenizer, MaskAudit, Tokens

SIDES = ("chosen", "rejected")


def read_pair(row: dict[str, Any], where: str) -> tuple[int, dict[str, Conversation]]:
    """Read a row in one of the published shapes.

    The sides are answers to `prompt`, or whole conversations, which then begin with it or are all
    there is.

    Returns:
        Number of messages before the answers, and the conversation of each side.

    Raises:
        RecipeError: no question in common, or one that is not the prompt's.
    """
    if not all(row.get(side) for side in SIDES):
        raise RecipeError(f"{where}: needs the columns chosen and rejected, and usually prompt")
    with named(where):
        changes: set[str] = set()
        prompt = clean_messages(as_messages(row.get("prompt") or [], "user"), changes)
        sides = {s: clean_messages(as_messages(row[s], "assistant"), changes) for s in SIDES}
        tools = read_tools(row)
    whole = [m[0]["role"] in ("system", "user") if m else False for m in sides.values()]
    if all(whole):
        before = _common_question(*sides.values())
        if not before:
            raise RecipeError(f"{where}: chosen and rejected have no question in common")
        common = sides["chosen"][:before]
        # A prompt in words may be any of the user's turns, one in messages is how they begin.
        asked = isinstance(row.get("prompt"), str) and prompt[0] in common
        if prompt and not asked and prompt != common[: len(prompt)]:
            raise RecipeError(f"{where}: chosen and rejected do not begin with the prompt")
    elif any(whole):
        raise RecipeError(f"{where}: one side is a whole conversation, the other an answer only")
    elif not prompt:
        raise RecipeError(f"{where}: chosen and rejected have no question in common; give prompt")
    else:
        before = len(prompt)
        sides = {side: [*prompt, *answer] for side, answer in sides.items()}
    made = frozenset(changes)
    return before, {side: Conversation(m, where, tools, {}, made) for side, m in sides.items()}


def _common_question(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> int:
    """Number of equal messages at the start, up to the last of the user's among them."""
    pairs = enumerate(zip(first, second))
    same = next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))
    return max((i + 1 for i in range(same) if first[i]["role"] == "user"), default=0)


class PairTokenizer:
    """Turns a row into two tokenised conversations in which the answer alone is learned.

    Args:
        tokenize: for conversations; over-long pairs are left out, never cut.

    Attributes:
        changed: rows in which texts were made uniform.
        changes: these rows by what was done.
    """

    def __init__(self, tokenize: ChatTokenizer) -> None:
        self.tokenize = tokenize
        self.changed = 0
        self.changes: Counter[str] = Counter()

    def __call__(self, row: dict[str, Any], where: str) -> dict[str, Tokens] | str:
        """Both sides, or the reason why the pair is left out."""
        before, sides = read_pair(row, where)
        self.changed += bool(sides["chosen"].changes)
        self.changes.update(sides["chosen"].changes)
        found = {}
        for side, conversation in sides.items():
            tokens = self.tokenize(conversation)
            if isinstance(tokens, str):
                return tokens
            found[side] = tokens
        if found["chosen"].input_ids == found["rejected"].input_ids:
            return "equal"
        return {side: self._answer_only(sides[side], before, t) for side, t in found.items()}

    def _answer_only(self, conversation: Conversation, before: int, tokens: Tokens) -> Tokens:
        """Earlier answers of the prompt are not what the preference is about."""
        prompt = self.tokenize.render(conversation, before).input_ids
        if tokens.input_ids[: len(prompt)] != prompt:
            raise RecipeError(
                f"{conversation.where}: the chat template renders the prompt otherwise when an "
                "answer follows; preference tuning needs one that does not"
            )
        labels = [IGNORE_INDEX] * len(prompt) + tokens.labels[len(prompt) :]
        return replace(tokens, labels=labels)


@dataclass(frozen=True)
class PreferenceCollator:
    """Pads pairs: the first half of a batch is chosen, the second rejected, as TRL expects.

    Attributes:
        pad_token_id: fills up `input_ids`.
    """

    pad_token_id: int

    def __call__(self, pairs: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        """Batch of `2 * len(pairs)` rows.

        Returns:
            `input_ids`, `attention_mask`, `completion_mask`: int64 [rows, longest]. The completion
            mask is 1 on the tokens that are learned.
        """
        ids = [torch.tensor(p[f"{side}_ids"]) for side in SIDES for p in pairs]
        labels = [torch.tensor(p[f"{side}_labels"]) for side in SIDES for p in pairs]
        return {
            "input_ids": pad(ids, padding_value=self.pad_token_id, padding_side="right"),
            "attention_mask": pad([torch.ones_like(i) for i in ids], padding_value=0),
            "completion_mask": pad([(x != IGNORE_INDEX).long() for x in labels], padding_value=0),
        }


def _pairs(
    sources: list[ChatSource], tokenize: PairTokenizer, left_out: Counter[str]
) -> Iterator[dict[str, Tokens]]:
    for source in sources:
        for where, row in source_rows(source, "pairs"):
            found = tokenize(row, where)
            if isinstance(found, str):
                left_out[found] += 1
            else:
                yield found


@dataclass(frozen=True)
class PairData:
    """Pairs to train and to measure on.

    Attributes:
        train: columns `<side>_ids` and `<side>_labels`.
        heldout: the same.
        fingerprint: changes whenever any pair could.
        table: the audit's, of both sides.
    """

    train: Dataset
    heldout: Dataset
    fingerprint: str
    table: str


def build_pairs(
    sources: list[ChatSource],
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    heldout: int,
    seed: int,
) -> PairData:
    """The data of a run; memory holds all pairs, of which there are few beside SFT's rows.

    Args:
        sources: data sets of pairs.
        tokenizer: with a template that marks what carries loss.
        length: of a conversation, at most, in tokens.
        heldout: pairs kept apart.
        seed: of that choice.

    Raises:
        RecipeError: unreadable or too few pairs, or a loss mask that breaks the contract.
    """
    left_out: Counter[str] = Counter()
    tokenize = PairTokenizer(ChatTokenizer(tokenizer, length, "drop"))
    keyed = {}
    for pair in _pairs(sources, tokenize, left_out):
        ids = [pair[side].input_ids for side in SIDES]
        key = hashlib.sha256(f"{seed}/{ids}".encode()).hexdigest()
        left_out["repeated"] += key in keyed
        keyed[key] = pair
    print_uniform(tokenize.changes, tokenize.changed, len(keyed) + left_out.total(), "pairs")
    if len(keyed) <= heldout:
        raise RecipeError(
            f"data.heldout_rows is {heldout:,}, but there are only {len(keyed):,} pairs "
            f"({dict(left_out)} left out)"
        )
    audit = MaskAudit(tokenizer)(
        (pair[side] for pair in keyed.values() for side in SIDES), left_out
    )
    audit.check()
    apart = set(sorted(keyed)[:heldout])
    rows = {
        key: {
            f"{side}_{name}": values
            for side in SIDES
            for name, values in (
                ("ids", pair[side].input_ids),
                ("labels", pair[side].labels),
            )
        }
        for key, pair in keyed.items()
    }
    digest = hashlib.sha256(f"{length}/{tokenizer.chat_template}/{list(rows)}".encode())
    return PairData(
        Dataset.from_list([row for key, row in rows.items() if key not in apart]),
        Dataset.from_list([row for key, row in rows.items() if key in apart]),
        digest.hexdigest(),
        audit.table(),
    )
