"""What the filter did: rows that are kept or undecided, and a report."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from ..answers import same_answer
from ..ask.rows import Funnel, Outcome, row_files
from ..common.files import write_json_atomically
from ..common.page import Block, Bullets, Heading, Page, Paragraph, Span, Table, Text
from ..common.statistics import wilson
from .config import DifficultyConfig
from .decisions import DROPPED, KEPT, NO_ANSWER, UNDECIDED, UNREADABLE, WRONG
from .items import PROVENANCE, DifficultyItem
from .stages import LABELS_STAGE

_SHOWN = 300  # characters of a question in the Markdown report

Fate = tuple[DifficultyItem, list[Outcome]]


def one_wrong_answer(item: DifficultyItem, history: list[Outcome]) -> bool:
    """Tell whether all samples of all solvers are one and the same wrong value.

    Solvers that err by themselves seldom meet; more often the reference is wrong.
    """
    samples = [pair for o in history if "verdicts" in o for pair in zip(o["verdicts"], o["given"])]
    if item.type not in ("value", "choice") or any(v != WRONG for v, _ in samples):
        return False
    return all(same_answer(given, samples[0][1]) for _, given in samples)


def _stage_names(config: DifficultyConfig) -> list[str]:
    return [*config.solvers, *([LABELS_STAGE] if config.judges else [])]


def make_row(config: DifficultyConfig, fate: Fate) -> dict[str, Any]:
    """Build the item's row with where it comes from."""
    item, history = fate
    solvers, labels = {}, {}
    for name, outcome in zip(_stage_names(config), history):
        if "labels" in outcome:
            labels = outcome["labels"]
            continue
        solvers[name] = {
            "model": config.solvers[name].identity,
            **{key: outcome[key] for key in ("correct", "verdicts", "given")},
        }
    judges = {name: config.judges[name].identity for name in labels}
    provenance = {
        "solvers": solvers,
        "max_correct": config.max_correct,
        "labels": labels,
        "judges": judges,
        "one_wrong_answer": one_wrong_answer(item, history),
    }
    return item.row() | {PROVENANCE: provenance}


@dataclass
class _Tally:
    items: int = 0
    kept: int = 0
    dropped: int = 0
    undecided: int = 0

    def add(self, decision: str) -> None:
        self.items += 1
        setattr(self, decision, getattr(self, decision) + 1)

    def retention(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "retention": self.kept / self.items,
            "interval": wilson(self.kept, self.items),
        }


@dataclass
class _Collected:
    gates: list[_Tally]
    samples: list[Counter[str]]
    total: _Tally = field(default_factory=_Tally)
    domains: dict[str, _Tally] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)
    one_wrong_answer: int = 0
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def _collect(config: DifficultyConfig, funnel: Funnel[DifficultyItem]) -> _Collected:
    """Count, and write the rows that are kept and those that are undecided."""
    stages = _stage_names(config)
    found = _Collected([_Tally() for _ in stages], [Counter() for _ in stages])
    paths = {name: config.output_dir / f"{name}.jsonl" for name in (KEPT, UNDECIDED)}
    with row_files(paths) as write:
        for fate in funnel.fates():
            item, history = fate
            decision = history[-1]["decision"]
            row = make_row(config, fate)
            for number, outcome in enumerate(history):
                found.gates[number].add(outcome["decision"])
                labels = [label or UNREADABLE for label in outcome.get("labels", {}).values()]
                found.samples[number].update(outcome.get("verdicts", labels))
                if labels:
                    found.labels[" / ".join(labels)] += 1
            for tally in (found.total, found.domains.setdefault(item.domain, _Tally())):
                tally.add(decision)
            last = stages[len(history) - 1]
            where = decision if decision == KEPT else f"{decision} by {last}"
            shown = found.examples.setdefault(where, [])
            if len(shown) < config.examples:
                shown.append(row)
            if decision == KEPT:
                found.one_wrong_answer += row[PROVENANCE]["one_wrong_answer"]
            if decision != DROPPED:
                write(decision, row)
    return found


