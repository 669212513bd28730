"""Means with intervals, per category and turn, beside the card's scores; wins of a comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from data_recipes.common.statistics import mean_interval, wilson

from .verdicts import Verdict, agreed


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def interval(values: list[float]) -> list[float] | None:
    """Compute the 95 % interval of a mean score; `None` for one question, which says nothing.

    Args:
        values: one per question: its two turns are not independent.
    """
    if len(values) < 2:
        return None
    # Shifted, as scores of 1 alone would be taken for answers that are right or wrong.
    return [end - 1 for end in mean_interval([value + 1 for value in values])]


def _by_question(verdicts: list[Verdict]) -> dict[str, list[Verdict]]:
    questions: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        questions.setdefault(verdict["question"], []).append(verdict)
    return questions


def _scores(verdicts: list[Verdict], chosen: Callable[[Verdict], bool]) -> dict[str, Any] | None:
    own = [v for v in verdicts if chosen(v)]
    read = [v for v in own if v["result"] is not None]
    if not read:
        return None
    means = [_mean([v["result"] for v in group]) for group in _by_question(read).values()]
    overall = _mean([v["result"] for v in read])
    return {"mean": overall, "interval": interval(means), "verdicts": len(read)}


def _counts(verdicts: list[Verdict]) -> dict[str, int]:
    return {
        "verdicts": len(verdicts),
        "refused": sum(v["status"] == "refused" for v in verdicts),
        "unreadable": sum(v["status"] != "refused" and v["result"] is None for v in verdicts),
        "cut_off": sum(v["finish_reason"] == "length" for v in verdicts),
    }


def single_report(
    verdicts: list[Verdict], published: dict[str, float], own_questions: bool
) -> dict[str, Any]:
    """Add up the scores of one model; verdicts that could not be read are counted and left out.

    Args:
        verdicts: of both turns of every question.
        published: the card's scores, by model.
        own_questions: whether the questions are this project's, not those of the benchmark.
    """
    categories = list(dict.fromkeys(v["category"] for v in verdicts))
    turns = list(dict.fromkeys(v["part"] for v in verdicts))
    return {
        **_counts(verdicts),
        "overall": _scores(verdicts, lambda v: True),
        "turns": {t: _scores(verdicts, lambda v, t=t: v["part"] == t) for t in turns},
        "categories": {c: _scores(verdicts, lambda v, c=c: v["category"] == c) for c in categories},
        "published": published,
        "own_questions": own_questions,
    }


def pairwise_report(verdicts: list[Verdict]) -> dict[str, Any]:
    """Count wins where the judge says the same with places exchanged; otherwise it is a tie.

    A question of which one verdict could not be read is left out, and counted.
    """
    outcomes: dict[str, list[str]] = {"ours": [], "theirs": [], "tie": []}
    disagreements = incomplete = 0
    for question, own in _by_question(verdicts).items():
        results = [v["result"] for v in own]
        if None in results:
            incomplete += 1
            continue
        disagreements += len(set(results)) > 1
        outcomes[agreed(results)].append(question)
    judged = sum(map(len, outcomes.values()))
    decided = len(outcomes["ours"]) + len(outcomes["theirs"])
    return {
        **_counts(verdicts),
        "questions": judged,
        "incomplete": incomplete,
        "wins": len(outcomes["ours"]),
        "losses": len(outcomes["theirs"]),
        "ties": len(outcomes["tie"]),
        "places_disagree": disagreements,
        "win_share_of_decided": len(outcomes["ours"]) / decided if decided else None,
        "win_share_interval": list(wilson(len(outcomes["ours"]), decided)) if decided else None,
        "by_outcome": outcomes,
    }


def _row(name: str, own: dict[str, Any] | None) -> str:
    if own is None:
        return f"{name:<24}      -"
    between = own["interval"]
    span = f"  {between[0]:5.2f} to {between[1]:5.2f}" if between else " " * 16
    return f"{name:<24}{own['mean']:7.2f}{span}{own['verdicts']:10,}"


def format_single(report: dict[str, Any]) -> str:
    """Format the report as lines to print."""
    lines = [f"{'':<24}   mean  95 % interval  verdicts"]
    lines += [_row(name, own) for name, own in report["categories"].items()]
    lines += [_row(name, own) for name, own in report["turns"].items()]
    lines.append(_row("all", report["overall"]))
    lines += [f"{f'card: {m}':<24}{score:7.2f}" for m, score in report["published"].items()]
    if report["published"] and report["own_questions"]:
        lines.append("the card's scores are on the benchmark's questions (--questions), not these")
    lines.append(_problems(report))
    return "\n".join(lines)


def format_pairwise(report: dict[str, Any]) -> str:
    """Format the report as lines to print."""
    lines = [
        f"wins {report['wins']}, losses {report['losses']}, ties {report['ties']} of "
        f"{report['questions']} questions; the judge changed its mind with the places in "
        f"{report['places_disagree']}"
    ]
    if report["win_share_interval"]:
        low, high = report["win_share_interval"]
        share = report["win_share_of_decided"]
        lines.append(f"of those decided {share:.1%} won ({low:.1%} to {high:.1%})")
    if report["incomplete"]:
        lines.append(f"{report['incomplete']} questions left out for a verdict that says nothing")
    lines.append(_problems(report))
    return "\n".join(lines)


def _problems(report: dict[str, Any]) -> str:
    return (
        f"{report['verdicts']:,} verdicts; {report['unreadable']:,} could not be read "
        f"({report['cut_off']:,} cut off), {report['refused']:,} refused by the judge's server"
    )
