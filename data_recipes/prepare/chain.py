"""The cleaning chain: which steps a recipe asks for, what each consists of, and running them.

Each step lies in a folder of its own, bound to its settings and to those of the steps before it.
A step that was finished is not run again.
"""

from functools import partial
from pathlib import Path
from typing import Any

from datatrove.pipeline.base import PipelineStep

from ..common.errors import RecipeError
from ..common.files import SETTINGS, sha256_file, write_json_atomically
from ..common.terminal import show_progress
from ..decontaminate.index import INDEX, build_index
from ..decontaminate.step import DecontaminateStep, write_report
from ..deduplicate.config import DedupConfig
from ..deduplicate.step import DedupStep
from ..deduplicate.whole_documents import whole_document_phases
from ..engine.executors import Call, Job, execute
from ..engine.steps import StepFolder, Tally, claim
from ..filter.step import FilterStep
from ..personal.step import PersonalStep
from ..quality.apply import QualityStep
from ..quality.train import train_classifiers
from ..read.step import ReadStep, check_set_aside, source_facts
from ..text.kernels import HasKernels
from . import STEPS
from .config import DataConfig

SUMMARY = "summary.json"
_REASONS = 4  # named in a line of the table


def steps_of(config: DataConfig) -> list[str]:
    """List the cleaning steps that a recipe has, in order."""
    return [name for name in STEPS if getattr(config, name) is not None]


def step_before(config: DataConfig, name: str) -> str | None:
    """Return the step whose output `name` reads; `None` for the first.

    Raises:
        RecipeError: the recipe has no such step.
    """
    wanted = steps_of(config)
    if name not in wanted:
        raise RecipeError(
            f"this recipe has no section `{name}`; its cleaning steps are {', '.join(wanted)}"
        )
    return wanted[wanted.index(name) - 1] if wanted.index(name) else None


def folder(config: DataConfig, step: str, source: str) -> StepFolder:
    """Return where a step writes a source."""
    return StepFolder(config.output_dir / step / source)


def is_done(config: DataConfig, name: str) -> bool:
    """Tell whether a step is finished."""
    return (config.output_dir / name / SUMMARY).is_file()


def check(config: DataConfig) -> None:
    """Check a recipe for what can be known of its mistakes before anything is read.

    Raises:
        RecipeError: a language without profile or classifier, a file that is not there.
    """
    if config.filter is not None:
        config.filter.check_sources(config.languages)
    if config.quality is not None:
        config.quality.check_sources(config.languages)
    if config.decontaminate is not None:
        config.decontaminate.sets()


def _inputs(config: DataConfig, name: str) -> dict[str, Path]:
    before = step_before(config, name)
    return {s.name: folder(config, before, s.name).root for s in config.sources} if before else {}


def _jobs_of(config: DataConfig, name: str) -> list[Job]:
    """The jobs of cleaning step `name`, to be run one after another."""
    output, tasks = config.output_dir / name, config.executor.parts
    inputs = _inputs(config, name)
    steps: list[tuple[PipelineStep, int]]
    if name == "read":
        steps = [(ReadStep(config.resolved_sources(), output, config.read), tasks)]
    elif name == "personal":
        steps = [(PersonalStep(inputs, output, config.personal), tasks)]
    elif name == "filter":
        steps = [(FilterStep(inputs, output, config.filter), tasks)]
    elif name == "quality":
        steps = [
            (Call(partial(train_classifiers, config.quality, inputs, output)), 1),
            (QualityStep(inputs, output, config.quality), tasks),
        ]
    elif name == "decontaminate":
        steps = [
            (Call(partial(build_index, config.decontaminate, output)), 1),
            (DecontaminateStep(inputs, output, config.decontaminate), tasks),
            (Call(partial(write_report, config.decontaminate, list(inputs), output)), 1),
        ]
    elif isinstance(config.deduplicate, DedupConfig):
        # A filter is one task: what it removes depends on all that it saw before.
        steps = [(DedupStep(inputs, output, config.deduplicate), config.deduplicate.filters)]
    else:
        steps = whole_document_phases(inputs, output, config.deduplicate, tasks)
    return [Job(f"{name}-{i}", step, parts) for i, (step, parts) in enumerate(steps)]


def _claim(config: DataConfig, name: str) -> None:
    before = step_before(config, name)
    settings: dict[str, Any] = {name: getattr(config, name).model_dump(mode="json")}
    if before is None:
        settings["sources"] = [
            source_facts(source, config.read) for source in config.resolved_sources()
        ]
    else:
        settings["input"] = sha256_file(config.output_dir / before / SETTINGS)
    claim(config.output_dir / name, settings)
    if name == "decontaminate" and (config.output_dir / name / INDEX).is_dir():
        # It is there, so it is only compared: settings name the files of evaluation sets, and the
        # index knows what was in them, also of a step that is finished.
        build_index(config.decontaminate, config.output_dir / name)


