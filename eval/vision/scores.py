"""Shares of right answers beside those of the blind; yes and no; one question in two languages."""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping
from dataclasses import asdict
from typing import Any

from data_recipes.answers.text import language_of
from data_recipes.common.statistics import compare_pairs, mean_interval, wilson

from .blind import Key
from .items import PictureQuestion, first_word, normalise, score_of

GivenAnswers = dict[str, dict[str, str]]  # by what was shown, then by id
_Right = dict[str, dict[str, float]]  # from 0 to 1


def _interval(values: list[float], clusters: list[Any]) -> list[float]:
    if len(set(clusters)) < 2:
        return list(wilson(sum(values), len(values)))
    return list(mean_interval(values, clusters))


def _share(items: list[PictureQuestion], right: _Right) -> dict[str, Any]:
    """Count what was right by what was shown; answers about one thing depend on each other."""
    clusters = [item.subject for item in items]
    scores = {sight: [own[item.id] for item in items] for sight, own in right.items()}
    result: dict[str, Any] = {"questions": len(items), "pictures": len(set(clusters))}
    for sight, values in scores.items():
        own = {"share": sum(values) / len(values), "interval": _interval(values, clusters)}
        result[sight] = own
        if sight != "seen":
            difference = asdict(compare_pairs(values, scores["seen"], clusters))
            own["seen_less_this"] = {
                name: value if not isinstance(value, float) or math.isfinite(value) else None
                for name, value in difference.items()
            }
    return result


def _by(items: list[PictureQuestion], key: Key) -> dict[Any, list[PictureQuestion]]:
    groups: dict[Hashable, list[PictureQuestion]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return dict(groups)


def _yes_no(
    items: list[PictureQuestion], own: dict[str, str], words: dict[bool, set[str]]
) -> dict[str, Any]:
    said = {
        item.id: next((t for t, known in words.items() if first_word(own[item.id]) in known), None)
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


def _yes_no_words(items: list[PictureQuestion]) -> dict[bool, set[str]]:
    """Collect the words for yes and no from the questions whose truth is known."""
    words: dict[bool, set[str]] = {True: set(), False: set()}
    for item in items:
        if item.truth is not None:
            words[item.truth] |= {normalise(answer) for answer in item.answers}
    return words


def _consistency(items: list[PictureQuestion], right: dict[str, float]) -> list[dict[str, Any]]:
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
                a, b = (right[by_language[code].id] for code in (first, second))
                counts[
                    "both" if a and b else "first_only" if a else "second_only" if b else "neither"
                ] += 1
            total = sum(counts.values())
            if total:
                same = (counts["both"] + counts["neither"]) / total
                found.append({"languages": [first, second], "items": total, **counts, "same": same})
    return found


def score(
    items: list[PictureQuestion], answers: GivenAnswers, groups: Mapping[str, Key]
) -> dict[str, Any]:
    """Score the questions of one split.

    Args:
        items: the questions.
        answers: for `seen`, then for all that is compared with it, by id.
        groups: other ways to take questions together, by name.

    Returns:
        By language: all kinds together, each kind, yes and no, the language of answers; `groups`;
        and how the languages agree.
    """
    right = {
        sight: {item.id: score_of(item, own[item.id]) for item in items}
        for sight, own in answers.items()
    }
    languages = {}
    for language, own in sorted(_by(items, lambda item: item.language).items()):
        asked = [item for item in own if item.truth is not None]
        spoken = [language_of(answers["seen"][item.id]) for item in own]
        words = _yes_no_words(own)
        languages[language] = {
            "all": _share(own, right),
            "kinds": {k: _share(g, right) for k, g in sorted(_by(own, lambda i: i.kind).items())},
            "yes_no": {
                sight: _yes_no(asked, given, words) for sight, given in answers.items() if asked
            },
            "answers_in_language": sum(code == language for code in spoken),
            "answers_in_other_language": sum(code not in (language, None) for code in spoken),
            "answers_without_letters": sum(code is None for code in spoken),
        }
    taken = {
        name: {str(value): _share(own, right) for value, own in _by(items, key).items()}
        for name, key in groups.items()
    }
    consistency = _consistency(items, right["seen"])
    return {"languages": languages, "groups": taken, "consistency": consistency}
