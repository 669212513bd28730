"""Shares of right answers beside those of the blind; yes and no; one question in two languages."""

import math
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from data_recipes.common.statistics import compare_pairs, mean_interval, wilson

from .items import Item, QuestionOnly, normalise

BLIND = ("blank", "swapped", "question only")
Answers = dict[str, dict[str, str]]  # by what was shown, then by id


# An option's letter that an answer begins with (MMStar's rule; here it stands alone).
_OPTION = re.compile(r"(?:option |the answer is )?\(?([a-z])(?![a-z])", re.I)
LETTER = "letter"


def is_right(item: Item, answer: str) -> bool:
    """Compare an answer with all that is right; of yes and no the first word decides.

    Where the letter of an option is asked for (`ask`), the one that the answer begins with does.
    """
    given = _first_word(answer) if item.truth is not None else normalise(answer)
    if item.ask == LETTER and (option := _OPTION.match(answer.strip())):
        given = normalise(option[1])
    return given in {normalise(right) for right in item.answers}


def _first_word(answer: str) -> str:
    words = re.split(r"[\s,.!;:]+", answer.strip(), maxsplit=1)
    return normalise(words[0])


def add_question_only(items: list[Item], answers: Answers, blind: QuestionOnly) -> Answers:
    """Add the answers of someone who reads the questions alone."""
    return answers | {"question only": {item.id: blind.answer(item) for item in items}}


def script_language(text: str) -> str | None:
    """Tell by most of its letters whether a text is Korean, Japanese or in Latin script.

    Returns:
        `ko`, `ja`, `en`, or `None` without letters.
    """
    letters = [c for c in text if c.isalpha()]
    counts = {
        "ko": sum("가" <= c <= "힣" for c in letters),
        "ja": sum("ぁ" <= c <= "ヿ" or "一" <= c <= "鿿" for c in letters),
        "en": sum(c.isascii() for c in letters),
    }
    best = max(counts, key=lambda code: counts[code])
    return best if counts[best] else None


def _interval(values: list[float], clusters: list[Any]) -> list[float]:
    if len(set(clusters)) < 2:
        return list(wilson(sum(values), len(values)))
    return list(mean_interval(values, clusters))


def _share(items: list[Item], answers: Answers) -> dict[str, Any]:
    """Score some questions by what was shown; those about one picture depend on each other."""
    clusters = [item.pictures for item in items]
    scores = {
        sight: [float(is_right(item, own[item.id])) for item in items]
        for sight, own in answers.items()
    }
    result: dict[str, Any] = {"questions": len(items), "pictures": len(set(clusters))}
    for sight, values in scores.items():
        result[sight] = {
            "share": sum(values) / len(values),
            "interval": _interval(values, clusters),
        }
    for sight in BLIND:
        result[sight]["seen_less_this"] = {
            name: value if not isinstance(value, float) or math.isfinite(value) else None
            for name, value in asdict(
                compare_pairs(scores[sight], scores["seen"], clusters)
            ).items()
        }
    return result


def _by(items: list[Item], key: Callable[[Item], str]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _yes_no(items: list[Item], own: dict[str, str], words: dict[bool, set[str]]) -> dict[str, Any]:
    said = {
        item.id: next((t for t, known in words.items() if _first_word(own[item.id]) in known), None)
        for item in items
    }
    yes = [item for item in items if said[item.id]]
    true = [item for item in items if item.truth]
    hits = sum(item.truth is True for item in yes)
    read = sum(value is not None for value in said.values())
    return {
        "questions": len(items),
        "true_share": len(true) / len(items),
        "yes_share": len(yes) / read if read else None,
        "precision": hits / len(yes) if yes else None,
        "recall": hits / len(true) if true else None,
        "accuracy": sum(said[item.id] == item.truth for item in items) / len(items),
        "neither_yes_nor_no": len(items) - read,
    }


def _yes_no_words(items: list[Item]) -> dict[bool, set[str]]:
    """Collect the words for yes and no from the questions whose truth is known."""
    words: dict[bool, set[str]] = {True: set(), False: set()}
    for item in items:
        if item.truth is not None:
            words[item.truth] |= {normalise(answer) for answer in item.answers}
    return words


def _consistency(items: list[Item], own: dict[str, str]) -> list[dict[str, Any]]:
    """Compare what is said of one question in each two languages."""
    groups = _by(items, lambda item: item.item)
    languages = sorted({item.language for item in items})
    found = []
    for i, first in enumerate(languages):
        for second in languages[i + 1 :]:
            counts = {"both": 0, "first_only": 0, "second_only": 0, "neither": 0}
            for group in groups.values():
                by_language = {item.language: item for item in group}
                if first not in by_language or second not in by_language:
                    continue
                a, b = (is_right(by_language[c], own[by_language[c].id]) for c in (first, second))
                counts[
                    "both" if a and b else "first_only" if a else "second_only" if b else "neither"
                ] += 1
            total = sum(counts.values())
            if total:
                same = (counts["both"] + counts["neither"]) / total
                found.append({"languages": [first, second], "items": total, **counts, "same": same})
    return found


def score(items: list[Item], answers: Answers) -> dict[str, Any]:
    """Score the questions of one split.

    Args:
        items: the questions.
        answers: for `seen`, `blank`, `swapped` and `question only`, by id.

    Returns:
        By language: all kinds together, each kind, yes and no, the language of answers; and
        how the languages agree.
    """
    languages = {}
    for language, own in sorted(_by(items, lambda item: item.language).items()):
        asked = [item for item in own if item.truth is not None]
        spoken = [script_language(answers["seen"][item.id]) for item in own]
        words = _yes_no_words(own)
        languages[language] = {
            "all": _share(own, answers),
            "kinds": {k: _share(g, answers) for k, g in sorted(_by(own, lambda i: i.kind).items())},
            "yes_no": {
                sight: _yes_no(asked, given, words) for sight, given in answers.items() if asked
            },
            "answers_in_language": sum(code == language for code in spoken),
            "answers_in_other_language": sum(code not in (language, None) for code in spoken),
            "answers_without_letters": sum(code is None for code in spoken),
        }
    return {"languages": languages, "consistency": _consistency(items, answers["seen"])}
