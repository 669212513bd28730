"""What decontamination found, per evaluation task."""

from pathlib import Path
from typing import Any

from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from ..common.files import write_json_atomically
from ..engine.steps import StepFolder, Tally
from .config import DecontaminateConfig
from .index import INDEX, Index

REPORT = "report.json"
_EXAMPLES = 10


def write_report(config: DecontaminateConfig, sources: list[str], output_dir: Path) -> None:
    """Add up the counts of all shards into `<output_dir>/report.json`.

    Per task: items in all, those that could be searched for and why the others could not, n-grams
    searched for and left out as boilerplate, items found and their share of the searchable ones,
    documents and bytes they were found in (in all and by source), and the matched texts that most
    documents hold first.

    Args:
        config: the step.
        sources: names.
        output_dir: directory of the finished step.

    Raises:
        RecipeError: there is no index.
    """
    tallies = {source: StepFolder(output_dir / source).tally() for source in sources}
    total = sum(tallies.values(), Tally())
    tasks = {}
    for task, known in Index.load(output_dir / INDEX).record["tasks"].items():
        found: dict[str, Any] = total.counts.get("tasks", {}).get(task, {})
        matches = sorted(found.get("matches", {}).items(), key=lambda m: (-m[1], m[0]))
        items = found.get("items", {})
        tasks[task] = {
            **{name: count for name, count in known.items() if name != "first_item"},
            "items_found": len(items),
            "share_found": len(items) / known["items_searchable"],
            "documents": found.get("documents", 0),
            "bytes": found.get("bytes", 0),
            "documents_by_source": {
                source: tally.counts.get("tasks", {}).get(task, {}).get("documents", 0)
                for source, tally in tallies.items()
            },
            "examples": [{"text": t, "documents": n} for t, n in matches[:_EXAMPLES]],
            "found": sorted(map(int, items)),
        }
    report = {
        "action": config.action,
        "ngram_size": config.ngram_size,
        "min_words": config.min_words,
        "min_matches": config.min_matches,
        "documents": total.documents_in,
        "documents_removed": total.documents_rejected,
        "bytes_removed": total.bytes_rejected,
        "tasks": tasks,
    }
    write_json_atomically(output_dir / REPORT, report)


class WriteReport(PipelineStep):
    """`write_report` as a step of one task, to run after `DecontaminateStep`."""

    name = "Contamination report"
    type = "CLEANING"

    def __init__(self, sources: list[str], output_dir: Path, config: DecontaminateConfig) -> None:
        super().__init__()
        self.sources = sources
        self.output_dir = output_dir
        self.config = config

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        write_report(self.config, self.sources, self.output_dir)
        yield from ()
