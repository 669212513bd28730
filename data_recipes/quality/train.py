"""Train the classifiers, choose their thresholds, and keep the report on each beside it."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import RecipeError
from ..common.files import check_settings, sha256_file, staged_folder, write_json_atomically
from ..engine.steps import StepFolder, Tally
from ..read.files import contents_of
from .classifier import (
    MODEL,
    NEGATIVE,
    POSITIVE,
    RECIPE,
    REPORT,
    Classifier,
    fasttext_version,
    read_recipe,
)
from .config import ALL_SOURCES, ClassifierConfig, QualityConfig, TextSource
from .fit import fit
from .report import make_report
from .sample import LineSample, keyed_hash, sample_class

MODELS = "model"
# Fewer held-out documents than this, of either class, measure nothing (our choice).
_LEAST_HELDOUT = 20


def model_dir(output_dir: Path, language: str) -> Path:
    """Directory of a language's classifier, below that of the step."""
    return output_dir / MODELS / language


def _fingerprint(source: TextSource, inputs: dict[str, Path]) -> Any:
    """Names and sizes of the files behind a source; of shards, their documents and bytes."""
    if source.path is None:
        found = {}
        for name, path in source.folders(inputs).items():
            folder = StepFolder(path)
            tallies = [(shard, Tally.read(folder.stats(shard))) for shard in folder.shards()]
            found[name] = [[shard, t.documents_kept, t.bytes_kept] for shard, t in tallies]
        return found
    return contents_of(source.path)


def _settings(config: QualityConfig, language: str, inputs: dict[str, Path]) -> dict[str, Any]:
    """Everything that decides what becomes of a language's classifier."""
    classifier = config.classifiers[language]
    settings = {
        "language": language,
        "classifier": classifier.model_dump(mode="json"),
        "seed": config.seed,
        "incoming_sample": config.incoming_sample,
        "incoming": _fingerprint(TextSource(source=ALL_SOURCES), inputs),
    }
    if classifier.model is not None:
        settings["model_sha256"] = read_recipe(classifier.model)["model_sha256"]
    else:
        settings["positive"] = [_fingerprint(s, inputs) for s in classifier.positive]
        settings["negative"] = [_fingerprint(s, inputs) for s in classifier.negative]
    return settings


def train_classifiers(config: QualityConfig, inputs: dict[str, Path], output_dir: Path) -> None:
    """Make every classifier that is not there yet: `<output_dir>/model/<language>/`.

    Each directory appears whole or not at all: the model, the recipe it was trained with, the
    report on it and a picture of its scores.

    Args:
        config: the filter.
        inputs: folder of the step before, `<step>/<source>`, by source name; finished.
        output_dir: directory of this step.

    Raises:
        RecipeError: a source that cannot be read or is too small, a threshold that cannot be had,
            or a classifier there that was made with other settings.
    """
    if MODELS in inputs:
        raise RecipeError(f"source {MODELS!r}: the quality filter keeps its models under this name")
    for language in config.classifiers:
        directory = model_dir(output_dir, language)
        settings = _settings(config, language, inputs)
        if not directory.is_dir():
            _make(config, language, inputs, directory, settings)
            continue
        old = json.loads((directory / REPORT).read_text(encoding="utf-8"))["settings"]
        remedy = (
            f"delete {output_dir}, and the steps after it, to do it again, or choose another "
            "output_dir. To change the threshold alone, move this directory elsewhere first "
            "and name it as `model`"
        )
        check_settings(directory, old, settings, remedy, "a classifier made with other settings")


def _make(
    config: QualityConfig,
    language: str,
    inputs: dict[str, Path],
    directory: Path,
    settings: dict[str, Any],
) -> None:
    classifier = config.classifiers[language]
    with staged_folder(directory) as staging:
        heldout = {}
        if classifier.model is None:
            heldout = _train(classifier, language, inputs, config.seed, staging)
        else:
            for name in (MODEL, RECIPE):
                shutil.copyfile(classifier.model / name, staging / name)
        report = make_report(config, language, inputs, Classifier(staging), heldout)
        write_json_atomically(staging / REPORT, {"settings": settings, **report})


