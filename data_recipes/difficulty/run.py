"""`python -m data_recipes difficulty`: items asked about, judged, kept or not."""

import argparse

from ..ask.prompts import Prompt
from ..common.config_files import find_config, load_config
from ..common.errors import RecipeError
from ..common.files import sha256_file
from ..common.run_dir import DirectoryLock
from ..engine.steps import claim
from .config import CONFIGS, GRADE_VARIABLES, LABEL_VARIABLES, DifficultyConfig
from .gates import Gate, LabelGate, SolverGate, solve_prompts
from .items import Census, take_census
from .report import write_report
from .sandbox import Sandbox


def _claim(config: DifficultyConfig) -> None:
    items = config.items.model_dump(mode="json")
    if config.items.path is not None:
        items = {"sha256": sha256_file(config.items.path)}
    prompts = {
        **solve_prompts(config),
        "grade": Prompt(config.prompts.grade, CONFIGS, GRADE_VARIABLES),
        "label": Prompt(config.prompts.label, CONFIGS, LABEL_VARIABLES),
    }
    claim(
        config.outcomes_dir,
        {
            "items": items,
            # What decides an answer; not where the servers are. A list, since order matters.
            "endpoints": [
                [name, endpoint.identity, endpoint.sampling.fields()]
                for name, endpoint in config.endpoints.items()
            ],
            "prompts": {name: prompt.sha256 for name, prompt in prompts.items()},
            **config.model_dump(include={"samples", "max_correct"}),
            "sandbox": config.sandbox.model_dump(exclude={"workers"}),
        },
    )


def _check(config: DifficultyConfig, census: Census) -> None:
    if "free" in census.types and config.grader is None:
        raise RecipeError(
            "grader: items of type free need one, to compare answers with the right ones"
        )


def make_gates(config: DifficultyConfig, sandbox: Sandbox | None) -> list[Gate]:
    """The gates in their order, each fed by the one before it."""
    gates: list[Gate] = []
    items = config.items.read
    for number, name in enumerate(config.solvers, 1):
        gates.append(SolverGate(config, number, name, items, sandbox))
        items = gates[-1].left
    if config.judges:
        gates.append(LabelGate(config, len(gates) + 1, items))
    return gates


def filter_items(config: DifficultyConfig) -> str:
    """Run a recipe to its end, or go on with it; gives the report.

    Raises:
        RecipeError: bad settings or items, an endpoint that does not answer, the cap. What was
            answered is kept, and the same call goes on.
    """
    with DirectoryLock(config.output_dir):
        census = take_census(config.items)
        _check(config, census)
        _claim(config)
        sandbox = Sandbox(config.sandbox) if "code" in census.types else None
        gates = make_gates(config, sandbox)
        total = census.items
        for gate in gates:
            cap = config.cap
            if cap is not None:
                cap -= sum(other.spent().cost for other in gates if other is not gate)
                cap = max(0.0, cap)
            gate.run(total, cap)
            total = sum(1 for _ in gate.left())
        return write_report(config, gates)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "--config", required=True, help="YAML file, or its name in data_recipes/configs/difficulty"
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value")


def run(args: argparse.Namespace) -> None:
    """The command."""
    config = load_config(find_config(args.config, CONFIGS), DifficultyConfig, args.overrides)
    print(filter_items(config))
    print(f"kept items: {config.output_dir / 'kept.jsonl'}")
