"""One prompt: a text of exact length with facts in it, and a question."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data_recipes.common.errors import RecipeError

from .haystack import Haystack
from .styles import CHAT, Fact, NeedleStyle

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Stands for the text when a chat template is cut in two.
_MARK = "\x00text\x00"
# Stretches of text to choose from. Our choice: one in ten sentences of the embedded corpus stands
# in a dialogue, whose lines many tokenizers leave no gap between.
_STRETCHES = 10


# What surrounds the text: tokens ahead of it, and what comes after it, with `{question}` and
# `{beginning}` to be filled in.
Form = tuple[list[int], str]


def completion_form(tokenizer: PreTrainedTokenizerBase, style: NeedleStyle, language: str) -> Form:
    """For a base model: the text, a question, and the beginning of its answer to be continued."""
    before = tokenizer("")["input_ids"]  # what the tokenizer puts before every text: BOS
    return before, style.completion[language]


def chat_form(tokenizer: PreTrainedTokenizerBase, language: str, thinking: bool) -> Form:
    """For a chat model: one message of the user, by the tokenizer's template.

    Raises:
        RecipeError: the template does not show the message once.
    """
    ahead, question = CHAT[language]
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": f"{ahead}{_MARK}{question}"}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=thinking,
    )
    if rendered.count(_MARK) != 1:
        raise RecipeError("the chat template does not show the user's message exactly once")
    before, after = rendered.split(_MARK)
    return tokenizer(before, add_special_tokens=False)["input_ids"], after


@dataclass(frozen=True)
class Case:
    """A prompt and what it asks for.

    Attributes:
        ids: tokens of the prompt, exactly as many as asked for.
        values: digits of the answer, in the order asked for.
        places: token at which each fact that is asked for begins (its separator, to be exact).
        depths: share of the text that stands before each.
    """

    ids: list[int]
    values: list[str]
    places: list[int]
    depths: list[float]


def build_case(
    tokenizer: PreTrainedTokenizerBase,
    haystack: Haystack,
    form: Form,
    style: NeedleStyle,
    language: str,
    length: int,
    depth: float,
    needles: int,
    distractors: int,
    rng: random.Random,
) -> Case:
    """Hide facts in a stretch of text so that the whole prompt has `length` tokens.

    The stretch ends with a sentence (paragraph in style recall); its beginning is cut where the
    length demands it, between two characters. The first fact that is asked for stands at the place
    nearest to `depth`, the others at equal distances after it, going round; distractors anywhere.

    Raises:
        RecipeError: the length is too short for the facts, or the haystack too short for it.
    """
    facts = style.write(rng, language, needles, distractors)
    question, beginning = style.ask(facts[:needles], language)
    before, ask_after = form
    asked = ask_after.format(question=question, beginning=beginning)
    after = tokenizer(asked, add_special_tokens=False)["input_ids"]
    pieces = [
        tokenizer(style.separator + fact.text, add_special_tokens=False)["input_ids"]
        for fact in facts
    ]
    room = length - len(before) - len(after) - sum(map(len, pieces))
    depths = [(depth + n / needles) % 1 if n else depth for n in range(needles)]
    depths += [rng.random() for _ in range(distractors)]
    start, end = _stretch(haystack, room, facts, depths[:needles], length, rng)
    gaps = _nearest(haystack, start, end, depths)
    ids, places, at = list(before), {}, start
    # Of facts at one place, in an order that says nothing.
    for number in sorted(range(len(facts)), key=lambda n: (gaps[n], rng.random())):
        ids += haystack.ids[at : gaps[number]]
        places[number] = len(ids)
        ids += pieces[number]
        at = gaps[number]
    ids += haystack.ids[at:end]
    ids += after
    return Case(
        ids,
        [fact.value for fact in facts[:needles]],
        [places[n] for n in range(needles)],
        [(gaps[n] - start) / room for n in range(needles)],
    )


def _nearest(haystack: Haystack, start: int, end: int, depths: list[float]) -> list[int]:
    """The gap nearest to each depth of a stretch."""
    inside = haystack.gaps[(haystack.gaps > start) & (haystack.gaps <= end)]
    return [int(inside[np.abs(inside - (start + d * (end - start))).argmin()]) for d in depths]


def _stretch(
    haystack: Haystack,
    room: int,
    facts: list[Fact],
    depths: list[float],
    length: int,
    rng: random.Random,
) -> tuple[int, int]:
    """A stretch of `room` tokens that ends at a gap and says none of the values.

    Of some at random, the one that has gaps nearest to the depths.
    """
    if room < 1:
        raise RecipeError(
            f"--lengths {length}: too short for the question and {len(facts)} facts; "
            f"at least {length - room + 1} tokens and some text are needed"
        )
    ends = [int(e) for e in haystack.gaps if e >= room]
    if not ends:
        raise RecipeError(
            f"--lengths {length}: the text has {len(haystack.ids):,} tokens, and {room:,} that end "
            "with a sentence are needed; give a longer --text, or leave it out"
        )
    rng.shuffle(ends)
    found: list[tuple[float, int]] = []
    for end in ends:
        start = end - room
        text = haystack.part(start, end)
        if haystack.whole_before(start) and not any(fact.value in text for fact in facts):
            gaps = _nearest(haystack, start, end, depths)
            found.append((max(abs(g - start - d * room) for g, d in zip(gaps, depths)), end))
            if len(found) == _STRETCHES:
                break
    if not found:
        raise RecipeError(
            f"--lengths {length}: every stretch of the text holds one of the values or begins "
            "inside a character; give another --text or --seed"
        )
    _, end = min(found)
    return end - room, end
