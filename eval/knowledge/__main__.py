"""Ask a knowledge model what is not in the picture, beside those who answer blindly.

    kormo eval knowledge --model runs/tiny/knowledge_vqa/final --data runs/tiny/knowledge/data \\
        --out runs/tiny/eval/knowledge

Writes results.json, report.md, report.html and all answers. A run that was stopped goes on with
what is missing. The commonest answer to the right fact solves 50 % of BOK-VQA's own test set, and
the one to the question 24.6 % in English, by a count of its files.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from data_recipes.common.config_files import documented_parser, positive
from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import run_command

if TYPE_CHECKING:
    from ..vision.inquiry import Inquiry

TESTS = {
    "seen": "Facts that training asked for",
    "unseen_triples": "Unseen facts of seen entities",
    "unseen_entities": "Facts of entities that training only named",
}


def _arguments() -> argparse.Namespace:
    parser = documented_parser(__doc__, "eval.knowledge")
    parser.add_argument("--model", type=Path, required=True, help="final/ of knowledge_vqa")
    parser.add_argument("--data", type=Path, required=True, help="data/ of `kormo data knowledge`")
    parser.add_argument(
        "--out", type=Path, required=True, help="directory to write, or to go on in"
    )
    parser.add_argument(
        "--batch", type=positive, default=64, help="questions at a time (%(default)s)"
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="questions of each split, in both languages"
    )
    return parser.parse_args()


def make_inquiry() -> Inquiry:
    """Say who answers blindly, and what may be new in a question besides its fact."""
    from ..vision.blind import QUESTION_ONLY, of_kind
    from ..vision.inquiry import Inquiry

    return Inquiry(
        title="Knowledge",
        splits=TESTS,
        blind={
            "majority": (of_kind,),
            "question only": QUESTION_ONLY,
            "majority by gold triple": (
                lambda item: tuple(map(tuple, item.fields["triples"])),
                *QUESTION_ONLY[1:],
            ),
        },
        blind_means="majority: the commonest answer of training; question only: that to the same "
        "words, else about the same relation; majority by gold triple: that to the right fact.",
        groups={
            "all": lambda item: "all",
            "hops": lambda item: item.fields["hops"],
            "wording": lambda item: item.fields.get("wording", "unknown"),
            "answer": lambda item: "trained" if item.fields["answer_seen"] else "never trained",
            "relation": lambda item: item.ask,
        },
    )


def main() -> None:
    """Evaluate a model by its arguments on the command line."""
    args = _arguments()
    from data_recipes.common.files import (
        MANIFEST,
        SETTINGS,
        DirectoryLock,
        bind_settings,
        read_settings,
        sha256_file,
    )

    from ..local_model import model_identity
    from ..vision.answers import SIGHTS
    from ..vision.inquiry import inquire
    from ..vision.items import TRAIN, read_items, read_split
    from .model import KnowingModel

    if absent := [n for n in (TRAIN, *TESTS) if not (args.data / f"{n}.jsonl").is_file()]:
        raise RecipeError(
            f"--data: {args.data / absent[0]}.jsonl: no such file; make it with "
            "`kormo data knowledge`"
        )
    read = {split: read_items(args.data, split, args.limit) for split in TESTS}
    items = {split: own for split, own in read.items() if own}
    if not items:
        raise RecipeError(f"--data {args.data}: no questions in its test files")
    model = KnowingModel(args.model)
    data = {n: sha256_file(args.data / f"{n}.jsonl") for n in TESTS}
    known = read_settings(args.out / SETTINGS)
    # Older runs did not look at what tells pictures apart.
    if known is None or MANIFEST in known["data"]:
        data |= {path.name: sha256_file(path) for path in args.data.glob(MANIFEST)}
    settings = {
        "model": model_identity(str(args.model)),
        "arm": model.known.arm,
        "data": data,
        "limit": args.limit,
    }
    sights = SIGHTS if model.known.sees else SIGHTS[:1]
    names = (str(args.model), str(args.data))
    with DirectoryLock(args.out, "--out"):
        remedy = "choose another --out, or delete this one"
        bind_settings(args.out, settings, remedy, finished=["answers/*.jsonl"])
        trained = list(read_split(args.data, TRAIN))
        inquire(make_inquiry(), items, trained, lambda: model, sights, args.out, names, args.batch)


if __name__ == "__main__":
    run_command(main, "eval")
