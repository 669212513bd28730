"""`python -m data_recipes report`: one page of what a recipe did to its text.

Read from the folders of a run, finished or not; memory holds samples and sums only.
"""

import argparse
import hashlib
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from ..common.config_files import CONFIGS, find_recipe, load_config
from ..common.errors import RecipeError
from ..common.files import SETTINGS
from ..common.page import (
    Block,
    Bullets,
    Cell,
    Details,
    Heading,
    Page,
    Paragraph,
    Pre,
    Span,
    Table,
    made,
)
from ..engine.steps import Tally
from ..prepare.chain import steps_of
from ..prepare.config import DataConfig
from ..quality.classifier import REPORT, fasttext_version
from ..tokens.shards import read_manifest
from .examples import draw_examples
from .funnel import FunnelRow, ShardFunnel
from .histograms import Panel, draw_histograms
from .records import finished_steps

# Those that decide what becomes of a text.
_PACKAGES = (
    "datatrove",
    "numba",
    "numpy",
    "orjson",
    "py3langid",
    "pyarrow",
    "regex",
    "tokenizers",
    "transformers",
)
_LENGTH = "length"
_QUALITY = "quality_"
_PROBLEMS = 20  # shown
_OPEN = 4  # statistics up to which they are unfolded


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.2f}"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _file(name: str, path: Path) -> Details:
    data = path.read_bytes()
    sha256 = Span(f"SHA-256 {hashlib.sha256(data).hexdigest()}", "dim")
    return Details([f"{name} ", sha256], [Pre(data.decode())])


def build_report(config: DataConfig) -> tuple[Page, list[str]]:
    """Lay out everything that is there of a recipe's run.

    Returns:
        The report, and what does not add up, each as a sentence.

    Raises:
        RecipeError: no shard of any step is finished, or a file is damaged.
    """
    there = finished_steps(config.output_dir)
    names = [step for step in steps_of(config) if step in there]
    if not names or names != steps_of(config)[: len(names)]:
        raise RecipeError(
            f"{config.output_dir}: has the steps {', '.join(there)}, which are not the first ones "
            f"of this recipe ({', '.join(steps_of(config))}); is it the config of this run?"
        )
    funnel = ShardFunnel(config, names)
    page = Page(f"Data report: {config.output_dir}")
    page.add(made({name: version(name) for name in _PACKAGES} | fasttext_version()))
    page.add(Heading("Funnel"), *_funnel(funnel))
    for name in names:
        page.add(Heading(name), *_step(config, funnel, name))
    page.add(Heading("Tokens"), *_tokens(config.shards_dir), Heading("Settings"))
    page.add(*(_file(name, config.output_dir / name / SETTINGS) for name in names))
    training = config.tokenizer_dir / "training.json"
    if training.is_file():
        page.add(_file("tokenizer", training))
    values = config.model_dump(mode="json")
    recipe = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    page.add(Details("The recipe as it is now", [Pre(recipe)]))
    return page, funnel.problems


def _funnel(funnel: ShardFunnel) -> Iterator[Block]:
    problems = funnel.problems
    if problems:
        more = [f"and {len(problems) - _PROBLEMS:,} more"] if len(problems) > _PROBLEMS else []
        yield Paragraph("Documents do not add up:", "bad")
        yield Bullets([*problems[:_PROBLEMS], *more], "bad")
    else:
        yield Paragraph(
            "Every document adds up: of each shard, what came in is what the step before kept, "
            "each document was kept or removed for a counted reason, and the files have as many "
            "rows as were counted."
        )
    yield _funnel_table(funnel.languages, "language")
    yield Details("By source", [_funnel_table(funnel.sources, "source")])
    yield Paragraph(
        "MB are 1e6 bytes of UTF-8 text; of a row that could not be read, bytes of its file. "
        "Seconds are summed over processes, MB/s are those of one process.",
        "dim",
    )
    before, after = (funnel.languages[funnel.steps[place]] for place in (0, -1))
    yield Heading("Lengths of documents", 3)
    panels = [
        Panel(
            first.group,
            "bytes",
            *(row.tally.counts["histograms"][_LENGTH]["bytes"]["kept"] for row in (last, first)),
        )
        for first, last in zip(before, after)
    ]
    yield draw_histograms("lengths as read and at the end", panels, removed_below=False)
    yield Paragraph("Orange: as read. Blue: at the end. Bytes on a logarithmic axis.", "dim")


def _funnel_table(steps: dict[str, list[FunnelRow]], group: str) -> Table:
    columns = f"step|{group}|documents in>|kept>|removed>|of all read>|MB in>|MB kept>|MB removed>"
    columns += "|MB out of kept ones>|of all read>|seconds>|MB/s>"
    return Table(columns.split("|"), [_funnel_row(r) for rows in steps.values() for r in rows])


