"""Does a model find a fact again that stands somewhere in a long text? By length and depth.

    python -m eval.needle --model runs/tiny/midtrain_long/final --style recall --distractors 2 \\
        --lengths 256 512 1024 2048 --out runs/tiny/needle
    python -m eval.needle --model MODEL --chat --lengths 4096 16384 65536 --needles 3 --out DIR

Writes results.json, report.md, report.html and a heatmap per language. A run that was stopped goes
on with the cells that are missing; more lengths can be added later.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.config_files import documented_parser, positive
from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import run_command

if TYPE_CHECKING:
    from .measure import Grid

# Not from `styles`, which loads the embedded corpus before the arguments are read.
LANGUAGES, STYLE_NAMES = ("en", "ko"), ("general", "recall")

# Room for a sentence with some numbers; thinking needs more.
_ANSWER_TOKENS, _THINKING_TOKENS = 64, 2048


def _arguments() -> argparse.Namespace:
    parser = documented_parser(__doc__, "eval.needle")
    parser.add_argument("--model", required=True, help="model directory or Hub id")
    parser.add_argument(
        "--out", type=Path, required=True, help="directory to write, or to go on in"
    )
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument(
        "--lengths",
        type=int,
        nargs="+",
        default=[1024, 2048, 4096],
        help="tokens of a prompt, question included (%(default)s)",
    )
    parser.add_argument(
        "--depths", type=positive, default=5, help="places from first to last (%(default)s)"
    )
    parser.add_argument("-n", type=positive, default=10, help="prompts per cell (%(default)s)")
    parser.add_argument(
        "--style",
        choices=STYLE_NAMES,
        default="general",
        help="recall: facts in the form that the tiny model learned (%(default)s)",
    )
    parser.add_argument("--needles", type=int, default=1, help="facts asked for (%(default)s)")
    parser.add_argument(
        "--distractors", type=int, default=0, help="near-identical facts that are not (%(default)s)"
    )
    parser.add_argument(
        "--text",
        nargs="+",
        default=[],
        metavar="LANGUAGE=FILE",
        help="text to hide facts in (JSONL, Parquet, .txt); the embedded corpus otherwise",
    )
    parser.add_argument("--chat", action="store_true", help="ask by the chat template")
    parser.add_argument("--thinking", action="store_true", help="with --chat: think first")
    parser.add_argument(
        "--max-tokens",
        type=int,
        help=f"of an answer ({_ANSWER_TOKENS}; {_THINKING_TOKENS} with --thinking)",
    )
    parser.add_argument("--batch", type=positive, default=4, help="prompts at a time (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another one tells other facts")
    return parser.parse_args()


def _own_texts(given: list[str], languages: list[str]) -> dict[str, str]:
    from .haystack import own_text

    texts = {}
    for text in given:
        language, equals, path = text.partition("=")
        if not equals:
            if len(languages) > 1:
                raise RecipeError(f"--text {text}: of which language? Write {languages[0]}={text}")
            language, path = languages[0], text
        if language not in languages:
            raise RecipeError(f"--text {text}: {language!r} is not one of --languages")
        texts[language] = own_text(path)
    return texts


def _grid(args: argparse.Namespace) -> Grid:
    from .measure import Grid
    from .styles import STYLES, check_facts

    check_facts(STYLES[args.style], args.needles, args.distractors)
    if args.thinking and not args.chat:
        raise RecipeError("--thinking: only a chat model thinks; add --chat")
    last = max(1, args.depths - 1)
    return Grid(
        languages=list(dict.fromkeys(args.languages)),
        lengths=sorted(set(args.lengths)),
        depths=[n / last for n in range(args.depths)],
        trials=args.n,
        style=args.style,
        needles=args.needles,
        distractors=args.distractors,
        chat=args.chat,
        thinking=args.thinking,
        max_tokens=args.max_tokens or (_THINKING_TOKENS if args.thinking else _ANSWER_TOKENS),
        batch=args.batch,
        seed=args.seed,
        texts=_own_texts(args.text, args.languages),
    )


def settings_of(grid: Grid, model: str) -> dict[str, Any]:
    """Tell what an answer depends on, besides its cell."""
    from ..local_model import model_identity, template_identity

    changing = ("languages", "lengths", "depths", "batch", "texts")
    return {
        "model": model_identity(model),
        **({"template": template_identity(model)} if grid.chat else {}),
        **{name: value for name, value in asdict(grid).items() if name not in changing},
        "texts": {
            language: hashlib.sha256(text.encode()).hexdigest()[:16]
            for language, text in grid.texts.items()
        },
    }


def main() -> None:
    """Measure a model by its arguments on the command line."""
    args = _arguments()
    from ..local_model import check_chat_template, load_model, load_tokenizer
    from .measure import Needles, bind, check_length
    from .report import write_report

    grid = _grid(args)
    tokenizer = load_tokenizer(args.model)
    if args.chat:
        check_chat_template(tokenizer, args.model)
    model = load_model(args.model)
    check_length(model.config, grid.lengths, grid.max_tokens)
    settings = settings_of(grid, args.model)
    try:
        needles = Needles(model, tokenizer, grid, args.out)
    except ValueError as error:
        raise RecipeError(f"--thinking: {error}") from error
    settings = bind(args.out, settings)
    results = write_report(needles.measure(), settings, args.out)
    _print_table(results)


def _print_table(results: dict[str, Any]) -> None:
    print("language   tokens    right  95 % interval   in another language")
    for language, lengths in results["lengths"].items():
        for length, own in lengths.items():
            low, high = own["interval"]
            print(
                f"{language:<8}{int(length):>9,}{own['share']:9.1%}  {low:5.1%} to {high:6.1%}"
                f"{own['answers_in_other_language'] / own['items']:12.1%}"
            )
    for finding in results["findings"].values():
        print(finding)


if __name__ == "__main__":
    run_command(main, "eval")
