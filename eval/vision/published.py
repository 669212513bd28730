"""Published question files that a user has, as questions of this room: POPE and GQA.

POPE (Li et al. 2023, arXiv 2305.10355): a JSON object a line, with `image`, `text` and `label`, yes
or no. GQA (Hudson and Manning 2019): one JSON object, by question, with `imageId`, `question` and
`answer`; pictures are `<imageId>.jpg`. The pictures lie in a directory of their own.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError

from .items import PictureQuestion

# What POPE's authors count as either, by its first word.
_YES_NO = {"yes": (True, ("yes",)), "no": (False, ("no", "not"))}


def _item(
    name: str,
    split: str,
    picture: Path,
    question: str,
    answers: tuple[str, ...],
    truth: bool | None,
) -> PictureQuestion:
    content = [{"type": "image"}, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": content}]
    kind = "yes_no" if truth is not None else "question"
    return PictureQuestion(
        name, split, name, kind, "en", (picture,), messages, question, answers, truth
    )


def _pope(lines: list[str], split: str, images: Path) -> Iterator[PictureQuestion]:
    for number, row in enumerate(map(json.loads, lines)):
        truth, answers = _YES_NO[row["label"].lower()]
        name = f"{number}-{row['question_id']}"
        yield _item(name, split, images / row["image"], row["text"], answers, truth)


def _gqa(rows: dict[str, Any], split: str, images: Path) -> Iterator[PictureQuestion]:
    for name, row in rows.items():
        truth, answers = _YES_NO.get(row["answer"], (None, (row["answer"],)))
        picture = images / f"{row['imageId']}.jpg"
        yield _item(name, split, picture, row["question"], answers, truth)


def _one_object(text: str) -> dict[str, Any] | None:
    """Read GQA's one object; `None` for lines of them."""
    try:
        whole = json.loads(text)
    except ValueError:
        return None
    return None if "label" in whole else whole


def read_published(path: Path, images: Path) -> list[PictureQuestion]:
    """Read a file of POPE or GQA, told apart by its form.

    Raises:
        RecipeError: neither, or a picture that is not there.
    """
    text, split = path.read_text(encoding="utf-8"), path.stem
    try:
        if (whole := _one_object(text)) is not None:
            items = list(_gqa(whole, split, images))
        else:
            lines = [line for line in text.splitlines() if line.strip()]
            items = list(_pope(lines, split, images))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise RecipeError(
            f"{path}: neither POPE (JSON lines with image, text, label) nor GQA (JSON with "
            f"imageId, question, answer): {type(error).__name__} {error}"
        ) from error
    for item in items:
        if not item.pictures[0].is_file():
            raise RecipeError(f"--images {images}: no {item.pictures[0].name}, which {path} names")
    return items
