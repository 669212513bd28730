"""How fast the cleaning steps are, in MB of text per second, each beside datatrove's equivalent.

    python scripts/benchmark_data.py --text runs/debian/text/*.jsonl --megabytes 200

The text is repeated up to the size asked for: from the second time on, documents are shuffled and
one word in eight is replaced by another of the same text (seeded), so that deduplication has new
n-grams to insert as well as known ones to find. datatrove gets the same shards, a part of them
(`--datatrove-megabytes`), in one process; reading and writing are included on both sides.
"""

import argparse
import json
import platform
import random
import shutil
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup.bloom_filter import BloomFilterConfig, SingleBloomFilter
from datatrove.pipeline.filters import (
    FastTextClassifierFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.pipeline.readers import JsonlReader, ParquetReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import ParquetWriter
from datatrove.utils.word_tokenizers import WordTokenizer
from loguru import logger

from data_recipes.common.files import git_commit, processor
from data_recipes.engine.documents import read_batches, text_buffers
from data_recipes.engine.steps import StepFolder
from data_recipes.filter.statistics import Lists, measure
from data_recipes.filter.words import whitespace_spans
from data_recipes.prepare.chain import cleaned, run_step, steps_of
from data_recipes.prepare.chain import folder as step_folder
from data_recipes.prepare.config import DataConfig
from data_recipes.prepare.prepare import make_tokenizer
from data_recipes.read.files import read_texts
from data_recipes.tokenizer.shards import ShardPlan, write_shards

_REPLACED = 8  # one word in so many
_EVALUATION_ITEMS = 2000  # first texts, decontaminated against


def repeated(paths: list[str], size: float, seed: int) -> Iterator[str]:
    """Repeat the texts of the files, varied, up to `size` bytes."""
    texts = [text for path in paths for text in read_texts(path)]
    words = [word for text in texts[:: max(1, len(texts) // 5000)] for word in text.split()]
    rng, first = random.Random(seed), True
    while size > 0:
        for text in texts:
            if not first:
                lines = [line.split(" ") for line in text.split("\n")]
                for line in lines:
                    for i in range(rng.randrange(_REPLACED), len(line), _REPLACED):
                        line[i] = rng.choice(words)
                text = "\n".join(" ".join(line) for line in lines)
            yield text
            size -= len(text.encode())
            if size <= 0:
                return
        first = False
        rng.shuffle(texts)


def write_text(args: argparse.Namespace, directory: Path, parts: int) -> float:
    """Write the benchmark's text into `parts` files; returns its bytes."""
    directory.mkdir(parents=True)
    files = [(directory / f"{i}.jsonl").open("wb") for i in range(parts)]
    items = (args.out / "items.jsonl").open("wb")
    total = 0
    for number, text in enumerate(repeated(args.text, args.megabytes * 1e6, args.seed)):
        total += len(text.encode())
        line = orjson.dumps({"text": text}) + b"\n"
        files[number % parts].write(line)
        if number < _EVALUATION_ITEMS:
            items.write(line)
    for file in (*files, items):
        file.close()
    return total


def recipe(args: argparse.Namespace, out: Path, workers: int) -> DataConfig:
    """Make the recipe of the chain that is timed, on English rules whatever the text is."""
    source = {"name": "text", "path": str(args.out / "text"), "language": "en", "licence": "-"}
    return DataConfig.model_validate(
        {
            "output_dir": out,
            "sources": [source],
            "executor": {"workers": workers},
            "read": {"shard_megabytes": 16},
            "filter": {"profiles": {"en": args.profile}},
            "deduplicate": {"threads": workers},
            "quality": {
                "classifiers": {
                    "en": {
                        "positive": [{"path": args.text[0]}],
                        "max_documents": 5000,
                        "threshold": {"value": 0.0},
                    }
                }
            },
            "decontaminate": {
                "evaluation_sets": [
                    {"task": "items", "path": str(args.out / "items.jsonl"), "columns": ["text"]}
                ],
                "action": "flag",
            },
            "tokenizer": {"bpe_entries": 16_000, "megabytes": 10, "weights": {"text": 1}},
            "shards": {"heldout_fraction": 0.01, "tasks": 2},
        }
    )


def time_ours(args: argparse.Namespace, workers: int) -> dict[str, dict[str, float]]:
    """Time each step: its seconds, and the bytes that it read."""
    config = recipe(args, args.out / f"ours-{workers}", workers)
    found = {}
    for step in steps_of(config):
        start = time.perf_counter()
        run_step(config, step)
        seconds = time.perf_counter() - start
        summary = json.loads((config.output_dir / step / "summary.json").read_text())
        found[step] = {"bytes": summary["text"]["bytes_in"], "seconds": seconds}
        if step == "quality":  # training apart
            found[step]["seconds"] = summary["text"]["seconds"] / workers
    if workers == 1:
        found["repetition alone"] = time_repetition(step_folder(config, "read", "text"))
    make_tokenizer(config)
    folder = cleaned(config)["text"]
    output = config.shards_dir / "text"
    plan = ShardPlan(config.sources[0], folder, config.shards, config.tokenizer_dir, output)
    start = time.perf_counter()
    write_shards(plan, config.executor)
    seconds = time.perf_counter() - start
    found["tokenise"] = {"bytes": folder.tally().bytes_kept, "seconds": seconds}
    return found


def time_repetition(texts: StepFolder) -> dict[str, float]:
    """Time reading, words and every statistic, most of it repetition; nothing is written."""
    start, size = time.perf_counter(), 0
    for shard in texts.shards():
        for batch in read_batches(texts.kept(shard)):
            data, offsets = text_buffers(batch)
            measure(data, offsets, whitespace_spans(data, offsets), Lists(), hangul=False)
            size += int(offsets[-1] - offsets[0])
    return {"bytes": size, "seconds": time.perf_counter() - start}


class _Whitespace(WordTokenizer):
    """Words between spaces, as ours; datatrove's own tokenizers are slower."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()

    def sent_tokenize(self, text: str) -> list[str]:
        return text.splitlines()

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        raise NotImplementedError("no step of this benchmark asks for spans")


def time_datatrove(args: argparse.Namespace) -> dict[str, tuple[float, str]]:
    """Time datatrove's steps on the first shards: MB/s, and what they are."""
    ours = args.out / "ours-1"
    shards, size = args.out / "datatrove-in", 0
    shards.mkdir()
    for path in sorted((ours / "read" / "text" / "kept").glob("*.parquet")):
        if size < args.datatrove_megabytes * 1e6:
            (shards / path.name).symlink_to(path.resolve())
            stats = ours / "read" / "text" / "stats" / f"{path.stem}.json"
            size += json.loads(stats.read_text())["bytes_kept"]
    whitespace, bloom = _Whitespace(), BloomFilterConfig(2**24 - 1, k=7)
    model = ours / "quality" / "model" / "en" / "model.bin"
    steps: dict[str, tuple[list[PipelineStep], str]] = {
        "filter": (
            [
                GopherRepetitionFilter(language=whitespace),
                GopherQualityFilter(language=whitespace),
                FineWebQualityFilter(language=whitespace),
            ],
            "Gopher repetition and quality, FineWeb quality; no language identification",
        ),
        "repetition alone": ([GopherRepetitionFilter(language=whitespace)], "Gopher repetition"),
        "deduplicate": (
            [SingleBloomFilter(str(args.out / "bloom"), bloom, language=whitespace)],
            "SingleBloomFilter: whole documents, and wrong at most sizes",
        ),
        "quality": (
            [
                FastTextClassifierFilter(
                    str(model),
                    keep_labels=("positive", 0.0),
                    newline_replacement=" ",
                    save_labels_in_metadata=False,
                )
            ],
            "FastTextClassifierFilter, the same model",
        ),
    }
    found = {}
    for name, (work, what) in steps.items():
        out = args.out / f"datatrove-{name.replace(' ', '-')}"
        reader = ParquetReader(str(shards), text_key="text", id_key="id")
        found[name] = _run([reader, *work, ParquetWriter(str(out))], out, size), what
    text = args.out / "text" / "0.jsonl"
    reader = JsonlReader(str(args.out / "text"), paths_file=None, glob_pattern="0.jsonl")
    out = args.out / "datatrove-read"
    rate = _run([reader, ParquetWriter(str(out))], out, text.stat().st_size)
    found["read"] = rate, "JsonlReader and ParquetWriter"
    out = args.out / "datatrove-tokenise"
    tokenizer = ours / "tokenizer" / "tokenizer.json"
    reader = ParquetReader(str(shards), text_key="text", id_key="id")
    writer = DocumentTokenizer(str(out), str(tokenizer), seed=0)
    found["tokenise"] = _run([reader, writer], out, size), "the same block"
    return found


def _run(pipeline: list[PipelineStep], out: Path, size: float) -> float:
    executor = LocalPipelineExecutor(pipeline, logging_dir=str(out) + "-logs")
    start = time.perf_counter()
    executor.run()
    logger.remove()
    return size / 1e6 / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--text", nargs="+", required=True, help="JSONL files")
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--datatrove-megabytes", type=float, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--profile", default="en")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_data"))
    parser.add_argument("--keep", action="store_true", help="keep the text and what was made of it")
    args = parser.parse_args()
    if args.out.exists():
        parser.error(f"{args.out} is there; name another with --out, or delete it")
    size = write_text(args, args.out / "text", parts=4)
    with TemporaryDirectory() as small:
        # Compiles the kernels, which is done once per machine, and not timed.
        few = argparse.Namespace(**{**vars(args), "megabytes": 2, "out": Path(small) / "out"})
        write_text(few, few.out / "text", parts=1)
        time_ours(few, 1)
    ours = {workers: time_ours(args, workers) for workers in dict.fromkeys((1, args.workers))}
    theirs = time_datatrove(args)
    print(
        f"{size / 1e6:,.0f} MB of text, {processor()}, Python {platform.python_version()}, "
        f"datatrove {version('datatrove')}, commit {git_commit()}"
    )
    print(f"{'step':<20}{'1 process':>12}{f'{args.workers} workers':>12}{'datatrove':>12}  MB/s")
    rows = []
    for name in dict.fromkeys((*ours[1], *theirs)):
        rates = {
            workers: found[name]["bytes"] / 1e6 / found[name]["seconds"]
            for workers, found in ours.items()
            if name in found
        }
        rate, what = theirs.get(name, (None, "none without a package for evaluation besides"))
        cells = [f"{rates[w]:12.1f}" if w in rates else f"{'':>12}" for w in ours]
        print(f"{name:<20}{''.join(cells)}{rate or 0:12.1f}  {what}")
        rows.append({"step": name, "ours": rates, "datatrove": rate, "what": what})
    (args.out.parent / f"{args.out.name}.json").write_text(json.dumps(rows, indent=1) + "\n")
    if not args.keep:
        shutil.rmtree(args.out)


if __name__ == "__main__":
    main()
