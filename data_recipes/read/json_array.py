"""A JSON array of rows (`alpaca_data.json`, `ShareGPT.json`), read whole."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .rows import BOM, SetAside, decoded, sample

SUFFIX = ".json"
_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


def is_array(path: Path) -> bool:
    """Whether a file is one JSON array; another `.json` holds JSON lines."""
    if not path.name.endswith(SUFFIX):
        return False
    with path.open("rb") as file:
        return file.read(1000).removeprefix(BOM).lstrip()[:1] == b"["


def array_rows(path: Path) -> Iterator[tuple[int, int, Any] | SetAside]:
    """Elements of an array: byte offset, length in bytes, and value.

    One that cannot be parsed hides those behind it, so it is the last.
    """
    data = path.read_bytes()
    text = decoded(data, 0, "file")
    if isinstance(text, SetAside):
        yield text
        return
    at, offset = 0, 0  # characters, and the bytes that they take

    def move(to: int) -> None:
        nonlocal at, offset
        offset += len(text[at:to].encode())
        at = to

    def past_blanks() -> int:
        end = at
        while end < len(text) and text[end] in _BLANK:
            end += 1
        return end

    move(text.index("[") + 1)
    expected = "a value"
    while True:
        move(past_blanks())
        if text[at : at + 1] == "]" and not text[at + 1 :].strip():
            return
        if expected == "a comma":
            if text[at : at + 1] == ",":
                move(at + 1)
                expected = "a value"
                continue
            break
        start = offset
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        move(end)
        yield start, offset - start, value
        expected = "a comma"
    if at >= len(text):
        yield SetAside(offset, 0, "truncated", "the array ends early")
    else:
        detail = f"{expected} of the array was expected; what follows is not read"
        rest = text[at : at + 1000]
        yield SetAside(offset, len(data) - offset, "broken_json", detail, sample(rest))
