"""Choose thresholds, measure classifiers, and report on them beside the model."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..common.errors import RecipeError
from ..engine.documents import SCALES, histogram
from .classifier import Classifier
from .config import QualityConfig, ThresholdConfig
from .sample import OVERSAMPLING, LineSample, read_incoming

# Fewer kept documents than this measure no precision (our choice).
_LEAST_KEPT = 20
# A keep rate may be off by this share of itself, where many documents share one score (our choice).
_KEEP_RATE_TOLERANCE = 0.1
# The table's rows: thresholds that keep these shares of the incoming documents.
_KEEP_RATES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)


def area_under_curve(positive: np.ndarray, negative: np.ndarray) -> float:
    """ROC AUC: share of (positive, negative) pairs in the right order, equal scores half."""
    from scipy.stats import mannwhitneyu

    pairs = len(positive) * len(negative)
    ranked = mannwhitneyu(*map(np.float64, (positive, negative)), method="asymptotic")
    return float(ranked.statistic / pairs)


def measure(positive: np.ndarray, negative: np.ndarray, threshold: float) -> dict[str, Any]:
    """Precision, recall and F1 of keeping scores from `threshold` on; precision of nothing is null.

    Args:
        positive: scores of held-out positives, float32.
        negative: scores of held-out negatives, float32.
        threshold: lowest score that is kept.
    """
    kept = int((positive >= threshold).sum())
    wrong = int((negative >= threshold).sum())
    recall = kept / len(positive)
    precision = kept / (kept + wrong) if kept + wrong else None
    return {
        "threshold": threshold,
        "positive_kept": kept,
        "positive_lost": len(positive) - kept,
        "negative_kept": wrong,
        "negative_removed": len(negative) - wrong,
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if kept else 0.0,
    }


def table(
    positive: np.ndarray, negative: np.ndarray, incoming: np.ndarray, chosen: float
) -> list[dict[str, Any]]:
    """`measure` at the chosen threshold and those of fixed keep rates, ascending.

    Args:
        positive: scores of held-out positives, float32.
        negative: scores of held-out negatives, float32.
        incoming: scores of a sample of the incoming documents, float32.
        chosen: the threshold.
    """
    rates = 1 - np.array(_KEEP_RATES)
    thresholds = {float(t) for t in np.quantile(incoming, rates, method="higher")}
    return [
        {
            "keep_rate": float((incoming >= threshold).mean()),
            **measure(positive, negative, threshold),
            "chosen": threshold == chosen,
        }
        for threshold in sorted({*thresholds, chosen})
    ]


def _by_keep_rate(incoming: np.ndarray, rate: float) -> float:
    ordered = np.sort(incoming)[::-1]
    lowest = ordered[min(max(round(rate * len(ordered)), 1), len(ordered)) - 1]
    # Where scores are equal, all or none of them are kept: whichever comes closer.
    candidates = (lowest, np.nextafter(lowest, np.float32(2)))
    rates = [float((incoming >= t).mean()) for t in candidates]
    off, best = min((abs(r - rate), i) for i, r in enumerate(rates))
    if off > _KEEP_RATE_TOLERANCE * rate:
        raise RecipeError(
            f"threshold.keep_rate: {rate} cannot be had; among {len(incoming):,} incoming "
            f"documents, keeping scores from {candidates[0]} on keeps {rates[0]:.4f} of them, and "
            f"above it {rates[1]:.4f}. Ask for one of these, or train with fewer epochs"
        )
    return float(candidates[best])


def _by_precision(positive: np.ndarray, negative: np.ndarray, target: float) -> float:
    candidates = np.unique(np.concatenate([positive, negative]))
    kept = len(positive) - np.searchsorted(np.sort(positive), candidates, side="left")
    wrong = len(negative) - np.searchsorted(np.sort(negative), candidates, side="left")
    enough = kept + wrong >= _LEAST_KEPT
    precision = (kept / (kept + wrong))[enough]
    if not enough.any() or not (precision >= target).any():
        best = int(precision.argmax()) if enough.any() else None
        at = (
            f"the best is {precision[best]:.4f} at {candidates[enough][best]:.4f}"
            if best is not None
            else "there is no such threshold"
        )
        raise RecipeError(
            f"threshold.precision: {target} is not reached on the held-out set by any threshold "
            f"that keeps {_LEAST_KEPT} documents; {at}. Ask for less, or give better examples"
        )
    return float(candidates[enough][precision >= target][0])


def choose_threshold(
    config: ThresholdConfig,
    incoming: np.ndarray,
    positive: np.ndarray | None = None,
    negative: np.ndarray | None = None,
) -> float:
    """The lowest score to keep.

    Args:
        config: what is asked for.
        incoming: scores of a sample of the incoming documents, float32.
        positive: scores of the held-out positives, for a threshold by precision.
        negative: scores of the held-out negatives, for a threshold by precision.

    Raises:
        RecipeError: what is asked for cannot be had; the message shows the nearest that can.
    """
    if config.keep_rate is not None:
        return _by_keep_rate(incoming, config.keep_rate)
    if config.precision is not None:
        return _by_precision(positive, negative, config.precision)
    return float(np.float32(config.value))


def draw(path: Path, histograms: dict[str, list[int]], threshold: float, title: str) -> None:
    """Draw score histograms, each as shares of its documents, with the threshold.

    Args:
        path: PNG file.
        histograms: counts on the scale "fraction", by name.
        threshold: lowest score that is kept.
        title: above the picture.
    """
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for name, counts in histograms.items():
        axes.stairs(np.array(counts) / sum(counts), SCALES["fraction"].edges, label=name)
    axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.4f}")
    axes.set(xlabel="score", ylabel="share of documents", yscale="log", title=title)
    axes.legend()
    figure.savefig(path, dpi=120)


HISTOGRAM = "histogram.png"
# Documents shown on either side of the threshold, and how much of each.
_EXAMPLES = 10
_EXAMPLE_CHARACTERS = 300
# Medians of the two classes closer than this show a classifier that was trained too little (our
# choice): with some thousand documents and DCLM's 5 epochs all scores lie near one half.
_LEAST_SPREAD = 0.5


def _around(
    threshold: float, scores: np.ndarray, sample: LineSample, hashes: list[int]
) -> dict[str, list[dict[str, Any]]]:
    """The documents with scores nearest to the threshold, the nearest first."""
    order = np.argsort(scores, kind="stable")
    first = int(np.searchsorted(scores[order], np.float32(threshold), side="left"))
    sides = {
        "kept": order[first : first + _EXAMPLES],
        "removed": order[max(first - _EXAMPLES, 0) : first][::-1],
    }
    shown = {}
    for side, rows in sides.items():
        lines = sample.lines(hashes[row] for row in rows)
        shown[side] = [
            {"id": id_, "score": float(scores[row]), "text": text[:_EXAMPLE_CHARACTERS]}
            for row, (id_, text) in zip(rows, map(json.loads, lines))
        ]
    return shown


def make_report(
    config: QualityConfig,
    language: str,
    inputs: dict[str, Path],
    classifier: Classifier,
    heldout: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Choose the threshold of a classifier and report on it; draws `histogram.png` beside it.

    Args:
        config: the filter.
        language: of the classifier.
        inputs: folder of the step before, by source name.
        classifier: trained.
        heldout: scores of held-out documents by class; empty for a classifier that was given.

    Raises:
        RecipeError: no incoming documents in this language, or a threshold that cannot be had.
    """
    where = f"quality.classifiers.{language}"
    with LineSample(
        classifier.directory / "incoming.txt", config.incoming_sample, config.seed
    ) as sample:
        incoming = read_incoming(list(inputs.values()), language, config.seed)
        seen = 0
        for document in islice(incoming, OVERSAMPLING * config.incoming_sample):
            # By id, not by text: copies weigh as much as they will in the filter.
            sample.add(document.id, json.dumps(document))
            seen += 1
        if not seen:
            raise RecipeError(
                f"{where}: no documents in language {language!r} come in; take the classifier out"
            )
        hashes = sample.hashes()
        texts = (json.loads(line)[1] for line in sample.lines(hashes))
        scores = np.concatenate([classifier.scores([text]) for text in texts])
        try:
            threshold = choose_threshold(config.classifiers[language].threshold, scores, **heldout)
        except RecipeError as error:
            raise RecipeError(f"{where}.{error}") from error
        around = _around(threshold, scores, sample, hashes)
    histograms = {"incoming": histogram("fraction", scores)}
    report = {
        "threshold": threshold,
        "chosen_by": config.classifiers[language].threshold.model_dump(exclude_none=True),
        "keep_rate": float((scores >= threshold).mean()),
        "incoming_documents_seen": seen,
        "incoming_documents_sampled": len(scores),
    }
    if heldout:
        medians = {name: float(np.median(own)) for name, own in heldout.items()}
        if medians["positive"] - medians["negative"] < _LEAST_SPREAD:
            print(
                f"warning: {where}: half of the held-out positives score below "
                f"{medians['positive']:.3f}, half of the negatives above "
                f"{medians['negative']:.3f}; fastText has hardly learned. With few documents, "
                "raise fasttext.epochs"
            )
        histograms |= {name: histogram("fraction", own) for name, own in heldout.items()}
        report["heldout"] = {
            **measure(**heldout, threshold=threshold),
            "roc_auc": area_under_curve(**heldout),
            "median_score": medians,
        }
        report["thresholds"] = table(**heldout, incoming=scores, chosen=threshold)
    report["histograms"] = {"edges": SCALES["fraction"].edges.tolist(), **histograms}
    report["around_threshold"] = around
    draw(classifier.directory / HISTOGRAM, histograms, threshold, f"quality, {language}")
    return report
