"""A population of questions, and of solvers that know them by a logistic law."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

ITEMS = 300
SAMPLES = 2
SKILLS = {"small": -1.0, "large": 0.5}
DOMAINS = ("math", "stem")


def uniform(*key: object) -> float:
    """In [0, 1), by hash."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def difficulty(item: int) -> float:
    """From -3 to 3; what is called STEM is easier."""
    return 6 * uniform("difficulty", item) - 3 - (item % 2)


def chance(solver: str, item: int) -> float:
    """That a solver is right."""
    return 1 / (1 + math.exp(difficulty(item) - SKILLS[solver]))


def right(solver: str, item: int, seed: int) -> bool:
    return uniform(solver, item, seed) < chance(solver, item)


def flawed(solver: str, item: int, seed: int) -> str | None:
    """Some answers cannot be read, and some are cut off."""
    if seed:
        return None
    return {0: "unreadable", 1: "truncated"}.get((item + ord(solver[0])) % 25)


def label(judge: str, item: int) -> str | None:
    """Judges differ by what they find hard; one is sometimes unclear."""
    if judge == "strict" and item % 7 == 0:
        return None
    limits = {"strict": 1.2, "mild": 0.9}[judge]
    return "hard" if difficulty(item) > limits else "medium"


def write_items(path: Path) -> None:
    rows = [
        {
            "id": f"item-{i}",
            "type": "value",
            "domain": DOMAINS[i % 2],
            "question": f"What is {i} times {i}?",
            "answer": str(i * i),
            "source": "population",
        }
        for i in range(ITEMS)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def number_in(body: dict[str, Any]) -> int:
    """The item that a prompt is about."""
    prompt = body["messages"][-1]["content"]
    return int(prompt.split("What is ")[1].split()[0])


def solve(solver: str, body: dict[str, Any]) -> str | dict[str, Any]:
    """What a server of a solver writes."""
    item, seed = number_in(body), body["seed"]
    value = item * item if right(solver, item, seed) else item * item + 1
    flaw = flawed(solver, item, seed)
    if flaw == "unreadable":
        return "I would rather not say."
    text = f"<think>\nIt is {value + 5}.\n</think>\n\nSo it is \\boxed{{{value}}}."
    if flaw == "truncated":
        return {"finish_reason": "length", "message": {"content": text}}
    return text


def rate(judge: str, body: dict[str, Any]) -> str:
    """What a server of a judge writes."""
    given = label(judge, number_in(body))
    return f"Squaring takes care.\n\n**{given}**" if given else "Between medium and hard."


def expected(item: int) -> str:
    """What becomes of an item, from the laws above and not from any text."""
    for solver in SKILLS:
        known = [s for s in range(SAMPLES) if flawed(solver, item, s) is None]
        if any(right(solver, item, s) for s in known):
            return f"dropped by {solver}"
        if len(known) < SAMPLES:
            return f"undecided by {solver}"
    labels = [label(judge, item) for judge in ("strict", "mild")]
    if "medium" in labels:
        return "dropped by labels"
    return "undecided by labels" if None in labels else "kept"
