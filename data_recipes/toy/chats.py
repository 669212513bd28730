"""Conversations for instruction tuning: with and without thinking, several turns, tools."""

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

from . import talk
from .items import ReasoningItem, items
from .items.types import between, choose
from .items.words import NAMES
from .korean import josa

Message = dict[str, Any]
Turns = list[Message]

# Of ten conversations; one turn with and without thinking are equally many.
_FORMS = ("single",) * 7 + ("turns", "turns", "tools")


def chats(language: str, seed: int) -> Iterator[dict[str, Any]]:
    """Endless, deterministic stream of conversations about problems of the train split.

    Every row has `id`, `messages`, `language`, `kind` (that of the problem, ``talk`` or ``tools``),
    `level` and `thinking` (whether an assistant message has `reasoning_content`; half of them do).
    Rows with tools also have `tools`, a list of function schemas. The arguments of a call are JSON
    text, so that rows with other arguments keep the same columns.
    """
    source = items(language, "train", seed)
    return (_chat(language, seed, n, source) for n in itertools.count())


def questions(language: str, seed: int) -> Iterator[dict[str, Any]]:
    """Endless, deterministic stream of questions of the train split, with the answer's `value`."""
    # A stream apart from that of the conversations, which use the seed itself.
    for item in items(language, "train", f"questions/{seed}"):
        names = ("id", "kind", "language", "level", "question", "value")
        yield {name: getattr(item, name) for name in names}


def assistant(content: str, reasoning: str | None = None) -> Message:
    """An assistant message, with the key `reasoning_content` only where there is reasoning."""
    message: Message = {"role": "assistant", "content": content}
    return message | ({} if reasoning is None else {"reasoning_content": reasoning})


def _user(content: str) -> Message:
    return {"role": "user", "content": content}


def answered(item: ReasoningItem, thinking: bool) -> Turns:
    """The question of an item and its answer."""
    return [_user(item.question), assistant(item.answer, item.reasoning if thinking else None)]


def _chat(language: str, seed: int, n: int, source: Iterator[ReasoningItem]) -> dict[str, Any]:
    rng = random.Random(f"{seed}/chats/{language}/{n}")
    item, form, thinking = next(source), choose(rng, _FORMS), n % 2 == 0
    row: dict[str, Any] = {"id": f"chats-{language}-{seed}-{n}"}
    kind, level = item.kind, item.level
    if form == "single":
        messages = answered(item, thinking)
    elif form == "turns":
        messages = _several_turns(rng, language, item, thinking)
    else:
        messages, row["tools"] = _with_tools(rng, language, thinking)
        kind, level = "tools", 1
    if form == "turns" and not any(m["content"] == item.question for m in messages):
        kind, level = "talk", 1
    if rng.random() < (0.1 if form == "single" else 0.4):
        messages = [{"role": "system", "content": choose(rng, talk.SYSTEM[language])}, *messages]
    return row | {
        "messages": messages,
        "language": language,
        "kind": kind,
        "level": level,
        "thinking": thinking,
    }


def _several_turns(rng: random.Random, language: str, item: ReasoningItem, thinking: bool) -> Turns:
    """Small talk, then a fact to recall, a problem or both, and thanks."""
    turns: Turns = []
    if rng.random() < 0.6:
        said, reply = choose(rng, talk.SMALL_TALK[language])
        turns += [_user(said), assistant(reply)]
    recall = _recall(rng, language) if not thinking or rng.random() < 0.4 else []
    turns += recall[:2]
    if thinking or rng.random() < 0.5:
        turns += answered(item, thinking)
    turns += recall[2:]
    if len(turns) < 4 or rng.random() < 0.3:
        said, reply = talk.THANKS[language]
        turns += [_user(said), assistant(reply)]
    return turns


def _recall(rng: random.Random, language: str) -> Turns:
    """Two turns: the user tells a name or a colour, and asks for it."""
    name, colour = choose(rng, NAMES[language]), choose(rng, talk.COLOURS[language])
    about_name = rng.random() < 0.5
    if language == "en":
        fact, asked = (
            (f"name is {name}", "What is my name?")
            if about_name
            else (f"favourite colour is {colour}", "What is my favourite colour?")
        )
        told = assistant(f"Nice to meet you, {name}!" if about_name else f"I like {colour}, too.")
        return [_user(f"My {fact}."), told, _user(asked), assistant(f"Your {fact}.")]
    if about_name:
        told = assistant(f"{name}님, 만나서 반갑습니다!")
        said, asked, reply = "제 이름은", "제 이름이 무엇이었나요?", f"이름은 {name}입니다."
    else:
        told = assistant(f"저도 {colour}{josa(colour, '을')} 좋아합니다.")
        said, asked = "제가 가장 좋아하는 색은", "제가 가장 좋아하는 색이 무엇이었나요?"
        reply = f"가장 좋아하는 색은 {colour}입니다."
    value = name if about_name else colour
    return [_user(f"{said} {value}입니다."), told, _user(asked), assistant(reply)]


def _with_tools(
    rng: random.Random, language: str, thinking: bool
) -> tuple[Turns, list[dict[str, Any]]]:
    """A question that needs a function, its call, the function's reply and the answer."""
    korean = language == "ko"
    if rng.random() < 0.5:
        city, degrees = choose(rng, talk.CITIES[language]), between(rng, 1, 35)
        name, arguments, result = "get_temperature", {"city": city}, {"celsius": degrees}
        question = (
            f"지금 {city}의 기온은 몇 도입니까?" if korean else f"How warm is it in {city} now?"
        )
        answer = (
            f"지금 {city}의 기온은 {degrees}도입니다."
            if korean
            else f"It is {degrees} degrees in {city} now."
        )
        thought = (
            f"{city}의 기온은 함수로 알아본다."
            if korean
            else f"The function knows how warm it is in {city}."
        )
    else:
        a, b = between(rng, 100, 999), between(rng, 100, 999)
        name, arguments, result = "calculate", {"expression": f"{a} + {b}"}, {"value": a + b}
        by = josa(str(a), "과")
        question = (
            f"{a}{by} {b}의 합은 얼마입니까?" if korean else f"What is the sum of {a} and {b}?"
        )
        answer = f"합은 {a + b}입니다." if korean else f"The sum is {a + b}."
        thought = (
            f"{a} + {b}의 값은 함수로 구한다."
            if korean
            else f"The function can work out {a} + {b}."
        )
    call = {
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)},
    }
    messages = [
        _user(question),
        assistant("", thought if thinking else None) | {"tool_calls": [call]},
        {"role": "tool", "content": json.dumps(result)},
        assistant(answer),
    ]
    tools = [talk.WEATHER, talk.CALCULATOR]
    return messages, tools if rng.random() < 0.5 else tools[::-1]
