"""The step: shards of seeds in, answers asked for, judged and written.

Its unit of work is a shard of seeds. First all of its requests are asked, in whatever order answers
come; then its files are written in the order of the seeds. So what is written depends on the
answers alone, and not on how often the run was killed or how many tasks it was dealt into.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from ..ask import Answer, AnswerStore, Request, answers_to, ask, request_id
from ..common.files import write_json_atomically
from ..engine.steps import StepFolder, Tally
from .acceptance import Acceptance
from .config import SynthesizeConfig
from .follow import Follower
from .output import KEPT, REJECTED, RowFiles, make_row
from .seeds import seed_requests
from .validation import Draft, Validator, Verdict

# Answers that are judged together: as they come, few, so that a floor is noticed soon; and when
# they are written, many, which is faster.
_AS_THEY_COME, _WRITTEN = 16, 256
DUPLICATE = "duplicate"

Judged = tuple[Request, Answer, Verdict]


def shard_name(source: str, shard: str) -> str:
    """Names the files of a shard of seeds."""
    return f"{source}-{shard}"


class SynthesizeStep(PipelineStep):
    """Asks for and writes the text of the seeds under `<output_dir>/read`.

    Args:
        config: the recipe.
    """

    name = "Synthesize"
    type = "SYNTHESIS"

    def __init__(self, config: SynthesizeConfig) -> None:
        super().__init__()
        self.config = config

    def shards(self) -> list[tuple[str, str]]:
        """All (source, shard) pairs with seeds, in order."""
        return [
            (seed.name, shard)
            for seed in self.config.seeds
            for shard in StepFolder(self.config.read_dir / seed.name).shards()
        ]

    def marker(self, source: str, shard: str) -> Path:
        """Written last, with what became of the seeds of a shard."""
        return self.config.text_dir / "done" / source / f"{shard}.json"

    def record(self, source: str, shard: str) -> dict[str, Any] | None:
        """What became of the seeds of a shard; `None` before it is done."""
        path = self.marker(source, shard)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def seeds_in(self, source: str, shard: str) -> tuple[int, int]:
        """Seeds of a shard, and their bytes."""
        tally = Tally.read(StepFolder(self.config.read_dir / source).stats(shard))
        return tally.documents_kept, tally.bytes_kept

    def answers(self, source: str, shard: str) -> AnswerStore:
        """The answers to a shard of seeds."""
        return AnswerStore(self.config.answers_dir / source / shard)

    def run(
        self, data: DocumentsPipeline = None, rank: int = 0, world_size: int = 1
    ) -> DocumentsPipeline:
        every = self.shards()
        own = every[rank::world_size]
        work = [shard for shard in own if self.record(*shard) is None]
        if not work:
            yield from ()
            return
        self._validator = Validator(self.config.validation, self.config.form)
        self._follow = Follower(self.config.text_dir, rank)
        acceptance = Acceptance()
        for shard in set(own) - set(work):
            acceptance += Acceptance(self.record(*shard)["outcomes"])
        for shard in work:
            record = self._process(*shard, acceptance, self._cap(own, every, shard))
            acceptance += Acceptance(record["outcomes"])
        yield from ()

    def _cap(
        self, own: list[tuple[str, str]], every: list[tuple[str, str]], shard: tuple[str, str]
    ) -> float | None:
        """What a shard may cost: the task's share of the cap, less the cost of its other shards."""
        if self.config.cap is None:
            return None
        sizes = {s: self.seeds_in(*s)[1] for s in every}
        allowance = self.config.cap * sum(sizes[s] for s in own) / sum(sizes.values())
        for other in own:
            if other != shard:
                # Not of finished shards alone: an earlier run may have dealt them otherwise.
                with self.answers(*other) as store:
                    allowance -= store.spent().cost
        return max(0.0, allowance)

    def _process(
        self, source: str, shard: str, acceptance: Acceptance, cap: float | None
    ) -> dict[str, Any]:
        path = StepFolder(self.config.read_dir / source).kept(shard)
        with self.answers(source, shard) as store:
            self._ask(seed_requests(self.config, path), store, acceptance, cap)
            outcomes = self._write(
                shard_name(source, shard), seed_requests(self.config, path), store
            )
            record = {"outcomes": outcomes.counts, **asdict(store.spent())}
        marker = self.marker(source, shard)
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(marker, record)
        return record

    def _ask(
        self,
        requests: Iterator[Request],
        store: AnswerStore,
        acceptance: Acceptance,
        cap: float | None,
    ) -> None:
        """Ask all, and stop when too few answers are accepted."""
        so_far, waiting = acceptance + Acceptance(), []

        def seen(request: Request, answer: Answer) -> None:
            waiting.append((request, answer))
            if len(waiting) == _AS_THEY_COME:
                for judged, _, verdict in self._judge(waiting):
                    so_far.add(judged.endpoint, judged.data.style, verdict.reason)
                waiting.clear()
                so_far.check(self.config.floor)

        with self._follow.shard() as follow:
            ask(requests, self.config.synthesizers, store, seen=seen, cap=cap, follow=follow)
        for judged, _, verdict in self._judge(waiting):
            so_far.add(judged.endpoint, judged.data.style, verdict.reason)
        so_far.check(self.config.floor)

    def _judge(self, answered: Iterable[tuple[Request, Answer]]) -> Iterator[Judged]:
        answered = list(answered)
        verdicts = self._validator.judge(
            [Draft(r.data.text, self.config.styles[r.data.style], a) for r, a in answered]
        )
        for (request, answer), verdict in zip(answered, verdicts):
            yield request, answer, verdict

    def _write(self, name: str, requests: Iterator[Request], store: AnswerStore) -> Acceptance:
        outcomes, known = Acceptance(), set()
        answered = answers_to(requests, self.config.synthesizers, store)
        with RowFiles(self.config.text_dir, name, list(self.config.synthesizers)) as files:
            while some := list(islice(answered, _WRITTEN)):
                for request, answer, verdict in self._judge(some):
                    key = request_id(self.config.synthesizers[request.endpoint], request)
                    if key in known:
                        detail = "an earlier seed of the shard has the same text"
                        verdict = Verdict(verdict.text, verdict.reasoning, DUPLICATE, detail)
                    known.add(key)
                    row = make_row(self.config, request, answer, verdict)
                    files.write(KEPT if verdict.reason is None else REJECTED, row)
                    outcomes.add(request.endpoint, request.data.style, verdict.reason)
        return outcomes
