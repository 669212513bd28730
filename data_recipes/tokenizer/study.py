"""Tokenizers trained on several corpora at several sizes, compared on text they have not seen.

KORMo compared six: three corpora at 125,000 and 196,000 entries (paper section 3.2), by bytes per
token on held-out web and synthetic text of each language.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from ..common.config_files import CONFIGS, Strict, find_recipe, load_config
from ..common.errors import RecipeError
from ..common.files import check_settings, read_settings, staged_folder, write_json_atomically
from ..common.page import Cell, Page, Paragraph, Picture, Table
from ..common.terminal import show_progress
from ..engine.executor_config import ExecutorConfig
from ..engine.executors import execute
from ..engine.steps import StepFolder, claim
from ..read.source import ReadConfig, SourceConfig
from ..read.step import ReadStep, source_bytes, source_facts
from ..toy import CorpusConfig, keep_corpus
from .load import load_tokenizer
from .measures import Measures, measure
from .shards import is_heldout
from .train import mixed_texts, train_tokenizer

_RECORD = "training.json"


class StudySource(SourceConfig):
    """A text source of the study.

    Attributes:
        kind: `web` for text by people as it was found, `synthetic` for text by a model or program.
    """

    kind: Literal["web", "synthetic"]


class StudyConfig(Strict):
    """A tokenizer study. Everything it makes lies under `output_dir`.

    Attributes:
        corpus: generate the embedded corpus into `<output_dir>/text` first.
        sources: text to train and to measure on.
        corpora: share of the training text per source, by name of the corpus.
        sizes: BPE entries; every corpus is trained at every size.
        megabytes: training text of each, in 1e6 UTF-8 bytes.
        heldout_fraction: share of the documents that is measured on and never trained on.
        heldout_megabytes: text of each source to measure on, at most.
        references: tokenizers to compare with: directories or Hub ids.
    """

    output_dir: Path
    corpus: CorpusConfig | None = None
    sources: list[StudySource] = Field(min_length=1)
    corpora: dict[str, dict[str, float]] = Field(min_length=1)
    sizes: list[int] = Field(min_length=1)
    megabytes: float = Field(gt=0)
    heldout_fraction: float = Field(default=0.02, gt=0, lt=1)
    heldout_megabytes: float = Field(default=20, gt=0)
    references: list[str] = []

    @model_validator(mode="after")
    def _known_sources(self) -> "StudyConfig":
        names = {source.name for source in self.sources}
        for corpus, weights in self.corpora.items():
            if unknown := sorted(set(weights) - names):
                raise ValueError(f"corpora.{corpus} names unknown sources: {', '.join(unknown)}")
            if not weights or not all(weight > 0 for weight in weights.values()):
                raise ValueError(f"corpora.{corpus}: weights must be positive")
        return self

    def resolved_sources(self) -> list[StudySource]:
        """Sources with `{output_dir}` filled in."""
        return [source.below(self.output_dir) for source in self.sources]


def _read(config: StudyConfig) -> dict[str, StepFolder]:
    if config.corpus:
        keep_corpus(config.output_dir / "text", config.corpus)
    sources, read = config.resolved_sources(), ReadConfig()
    output = config.output_dir / "read"
    claim(output, {"sources": [source_facts(source, read) for source in sources]})
    step = ReadStep(sources, output, read)
    with show_progress(output, sum(source_bytes(s, read) for s in sources), "read"):
        execute(step, 1, ExecutorConfig(), output / "logs")
    return {source.name: StepFolder(output / source.name) for source in sources}


def _training_text(
    config: StudyConfig, weights: dict[str, float], folders: dict[str, StepFolder], name: str
) -> Iterator[str]:
    def refuse(source: str, wanted: float, missing: float) -> None:
        # Hash samples fall a few per cent short; more is a corpus that is not the one named.
        if missing > 0.15 * wanted:
            raise RecipeError(
                f"corpora: {name} wants {wanted / 1e6:,.1f} MB of {source}, which has "
                f"{(wanted - missing) / 1e6:,.1f}; lower `megabytes` or its weight, or give more "
                "text"
            )

    return mixed_texts(folders, weights, config.megabytes, config.heldout_fraction, name, refuse)


def _train(config: StudyConfig, folders: dict[str, StepFolder], corpus: str, size: int) -> Path:
    name = f"{corpus}-{size}"
    directory = config.output_dir / "variants" / name
    weights = config.corpora[corpus]
    record = {
        "weights": weights,
        "bpe_entries": size,
        "megabytes": config.megabytes,
        "heldout_fraction": config.heldout_fraction,
    }
    if directory.is_dir():
        was = read_settings(directory / _RECORD) or {}
        check_settings(
            directory, was, record, "delete it to train again", "trained with other settings"
        )
        return directory
    tokenizer = train_tokenizer(_training_text(config, weights, folders, name), size)
    with staged_folder(directory) as staging:
        tokenizer.save_pretrained(staging)
        write_json_atomically(staging / _RECORD, record)
    return directory


def _heldout(config: StudyConfig, folder: StepFolder) -> Iterator[str]:
    left = config.heldout_megabytes * 1e6
    for text in folder.texts():
        if is_heldout(text, config.heldout_fraction):
            yield text
            left -= len(text.encode())
            if left <= 0:
                return


def _references(config: StudyConfig) -> dict[str, PreTrainedTokenizerBase]:
    loaded = {}
    for name in config.references:
        try:
            loaded[name] = load_tokenizer(name)
        except RecipeError as error:
            raise RecipeError(f"references: {error}; take it out or make it available") from error
    return loaded


def study(config: StudyConfig) -> dict[str, dict[str, Measures]]:
    """Train what is not trained yet, and measure everything.

    Returns:
        measures by tokenizer and source.

    Raises:
        RecipeError: too little text, a reference that cannot be loaded, variants that were trained
            with other settings.
    """
    config.output_dir.mkdir(parents=True, exist_ok=True)
    tokenizers = _references(config)
    folders = _read(config)
    for corpus in config.corpora:
        for size in config.sizes:
            directory = _train(config, folders, corpus, size)
            tokenizers[directory.name] = load_tokenizer(directory)
    results: dict[str, dict[str, Measures]] = {}
    for name in tqdm(tokenizers, desc="measuring", unit="tokenizer", file=sys.stderr):
        results[name] = {}
        for source, folder in folders.items():
            try:
                results[name][source] = measure(tokenizers[name], _heldout(config, folder))
            except ValueError as error:
                raise RecipeError(
                    f"sources.{source}: {error}; raise heldout_fraction or give more"
                ) from error
    return results


def build_page(
    config: StudyConfig, results: dict[str, dict[str, Measures]], picture: Picture
) -> Page:
    """Lay out the study; columns are comparable downwards, not across languages."""
    best = {
        s.name: max(own[s.name].bytes_per_token for own in results.values()) for s in config.sources
    }
    rows: list[list[str | Cell]] = []
    for name, measures in results.items():
        cells = (
            Cell(
                f"{own.bytes_per_token:.3f} / {own.renyi_efficiency:.3f}",
                bar=own.bytes_per_token / best[source],
            )
            for source, own in measures.items()
        )
        rows.append([name, *cells])
    columns = ["tokenizer", *(f"{s.language} {s.kind} ({s.name})>" for s in config.sources)]
    page = Page("Tokenizer study")
    page.add(
        Paragraph(
            "Bytes per token (higher is shorter) and Rényi efficiency, on held-out text. Compare "
            "down a column: bytes per character differ between scripts."
        ),
        Table(columns, rows),
        picture,
    )
    return page


def write_results(config: StudyConfig, results: dict[str, dict[str, Measures]]) -> Page:
    """Write `study.json`, `.csv`, `.md`, `.html` and `.png` in the output directory."""
    facts = {s.name: s for s in config.sources}
    rows = [
        {
            "tokenizer": name,
            "source": source,
            "language": facts[source].language,
            "kind": facts[source].kind,
            **asdict(values),
        }
        for name, measures in results.items()
        for source, values in measures.items()
    ]
    write_json_atomically(config.output_dir / "study.json", rows)
    with (config.output_dir / "study.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    page = build_page(config, results, draw(config, results))
    page.write_both(config.output_dir / "study.html")
    return page


def run(args: argparse.Namespace) -> None:
    """Run the study and print its table."""
    path = find_recipe(args.config, CONFIGS / "tokenizer_study")
    config = load_config(path, StudyConfig, args.overrides)
    results = study(config)
    print(write_results(config, results).to_markdown())
    print(f"{config.output_dir}/study.{{json,csv,md,html,png}}")


_BAR = 0.28  # inches a bar


def draw(config: StudyConfig, results: dict[str, dict[str, Measures]]) -> Picture:
    """Draw bytes per token, one panel per source, one bar per tokenizer."""
    from matplotlib.figure import Figure

    sources, names = config.sources, list(results)
    size = (2.2 + 2.6 * len(sources), 1.2 + _BAR * len(names))
    figure = Figure(figsize=size)
    panels = figure.subplots(1, len(sources), sharey=True, squeeze=False)[0]
    for panel, source in zip(panels, sources):
        values = [results[name][source.name].bytes_per_token for name in names]
        colours = ["#228833" if value == max(values) else "#4477aa" for value in values]
        bars = panel.barh(range(len(names)), values, color=colours)
        panel.bar_label(bars, [f"{v:.2f}" for v in values], padding=2, fontsize=8)
        panel.set_title(f"{source.language} {source.kind}\n{source.name}", fontsize=9)
        panel.set_xlim(0, max(values) * 1.2)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), [name.split("/")[-1] for name in names], fontsize=8)
    panels[0].invert_yaxis()
    figure.supxlabel("bytes per token on held-out text (higher is shorter)", fontsize=9)
    figure.tight_layout()
    return Picture.of(figure, "bytes per token by source and tokenizer", "study.png")