def _funnel_row(row: FunnelRow) -> list[Cell]:
    tally = row.tally
    left = f" ({row.left:,} shards to go)" if row.left else ""
    texts = [row.step, row.group + left]
    texts += [
        f"{n:,}" for n in (tally.documents_in, tally.documents_kept, tally.documents_rejected)
    ]
    texts.append(f"{row.documents_share:.1%}")
    sizes = (tally.bytes_in, tally.bytes_kept, tally.bytes_rejected, row.bytes_changed)
    texts += [*map(_megabytes, sizes), f"{row.bytes_share:.1%}", f"{tally.seconds:,.1f}"]
    texts.append("" if row.rate is None else f"{row.rate:,.1f}")
    bars = {5: row.documents_share, 10: row.bytes_share}
    tone = "bad" if row.problems else ""
    return [Cell(text, bar=bars.get(place), tone=tone) for place, text in enumerate(texts)]


def _step(config: DataConfig, funnel: ShardFunnel, name: str) -> Iterator[Block]:
    root = config.output_dir / name
    rows, total = funnel.languages[name], funnel.total(name)
    settings = _read_json(root / SETTINGS)[name]
    classifiers = {p.parent.name: _read_json(p) for p in sorted(root.glob(f"model/*/{REPORT}"))}
    yield from _reasons(total, rows)
    yield from _counts(rows)
    yield from _bloom_filters(root, settings)
    for language, report in classifiers.items():
        yield from _classifier(language, report)
    if (root / "report.json").is_file():
        yield from _tasks(_read_json(root / "report.json")["tasks"])
    for row in rows:
        yield from _statistics(row, settings, classifiers)
    examples = draw_examples(config, name)
    if examples.removed:
        yield Heading("Paragraphs taken out of kept documents", 3)
        yield Paragraph("Marked: n-grams that had been seen before.", "dim")
        yield from examples.removed
    for reason in _by_frequency(total):
        if reason in examples.rejected:
            yield Details(f"Removed: {reason}", examples.rejected[reason])
    if examples.kept:
        yield Details("Kept", examples.kept)


def _by_frequency(total: Tally) -> list[str]:
    return sorted(total.reasons, key=lambda reason: (-total.reasons[reason]["documents"], reason))


def _reasons(total: Tally, rows: list[FunnelRow]) -> Iterator[Block]:
    if not total.reasons:
        yield Paragraph("No document was removed.")
        return
    groups = {"all": total, **{row.group: row.tally for row in rows}}
    columns = [f"{group}: {what}>" for group in groups for what in ("documents", "MB")]
    lines = []
    for reason in _by_frequency(total):
        found = [tally.reasons.get(reason, {}) for tally in groups.values()]
        pairs = ((f"{f.get('documents', 0):,}", _megabytes(f.get("bytes", 0))) for f in found)
        lines.append([reason, *(text for pair in pairs for text in pair)])
    yield Table(["reason", *columns], lines)


def _counts(rows: list[FunnelRow]) -> Iterator[Block]:
    """Show plain numbers among what a step counted."""
    names = dict.fromkeys(
        name
        for row in rows
        for name, value in row.tally.counts.items()
        if isinstance(value, int | float)
    )

    def shown(value: float | None) -> str:
        if value is None:
            return ""
        return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"

    if names:
        yield Table(
            ["counted", *(f"{row.group}>" for row in rows)],
            [[name, *(shown(row.tally.counts.get(name)) for row in rows)] for name in names],
        )


def _bloom_filters(root: Path, settings: dict[str, Any]) -> Iterator[Block]:
    filters = [_read_json(path) for path in sorted(root.glob("filters/*/filter.json"))]
    if not filters:
        return
    asked = settings["false_positive_rate"]
    columns = "filter|MB>|n-grams expected>|inserted>|bits set>|false positives, now>|asked for>"
    lines = []
    for number, own in enumerate(filters):
        texts = [str(number), _megabytes(own["words"] * 8), f"{own['expected_ngrams']:,}"]
        texts += [f"{own['inserted_ngrams']:,}", f"{own['fill']:.1%}"]
        texts += [f"{own['false_positive_rate']:.3%}", f"{asked:.3%}"]
        tone = "bad" if own["false_positive_rate"] > asked else ""
        lines.append([Cell(text, tone=tone) for text in texts])
    yield Heading("Bloom filters", 3)
    yield Table(columns.split("|"), lines)


