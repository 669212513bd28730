"""Chats that are no chats: one line that names file, row and field, whatever is wrong."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import flaw, read_rows, to_conversation

USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
CHAT = json.dumps({"messages": [USER, ANSWER]}).encode()


def parquet(text: bytes, damaged: bool = False) -> bytes:
    """A file with one text, of which the page is damaged or whole."""
    file = io.BytesIO()
    column = pa.array([text], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"prompt": column}), file, compression="snappy", use_dictionary=False)
    data = bytearray(file.getvalue())
    if damaged:
        start = pq.read_metadata(file).row_group(0).column(0).data_page_offset
        data[start : start + 20] = b"\xff" * 20
    return bytes(data)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": 3}, "messages must be"),
        ({"messages": "hi"}, "messages must be"),
        ({"messages": [None, ANSWER]}, "messages must be"),
        ({"conversations": 5}, "messages must be"),
        ({"prompt": 3, "completion": "x"}, "messages must be"),
        ({"prompt": "q", "completion": ["a"]}, "messages must be"),
        ({"prompt": "q", "completion": []}, "messages must be"),
        ({"messages": [{"role": ["user"], "content": "q"}, ANSWER]}, "role is a list"),
        ({"messages": [{"role": "user", "content": 5}, ANSWER]}, "content is a int"),
        ({"messages": [{"role": "user", "content": {"x": 1}}, ANSWER]}, "content is a dict"),
        ({"messages": [USER | {"content": [{"type": "text", "text": None}]}]}, "without a text"),
        ({"messages": [USER, ANSWER | {"reasoning_content": 7}]}, "reasoning_content is a int"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": "x"}]}, "tool_calls"),
        ({"messages": [USER, {"role": "assistant", "tool_calls": ["x"]}]}, "tool_calls"),
        ({"messages": [USER, ANSWER], "tools": "{not json"}, "tools"),
        ({"messages": [USER, ANSWER], "tools": 3}, "tools"),
        ({"messages": [USER, ANSWER], "tools": ["f"]}, "tools"),
        ({}, "no chat in columns"),
    ],
)
def test_what_is_no_chat_is_one_line(row: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=f"^chats.jsonl:7: .*{said}"):
        to_conversation(row, "chats.jsonl:7")


@pytest.mark.parametrize("blank", ["", "  \n", "\u200b", "\ufeff\r\n"])
def test_a_message_of_nothing_visible_says_nothing(blank: str) -> None:
    for messages in ([USER | {"content": blank}, ANSWER], [USER, ANSWER | {"content": blank}]):
        assert flaw(to_conversation({"messages": messages}, "row")) == "no_text"


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        ("bom.jsonl", b"\xef\xbb\xbf" + CHAT + b"\r\n" + CHAT, 2),
        ("bom.json", b"\xef\xbb\xbf[" + CHAT + b"]", 1),
        ("empty.jsonl", b"", 0),
        ("crlf.jsonl", CHAT + b"\r\n\r\n" + CHAT + b"\r\n", 2),
        ("surrogate.jsonl", b'{"messages": "\\ud83d"}', "surrogate.jsonl:1: not JSON"),
        ("latin.jsonl", CHAT + b'\n{"messages": "\xe9"}', "latin.jsonl:2: not JSON"),
        (
            "cut.jsonl.gz",
            gzip.compress(1000 * (CHAT + b"\n"), mtime=0)[:60],
            "cut.jsonl.gz: .*again",
        ),
        ("other.jsonl.gz", CHAT, "other.jsonl.gz: .*again"),
        ("surrogate.json", b'[{"messages": "\\ud83d"}]', "surrogate.json, row 0: half a surrogate"),
        ("bad.parquet", b"PAR1xxxx", "bad.parquet: damaged"),
        ("page.parquet", parquet(b"fine", damaged=True), "page.parquet: damaged .*again"),
        ("latin.parquet", parquet(b"\xe9"), "latin.parquet, row 0: a field is not UTF-8"),
    ],
)
def test_files_of_chats(tmp_path: Path, name: str, content: bytes, rows: int | str) -> None:
    (tmp_path / name).write_bytes(content)
    if isinstance(rows, str):
        with pytest.raises(RecipeError, match=rows):
            list(read_rows(str(tmp_path / name)))
    else:
        assert len(list(read_rows(str(tmp_path / name)))) == rows
