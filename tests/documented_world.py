"""What the commands of the documents are run on: small texts, chats, models and names for them."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text("".join(lines), encoding="utf-8")


def write_texts(world: Path) -> None:
    """Lay out synthetic text of three generators."""
    for name, language in (("a.jsonl", "ko"), ("more.jsonl", "en")):
        shutil.copy(world / f"runs/tiny/data/text/web_{language}.jsonl", world / name)
    rows = (world / "a.jsonl").read_text(encoding="utf-8").splitlines()[:20]
    pq.write_table(pa.Table.from_pylist([json.loads(row) for row in rows]), world / "b.parquet")


def write_chats(world: Path) -> None:
    """Lay out the reader's chats."""
    turns = [
        {"role": "user", "content": "하나 더하기 하나는?"},
        {"role": "assistant", "content": "둘."},
    ]
    write_rows(world / "my_chats.jsonl", [{"messages": turns}] * 6)


def name_models(world: Path) -> None:
    """Give the models of the stages the names that stand for the reader's."""
    tiny = world / "runs/tiny"
    for name, final in (
        ("MODEL", tiny / "sft/final"),
        ("BASE", tiny / "stage2/final"),
        ("ADAPTER", world / "runs/lora/adapter"),
    ):
        (world / name).symlink_to(final)
    for stage in ("midtrain_long", "midtrain_reasoning"):
        (tiny / stage).mkdir()
        (tiny / stage / "final").symlink_to(tiny / "stage2/final")


def clear_out(world: Path) -> None:
    """Make room for another way of exporting."""
    shutil.rmtree(world / "OUT")


def name_evaluations(world: Path) -> None:
    """Give one evaluation the names of two."""
    (done,) = (path.parent for path in (world / "runs").rglob("results.json"))
    for name in ("10b", "other"):
        (world / "runs/eval" / name).symlink_to(done)


def name_picture(world: Path) -> None:
    """Lay out the reader's picture."""
    shutil.copy(next((world / "runs/pictures/tiny/images").glob("*.png")), world / "picture.png")


def write_real(world: Path) -> None:
    """Lay out what stands for real text: made text, one document too short, and one twice."""
    for folder, names in (
        ("debian", {"debian_ko": "ko", "debian_en": "en", "manuals_ko": "ko", "manuals_en": "en"}),
        ("da", {"debian_da": "en"}),
    ):
        for name, language in names.items():
            own = world / f"runs/{folder}/text/{name}.jsonl"
            made = world / f"runs/tiny/data/text/web_{language}.jsonl"
            lines = made.read_text(encoding="utf-8").splitlines()[:60]
            rows = [json.loads(line) for line in lines]
            write_rows(own, [*rows, {**rows[0], "id": "again"}, {"id": "short", "text": "안녕"}])


def write_seeds(world: Path) -> None:
    """Lay out a seed to be rewritten."""
    write_rows(world / "seeds.jsonl", [{"text": "무지개는 햇빛이 물방울에서 꺾여 생긴다. " * 9}])


def name_english(world: Path) -> None:
    """Give the English model the name that stands for the reader's."""
    (world / "MODEL").symlink_to(world / "runs/tiny/english/stage1/final")
