"""Checkpoints of a run as model directories, one Hub revision each, and the table of them."""

import csv
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    open_staged,
    staged_folder,
    write_json_atomically,
)
from data_recipes.tokens.mixture import CYCLE

from ..inputs import hash_weights
from ..opened_run import FINAL, REPRODUCE, OpenedRun
from ..push import hub_errors, push
from .checkpoint_weights import write_model
from .checkpoints import checkpoint_step, list_checkpoints
from .handover import BASE_USAGE
from .metrics import read_metrics
from .reproduce import write_recipe
from .resume import find_damage

TABLE = "checkpoints.csv"
ORDER = "data_order.json"
_STAGED = ".publish"
_BITS = "bits_per_byte/"


def short_count(number: int) -> str:
    """Write a number of tokens in three digits: 512k, 8.39M, 1.8T."""
    value, suffixes = float(number), iter(("", "k", "M", "B", "T"))
    suffix = next(suffixes)
    while value >= 999.5 and suffix != "T":
        value, suffix = value / 1000, next(suffixes)
    return f"{value:.3g}{suffix}"


@dataclass(frozen=True)
class Release:
    """A checkpoint as it is published.

    Attributes:
        run: that it is of.
        checkpoint: its directory.
        step: of the run.
        tokens: that the run had read by then.
        bits_per_byte: by language, if they were measured at this step.
    """

    run: OpenedRun
    checkpoint: Path
    step: int
    tokens: int
    bits_per_byte: dict[str, float]

    @property
    def revision(self) -> str:
        stage = self.run.config.stage
        return f"{stage}-step{self.step}-tokens{short_count(self.tokens)}"


def find_releases(run: OpenedRun) -> list[Release]:
    """List what a run has to publish.

    Raises:
        RecipeError: no checkpoint, a damaged one, or one in the middle of a growth.
    """
    measured: dict[int, dict[str, float]] = {}
    for line in read_metrics(run.directory):
        values = {k.removeprefix(_BITS): v for k, v in line.items() if k.startswith(_BITS)}
        if values:
            measured[line["step"]] = values
    releases = []
    for checkpoint in list_checkpoints(run.directory):
        if damage := find_damage(checkpoint):
            raise RecipeError(f"{checkpoint} is damaged ({damage}); restore it or move it away")
        step = checkpoint_step(checkpoint)
        tokens = step * run.config.batch.tokens_per_step
        growth = run.config.growth
        if growth and not growth.is_over(tokens):
            raise RecipeError(
                f"{checkpoint}: is in the middle of a growth, whose masks no other program knows; "
                "move it away"
            )
        releases.append(Release(run, checkpoint, step, tokens, measured.get(step, {})))
    if not releases:
        raise RecipeError(
            f"{run.directory}: has no checkpoint-N; keep them with logging.keep_checkpoints=0, or "
            f"upload {FINAL}/ with `kormo push`"
        )
    return releases


def _one_hash(files: dict[str, str]) -> str:
    """Return one hash of a model's weight files: the file's own if there is one.

    Args:
        files: SHA-256 by name.
    """
    if len(files) == 1:
        return next(iter(files.values()))
    listed = "\n".join(f"{name} {sha256}" for name, sha256 in sorted(files.items()))
    return hashlib.sha256(listed.encode()).hexdigest()


def assemble(release: Release, directory: Path) -> str:
    """Write a checkpoint as a model directory; returns the hash of its weights.

    Raises:
        RecipeError: damaged weights, or a full disk.
    """
    run = release.run
    with staged_folder(directory) as staging:
        write_model(run, release.checkpoint, staging)
        write_recipe(run.config, staging)
        (staging / "README.md").write_text(_card(release), encoding="utf-8")
    return _one_hash(hash_weights(directory))


def _card(release: Release) -> str:
    run = release.run
    sources = [source.manifest for source in run.mixture.sources.values()]
    languages = "\n".join(f"- {code}" for code in sorted({m.language for m in sources}))
    measured = "".join(
        f"| held-out bits per byte, {language} | {value:.4f} |\n"
        for language, value in release.bits_per_byte.items()
    )
    licences = ", ".join(sorted({m.licence for m in sources}))
    return f"""---
library_name: transformers
pipeline_tag: text-generation
language:
{languages}
tags:
- kormo
---

# KORMo {run.config.size}, {run.config.stage}, step {release.step:,}

An intermediate checkpoint, trained with KORMo Recipes. `{TABLE}` on `main` lists all of them;
`{ORDER}` there says how to tell which documents each step read.

| | |
|---|---|
| step | {release.step:,} of {run.steps.total:,} |
| tokens of this stage | {release.tokens:,} |
| parent | {run.config.model.init_from or "random initialisation"} |
| data fingerprint | `{run.mixture.fingerprint}` |
{measured}
Licences of the data: {licences}.

## Use

{BASE_USAGE}
"""


