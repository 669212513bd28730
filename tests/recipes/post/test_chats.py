"""What SFT tokenises: windows as the audit sees them, made anew when what decides them changes."""

import json
import shutil
import unicodedata
from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import Conversation, read_rows
from recipes.post.chat_config import ChatSource
from recipes.post.chat_files import preparation_key, source_rows
from recipes.post.chats import build_chats, unpack
from recipes.post.masks import ChatTokenizer
from recipes.post.model import load_chat_tokenizer

from .chat_runs import chat_stage, sft_config, sft_trainer


def test_trl_prepares_what_the_audit_and_the_labels_are_made_of(
    base: Path, sources: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Ids and labels in TRL's windows are those of each conversation by itself, none cut."""
    length = 800  # schemas of tools are long in this tokenizer
    longer = f"batch.sequence_length={length}"
    stage = chat_stage("sft", base, sources, tmp_path / "run", longer)
    trainer, chosen = sft_trainer(stage, tmp_path / "data")
    assert "end-of-turn" not in caplog.text  # a false alarm, where the audit has looked
    tokenize = ChatTokenizer(trainer.processing_class, length)
    for rows, windows in (
        (chosen.train, trainer.train_dataset),
        (chosen.heldout, trainer.eval_dataset),
    ):
        alone = [tokenize(Conversation(r["messages"], "", r["tools"], {})) for r in rows]
        assert 1 < len(windows) < len(rows)
        packed = sorted((t.input_ids, t.labels) for t in unpack(windows, 1000))
        assert packed == sorted((t.input_ids, t.labels) for t in alone)
        assert all(sum(w["seq_lengths"]) == len(w["input_ids"]) <= length for w in windows)

    assert any(row["tools"] for row in chosen.train)
    windows = trainer.train_dataset
    batch = trainer.data_collator([windows[0], windows[1]])
    lengths = [*windows[0]["seq_lengths"], *windows[1]["seq_lengths"]]
    assert batch["cu_seq_lens_q"].diff().tolist() == lengths
    assert (batch["position_ids"] == 0).sum() == len(lengths)
    learned = sum(label >= 0 for n in (0, 1) for label in windows[n]["labels"])
    assert (batch["labels"] >= 0).sum() == learned


def test_rows_are_chosen_by_their_columns_and_then_counted(sources: Path) -> None:
    path = str(sources / "chats.jsonl")

    def taken(**own: object) -> list[dict]:
        source = ChatSource(path=path, language="ko", licence="CC0-1.0", **own)
        return [row for _, row in source_rows(source, "conversations")]

    everything = [row for _, row in read_rows(path)]
    hard = [row for row in everything if row["level"] == 3 and row["kind"] in ("dates", "logic")]
    where = {"level": [3], "kind": ["dates", "logic"]}
    assert taken() == everything and taken(where=where) == hard
    assert taken(where=where, max_rows=2) == hard[:2] != everything[:2]
    with pytest.raises(RecipeError, match="no column 'colour', which `where` asks for; there are"):
        taken(where={"colour": ["red"]})
    with pytest.raises(RecipeError, match="chats.jsonl has no row where {'level': ."):
        taken(where={"level": [9]})


def test_what_decides_the_tokens_makes_them_anew(base: Path, sources: Path, tmp_path: Path) -> None:
    config = sft_config(chat_stage("sft", base, sources, tmp_path)).data
    tokenizer = load_chat_tokenizer(str(base))
    keys = [preparation_key(config, tokenizer, length) for length in (400, 400, 401)]
    assert keys[0] == keys[1]
    keys.append(preparation_key(config.model_copy(update={"seed": 1}), tokenizer, 400))
    tokenizer.chat_template += " "
    keys.append(preparation_key(config, tokenizer, 400))
    tokenizer = load_chat_tokenizer(str(base))
    tokenizer.add_tokens(["<new>"])
    keys.append(preparation_key(config, tokenizer, 400))
    assert len(set(keys)) == 5

    tokenizer, own = load_chat_tokenizer(str(base)), tmp_path / "chats.jsonl"
    shutil.copy(sources / "chats.jsonl", own)
    source = ChatSource(path=str(own), language="ko", licence="x")
    config = config.model_copy(update={"sources": [source]})
    made = build_chats(config, tokenizer, 400, tmp_path / "data")
    (tmp_path / "data" / "mark").touch()
    assert build_chats(config, tokenizer, 400, tmp_path / "data").fingerprint == made.fingerprint
    assert (tmp_path / "data" / "mark").exists()
    text = own.read_bytes()
    own.write_bytes(text.replace("요".encode(), "오".encode(), 1))  # no byte more or less
    changed = build_chats(config, tokenizer, 400, tmp_path / "data")
    assert own.stat().st_size == len(text) and changed.fingerprint != made.fingerprint
    assert not (tmp_path / "data" / "mark").exists()


def test_many_processes_make_what_one_makes(
    base: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = sft_config(chat_stage("sft", base, sources, tmp_path)).data
    made = []
    for number, name in ((None, "one"), (3, "three")):
        monkeypatch.setattr("recipes.post.chats.workers", lambda rows, n=number: n)
        made.append(build_chats(config, load_chat_tokenizer(str(base)), 400, tmp_path / name))
    assert made[0].fingerprint == made[1].fingerprint
    assert made[0].train[:] == made[1].train[:] and made[0].left_out == made[1].left_out


def test_conversations_made_uniform_are_counted_once_each(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    turns = [
        {"role": role, "content": text}
        for text in ("하나는?", "둘은?")
        for role, text in (("user", text), ("assistant", "좋은 답입니다."))
    ]
    odd = [m | {"content": unicodedata.normalize("NFD", m["content"]) + " \r\n"} for m in turns]
    other = [turns[0] | {"content": "세\u200b 번째"}, turns[1]]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"messages": m}) + "\n" for m in (turns, odd, other)))
    stage = chat_stage("sft", base, tmp_path, tmp_path / "run")
    source = ChatSource(path=str(path), language="ko", licence="CC0-1.0")
    config = sft_config(stage).data.model_copy(
        update={"sources": [source], "heldout_rows": 1, "thinking_share": None}
    )
    build_chats(config, load_chat_tokenizer(str(base)), 400, tmp_path / "data")
    # One has two answers, and so two samples, each with all of the changes.
    wanted = "2 of 3 conversations made uniform: decomposed 1, invisible 1, line_ends 1, trailing"
    assert wanted in capsys.readouterr().out