def _classifier(language: str, report: dict[str, Any]) -> Iterator[Block]:
    chosen = " ".join(f"{how} {value}" for how, value in report["chosen_by"].items())
    text = (
        f"Documents with a score of at least {report['threshold']:.6f} are kept (chosen by "
        f"{chosen}); that is {report['keep_rate']:.1%} of a sample of "
        f"{report['incoming_documents_sampled']:,} incoming ones."
    )
    if "heldout" in report:
        text += f" On labelled held-out documents: ROC AUC {report['heldout']['roc_auc']:.3f}."
    yield Heading(f"Classifier: {language}", 3)
    yield Paragraph(text)
    if "thresholds" in report:
        lines = []
        for row in report["thresholds"]:
            threshold = f"{row['threshold']:.4f}"
            precision = "" if row["precision"] is None else f"{row['precision']:.1%}"
            lines.append(
                [[Span(threshold)] if row["chosen"] else threshold, f"{row['keep_rate']:.1%}"]
                + [precision, f"{row['recall']:.1%}"]
            )
        columns = ["threshold>", "kept of incoming>", "precision>", "recall>"]
        yield Details("Other thresholds", [Table(columns, lines)])
    near: list[Block] = []
    for side, tone in (("kept", "good"), ("removed", "bad")):
        for own in report["around_threshold"][side]:
            near.append(Paragraph(f"{own['id']}: {own['score']:.6f}, {side}", "dim"))
            near.append(Pre(own["text"], tone, language))
    yield Details("Documents on either side of the threshold", near)


def _tasks(tasks: dict[str, dict[str, Any]]) -> Iterator[Block]:
    names = ("items", "items_searchable", "items_found")
    lines = [
        [task, *(f"{own[name]:,}" for name in names), f"{own['share_found']:.1%}"]
        + [f"{own['documents']:,}", _megabytes(own["bytes"])]
        for task, own in tasks.items()
    ]
    columns = "task|items>|searched for>|found>|share>|documents>|MB>"
    yield Heading("Evaluation tasks", 3)
    yield Table(columns.split("|"), lines)
    for task, own in tasks.items():
        shown: list[Block] = []
        for example in own["examples"]:
            shown.append(Paragraph(f"{example['documents']:,} documents", "dim"))
            shown.append(Pre(example["text"], "bad"))
        if shown:
            yield Details(f"{task}: text that was found", shown)


def _statistics(
    row: FunnelRow, settings: dict[str, Any], classifiers: dict[str, dict[str, Any]]
) -> Iterator[Block]:
    panels = [
        Panel(name, scale, own["kept"], own["rejected"], _limits(row, name, settings, classifiers))
        for name, scales in row.tally.counts.get("histograms", {}).items()
        for scale, own in scales.items()
        # What was read but not rejected is drawn with the lengths at the end.
        if (row.step, name) != ("read", _LENGTH)
    ]
    if panels:
        picture = draw_histograms(f"statistics of {row.group} in {row.step}", panels)
        note = (
            "Blue: kept. Orange: removed, for whatever reason, below the axis. Numbers of "
            "documents on a logarithmic scale. Dashed: the limits."
        )
        blocks = [picture, Paragraph(note, "dim")]
        yield Details(f"Statistics: {row.group}", blocks, open=len(panels) < _OPEN)


def _limits(
    row: FunnelRow, statistic: str, settings: dict[str, Any], classifiers: dict[str, dict[str, Any]]
) -> list[float]:
    """Return the limits that a step had on a statistic, as its settings or reports say."""
    if statistic.startswith(_QUALITY):
        return [classifiers[statistic.removeprefix(_QUALITY)]["threshold"]]
    if row.step != "filter":
        return []
    profile = settings["profiles"][row.group]
    limits = [profile["limits"].get(statistic)]
    if statistic == "language_score":
        limits.append(profile["language_id"])
    found = (limit.get(side) for limit in limits if limit for side in ("min", "max"))
    return [value for value in found if value is not None]


def _tokens(shards: Path) -> Iterator[Block]:
    manifests = [read_manifest(p.parent) for p in sorted(shards.glob("*/*/manifest.json"))]
    if not manifests:
        yield Paragraph("Not tokenised yet.")
        return
    lines: list[list[Any]] = [
        [m.name, m.split, m.language, f"{m.documents:,}", f"{m.tokens:,}", f"{len(m.files):,}"]
        + [m.licence, m.synthesizer or "", m.fingerprint[:12]]
        for m in manifests
    ]
    sums = (f"{sum(getattr(m, what) for m in manifests):,}" for what in ("documents", "tokens"))
    lines.append([[Span("all")], "", "", *sums, "", "", "", ""])
    columns = "source|split|language|documents>|tokens>|files>|licence|synthesizer|fingerprint"
    yield Table(columns.split("|"), lines)
    hashes = ", ".join(dict.fromkeys(m.tokenizer_sha256 for m in manifests))
    yield Paragraph(f"Tokenizer: SHA-256 {hashes}", "dim")


def run(args: argparse.Namespace) -> None:
    """Write the page, and the same as Markdown beside it.

    Raises:
        RecipeError: nothing to report on, or documents that do not add up (the page is written).
    """
    config = load_config(find_recipe(args.config, CONFIGS), DataConfig, args.overrides)
    page, problems = build_report(config)
    path = args.out or config.output_dir / "report.html"
    page.write_both(path)
    print(path)
    if problems:
        more = f"\n  and {len(problems) - 5:,} more" if len(problems) > 5 else ""
        raise RecipeError(
            f"{path}: documents do not add up:\n  " + "\n  ".join(problems[:5]) + more
        )
