"""Picture sets: rows of pictures and the chats about them, and pictures that can be trusted.

A set is a directory with `images/` and JSONL files beside it. A row has `images` (paths relative to
the directory), `messages` whose users' content lists `{"type": "image"}` for each of them in order,
and what is known of it (`id`, `kind`, `language`, `scene`, `answers`).
"""

import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ..common.errors import RecipeError
from .conversations import read_rows, uniform_content

# Our choice: eight times what a tower reads at most, and 150 MB as RGB.
MAX_PIXELS = 50_000_000
_MIN_SIDE = 2
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)  # of EXIF
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, IndexError)


@dataclass(frozen=True)
class PictureRow:
    """One row of a picture set.

    Attributes:
        pictures: files, in the order in which the messages show them.
        messages: `role` and `content`, the latter always a list of parts.
        where: file and line, for messages to people.
        fields: everything else that the row says.
    """

    pictures: list[Path]
    messages: list[dict[str, Any]]
    where: str
    fields: dict[str, Any]


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture whose head is read and good.

    Raises:
        RecipeError: as of `open_picture`, also for what fails inside.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # told below
            picture = Image.open(path)
        with picture:
            _check(picture, path)
            yield picture
    except FileNotFoundError as error:
        raise RecipeError(f"{path}: no such picture") from error
    except RecipeError:
        raise
    except Image.DecompressionBombError as error:
        raise RecipeError(
            f"{path}: far more than {MAX_PIXELS:,} pixels; make it smaller"
        ) from error
    except _BROKEN as error:
        raise RecipeError(
            f"{path}: no picture, or a damaged one ({error}); get it again"
        ) from error


def _check(picture: Image.Image, path: Path) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise RecipeError(
            f"{path}: {width:,} x {height:,} pixels, more than {MAX_PIXELS:,}; make it smaller"
        )
    if min(width, height) < _MIN_SIDE:
        raise RecipeError(f"{path}: {width} x {height} pixels show nothing; leave it out")
    if getattr(picture, "n_frames", 1) > 1:
        raise RecipeError(
            f"{path}: an animation of {picture.n_frames} frames; save the one that is meant"
        )
    if picture.mode not in _MODES:
        raise RecipeError(
            f"{path}: its colours are {picture.mode}, which without their profile come out wrong; "
            "save it as RGB"
        )


def open_picture(path: Path) -> Image.Image:
    """Open a picture as RGB, upright, what is transparent on white.

    Raises:
        RecipeError: no picture, or one that would be read wrongly without a word.
    """
    with _opened(path) as opened:
        picture = ImageOps.exif_transpose(opened)
        if picture.has_transparency_data:
            shown = picture.convert("RGBA")
            picture = Image.new("RGBA", shown.size, "white")
            picture.alpha_composite(shown)
        return picture.convert("RGB")


def picture_size(path: Path) -> tuple[int, int]:
    """Return width and height as `open_picture` gives them, from the head of the file alone.

    Raises:
        RecipeError: as of `open_picture`, but for damage behind the head.
    """
    with _opened(path) as picture:
        turned = picture.getexif().get(_ORIENTATION, 1) in _ON_ITS_SIDE
        return picture.size[::-1] if turned else picture.size


def _parts(content: Any) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def to_picture_row(row: dict[str, Any], where: str, directory: Path) -> PictureRow:
    """Check a row and find its pictures, without opening them.

    Args:
        row: as in a set's files.
        where: for messages.
        directory: that `images` is relative to.

    Raises:
        RecipeError: not the form of a set, an answer missing, or other numbers of pictures.
    """
    try:
        messages = [
            {**m, "content": uniform_content(_parts(m["content"]), set())} for m in row["messages"]
        ]
        shown = [(m["role"], p["type"]) for m in messages for p in m["content"]]
        paths = [directory / name for name in row.get("images") or []]
    except (KeyError, TypeError, ValueError) as error:
        raise RecipeError(
            f"{where}: not a row of a picture set ({type(error).__name__}: {error}); it needs "
            "`messages` whose content is text or parts, and `images`, a list of paths"
        ) from error
    if not messages or messages[-1]["role"] != "assistant":
        raise RecipeError(f"{where}: its last message is not the assistant's: nothing to learn")
    if strange := {kind for _, kind in shown} - {"text", "image"}:
        raise RecipeError(f"{where}: parts of type {', '.join(sorted(strange))}; drop them")
    if wrong := {role for role, kind in shown if kind == "image"} - {"user"}:
        raise RecipeError(f"{where}: a picture from the {wrong.pop()}; only users send them")
    count = sum(kind == "image" for _, kind in shown)
    if count != len(paths):
        raise RecipeError(
            f"{where}: its messages show {count} pictures, `images` names {len(paths)}; make them "
            "equal"
        )
    fields = {k: v for k, v in row.items() if k not in ("messages", "images")}
    return PictureRow(paths, messages, where, fields)


def read_picture_rows(path: Path) -> Iterator[PictureRow]:
    """Read the rows of one file of a picture set; pictures stay closed.

    Raises:
        RecipeError: no such file, or a row that is none.
    """
    for where, row in read_rows(str(path)):
        yield to_picture_row(row, where, path.parent)
