"""Questions about pictures, with and without looking: `kormo eval vision MODEL SET --out DIR`.

    kormo eval vision runs/tiny/vision_sft/final runs/pictures/tiny --out runs/eval/vision

Writes results.json, report.md, report.html and all answers. A run that was stopped goes on with the
splits that are missing.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.config_files import Dropped, positive
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import (
    MANIFEST,
    SETTINGS,
    DirectoryLock,
    bind_settings,
    read_settings,
    sha256_file,
)
from data_recipes.common.terminal import run_command

from ..local_model import model_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from .answers import Answerer
    from .items import PictureQuestion

SPLITS = {
    "heldout_scenes": "new pictures of known things",
    "heldout_combinations": "combinations that training lacks",
    "heldout_objects": "things that training lacks",
}
_REMEDY = "undo the change, or choose another --out"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="kormo eval vision", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("model", help="directory or Hub id of a model that sees")
    parser.add_argument("set", type=Path, help="directory of a picture set")
    parser.add_argument(
        "--images",
        action=Dropped,
        const="`kormo data published-pictures pope FILE --images DIR --out SET` makes a set of a "
        "file of POPE, and of one of GQA likewise",
        help=argparse.SUPPRESS,
    )
    parser.add_argument("--out", type=Path, required=True, help="to write, or to go on in")
    parser.add_argument("--split", action="append", help="only this one; may be repeated")
    parser.add_argument("--kind", action="append", help="only these questions; may be repeated")
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="questions of each kind in each split"
    )
    parser.add_argument(
        "--max-tokens", type=positive, default=64, help="of an answer (%(default)s)"
    )
    parser.add_argument(
        "--batch", type=positive, default=16, help="questions at a time (%(default)s)"
    )
    parser.add_argument("--device", help="as torch names it; the GPU if there is one")
    return parser.parse_args()


def _read(
    path: Path, splits: list[str] | None, kinds: list[str] | None, limit: int | None
) -> dict[str, list[PictureQuestion]]:
    from .items import read_items, splits_of

    known = splits_of(path)
    if unknown := [split for split in splits or [] if split not in known]:
        raise RecipeError(f"--split {unknown[0]}: {path} has {', '.join(known)}")
    items = {split: read_items(path, split, limit) for split in splits or known}
    if kinds:
        there = sorted({item.kind for own in items.values() for item in own})
        if unknown := [kind for kind in kinds if kind not in there]:
            raise RecipeError(f"--kind {unknown[0]}: {path} has {', '.join(there)}")
        items = {split: [i for i in own if i.kind in kinds] for split, own in items.items()}
    if empty := [split for split, own in items.items() if not own]:
        raise RecipeError(f"{path / empty[0]}.jsonl: no question about a picture in it")
    return items


def evaluate(
    folder: Path,
    out: Path,
    model: Callable[[], Answerer],
    name: str,
    *,
    splits: list[str] | None = None,
    kinds: list[str] | None = None,
    limit: int | None = None,
    batch: int = 16,
) -> dict[str, Any]:
    """Ask, score and report; gives the results by split.

    Args:
        folder: the picture set.
        out: of the run.
        model: loads the model, once there is something to ask.
        name: of the model.
        splits: by default all but that of training.
        kinds: of questions, by default all.
        limit: questions of each kind in each split.
        batch: questions at a time.

    Raises:
        RecipeError: no such set or split, a set without questions, a bad picture.
    """
    from .answers import SIGHTS
    from .blind import QUESTION_ONLY
    from .inquiry import Inquiry, inquire
    from .items import TRAIN, read_split

    items = _read(folder, splits, kinds, limit)
    seen = folder / f"{TRAIN}.jsonl"
    trained = list(read_split(folder, TRAIN)) if seen.is_file() else []
    inquiry = Inquiry(
        title="What a model sees",
        splits=SPLITS,
        blind={"question only": QUESTION_ONLY},
        blind_means="question only: the answer that training has most often for the same words, "
        "else to the same question of other things.",
    )
    names = (name, str(folder))
    return inquire(inquiry, items, trained, model, SIGHTS, out, names, batch)


def main() -> None:
    """Run the command."""
    args = _arguments()
    if not args.set.is_dir():
        raise RecipeError(
            f"{args.set}: no such directory; `kormo data pictures` makes a set, and `kormo data "
            "published-pictures` one of a published file"
        )

    known = read_settings(args.out / SETTINGS) or {"files": None, "set": [MANIFEST]}
    # Of a run that began when nobody looked at the weights, or at what tells pictures apart.
    files = model_identity(args.model).get("files") if "files" in known else None
    names = ["*.jsonl", *([MANIFEST] if MANIFEST in known["set"] else [])]
    settings = {
        "model": args.model,
        "files": files,
        "set": {
            path.name: sha256_file(path) for name in names for path in sorted(args.set.glob(name))
        },
        "kinds": args.kind,
        "limit": args.limit,
        "max_tokens": args.max_tokens,
    }

    @cache
    def model() -> Answerer:
        from .answers import SeeingModel

        return SeeingModel(args.model, args.max_tokens, args.device)

    with DirectoryLock(args.out, "--out"):
        bind_settings(args.out, settings, _REMEDY, finished=["answers/*.jsonl"])
        evaluate(
            args.set,
            args.out,
            model,
            args.model,
            splits=args.split,
            kinds=args.kind,
            limit=args.limit,
            batch=args.batch,
        )


if __name__ == "__main__":
    run_command(main, "eval")
