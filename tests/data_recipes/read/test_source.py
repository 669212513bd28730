"""Texts made of several columns: from rows to tokens, and what is refused or set aside."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from data_recipes.common.errors import RecipeError
from data_recipes.read.source import ReadConfig, SourceConfig
from data_recipes.read.step import source_facts
from data_recipes.tokenizer.load import load_tokenizer
from data_recipes.tokenizer.shards import ShardConfig
from data_recipes.toy.items import items

from ..hand_made import read_source, rows_of, tokenise

TEMPLATE = "{question}\n<think>\n{reasoning}\n</think>\n\n{answer}"
ROWS = [
    {
        "question": f"{n} 더하기 1은?",
        "reasoning": f"{n}+1={n + 1}",
        "answer": n + 1,
        "level": "easy",
    }
    for n in range(40)
]


def source_at(path: Path, **facts: str) -> SourceConfig:
    return SourceConfig(name="s", path=str(path), language="ko", licence="none", **facts)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def chat(question: str, answer: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer, **more},
    ]


def texts_of(path: Path, out: Path, **facts: str) -> tuple[list[str], list[str]]:
    """Texts that were read, and reasons of those set aside."""
    folder = read_source(source_at(path, **facts), out, max_set_aside=1)
    kept, aside = (rows_of(folder.root / kind) for kind in ("kept", "rejected"))
    return [row["text"] for row in kept], [row["reason"] for row in aside]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
@pytest.mark.parametrize("template", [TEMPLATE, "traces"])
def test_rows_become_tokens(data_dir: Path, tmp_path: Path, suffix: str, template: str) -> None:
    rows: list[dict[str, Any]] = ROWS
    if template == "traces":
        rows = [
            {"messages": chat(r["question"], str(r["answer"]), reasoning_content=r["reasoning"])}
            for r in ROWS
        ]
    source = source_at(write(tmp_path / f"a{suffix}", rows), template=template)
    shards = ShardConfig(heldout_fraction=0.2)
    manifests = tokenise(source, shards, data_dir / "tokenizer", tmp_path / "s")
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    think, end = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    wanted = {
        tuple(
            [
                tokenizer.bos_token_id,
                *ids(f"{row['question']}\n"),
                think,
                *ids(f"\n{row['reasoning']}\n"),
                end,
                *ids(f"\n\n{row['answer']}"),
                tokenizer.eos_token_id,
            ]
        )
        for row in ROWS
    }
    found = set()
    for split, manifest in manifests.items():
        assert manifest.pipeline["template"] == template
        for file in manifest.files:
            tokens = np.fromfile(tmp_path / "s" / split / file.path, manifest.dtype)
            ends = np.fromfile(tmp_path / "s" / split / f"{file.path}.index", "<u8")
            found |= {tuple(part.tolist()) for part in np.split(tokens, ends[:-1].astype(int))}
    assert len(wanted) == len(ROWS) and found == wanted


def test_the_other_columns_stay(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS[:1])
    folder = read_source(source_at(path, template=TEMPLATE), tmp_path / "read")
    assert [json.loads(row["metadata"]) for row in rows_of(folder.root / "kept")] == [
        {"level": "easy"}
    ]
    path = write(tmp_path / "b.jsonl", [{"messages": chat("q", "<think>r</think>a"), "level": 1}])
    folder = read_source(source_at(path, template="traces"), tmp_path / "read_b")
    assert [json.loads(row["metadata"]) for row in rows_of(folder.root / "kept")] == [{"level": 1}]


def test_traces_read_like_the_embedded_ones(tmp_path: Path) -> None:
    item = next(items("ko", "train", "0"))
    inline = f"<think>\n{item.reasoning}\n</think>\n\n{item.answer}"
    rows = [
        {"messages": chat(item.question, item.answer, reasoning_content=item.reasoning)},
        {"conversation": chat(item.question, inline)},
        {"question": item.question, "answer": inline},
        {"prompt": item.question, "completion": item.answer, "reasoning": item.reasoning},
        {
            "conversations": [
                {"from": "human", "value": item.question},
                {"from": "gpt", "value": inline},
            ]
        },
    ]
    path = write(tmp_path / "a.jsonl", rows)
    text = f"{item.question}\n<think>\n{item.reasoning}\n</think>\n\n{item.answer}"
    assert texts_of(path, tmp_path / "read", template="traces") == ([text] * len(rows), [])


def test_turns_follow_each_other(tmp_path: Path) -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        *chat("a?", "A", reasoning_content="ra"),
        *chat("b?", "B"),
    ]
    path = write(tmp_path / "a.jsonl", [{"messages": messages}])
    wanted = "Be kind.\n\na?\n<think>\nra\n</think>\n\nA\n\nb?\n\nB"
    assert texts_of(path, tmp_path / "read", template="traces") == ([wanted], [])


@pytest.mark.parametrize("on", [True, False])
def test_traces_are_made_uniform_and_counted_like_other_rows(tmp_path: Path, on: bool) -> None:
    odd = unicodedata.normalize("NFD", "하나 \r\n더하기")
    path = write(tmp_path / "a.jsonl", [{"messages": chat(odd, "둘", reasoning_content="셋")}])
    folder = read_source(
        source_at(path, template="traces"), tmp_path / "read", **({} if on else {"normalise": on})
    )
    (text,) = (row["text"] for row in rows_of(folder.root / "kept"))
    assert text.split("\n<think>")[0] == ("하나\n더하기" if on else odd)
    counts = {"documents": 1, "changes": {"line_ends": 1, "trailing_blanks": 1, "decomposed": 1}}
    assert folder.tally().counts.get("normalised") == (counts if on else None)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"messages": chat("q", "a")}, "no_trace"),
        ({"messages": chat("q", "<think>r</think>")}, "no_text"),
        # An answer that speaks of the tags has no reasoning before them.
        ({"messages": chat("q", "`<think>` opens and `</think>` closes it.")}, "think_tag"),
        ({"messages": chat("q", "r</think>a")}, "think_tag"),
        ({"messages": chat("q", "<think>say </think> later</think>a")}, "think_tag"),
        ({"messages": chat("what is </think>?", "a", reasoning_content="r")}, "think_tag"),
        ({"messages": chat("q", "a", reasoning_content="r")[1:]}, "no_trace"),
        ({"messages": chat("q", "a", reasoning_content="r")[:1]}, "no_trace"),
        ({"messages": chat("q", "a", reasoning_content="r", tool_calls=[{}])}, "no_trace"),
        ({"messages": chat("", "a", reasoning_content="r")}, "no_text"),
        ({"messages": chat("q", "a", reasoning_content=["r"])}, "no_text"),
        ({"messages": 3}, "no_text"),
        ({"messages": None}, "no_text"),
        ({"body": "a"}, "no_text"),
    ],
)
def test_chats_that_are_no_traces_are_set_aside(
    tmp_path: Path, row: dict[str, Any], reason: str
) -> None:
    good = {"messages": chat("q", "a", reasoning_content="r")}
    path = write(tmp_path / "a.jsonl", [row, good])
    texts, reasons = texts_of(path, tmp_path / "read", template="traces")
    assert (len(texts), reasons) == (1, [reason])


@pytest.mark.parametrize(
    ("value", "reason"),
    [(None, "no_text"), (" \n", "empty"), (True, "not_text"), (["x"], "not_text")],
)
def test_rows_with_an_empty_column_are_set_aside(
    tmp_path: Path, value: object, reason: str
) -> None:
    path = write(tmp_path / "a.jsonl", [ROWS[0] | {"reasoning": value}, ROWS[1]])
    texts, reasons = texts_of(path, tmp_path / "read", template=TEMPLATE)
    assert (len(texts), reasons) == (1, [reason])
    without = {k: v for k, v in ROWS[0].items() if k != "answer"}
    path = write(tmp_path / "b.jsonl", [without, ROWS[1]])
    assert texts_of(path, tmp_path / "read_b", template=TEMPLATE)[1] == ["no_text"]


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_an_unknown_column_is_refused(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a{suffix}", ROWS)
    source = source_at(path, template="{question} {thoughts} {reply}")
    with pytest.raises(RecipeError, match=r"no column 'thoughts', 'reply'; columns are 'question'"):
        read_source(source, tmp_path / "read")
    chats = write(tmp_path / f"b{suffix}", [{"body": "x"}])
    with pytest.raises(RecipeError, match=r"no chat \(messages or .*columns are 'body'"):
        read_source(source_at(chats, template="traces"), tmp_path / "read")
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(RecipeError, match="have no columns"):
        read_source(source_at(tmp_path / "a.txt", template="traces"), tmp_path / "read")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("question", "write the columns as {name}, or 'traces'"),
        ("{}", "write the columns as"),
        ("{question", "for a brace"),
        ("{answer:>10}", "takes no format"),
    ],
)
def test_a_bad_template_is_refused(tmp_path: Path, template: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        source_at(tmp_path, template=template)
    with pytest.raises(ValidationError, match="either `text_column` or `template`"):
        source_at(tmp_path, template="traces", text_column="body")


def test_the_template_is_part_of_what_was_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ROWS)
    config = ReadConfig()
    plain, one, other = (
        source_facts(source_at(path, **facts), config)
        for facts in ({}, {"template": TEMPLATE}, {"template": TEMPLATE + "!"})
    )
    assert "template" not in plain and one != other
    assert texts_of(path, tmp_path / "r", template="{{{answer}}}")[0][:2] == ["{1}", "{2}"]