def _write_lines(
    samples: dict[str, LineSample], fraction: float, seed: int, files: dict[str, Path]
) -> dict[str, dict[str, int]]:
    """Write both classes, mixed at random, as fastText's lines; returns how many went where.

    Both have equally many, as DCLM's had. What both classes hold is left out of the negatives: they
    are mostly raw text, in which a good document is no error. Held out is by a hash of the line,
    so copies never land on both sides; near copies may, which flatters the measured precision.
    """
    own = set(samples["positive"].hashes())
    hashes = {
        "positive": samples["positive"].hashes(),
        "negative": [h for h in samples["negative"].hashes() if h not in own],
    }
    size = min(map(len, hashes.values()))
    shared = len(samples["negative"]) - len(hashes["negative"])
    counts = {"sampled": {n: len(s) for n, s in samples.items()}, "in_both": {"negative": shared}}
    counts |= {split: dict.fromkeys(samples, 0) for split in files}
    # By hash, hence at random: runs of one class would each pull the weights their own way.
    order = sorted((value, name) for name in samples for value in hashes[name][:size])
    lines = {name: samples[name].lines(hashes[name][:size]) for name in samples}
    with ExitStack() as stack:
        outputs = {
            split: stack.enter_context(path.open("w", encoding="utf-8", newline="\n"))
            for split, path in files.items()
        }
        for _, name in order:
            line = next(lines[name])
            heldout = keyed_hash(line, seed, b"heldout") < fraction * 2**64
            split = "heldout" if heldout else "training"
            label = POSITIVE if name == "positive" else NEGATIVE
            outputs[split].write(f"{label} {line}\n")
            counts[split][name] += 1
    return counts


def _heldout_scores(classifier: Classifier, path: Path) -> dict[str, np.ndarray]:
    scores = {POSITIVE: [], NEGATIVE: []}
    with path.open(encoding="utf-8", newline="\n") as file:
        for row in file:
            label, line = row[:-1].split(" ", 1)
            scores[label].append(classifier.scores([line])[0])
    return {
        "positive": np.array(scores[POSITIVE], np.float32),
        "negative": np.array(scores[NEGATIVE], np.float32),
    }


def _train(
    config: ClassifierConfig,
    language: str,
    inputs: dict[str, Path],
    seed: int,
    directory: Path,
) -> dict[str, np.ndarray]:
    """Train into `directory`; returns the scores of the held-out documents by class."""
    where = f"quality.classifiers.{language}"
    files = {split: directory / f"{split}.txt" for split in ("training", "heldout")}
    classes = {"positive": config.positive, "negative": config.negative}
    sources = {}
    with ExitStack() as stack:
        samples = {}
        for name, texts in classes.items():
            sample = LineSample(directory / f"{name}.txt", config.max_documents, seed)
            samples[name] = stack.enter_context(sample)
            read = sample_class(sample, texts, inputs, language)
            sources[name] = [
                {
                    **source.model_dump(exclude_none=True),
                    "contents": _fingerprint(source, inputs),
                    "documents_read": documents,
                }
                for source, documents in zip(texts, read)
            ]
        counts = _write_lines(samples, config.heldout_fraction, seed, files)
    for name, count in counts["heldout"].items():
        if count < _LEAST_HELDOUT:
            raise RecipeError(
                f"{where}: {count} {name} documents held out of {counts['sampled'][name]}, at "
                f"least {_LEAST_HELDOUT} are needed to measure anything; give more text of both "
                "classes (the larger is cut to the size of the smaller), or a larger "
                "heldout_fraction"
            )
    arguments = {
        **config.fasttext.arguments(language),
        "loss": "softmax",
        "seed": seed,
        # More threads race for the weights, and no two runs agree.
        "thread": 1,
    }
    try:
        fit(files["training"], directory / MODEL, arguments)
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error
    recipe = {
        "language": language,
        "model_sha256": sha256_file(directory / MODEL),
        "fasttext": {"arguments": arguments, "version": fasttext_version()},
        "labels": {"positive": POSITIVE, "negative": NEGATIVE},
        "heldout_fraction": config.heldout_fraction,
        "max_documents": config.max_documents,
        "seed": seed,
        "sources": sources,
        "documents": counts,
        "text_sha256": {split: sha256_file(path) for split, path in files.items()},
    }
    write_json_atomically(directory / RECIPE, recipe)
    scores = _heldout_scores(Classifier(directory), files["heldout"])
    for path in files.values():
        path.unlink()
    return scores
