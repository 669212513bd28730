"""Pictures that would be read wrongly are refused in one line, and so are rows that do not fit."""

import json
import struct
import unicodedata
import zlib
from pathlib import Path

import pytest
from PIL import Image

from data_recipes.common.errors import RecipeError
from data_recipes.read.pictures import open_picture, picture_size, read_picture_rows


def _refusal(path: Path) -> str:
    with pytest.raises(RecipeError) as refused:
        open_picture(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def test_pictures_that_are_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (9, 9), c) for c in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "moving.png", save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("RGB", (1, 500)).save(tmp_path / "line.png")
    Image.new("CMYK", (9, 9)).save(tmp_path / "print.jpg")
    Image.new("RGB", (64, 64), "red").save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-30])
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, words in {
        "moving.gif": "an animation of 2 frames",
        "moving.png": "an animation of 2 frames",
        "dot.png": "1 x 1 pixels show nothing",
        "line.png": "1 x 500 pixels show nothing",
        "print.jpg": "its colours are CMYK",
        "cut.png": "damaged",
        "text.png": "no picture",
        "empty.png": "no picture",
        "absent.png": "no such picture",
    }.items():
        assert words in _refusal(tmp_path / name), name


@pytest.mark.parametrize("side", [8_000, 60_000], ids=["huge", "bomb"])
def test_a_huge_picture_is_refused_before_it_is_unpacked(tmp_path: Path, side: int) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "huge.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    assert "more than 50,000,000" in _refusal(path)


def test_pictures_come_out_upright_and_opaque(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    clear.save(tmp_path / "clear.png")
    assert open_picture(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    turned = Image.new("RGB", (6, 2))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    turned.save(tmp_path / "turned.jpg", exif=exif)
    assert open_picture(tmp_path / "turned.jpg").size == (2, 6)
    assert picture_size(tmp_path / "turned.jpg") == (2, 6)
    grey = Image.new("L", (4, 4), 7)
    grey.save(tmp_path / "grey.png")
    assert open_picture(tmp_path / "grey.png").getpixel((0, 0)) == (7, 7, 7)


def _row(images: list[str], *messages: tuple[str, object]) -> dict:
    return {
        "id": "1",
        "images": images,
        "messages": [{"role": role, "content": content} for role, content in messages],
    }


_SEEN = [{"type": "image"}, {"type": "text", "text": "?"}]
_SAID = ("assistant", "a")


def test_rows_are_read(tmp_path: Path) -> None:
    rows = [
        _row(["a.png", "b.png"], ("user", [{"type": "image"}, *_SEEN]), _SAID),
        _row([], ("user", "?"), _SAID),
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    first, second = read_picture_rows(path)
    assert first.pictures == [tmp_path / "a.png", tmp_path / "b.png"]
    assert first.messages[1]["content"] == [{"type": "text", "text": "a"}]
    assert first.fields == {"id": "1"} and first.where == f"{path}:1"
    assert second.pictures == [] and second.messages[0]["content"][0]["text"] == "?"


def test_texts_beside_pictures_are_made_uniform_as_those_of_chats(tmp_path: Path) -> None:
    odd = unicodedata.normalize("NFD", "\ufeff무슨 색이야? \r\n")
    asked = ("user", [{"type": "image"}, {"type": "text", "text": odd}])
    row = _row(["a.png"], asked, ("assistant", unicodedata.normalize("NFD", "빨강")))
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    (read,) = read_picture_rows(path)
    texts = [part["text"] for m in read.messages for part in m["content"] if "text" in part]
    assert texts == ["무슨 색이야?\n", "빨강"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (_row(["a.png"], ("user", "?"), _SAID), "show 0 pictures, `images` names 1"),
        (_row([], ("user", _SEEN), _SAID), "show 1 pictures, `images` names 0"),
        (_row(["a.png"], ("user", _SEEN)), "nothing to learn"),
        (_row(["a.png"], ("user", "?"), ("assistant", [{"type": "image"}])), "from the assistant"),
        (_row([], ("user", [{"type": "video"}]), _SAID), "parts of type video"),
        ({"id": "1"}, "not a row of a picture set"),
        (_row([], ("user", None), _SAID), "not a row of a picture set"),
        (_row([], ("user", [{"type": "text", "text": None}]), _SAID), "text without a text"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, row: dict, words: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(RecipeError, match=words) as refused:
        list(read_picture_rows(path))
    assert str(refused.value).startswith(f"{path}:1: ")
