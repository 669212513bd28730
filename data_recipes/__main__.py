"""Make, clean, look at and tokenise data: `kormo data COMMAND …`, or `python -m data_recipes`.

Arguments are declared here, and a command's own module is imported once they are read, so that
`--help` and a mistyped option cost no import of what works on data.
"""

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from .common.config_files import Dropped, add_overrides, positive, program_name, refuse_options
from .common.terminal import run_command
from .prepare import STEPS


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: must be a number above 0")
    return value


def _recipe(
    folder: str = "", executor: bool = False, example: str = "shards.heldout_fraction=0.01"
) -> Callable[[argparse.ArgumentParser], None]:
    """Return what declares a recipe, where it runs, and an example of a value set."""

    def declare(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--config",
            required=True,
            help=f"YAML file, or its name in data_recipes/configs{folder}",
        )
        if executor:
            parser.add_argument(
                "--executor",
                help="YAML of where to run, or its name in data_recipes/configs/executors",
            )
        add_overrides(parser, example)

    return declare


def _prepare(parser: argparse.ArgumentParser) -> None:
    _recipe(executor=True)(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would run, and stop")
    parser.add_argument(
        "--gigabytes", type=_positive, help="with --dry-run: text of all sources, 1e9 bytes"
    )


def _mixture(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        required=True,
        action="append",
        help="mixture YAML, or its name in data_recipes/configs/mixtures; give it several times "
        "to see stages together",
    )
    parser.add_argument(
        "--shards", type=Path, metavar="DIR", help="count the tokens of these shards instead"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the mixture")
    parser.add_argument(
        "--force-single-synthesizer",
        action="store_true",
        help="accept Korean synthetic text from one synthesizer in stage 2",
    )
    add_overrides(parser, "tokens=60e9")


def _packing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "shards", type=Path, help="a data set, or a directory whose training splits are packed"
    )
    parser.add_argument("--sequence-length", type=positive, required=True, help="tokens per window")


def _inspect(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Documents of a step: --config and --step. Paragraphs that deduplication removed: "
        "--removed too. A token window: --shards and --window."
    )
    documents = parser.add_argument_group("documents of a step")
    documents.add_argument("--config", help="YAML file, or its name in data_recipes/configs")
    documents.add_argument("--step", help="folder of a step, e.g. filter")
    documents.add_argument("--source", help="only this source")
    documents.add_argument("--id", help="this document")
    documents.add_argument("-n", "--number", type=positive, default=5, help="documents to draw (5)")
    documents.add_argument("--seed", type=int, default=0, help="another one draws others")
    documents.add_argument("--rejected", action="store_true", help="removed ones, not kept ones")
    documents.add_argument("--reason", help="removed for this reason; with --rejected")
    documents.add_argument(
        "--removed", action="store_true", help="what deduplication took out of kept documents"
    )
    documents.add_argument(
        "--find-origin",
        action=Dropped,
        nargs=0,
        const="--removed marks the n-grams that were known; search for one with --step read",
        help=argparse.SUPPRESS,
    )
    window = parser.add_argument_group("a token window")
    window.add_argument("--shards", type=Path, help="<output_dir>/shards/<source>/<split>")
    window.add_argument("--window", type=int, help="its number, from 0")
    window.add_argument("--sequence-length", type=positive, default=4096, help="tokens (4096)")
    window.add_argument(
        "--packing", choices=("concat", "best_fit"), default="concat", help="as trained (concat)"
    )
    window.add_argument("--tokenizer", type=Path, help="its directory, if not in the output_dir")
    add_overrides(parser, "output_dir=runs/other")


def _report(parser: argparse.ArgumentParser) -> None:
    _recipe()(parser)
    parser.add_argument("--out", type=Path, help="the page; <output_dir>/report.html by default")


def _synthesize(parser: argparse.ArgumentParser) -> None:
    _recipe("/synthesize", executor=True, example="output_dir=runs/other")(parser)
    parser.add_argument(
        "--show",
        type=positive,
        metavar="N",
        help="print the first N prompts, ask nothing, and stop",
    )


def _knowledge(parser: argparse.ArgumentParser) -> None:
    _recipe("/knowledge")(parser)
    parser.add_argument("--dry-run", action="store_true", help="count what would be written")


def _diversity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        default="diversity.yaml",
        help="YAML of sizes and limits, or its name in data_recipes/configs",
    )
    parser.add_argument(
        "--recipe",
        help="look at the sources of this data recipe, or its name in data_recipes/configs",
    )
    parser.add_argument(
        "--only", nargs="+", metavar="SOURCE", default=[], help="of the recipe, these sources"
    )
    parser.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="[NAME=]PATH",
        help="look at a file, directory or glob by synthesizer NAME, or by the 'synthesizer' field "
        "of its rows; give it several times",
    )
    parser.add_argument("--language", default="ko", help="of --text")
    parser.add_argument("--text-column", default="text", help="of --text")
    parser.add_argument("--seed-column", help="column with the text that a document was made from")
    parser.add_argument("--model", help="score documents with this language model")
    parser.add_argument("--device", default="cpu", help="of the model")
    parser.add_argument(
        "--out", type=Path, default=Path("runs/diversity"), help="folder of the report"
    )
    add_overrides(parser, "sample_megabytes=5")


