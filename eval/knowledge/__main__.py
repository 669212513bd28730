"""Ask a knowledge model what is not in the picture, beside those who answer blindly.

    kormo eval knowledge --model runs/tiny/knowledge_vqa/final --data runs/tiny/knowledge/data \\
        --out runs/tiny/eval/knowledge

Writes results.json, report.md and report.html. A run that was stopped goes on with the conditions
that are missing.
"""

import argparse
import json
from pathlib import Path

from data_recipes.common.errors import RecipeError

from ..command import run_command

_NOVELTIES = ("seen", "unseen_triples", "unseen_entities")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kormo eval knowledge",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, required=True, help="final/ of knowledge_vqa")
    parser.add_argument("--data", type=Path, required=True, help="data/ of `kormo data knowledge`")
    parser.add_argument(
        "--out", type=Path, required=True, help="directory to write, or to go on in"
    )
    parser.add_argument("--batch", type=int, default=64, help="questions at a time (%(default)s)")
    parser.add_argument("--limit", type=int, help="first N rows of each file")
    return parser.parse_args()


def _read(path: Path, limit: int | None) -> list[dict]:
    if not path.is_file():
        raise RecipeError(f"--data: {path}: no such file; make it with `kormo data knowledge`")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][:limit]


def main() -> None:
    """Evaluate a model by its arguments on the command line."""
    args = _arguments()
    if args.batch < 1 or (args.limit is not None and args.limit < 2):
        raise RecipeError("--batch is at least 1, --limit at least 2")
    from data_recipes.common.files import sha256_file, write_json_atomically
    from data_recipes.common.run_dir import DirectoryLock, bind_settings

    from ..local_model import model_identity
    from .ask import CONDITIONS, ask_rows, is_right, load_asker
    from .blind import answer_blindly
    from .report import write_report

    rows = [r for n in _NOVELTIES for r in _read(args.data / f"{n}.jsonl", args.limit)]
    if not rows:
        raise RecipeError(f"--data {args.data}: no questions in its test files")
    asker = load_asker(args.model)
    settings = {
        "model": model_identity(str(args.model)),
        "arm": asker.model.known.arm,
        "data": {n: sha256_file(args.data / f"{n}.jsonl") for n in _NOVELTIES},
        "limit": args.limit,
    }
    conditions = CONDITIONS if asker.model.known.sees else CONDITIONS[:1]
    with DirectoryLock(args.out, "--out"):
        remedy = "choose another --out, or delete this one"
        bind_settings(args.out, settings, remedy, finished=["*_answers.json"])
        right, first = {}, []
        for how in conditions:
            path = args.out / f"{how.replace(' ', '_')}_answers.json"
            if not path.is_file():
                found = ask_rows(asker, rows, args.data, how, args.batch)
                write_json_atomically(path, found)
            own = json.loads(path.read_text(encoding="utf-8"))
            right[how] = [answer["right"] for answer in own]
            first = first or own
        for name, answers in answer_blindly(_read(args.data / "train.jsonl", None), rows).items():
            right[name] = [
                is_right(a, row["answers"]) for a, row in zip(answers, rows, strict=True)
            ]
        results = write_report(args.out, settings, rows, right, first, args.data)
    for novelty, own in results["novelty"].items():
        shares = own["shares"]["all"]
        low, high = shares["as it is"]["interval"]
        others = ", ".join(f"{k} {v['share']:.1%}" for k, v in shares.items() if k != "as it is")
        share = shares["as it is"]["share"]
        print(f"{novelty:<16}{share:6.1%} ({low:.1%} to {high:.1%}); {others}")
    print(args.out / "report.html")


if __name__ == "__main__":
    run_command(main)