def tallies(config: DataConfig, name: str) -> dict[str, Tally]:
    """Read what a step counted, by source, and check that it adds up.

    Raises:
        RecipeError: shards of the step before were not worked on, documents do not add up, or a
            source has nothing left.
    """
    before = step_before(config, name)
    if before is None:
        step = ReadStep(config.resolved_sources(), config.output_dir / name, config.read)
        if unread := step.pending():
            raise RecipeError(
                f"{config.output_dir / name}: {len(unread)} parts are not read, the first is "
                f"{unread[0].name}; run the command again"
            )
    counted = {}
    for source in (s.name for s in config.sources):
        own = folder(config, name, source)
        tally = counted[source] = own.tally()
        if tally.documents_in != tally.documents_kept + tally.documents_rejected:
            raise RecipeError(f"{own.root}: kept and rejected documents do not add up; delete it")
        if before:
            given = folder(config, before, source)
            missing = set(given.shards()) - set(own.done())
            if missing or given.tally().documents_kept != tally.documents_in:
                raise RecipeError(
                    f"{own.root}: read {tally.documents_in:,} documents, `{before}` kept "
                    f"{given.tally().documents_kept:,}; {len(missing)} shards are not done. Run "
                    "the command again; if that does not help, delete the directory"
                )
        else:
            check_set_aside(own.root, tally, config.read, whole=True)
        if not tally.documents_kept:
            raise RecipeError(
                f"{own.root}: nothing is left of {tally.documents_in:,} documents"
                f"{_reasons(tally)}. Look at them with `python -m data_recipes inspect --config … "
                f"--step {name} --source {source} --rejected`"
            )
    return counted


def _finish(config: DataConfig, name: str) -> None:
    counted = tallies(config, name)
    summary = {source: vars(tally) for source, tally in counted.items()}
    write_json_atomically(config.output_dir / name / SUMMARY, summary)


def run_step(config: DataConfig, name: str) -> None:
    """Run one cleaning step to its end, or go on with it, and say what it did.

    Raises:
        RecipeError: no such step in the recipe, the step before is not finished, the folder holds
            work done with other settings, or whatever the step itself refuses.
    """
    before = step_before(config, name)
    if before and not is_done(config, before):
        raise RecipeError(
            f"{config.output_dir / before}: the step before is not finished; run "
            f"`python -m data_recipes {before} --config …`, or `prepare` for all of them"
        )
    check(config)
    _claim(config, name)
    root = config.output_dir / name
    if not is_done(config, name):
        work = _jobs_of(config, name)
        if before:
            left = [
                StepFolder(path).bytes_left(folder(config, name, source))
                for source, path in _inputs(config, name).items()
            ]
        else:
            left = [part.size for part in work[0].step.pending() if part.file]
        for job in work:
            # Here, where the line that says so is seen; workers then load what was compiled.
            if isinstance(job.step, HasKernels):
                job.step.compile_kernels()
        with show_progress(root, sum(left), name):
            for number, job in enumerate(work):
                execute(job.step, job.tasks, config.executor, root / "logs" / str(number))
        _finish(config, name)
    print_survival(config, name)


def jobs(config: DataConfig) -> list[Job]:
    """List what is left of the chain, as jobs for a cluster that waits for each before the next."""
    check(config)
    left = []
    for name in steps_of(config):
        _claim(config, name)
        if not is_done(config, name):
            left += _jobs_of(config, name)
            left.append(Job(f"{name}-sums", Call(partial(_finish, config, name)), 1))
    return left


def clean(config: DataConfig) -> None:
    """Run every cleaning step that the recipe has."""
    for name in steps_of(config):
        run_step(config, name)


def _reasons(tally: Tally) -> str:
    most = sorted(tally.reasons.items(), key=lambda r: -r[1]["documents"])[:_REASONS]
    return "".join(f"; {reason} {n['documents']:,}" for reason, n in most)


def print_survival(config: DataConfig, name: str) -> None:
    """Print a line per source: documents and bytes that came in and were kept, and why not."""
    for source in config.sources:
        t = folder(config, name, source.name).tally()
        if changed := t.counts.get("normalised", {}).get("documents"):
            changes = t.counts["normalised"]["changes"].items()
            print(
                f"{name:<14}{source.name:<20}{changed:>12,} of {t.documents_in:,} documents made "
                f"uniform: {', '.join(f'{change} {number:,}' for change, number in changes)}"
            )
        if name == "personal":
            counts = t.counts
            print(
                f"{name:<14}{source.name:<20}{counts['personal_documents']:>12,} of "
                f"{t.documents_in:,} documents masked"
                + "".join(f"; {kind} {n:,}" for kind, n in sorted(counts["personal"].items()))
            )
            continue
        if name == "read" and not t.documents_rejected:
            continue
        print(
            f"{name:<14}{source.name:<20}{t.documents_kept:>12,} of {t.documents_in:,} documents "
            f"kept ({t.documents_kept / max(1, t.documents_in):.1%}), {t.bytes_kept / 1e6:,.1f} of "
            f"{t.bytes_in / 1e6:,.1f} MB{_reasons(t)}"
        )


def cleaned(config: DataConfig) -> dict[str, StepFolder]:
    """Return the last step's folder, by source: its kept shards hold the cleaned documents."""
    last = steps_of(config)[-1]
    return {s.name: folder(config, last, s.name) for s in config.sources}


def settings_of(config: DataConfig) -> dict[str, Any]:
    """Return the settings of all steps, for the record of what is made from the text."""
    return {name: getattr(config, name).model_dump(mode="json") for name in steps_of(config)}