def _corpus(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--megabytes", type=_positive, default=8.0, help="of text, 1e6 bytes (8)")
    parser.add_argument("--seed", type=int, default=0)


def _debian(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--languages", nargs="+", default=["ko", "en"], help="codes of Debian's translations"
    )
    parser.add_argument(
        "--everything",
        action="store_true",
        help="large manuals and messages of programs too (400 MB to fetch)",
    )


def _pictures(parser: argparse.ArgumentParser) -> None:
    _recipe("/pictures")(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be made, and stop")


def _published_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "format",
        choices=("k_mmstar", "k_llava_w", "koffvqa", "llava_bench", "pope", "gqa", "vqa"),
        help="of the file",
    )
    parser.add_argument("file", type=Path, help="as its authors publish it")
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="its pictures, if not in `images` beside it"
    )
    parser.add_argument("--out", type=Path, required=True, help="a new directory")


def _verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shards", type=Path)


Run = Callable[[argparse.Namespace], None]


def _in(module: str, function: str = "run") -> Run:
    """Return a call of a function whose module is imported only then."""
    return lambda args: getattr(import_module(f"{__package__}.{module}"), function)(args)


def _run_corpus(args: argparse.Namespace) -> None:
    from .toy import generate_corpus

    args.out.mkdir(parents=True, exist_ok=True)
    for stem, size in generate_corpus(args.out, args.megabytes, args.seed).items():
        print(f"{args.out / stem}.jsonl  {size:,} bytes of text")


def _run_debian(args: argparse.Namespace) -> None:
    from .debian import collect_debian

    collected = collect_debian(
        args.out, languages=tuple(args.languages), everything=args.everything
    )
    for stem, facts in collected.items():
        counts = (
            f"{facts[name]:,} {name}" for name in ("documents", "bytes", "pairs") if name in facts
        )
        print(f"{args.out / stem}.jsonl  {', '.join(counts)}")


# Command: what is called with its arguments, what it does in a line, and its arguments.
_COMMANDS: dict[str, tuple[Run, str, Callable[[argparse.ArgumentParser], None]]] = {
    "prepare": (_in("prepare.prepare"), "the whole chain, text to shards", _prepare),
    **{
        name: (
            _in("prepare.prepare", "run_one"),
            f"only the step `{name}` of a recipe",
            _recipe(executor=True),
        )
        for name in STEPS
    },
    "mixture": (
        _in("look.mixture_report"),
        "epochs, shares and synthesizers of a mixture",
        _mixture,
    ),
    "packing": (
        _in("look.packing_report"),
        "documents cut by concat-and-chunk and by best-fit packing",
        _packing,
    ),
    "tokenizer-study": (
        _in("tokenizer.study"),
        "tokenizers compared by bytes per token",
        _recipe("/tokenizer_study", example="output_dir=runs/other"),
    ),
    "expand-tokenizer": (
        _in("prepare.prepare", "run_expand_tokenizer"),
        "a byte-level BPE continued on the text of a recipe",
        _recipe(executor=True),
    ),
    "inspect": (
        _in("look.inspect_documents"),
        "look at documents, removed paragraphs, token windows",
        _inspect,
    ),
    "report": (_in("look.report"), "one page of what a recipe did to its text", _report),
    "synthesize": (
        _in("synthesize.run"),
        "text written by language models from seeds",
        _synthesize,
    ),
    "difficulty": (
        _in("difficulty.run"),
        "questions that models of two sizes get wrong",
        _recipe("/difficulty", example="output_dir=runs/other"),
    ),
    "translate": (
        _in("translate.run"),
        "such questions in Korean, with nothing else changed",
        _recipe("/translate", example="output_dir=runs/other"),
    ),
    "diversity": (
        _in("diversity.command"),
        "how varied synthetic text is, by synthesizer",
        _diversity,
    ),
    "knowledge": (
        _in("knowledge.command"),
        "questions about pictures that need facts, in Korean and English",
        _knowledge,
    ),
    "corpus": (_run_corpus, "generate the embedded bilingual corpus", _corpus),
    "debian": (_run_debian, "collect real Korean and English text on Debian", _debian),
    "pictures": (_in("pictures.run"), "pictures with questions in several languages", _pictures),
    "published-pictures": (
        _in("pictures.published"),
        "published questions about pictures, as a picture set",
        _published_pictures,
    ),
    "verify": (
        _in("prepare.prepare", "verify"),
        "compare shards with the checksums in their manifests",
        _verify,
    ),
}


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read a command line (by default the program's own); `command` is the command's name."""
    parser = argparse.ArgumentParser(
        prog=program_name("data_recipes"), description=__doc__.partition("\n")[0]
    )
    commands = parser.add_subparsers(
        title="commands", required=True, metavar="COMMAND", dest="command"
    )
    for name, (_, about, declare) in _COMMANDS.items():
        declare(
            commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        )
    args, unknown = parser.parse_known_args(argv)
    if "overrides" in args:
        refuse_options(None, unknown, argv)
    elif unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return args


def main(argv: list[str] | None = None) -> None:
    """Run a command; what a user can mend is one line on stderr, and exit status 1."""

    def command() -> None:
        args = parse_arguments(argv)
        _COMMANDS[args.command][0](args)

    run_command(command, "data", RuntimeError)


if __name__ == "__main__":
    main()
