"""Pictures in a request, as data URLs: the bytes are part of it, and so of the hash it has."""

import base64
from pathlib import Path
from typing import Any

from ..common.errors import RecipeError

# How the formats that servers take begin.
_FORMATS = {b"\x89PNG\r\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


def data_url(path: Path) -> str:
    """Write a picture out as a `data:` URL.

    Raises:
        RecipeError: no such file, or none of PNG, JPEG, GIF and WebP.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: no such picture ({error.strerror})") from error
    kind = next((name for begin, name in _FORMATS.items() if data.startswith(begin)), None)
    if kind is None:
        raise RecipeError(f"{path}: not a PNG, JPEG, GIF or WebP; convert it")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def show(messages: list[dict[str, Any]], pictures: list[Path]) -> list[dict[str, Any]]:
    """Put pictures before the text of a conversation's first turn.

    Raises:
        RecipeError: as of `data_url`.
    """
    first, *others = messages
    parts = [{"type": "image_url", "image_url": {"url": data_url(path)}} for path in pictures]
    return [{**first, "content": [*parts, {"type": "text", "text": first["content"]}]}, *others]