def describe_order(run: OpenedRun) -> dict[str, object]:
    """Say which documents each step of a run reads, as the numbers that decide it."""
    mixture, config = run.mixture, run.config
    sources = {}
    for name, source in mixture.sources.items():
        facts = source.manifest.model_dump(
            include={"language", "licence", "source", "synthesizer", "documents", "tokens"}
        )
        sources[name] = {
            "windows_of_a_cycle": mixture.counts[name],
            "windows_of_an_epoch": source.windows(mixture.sequence_length),
            "fingerprint": source.manifest.fingerprint,
            **facts,
        }
    return {
        "rule": (
            "Step s reads the training windows (s - 1) * windows_of_a_step to s * windows_of_a_step"
            " - 1. Which window of which source each is follows from the numbers here, by "
            "data_recipes/tokens/mixture.py; `kormo replay RUN --step s` prints it."
        ),
        "stage": config.stage,
        "fingerprint": mixture.fingerprint,
        "tokenizer_sha256": mixture.tokenizer_sha256,
        "seed": mixture.seed,
        "packing": mixture.packing,
        "tokens_of_a_window": mixture.sequence_length,
        "windows_of_a_step": config.batch.windows_per_step,
        "windows_of_a_cycle": CYCLE,
        "steps": run.steps.total,
        "sources": sources,
    }


class CheckpointTable:
    """`checkpoints.csv` in the directory of a run: what has been published of it, and where.

    Rows stay when old checkpoints are removed from the disk: their revisions are still there.

    Args:
        run: whose table it is.
    """

    def __init__(self, run: OpenedRun) -> None:
        self.path = run.directory / TABLE
        self._rows: dict[str, dict[str, str]] = {}
        if self.path.is_file():
            with self.path.open(encoding="utf-8", newline="") as file:
                self._rows = {row["revision"]: row for row in csv.DictReader(file)}

    def hash_of(self, revision: str) -> str | None:
        """Hash of the weights that were published as a revision."""
        return self._rows.get(revision, {}).get("weights_sha256")

    def add(self, release: Release, weights: str) -> None:
        """Note what is published, in the order of steps."""
        measured = {f"bits_per_byte_{k}": f"{v:.6f}" for k, v in release.bits_per_byte.items()}
        facts = {"step": str(release.step), "tokens": str(release.tokens)}
        self._rows[release.revision] = {
            **facts,
            "revision": release.revision,
            "weights_sha256": weights,
            **measured,
        }
        rows = sorted(self._rows.values(), key=lambda row: int(row["step"]))
        columns = dict.fromkeys(key for row in rows for key in row)
        with open_staged(self.path) as file:
            writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


class Hub:
    """What is on the Hub already.

    Args:
        repo: `OWNER/NAME`.
    """

    def __init__(self, repo: str) -> None:
        self.repo, self._api = repo, HfApi()

    @cached_property
    def revisions(self) -> set[str]:
        """Branches of the repository; none if there is no such repository."""
        with hub_errors(self.repo):
            try:
                return {branch.name for branch in self._api.list_repo_refs(self.repo).branches}
            except HfHubHTTPError as error:
                if error.response.status_code == 404:
                    return set()
                raise

    def hash_of(self, revision: str) -> str | None:
        """Hash of the weights of a revision; `None` if it has none."""
        if revision not in self.revisions:
            return None
        with hub_errors(self.repo):
            found = list(self._api.list_repo_tree(self.repo, revision=revision))
        weights = {
            file.path: file.lfs.sha256
            for file in found
            if file.path.endswith(".safetensors") and getattr(file, "lfs", None)
        }
        return _one_hash(weights) if weights else None


def publish(run: OpenedRun, repo: str, private: bool) -> Iterator[str]:
    """Upload what is not on the Hub yet, checkpoint by checkpoint, then `main`.

    Yields:
        A line for each revision.

    Raises:
        RecipeError: nothing to publish, no token, or the Hub refused.
    """
    releases, table, hub = find_releases(run), CheckpointTable(run), Hub(repo)
    staged = run.directory / _STAGED
    try:
        for release in releases:
            there, known = hub.hash_of(release.revision), table.hash_of(release.revision)
            if there and there == known:
                yield f"{release.revision}: is there"
                continue
            folder = staged / release.revision
            weights = assemble(release, folder)
            if there == weights:
                yield f"{release.revision}: is there"
            else:
                address = push(folder, repo, private, release.revision)
                yield f"{release.revision}: {address}"
            table.add(release, weights)
            shutil.rmtree(folder)
        main = _assemble_main(run, staged / "main")
        yield f"main: {push(main, repo, private, None, whole=False)}"
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _assemble_main(run: OpenedRun, directory: Path) -> Path:
    with staged_folder(directory) as staging:
        if run.final:
            # Links: `final/` may be large, and is only read.
            shutil.copytree(run.final, staging, copy_function=os.link, dirs_exist_ok=True)
        elif (run.directory / REPRODUCE).is_file():
            shutil.copy(run.directory / REPRODUCE, staging)
        shutil.copy(run.directory / TABLE, staging)
        write_json_atomically(staging / ORDER, describe_order(run))
    return directory