def write_report(config: DifficultyConfig, funnel: Funnel[DifficultyItem]) -> str:
    """Write everything but the outcomes; return the report in Markdown.

    Raises:
        RecipeError: a stage is not through, or the disk is full.
    """
    found = _collect(config, funnel)
    report: dict[str, Any] = {
        "samples": config.samples,
        "max_correct": config.max_correct,
        "gates": [
            {
                "name": name,
                "models": {model: e.identity for model, e in stage.endpoints.items()},
                **asdict(tally),
                "answers": dict(answers),
                "spent": asdict(funnel.spent(stage)),
            }
            for name, stage, tally, answers in zip(
                _stage_names(config), funnel.stages, found.gates, found.samples
            )
        ],
        "total": found.total.retention(),
        "domains": {name: found.domains[name].retention() for name in sorted(found.domains)},
        "labels": dict(found.labels),
        "one_wrong_answer": found.one_wrong_answer,
        "examples": found.examples,
    }
    write_json_atomically(config.output_dir / "report.json", report)
    page = build_page(report)
    page.write_both(config.output_dir / "report.html")
    return page.to_markdown()


def _retention_row(name: Text, row: dict[str, Any]) -> list[Text]:
    low, high = row["interval"]
    counts = (f"{row[what]:,}" for what in ("items", "kept", "undecided"))
    return [name, *counts, f"{row['retention']:.2%}", f"{low:.2%} to {high:.2%}"]


def _gate_row(gate: dict[str, Any]) -> list[Text]:
    answers = ", ".join(f"{name} {count:,}" for name, count in sorted(gate["answers"].items()))
    counts = (f"{gate[what]:,}" for what in ("items", "kept", "dropped", "undecided"))
    spent = gate["spent"]
    written, cost = f"{spent['completion_tokens']:,}", f"{spent['cost']:,.4f}"
    return [gate["name"], *counts, answers or "-", written, cost]


def _example(row: dict[str, Any]) -> Iterator[Block]:
    question = " ".join(row["question"].split())
    yield Paragraph(question if len(question) <= _SHOWN else question[:_SHOWN] + "…")
    lines = [f"right: {row['answer']}"]
    for name, solver in row[PROVENANCE]["solvers"].items():
        said = ", ".join(
            f"{verdict} ({given})" if given else verdict
            for verdict, given in zip(solver["verdicts"], solver["given"])
        )
        lines.append(f"{name}: {said}")
    if labels := row[PROVENANCE]["labels"]:
        lines.append(", ".join(f"{judge}: {label}" for judge, label in labels.items()))
    yield Bullets(lines)


def build_page(report: dict[str, Any]) -> Page:
    """Lay out the report."""
    page = Page("Difficulty filter")
    gates = "gate|items>|kept>|dropped>|undecided>|answers|tokens written>|cost>".split("|")
    domains = ["domain", "items>", "kept>", "undecided>", "retention>", "95 %>"]
    rows = [_retention_row(name, row) for name, row in report["domains"].items()]
    page.add(
        Paragraph(
            f"An item counts as wrong for a solver if at most {report['max_correct']} of "
            f"{report['samples']} answers are right; undecided are those for which answers that "
            "could not be read would decide. Intervals are 95 % (Wilson)."
        ),
        Table(gates, [_gate_row(gate) for gate in report["gates"]]),
        Table(domains, [*rows, _retention_row([Span("all")], report["total"])]),
        Paragraph(
            "Kept items to which all solvers give one and the same wrong answer: "
            f"{report['one_wrong_answer']:,}. Look at these first: the reference may be wrong."
        ),
    )
    if report["labels"]:
        counts = [[labels, f"{count:,}"] for labels, count in report["labels"].items()]
        page.add(Table(["labels", "items>"], counts))
    missing = sum(gate["answers"].get(NO_ANSWER, 0) for gate in report["gates"])
    if missing:
        remedy = "Delete `outcomes` and run the same command to ask these again."
        page.add(Paragraph(f"{missing:,} requests have no answer. {remedy}", "bad"))
    for where, examples in report["examples"].items():
        page.add(Heading(where), *(block for row in examples for block in _example(row)))
    return page
