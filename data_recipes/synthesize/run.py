"""`python -m data_recipes synthesize`: seeds read, asked about, judged, written."""

import argparse
from functools import partial
from itertools import chain, islice
from typing import Any

from ..ask.progress import show_tasks
from ..common.config_files import find_recipe
from ..common.errors import RecipeError
from ..common.files import SETTINGS, DirectoryLock, sha256_file
from ..common.terminal import show_progress
from ..engine.executor_config import load_recipe
from ..engine.executors import Call, Job, execute
from ..engine.slurm import submit
from ..engine.steps import StepFolder, claim
from ..read.step import ReadStep, check_set_aside, source_facts
from .config import CONFIGS, SynthesizeConfig
from .report import finish
from .step import SynthesizeStep, progress_dir


def _claim(config: SynthesizeConfig) -> None:
    facts = [source_facts(seed, config.read) for seed in config.seeds]
    claim(config.read_dir, {"read": config.read.model_dump(mode="json"), "sources": facts})
    settings: dict[str, Any] = {
        "input": sha256_file(config.read_dir / SETTINGS),
        **config.model_dump(
            mode="json", include={"max_seed_characters", "styles", "form", "validation"}
        ),
        # What decides what is written; not where the servers are.
        "synthesizers": {
            name: {"model": s.identity, "weight": s.weight, "sampling": s.sampling.fields()}
            for name, s in config.synthesizers.items()
        },
    }
    claim(config.text_dir, settings)


def _reader(config: SynthesizeConfig) -> ReadStep:
    return ReadStep(config.seeds, config.read_dir, config.read)


def _check_seeds(config: SynthesizeConfig) -> None:
    for seed in config.seeds:
        folder = StepFolder(config.read_dir / seed.name)
        tally = folder.tally()
        check_set_aside(folder.root, tally, config.read, whole=True)
        if not tally.documents_kept:
            raise RecipeError(f"{seed.path}: no seeds in it")


def _read(config: SynthesizeConfig) -> None:
    step = _reader(config)
    if pending := step.pending():
        size = sum(part.size for part in pending if part.file)
        with show_progress(config.read_dir, size, "seeds"):
            execute(step, config.executor.parts, config.executor, config.read_dir / "logs")
    _check_seeds(config)


def synthesize(config: SynthesizeConfig) -> None:
    """Run a synthesis recipe to its end, or go on with it.

    Raises:
        RecipeError: bad settings or seeds, an endpoint that does not answer, the floor, the cap.
            What was answered is kept, and the same call goes on.
    """
    with DirectoryLock(config.output_dir):
        _claim(config)
        if config.executor.kind == "slurm":
            submit(_jobs(config), config.executor, config.output_dir / "logs")
            return
        _read(config)
        step = SynthesizeStep(config)
        left = [shard for shard in step.shards() if step.record(*shard) is None]
        if left:
            total = sum(step.seeds_in(*shard)[0] for shard in left)
            with show_tasks(progress_dir(config), total):
                execute(step, config.executor.parts, config.executor, config.text_dir / "logs")
        finish(config)


def _jobs(config: SynthesizeConfig) -> list[Job]:
    parts = config.executor.parts
    return [
        Job("read", _reader(config), parts),
        Job("check", Call(partial(_check_seeds, config)), 1),
        Job("synthesize", SynthesizeStep(config), parts),
        Job("report", Call(partial(finish, config)), 1),
    ]


def show(config: SynthesizeConfig, count: int) -> None:
    """Print the first prompts, and ask nothing."""
    with DirectoryLock(config.output_dir):
        _claim(config)
        _read(config)
    step = SynthesizeStep(config)
    seeds = chain.from_iterable(step.seeds(*shard) for shard in step.shards())
    for seed in islice(seeds, count):
        print(f"--- {seed.id}: style {seed.style}, synthesizer {seed.synthesizer}")
        if config.pictures is not None:
            print(f"[{config.pictures / seed.text}]")
        print(config.styles[seed.style].prompt(seed.text))


def run(args: argparse.Namespace) -> None:
    """The command."""
    path = find_recipe(args.config, CONFIGS)
    config = load_recipe(path, SynthesizeConfig, args.executor, args.overrides)
    if args.show is not None:
        show(config, args.show)
    else:
        synthesize(config)
