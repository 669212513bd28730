"""The report on a classifier: its threshold, and what can be seen of it."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import RecipeError
from ..text.histograms import SCALES, histogram
from .classifier import Classifier
from .config import QualityConfig
from .measure import area_under_curve, choose_threshold, draw, measure, table
from .sample import OVERSAMPLING, Sample, read_incoming

HISTOGRAM = "histogram.png"
# Documents shown on either side of the threshold, and how much of each.
_EXAMPLES = 10
_EXAMPLE_CHARACTERS = 300
# Medians of the two classes closer than this show a classifier that was trained too little (our
# choice): with some thousand documents and DCLM's 5 epochs all scores lie near one half.
_LEAST_SPREAD = 0.5


def _around(
    threshold: float, scores: np.ndarray, sample: Sample, hashes: list[int]
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
    with Sample(
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
