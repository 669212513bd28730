"""Command line of the evaluation: `python -m eval …`.

lm-eval and torch take seconds to load: no module that loads them is imported before the arguments
are read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from data_recipes.common.config_files import positive, program_name
from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import run_command

from .plan import AnswerSampling

if TYPE_CHECKING:
    from .model import ModelOptions

BACKENDS = ("hf", "vllm")

_EPILOG = """other commands:
  python -m eval compare RUN_A RUN_B     differences between two runs, with significance
  python -m eval ladder CKPT CKPT …      several checkpoints, one report
Each has its own --help. Data sets are fetched from the Hub; `python -m eval.local_data` copies
them for machines without network. Finished tasks are kept: after an interruption, start the same
command again."""


def _what(parser: argparse.ArgumentParser, default_suite: str | None) -> None:
    parser.add_argument(
        "--suite",
        action="append",
        metavar="NAME",
        default=[],
        help="suite in eval/suites, or path of a YAML file; may be repeated"
        + (f" (default: {default_suite})" if default_suite else ""),
    )
    parser.add_argument(
        "--task", action="append", metavar="NAME", default=[], help="single task; may be repeated"
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="first N questions per task")
    parser.add_argument(
        "--think",
        choices=("off", "on", "both"),
        help="for answers in chat, in place of what the suites say",
    )
    parser.add_argument(
        "--gen-kwargs",
        nargs="+",
        type=_setting,
        metavar="NAME=VALUE",
        default=[],
        help="settings of generated answers over the tasks' own, e.g. do_sample=true "
        "temperature=0.6 top_p=0.95",
    )
    parser.add_argument(
        "--repeats",
        type=positive,
        default=1,
        metavar="N",
        help="generated answers to each question; scores are means over them (%(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of sampled answers; each repeat takes the next"
    )
    parser.add_argument(
        "--data-dir", type=Path, metavar="DIR", help="local data in place of the Hub's"
    )
    parser.add_argument(
        "--backend", choices=BACKENDS, default="hf", help="vllm is faster on GPUs (%(default)s)"
    )
    parser.add_argument(
        "--batch-size", default="auto", metavar="N", help="questions at a time (%(default)s)"
    )
    parser.add_argument("--device", help="as torch names it; the GPU if there is one")
    parser.add_argument("--dtype", help="bfloat16 on a GPU, float32 on a CPU")
    parser.add_argument(
        "--gpus", type=positive, default=1, metavar="N", help="that vLLM splits a model over"
    )


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=VALUE")
    return name, yaml.safe_load(value)


def _sampling(args: argparse.Namespace) -> AnswerSampling:
    return AnswerSampling(args.seed, args.repeats, dict(args.gen_kwargs))


def _options(args: argparse.Namespace, model: str) -> ModelOptions:
    from .model import ModelOptions

    return ModelOptions(model, args.backend, args.batch_size, args.device, args.dtype, args.gpus)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Arguments, with the function to call as `run`."""
    if argv[:1] == ["compare"]:
        parser = argparse.ArgumentParser(
            prog=f"{program_name('eval')} compare",
            description="Compares two runs task by task, on the same questions.",
        )
        parser.add_argument(
            "first", type=Path, metavar="RUN_A", help="directory of a run (its --out)"
        )
        parser.add_argument("second", type=Path, metavar="RUN_B", help="directory of another")
        parser.set_defaults(run=_compare)
        return parser.parse_args(argv[1:])
    if argv[:1] == ["ladder"]:
        parser = argparse.ArgumentParser(
            prog=f"{program_name('eval')} ladder",
            description="Evaluates checkpoints one after the other, and reports on them together.",
        )
        parser.add_argument("models", nargs="+", metavar="CKPT", help="from the first to the last")
        parser.add_argument(
            "--out",
            type=Path,
            default=Path("runs/eval/ladder"),
            metavar="DIR",
            help="a directory per checkpoint, and the report (%(default)s)",
        )
        _what(parser, "quick")
        parser.set_defaults(run=_ladder)
        return parser.parse_args(argv[1:])
    parser = argparse.ArgumentParser(
        prog=program_name("eval"),
        description="Evaluates a model on suites of tasks, and writes a report.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", required=True, help="directory, or Hub id with @revision")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="of the run (runs/eval/<name of the model>)"
    )
    parser.add_argument(
        "--beside",
        type=Path,
        action="append",
        metavar="RUN_DIR",
        default=[],
        help="an earlier run, shown beside this one; may be repeated",
    )
    _what(parser, None)
    parser.set_defaults(run=_evaluate)
    return parser.parse_args(argv)


def _write(out: Path, runs: list[Path], *, main: int = 0, plot: bool = False) -> None:
    from .collect import collect
    from .report import build_page, terminal_table

    content = collect(runs, main)
    build_page(content, plot=plot).write_both(out / "report.html")
    print(f"\n{terminal_table(content)}\n\nPercent, with 95 % intervals. Report: ", end="")
    print(f"{out / 'report.html'}, report.md beside it")


def _evaluate(args: argparse.Namespace) -> None:
    from .collect import collect
    from .plan import make_plan
    from .run import evaluate_plan

    options = _options(args, args.model)
    out = args.out or Path("runs/eval") / options.name
    for run in args.beside:
        collect([run])  # refuses before hours of work what could not be shown after them
    plan = make_plan(args.suite, args.task, args.think, args.data_dir)
    evaluate_plan(plan, options, out, _sampling(args), args.limit)
    _write(out, [out, *args.beside])


def _ladder(args: argparse.Namespace) -> None:
    from .plan import make_plan
    from .run import evaluate_plan

    suites = args.suite or ([] if args.task else ["quick"])
    options = [_options(args, model) for model in args.models]
    names = [one.name for one in options]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise RecipeError(
            f"checkpoints share the name {', '.join(doubles)}, and so their directory below "
            "--out: evaluate them one by one with `python -m eval --out` and --beside"
        )
    plan = make_plan(suites, args.task, args.think, args.data_dir)
    for one in options:
        print(f"\n== {one.name} ==", flush=True)
        evaluate_plan(plan, one, args.out / one.name, _sampling(args), args.limit)
    _write(args.out, [args.out / name for name in names], main=len(names) - 1, plot=True)


def _compare(args: argparse.Namespace) -> None:
    from .compare import compare_runs, format_comparison

    rows = compare_runs(args.first, args.second)
    print(format_comparison(args.first, args.second, rows))


def main(argv: list[str] | None = None) -> None:
    """Run a command; bad input ends in one message and status 1, not in a traceback.

    Args:
        argv: without the program's name.
    """
    args = parse(sys.argv[1:] if argv is None else argv)
    run_command(lambda: args.run(args), "eval")


if __name__ == "__main__":
    main()
