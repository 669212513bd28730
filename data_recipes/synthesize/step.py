"""The step: shards of seeds in, answers asked for, checked and written.

Its unit of work is a shard of seeds, which `ask.rows` asks about. What is written does not depend
on how many tasks the shards were dealt into.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from datatrove.data import DocumentsPipeline
from datatrove.pipeline.base import PipelineStep

from ..ask import Answer, AnswerStore, Request, request_id
from ..ask.progress import Follow, TaskTotals
from ..ask.rows import AskMore, Outcome, Stage, ask_about, row_files
from ..common.files import write_json_atomically
from ..engine.steps import StepFolder, Tally
from ..read.conversations import about_picture
from ..read.source import trace_text
from .acceptance import Acceptance
from .config import SynthesizeConfig
from .picture_checks import read_turns
from .seeds import Seed, read_seeds
from .validation import Draft, Validated, Validator

# Answers that are checked together: as they come, few, so that a floor is noticed soon; and when
# they are written, many, which is faster.
_AS_THEY_COME, _WRITTEN = 16, 256
KEPT, REJECTED = "kept", "rejected"
DUPLICATE = "duplicate"


def make_row(
    config: SynthesizeConfig, seed: Seed, key: bytes, answer: Answer, checked: Validated
) -> dict[str, Any]:
    """Build a row with everything that its text came from.

    `text` comes first and is what readers take; with `form: reasoning` it is the whole document,
    and its parts stand beside it. Rejected rows say why, and have the server's words as they came.
    """
    endpoint = config.synthesizers[seed.synthesizer]
    text, parts = checked.text, {}
    if config.form == "reasoning":
        parts = {"question": seed.text, "reasoning": checked.reasoning, "answer": checked.text}
        text = trace_text(**parts)
    elif config.pictures is not None:
        parts = _picture_parts(config, seed, text)
    row = {
        "text": text,
        **parts,
        "language": config.validation.language,
        "seed_id": seed.id,
        "seed_cut": seed.cut,
        "style": seed.style,
        "prompt_sha256": config.styles[seed.style].sha256,
        "synthesizer": seed.synthesizer,
        "model": answer.model or endpoint.identity,
        "sampling": endpoint.sampling.fields(),
        "finish_reason": answer.finish_reason,
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
        },
        "request_id": key.hex(),
    }
    if checked.reason is None:
        return row
    given = {"text": answer.text, "reasoning": answer.reasoning}
    return {"reason": checked.reason, "detail": checked.detail, **row, **given}


def _picture_parts(config: SynthesizeConfig, seed: Seed, text: str) -> dict[str, Any]:
    """Make what a picture set's row has besides: its path from the row's file, and the turns."""
    folder = config.text_dir / KEPT / seed.synthesizer
    return {
        "images": [os.path.relpath(config.pictures / seed.text, folder)],
        "messages": about_picture(read_turns(text) or []),
        "kind": seed.style,
    }


class SeedStage(Stage[Seed]):
    """What is asked about the seeds of one shard, and the rows that follow.

    Args:
        config: the recipe.
        validator: by its rules.
    """

    def __init__(self, config: SynthesizeConfig, validator: Validator) -> None:
        self.name = "synthesize"
        self.endpoints = dict(config.synthesizers)
        self._config = config
        self._validator = validator
        self._known: set[bytes] = set()

    def request(self, seed: Seed) -> Request:
        """Return the one request of a seed."""
        messages = self._config.messages(seed.style, seed.text)
        return Request(seed.synthesizer, messages, data=seed)

    def requests(self, seed: Seed) -> list[Request]:
        return [self.request(seed)]

    def validate(self, answered: list[tuple[Seed, Answer]]) -> list[Validated]:
        """Check answers by themselves."""
        styles = self._config.styles
        return self._validator.check(
            [Draft(seed.text, styles[seed.style], answer, seed.tags) for seed, answer in answered]
        )

    def check(self, rows: list[tuple[Seed, list[Answer]]], ask_more: AskMore) -> list[Outcome]:
        outcomes = []
        answered = [(seed, answers[0]) for seed, answers in rows]
        for (seed, answer), checked in zip(answered, self.validate(answered)):
            key = request_id(self.endpoints[seed.synthesizer], self.request(seed))
            if key in self._known:
                detail = "an earlier seed of the shard has the same text"
                checked = replace(checked, reason=DUPLICATE, detail=detail)
            self._known.add(key)
            row = make_row(self._config, seed, key, answer, checked)
            outcomes.append({"reason": checked.reason, "row": row})
        return outcomes


class _FloorWatch:
    """Checks answers as they come, so that a run in which too few are accepted stops soon."""

    def __init__(self, config: SynthesizeConfig, stage: SeedStage, before: Acceptance) -> None:
        self._floor = config.floor
        self._stage = stage
        self._so_far = before + Acceptance()
        self._waiting: list[tuple[Seed, Answer]] = []

    def seen(self, request: Request, answer: Answer) -> None:
        self._waiting.append((request.data, answer))
        if len(self._waiting) == _AS_THEY_COME:
            self.check()

    def check(self) -> None:
        for (seed, _), checked in zip(self._waiting, self._stage.validate(self._waiting)):
            self._so_far.add(seed.synthesizer, seed.style, checked.reason)
        self._waiting.clear()
        self._so_far.check(self._floor)


def progress_dir(config: SynthesizeConfig) -> Path:
    """Name the folder in which tasks write how far they are."""
    return config.text_dir / "progress"


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
        """List all (source, shard) pairs with seeds, in order."""
        return [
            (seed.name, shard)
            for seed in self.config.seeds
            for shard in StepFolder(self.config.read_dir / seed.name).shards()
        ]

    def marker(self, source: str, shard: str) -> Path:
        """Name the file that is written last, with what became of the seeds of a shard."""
        return self.config.text_dir / "done" / source / f"{shard}.json"

    def record(self, source: str, shard: str) -> dict[str, Any] | None:
        """Return what became of the seeds of a shard; `None` before it is done."""
        path = self.marker(source, shard)
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def seeds_in(self, source: str, shard: str) -> tuple[int, int]:
        """Count the seeds of a shard, and their bytes."""
        tally = Tally.read(StepFolder(self.config.read_dir / source).stats(shard))
        return tally.documents_kept, tally.bytes_kept

    def seeds(self, source: str, shard: str) -> Iterator[Seed]:
        """Yield the seeds of a shard, in order."""
        return read_seeds(self.config, StepFolder(self.config.read_dir / source).kept(shard))

    def answers(self, source: str, shard: str) -> AnswerStore:
        """Open the answers to a shard of seeds."""
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
        seeds = (seed for shard in every for seed in self.seeds(*shard))
        names = {t for seed in seeds for t in seed.tags} if self.config.pictures else set()
        self._validator = Validator(self.config.validation, self.config.form, frozenset(names))
        self._totals = TaskTotals(progress_dir(self.config), rank)
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
        stage = SeedStage(self.config, self._validator)
        with self.answers(source, shard) as store, self._totals.part() as follow:
            outcomes = self._write(source, shard, stage, store, acceptance, cap, follow)
            record = {"outcomes": outcomes.counts, **asdict(store.spent())}
        marker = self.marker(source, shard)
        marker.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(marker, record)
        return record

    def _write(
        self,
        source: str,
        shard: str,
        stage: SeedStage,
        store: AnswerStore,
        before: Acceptance,
        cap: float | None,
        follow: Follow,
    ) -> Acceptance:
        watch = _FloorWatch(self.config, stage, before)
        outcomes = Acceptance()
        asked = ask_about(
            lambda: self.seeds(source, shard),
            stage,
            store,
            cap=cap,
            seen=watch.seen,
            follow=follow,
            at_once=_WRITTEN,
        )
        with row_files(self._paths(source, shard)) as write:
            for seed, outcome in asked:
                reason = outcome["reason"]
                write(f"{REJECTED if reason else KEPT}/{seed.synthesizer}", outcome["row"])
                outcomes.add(seed.synthesizer, seed.style, reason)
            watch.check()
        return outcomes

    def _paths(self, source: str, shard: str) -> dict[str, Path]:
        """Files of a shard, two per synthesizer, so that one without rows has its empty files."""
        folders = [f"{o}/{name}" for o in (KEPT, REJECTED) for name in self.config.synthesizers]
        text = self.config.text_dir
        return {folder: text / folder / f"{source}-{shard}.jsonl" for folder in folders}
