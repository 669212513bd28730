"""Sums up the cells of a grid: shares with intervals, a heatmap, and where retrieval breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_recipes.common.files import write_json_atomically
from data_recipes.common.page import Bullets, Details, Heading, Page, Picture, Table
from data_recipes.common.statistics import wilson

RESULTS = "results.json"
# A length counts as held while the share stays at this or above. RULER (Hsieh et al. 2024, arXiv
# 2404.06654) calls a context effective down to 85.6 %, the score of Llama-2-7B at its 4K; with a
# single fact to find, KORMo's report has 99.04 % in English and 69.04 % in Korean, so that the two
# fall on different sides of it.
THRESHOLD = 0.85


def _share(trials: list[dict[str, Any]], language: str) -> dict[str, Any]:
    right = sum(t["right"] for t in trials)
    low, high = wilson(right, len(trials))
    return {
        "items": len(trials),
        "right": right,
        "share": right / len(trials),
        "interval": [low, high],
        "values_found": sum(t["found"] for t in trials),
        "values_wanted": sum(len(t["values"]) for t in trials),
        "answers_in_language": sum(t["language"] == language for t in trials),
        "answers_in_other_language": sum(t["language"] not in (language, None) for t in trials),
        "answers_without_letters": sum(t["language"] is None for t in trials),
    }


def summarise(cells: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts per cell and per length, and one sentence per language.

    Args:
        cells: as `Needles.measure` returns them.
    """
    per_cell = []
    lengths: dict[str, dict[int, list[dict[str, Any]]]] = {}
    for cell in cells:
        language, length = cell["language"], cell["length"]
        trials = cell["trials"]
        depths = [t["depths"][0] for t in trials]
        per_cell.append(
            {
                "language": language,
                "length": length,
                "depth": cell["depth"],
                "mean_depth": sum(depths) / len(depths),
                **_share(trials, language),
            }
        )
        lengths.setdefault(language, {}).setdefault(length, []).extend(trials)
    per_length = {
        language: {str(length): _share(trials, language) for length, trials in by_length.items()}
        for language, by_length in lengths.items()
    }
    return {
        "threshold": THRESHOLD,
        "findings": {language: _finding(language, own) for language, own in per_length.items()},
        "lengths": per_length,
        "cells": per_cell,
    }


def _finding(language: str, per_length: dict[str, dict[str, Any]]) -> str:
    for length, own in per_length.items():
        if own["share"] < THRESHOLD:
            low, high = own["interval"]
            doubt = f", though its interval reaches above {THRESHOLD:.0%}"
            return (
                f"{language}: retrieval breaks at {int(length):,} tokens: {own['right']:,} of "
                f"{own['items']:,} right, {own['share']:.1%} ({low:.1%} to {high:.1%}), under "
                f"{THRESHOLD:.0%}{doubt if high >= THRESHOLD else ''}"
            )
    right = sum(own["right"] for own in per_length.values())
    items = sum(own["items"] for own in per_length.values())
    return (
        f"{language}: retrieval holds up to {max(map(int, per_length)):,} tokens, the longest "
        f"asked: {right:,} of {items:,} right"
    )


def draw_heatmap(cells: list[dict[str, Any]], language: str, title: str) -> Picture:
    """Draw shares of one language, depths from top to bottom, lengths from left to right.

    Args:
        cells: of `summarise`.
        language: code.
        title: above the picture.
    """
    import numpy as np
    from matplotlib.figure import Figure

    own = {(c["length"], c["depth"]): c["share"] for c in cells if c["language"] == language}
    lengths = sorted({length for length, _ in own})
    depths = sorted({depth for _, depth in own})
    shares = np.array([[own[length, depth] for length in lengths] for depth in depths])
    size = (2.6 + 0.85 * len(lengths), 2.0 + 0.42 * len(depths))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="RdYlGn", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths])
    axes.set_yticks(range(len(depths)), [f"{depth:.0%}" for depth in depths])
    axes.set_xlabel("tokens of the prompt")
    axes.set_ylabel("depth of the fact")
    axes.set_title(title, fontsize=10)
    for row, line in enumerate(shares):
        for column, share in enumerate(line):
            ink = "white" if abs(share - 0.5) > 0.4 else "black"  # the map is dark at both ends
            label = f"{share:.0%}"
            axes.text(column, row, label, ha="center", va="center", fontsize=8, color=ink)
    figure.colorbar(image, ax=axes, format=lambda value, _: f"{value:.0%}")
    about = f"share of right answers in {language} by length and depth"
    return Picture.of(figure, about, f"heatmap_{language}.png")


def build_page(results: dict[str, Any], heatmaps: dict[str, Picture]) -> Page:
    """Lay out the report, with a heatmap per language."""
    page = Page(f"Needle in a haystack: {results['settings']['model']['name']}")
    page.add(Bullets(list(results["findings"].values())))
    rows = [
        [language, f"{int(length):,}", f"{own['right']:,} of {own['items']:,}"]
        + [f"{own['share']:.1%}", f"{own['interval'][0]:.1%} to {own['interval'][1]:.1%}"]
        + [f"{own['answers_in_other_language'] / own['items']:.1%}"]
        for language, lengths in results["lengths"].items()
        for length, own in lengths.items()
    ]
    columns = ["language", "tokens>", "right>", "share>", "95 % interval>"]
    page.add(Table([*columns, "in another language>"], rows))
    for language, picture in heatmaps.items():
        page.add(Heading(language), picture)
    settings = [[key, str(value)] for key, value in results["settings"].items()]
    page.add(Details("Settings", [Table(["setting", "value"], settings)]))
    return page


def write_report(cells: list[dict[str, Any]], settings: dict[str, Any], out: Path) -> dict:
    """Write `results.json`, a heatmap per language, and `report.md` and `report.html`.

    Args:
        cells: as `Needles.measure` returns them.
        settings: what they were asked with.
        out: directory.

    Returns:
        What is in `results.json`.
    """
    results = {"settings": settings, **summarise(cells)}
    write_json_atomically(out / RESULTS, results)
    facts = f"{settings['needles']} asked, {settings['distractors']} others"
    heatmaps = {}
    for language in results["findings"]:
        title = f"{language}, {settings['style']} ({facts})\n{settings['model']['name']}"
        heatmaps[language] = draw_heatmap(results["cells"], language, title)
    build_page(results, heatmaps).write_both(out / "report.html")
    return results
