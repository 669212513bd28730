"""What a synthesis run came to: acceptance, cost, and sources for a data recipe."""

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import yaml

from ..ask import Spent
from ..common.errors import RecipeError
from ..common.files import write_json_atomically
from .acceptance import ACCEPTED, Acceptance, reasons
from .config import SynthesizeConfig
from .step import KEPT, REJECTED, SynthesizeStep

REPORT, SOURCES = "report.json", "sources.yaml"


@dataclass(frozen=True)
class Report:
    """What a run came to.

    Attributes:
        outcomes: of all seeds.
        spent: on their answers, by this run and those before it.
    """

    outcomes: Acceptance
    spent: Spent

    def table(self) -> str:
        """Format acceptance by synthesizer and style."""
        width = max(len(s) + len(style) for s, style, _ in self.outcomes.rows()) + 4
        lines = [f"{'synthesizer, style':<{width}}{'answers':>10}{'accepted':>18}  rejected"]
        for synthesizer, style, outcomes in self.outcomes.rows():
            judged, accepted = sum(outcomes.values()), outcomes.get(ACCEPTED, 0)
            lines.append(
                f"{f'{synthesizer}, {style}':<{width}}{judged:>10,}{accepted:>10,} "
                f"{accepted / judged:>7.1%}  {reasons(outcomes)}"
            )
        spent = self.spent
        lines.append(
            f"paid for {spent.answers:,} answers: {spent.prompt_tokens:,} tokens read, "
            f"{spent.completion_tokens:,} written, cost {spent.cost:,.4f}"
        )
        return "\n".join(lines)


def collect(config: SynthesizeConfig) -> Report:
    """Add up what the tasks wrote down.

    Raises:
        RecipeError: shards that are not done, or seeds without an outcome.
    """
    step = SynthesizeStep(config)
    outcomes, spent, seeds = Acceptance(), Spent(), 0
    for shard in step.shards():
        record = step.record(*shard)
        if record is None:
            raise RecipeError(
                f"{step.marker(*shard)}: this shard is not done; run the same command to go on"
            )
        outcomes += Acceptance(record["outcomes"])
        spent += Spent(**{f.name: record[f.name] for f in fields(Spent)})
        seeds += step.seeds_in(*shard)[0]
    judged = sum(sum(counts.values()) for _, _, counts in outcomes.rows())
    if judged != seeds:
        raise RecipeError(
            f"{config.text_dir}: {seeds:,} seeds have {judged:,} outcomes; delete it and run the "
            "same command again, answers are kept elsewhere"
        )
    return Report(outcomes, spent)


def sources(config: SynthesizeConfig, outcomes: Acceptance) -> list[dict[str, Any]]:
    """List the output as sources of a data recipe: one per synthesizer that wrote something."""
    return [
        {
            "name": f"{config.output_dir.name}_{name}",
            "path": str(config.text_dir / KEPT / name),
            "language": config.validation.language,
            "licence": config.licence,
            "synthesizer": name,
            # Only sources with a template may have `<think>` as a token.
            **({"template": "{text}"} if config.form == "reasoning" else {}),
        }
        for name in config.synthesizers
        if outcomes.of(name).get(ACCEPTED)
    ]


def _only_refused(config: SynthesizeConfig, outcomes: Acceptance) -> str | None:
    """What a server said to one of the requests, if none had any other outcome."""
    if any(set(counts) != {"refused_by_server"} for _, _, counts in outcomes.rows()):
        return None
    for path in sorted((config.text_dir / REJECTED).glob("*/*.jsonl")):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                return json.loads(line)["detail"]
    return None


def finish(config: SynthesizeConfig) -> None:
    """Write the report and the sources, and print them.

    Raises:
        RecipeError: the run is not whole, or nothing was accepted.
    """
    report = collect(config)
    write_json_atomically(
        config.output_dir / REPORT,
        {"outcomes": report.outcomes.counts, "spent": asdict(report.spent)},
    )
    print(report.table())
    rows = sources(config, report.outcomes)
    if not rows:
        why = "no answer was accepted; the rejected ones are there, with reasons"
        if refusal := _only_refused(config, report.outcomes):
            why = (
                f"the server refused every request, one with: {refusal}. Correct model or "
                "sampling, delete that folder and run the same command: all are asked again"
            )
        raise RecipeError(f"{config.text_dir}: {why}")
    if config.form == "picture":
        print(f"rows for training with pictures: {config.text_dir / KEPT}/*/*.jsonl")
        return
    text = yaml.safe_dump({"sources": rows}, allow_unicode=True, sort_keys=False)
    (config.output_dir / SOURCES).write_text(text, encoding="utf-8")
    print(f"sources for a data recipe: {config.output_dir / SOURCES}")
    unanswered = sum(o.get("no_answer", 0) for _, _, o in report.outcomes.rows())
    if unanswered:
        print(
            f"warning: {unanswered:,} requests had no answer in all attempts; delete "
            f"{config.text_dir} and run the same command to ask these again"
        )
