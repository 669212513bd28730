"""Prompts of the reinforcement learning stage: read, rendered, and checked before any training."""

import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from data_recipes.answers import extract_answer
from data_recipes.common.control_tokens import spelled_token
from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import (
    ROLES,
    clean_messages,
    named,
    read_rows,
    without_nulls,
)
from modeling_kormo.chat_config import control_tokens

from .chat_files import print_uniform
from .grpo_config import GRPODataConfig
from .rewards import LANGUAGES

# Words of an answer that is no value, at most (our choice: names and short expressions).
_MOST_WORDS = 5


@dataclass(frozen=True)
class Prompts:
    """What the stage trains on.

    Attributes:
        rows: `prompt` (rendered text), `answer`, `language`, `thinking`.
        left_out: rows that are not used, by reason.
    """

    rows: Dataset
    left_out: Counter[str]

    @property
    def fingerprint(self) -> str:
        """Changes whenever any prompt, answer or their order does."""
        return hashlib.sha256(json.dumps(self.rows.to_list()).encode()).hexdigest()

    @property
    def languages(self) -> list[str]:
        """Codes, sorted."""
        return sorted(set(self.rows["language"]))

    def in_order(self, steps: int, per_step: int, seed: int) -> Dataset:
        """Lay out the rows of all steps, in passes over them, each in an order of its own.

        In advance, because TRL's sampler starts its shuffling again in a resumed run.

        Args:
            steps: of the run.
            per_step: rows in each.
            seed: of the orders.

        Raises:
            RecipeError: fewer rows than a step takes.
        """
        if len(self.rows) < per_step:
            raise RecipeError(
                f"data.paths: {len(self.rows):,} usable prompts, but a step takes {per_step:,} "
                "(batch.prompts_per_step): lower it or add rows"
            )
        count = steps * per_step
        order: list[int] = []
        while len(order) < count:
            one_pass = list(range(len(self.rows)))
            random.Random(f"{seed}/{len(order)}").shuffle(one_pass)
            order += one_pass
        return self.rows.select(order[:count])

    def counts(self) -> str:
        """One line for people."""
        kinds = Counter(
            f"{row['language']} {'with' if row['thinking'] else 'without'} thinking"
            for row in self.rows.remove_columns("prompt")
        )
        listed = ", ".join(f"{kinds[kind]:,} {kind}" for kind in sorted(kinds))
        left_out = ", ".join(f"{n:,} {reason}" for reason, n in sorted(self.left_out.items()))
        return f"{len(self.rows):,} prompts ({listed}); left out: {left_out or 'none'}"


def _messages(
    row: dict[str, Any], column: str, where: str, changes: set[str]
) -> list[dict[str, Any]]:
    messages = row.get("messages")
    if messages is None:
        question = row.get(column)
        if not isinstance(question, str) or not question.strip():
            raise RecipeError(
                f"{where}: no `messages` and no text in {column!r}; add one, or set "
                "data.question_column"
            )
        messages = [{"role": "user", "content": question}]
    if isinstance(messages, list) and all(isinstance(m, dict) for m in messages):
        with named(where):
            messages = clean_messages(messages, changes)
        good = all(m["role"] in ROLES and isinstance(m.get("content"), str) for m in messages)
        if good and messages and messages[-1]["role"] == "user":
            return messages
    raise RecipeError(
        f"{where}: `messages` must be a list of role and content that ends with the user's question"
    )


def _answer(row: dict[str, Any], column: str, where: str) -> str:
    """The value that is wanted; of a worked solution as GSM8K has them, that behind `####`."""
    answer = row.get(column)
    usable = isinstance(answer, (str, int, float)) and not isinstance(answer, bool)
    if not usable or not str(answer).strip():
        raise RecipeError(
            f"{where}: no answer in {column!r} (given: {answer!r}), so nothing can be checked; add "
            "it, remove the row, or set data.answer_column"
        )
    text = str(answer).rpartition("####")[2].strip()
    # A name or an expression is compared as it stands; a sentence no completion would ever say.
    value = extract_answer(text) or (text if len(text.split()) <= _MOST_WORDS else None)
    if value is None:
        raise RecipeError(
            f"{where}: the answer in {column!r} cannot be read as a value or a choice (given: "
            f"{str(answer)[:80]!r}), so no completion could earn its reward; set "
            "data.answer_column to the column with the value alone, or remove the row"
        )
    return value


def _thinking(row: dict[str, Any], where: str) -> bool:
    kwargs = without_nulls(row.get("chat_template_kwargs") or {})
    thinking = kwargs.get("enable_thinking", True) if isinstance(kwargs, dict) else None
    if not isinstance(thinking, bool) or set(kwargs) - {"enable_thinking"}:
        raise RecipeError(
            f"{where}: chat_template_kwargs {kwargs!r}: only enable_thinking, true or false"
        )
    return thinking


def load_prompts(data: GRPODataConfig, tokenizer: PreTrainedTokenizerBase) -> Prompts:
    """Read and render all rows.

    TRL passes one set of `chat_template_kwargs` for all rows, so each prompt is rendered here,
    where thinking can differ from row to row.

    Raises:
        RecipeError: names the file and line of a row that cannot be used; no row is short enough.
    """
    kept, shortest = [], None
    left_out: Counter[str] = Counter()
    changes: Counter[str] = Counter()
    rows = changed = 0
    control = control_tokens(tokenizer)
    for path in data.paths:
        for where, row in read_rows(str(path)):
            language = row.get("language")
            if language not in LANGUAGES:
                raise RecipeError(
                    f"{where}: language {language!r} is not known to the language reward; known: "
                    f"{', '.join(LANGUAGES)}"
                )
            thinking = _thinking(row, where)
            own: set[str] = set()
            messages = _messages(row, data.question_column, where, own)
            rows, changed = rows + 1, changed + bool(own)
            changes.update(own)
            if spelled_token(messages, control):
                left_out["control_token"] += 1
                continue
            answer = _answer(row, data.answer_column, where)
            prompt = tokenizer.apply_chat_template(
                messages,
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=thinking,
            )
            length = len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
            shortest = min(shortest or length, length)
            if length > data.max_prompt_tokens:
                left_out["too_long"] += 1
                continue
            kept.append(
                {"prompt": prompt, "answer": answer, "language": language, "thinking": thinking}
            )
    if not kept:
        too_long = left_out["too_long"]
        reason = (
            f"all {too_long:,} prompts are longer than data.max_prompt_tokens "
            f"({data.max_prompt_tokens:,}; the shortest has {shortest:,}); raise it"
            if too_long
            else f"{', '.join(map(str, data.paths))}: no rows, or all of them spell control tokens"
        )
        raise RecipeError(f"data: {reason}")
    print_uniform(changes, changed, rows, "prompts")
    return Prompts(Dataset.from_list(kept), left_out)
