"""Published sets by hand, in the columns of their cards: to rows that `kormo eval vision` reads."""

import base64
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_recipes.__main__ import main
from data_recipes.common.errors import RecipeError
from data_recipes.pictures.published import convert
from data_recipes.read.pictures import open_picture, read_picture_rows
from eval.vision.items import is_right, read_items, score_of


def _png(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(stream, "PNG")
    return stream.getvalue()


def _parquet(path: Path, rows: list[dict]) -> Path:
    pictured = [row | {"image": {"bytes": row["image"], "path": "x.png"}} for row in rows]
    pq.write_table(pa.Table.from_pylist(pictured), path)
    return path


def _written(form: str, path: Path, out: Path) -> list:
    assert convert(form, path, out) == 2
    rows = list(read_picture_rows(out / "test.jsonl"))
    colours = [open_picture(row.pictures[0]).getpixel((0, 0)) for row in rows]
    assert colours == [(255, 0, 0), (0, 0, 255)]
    return rows


def test_k_mmstar(tmp_path: Path) -> None:
    rows = [
        {"index": n, "question": f"무엇인가요?\n옵션: A: 별, B: 달 {n}", "image": _png(colour),
         "answer": letter, "category": "coarse perception", "l2_category": "scene"}
        for n, (colour, letter) in enumerate((("red", "A"), ("blue", "B")))
    ]  # fmt: skip
    first, second = _written("k_mmstar", _parquet(tmp_path / "t.parquet", rows), tmp_path / "out")
    assert first.fields == {
        "id": "0", "kind": "coarse perception", "language": "ko", "ask": "letter", "answers": ["A"],
    }  # fmt: skip
    assert second.messages[0]["content"] == [
        {"type": "image"}, {"type": "text", "text": "무엇인가요?\n옵션: A: 별, B: 달 1"},
    ]  # fmt: skip


def test_questions_about_one_picture_are_about_one_thing(tmp_path: Path) -> None:
    """Else each would count on its own, and the same picture be swapped in for another."""
    rows = [
        {"question_id": n, "question": "?", "image": _png(colour), "caption": "사진",
         "category": "conv", "gpt_answer": "!"}
        for n, colour in enumerate(("red", "blue", "red"))
    ]  # fmt: skip
    convert("k_llava_w", _parquet(tmp_path / "t.parquet", rows), tmp_path / "out")
    first, second, third = read_picture_rows(tmp_path / "out" / "test.jsonl")
    assert first.pictures == third.pictures != second.pictures
    broken = _parquet(tmp_path / "b.parquet", [rows[0] | {"image": b"no picture"}])
    with pytest.raises(RecipeError, match=r"b.parquet, row 0: its picture is none"):
        convert("k_llava_w", broken, tmp_path / "broken")


def test_k_llava_w(tmp_path: Path) -> None:
    rows = [
        {"question_id": n, "question": "이곳은?", "image": _png(colour), "caption": f"사진 {n}",
         "gpt_answer": "하와이입니다.", "category": "conv", "image_id": f"{n:03d}.png"}
        for n, colour in enumerate(("red", "blue"))
    ]  # fmt: skip
    _, row = _written("k_llava_w", _parquet(tmp_path / "t.parquet", rows), tmp_path / "out")
    assert row.fields == {"id": "1", "kind": "conv", "language": "ko", "shows": "사진 1"}
    assert row.messages[1]["content"] == [{"type": "text", "text": "하와이입니다."}]


def test_koffvqa(tmp_path: Path) -> None:
    lines = ["index\tquestion\tanswer\tcategory\timage"]
    for n, colour in enumerate(("red", "blue")):
        picture = base64.b64encode(_png(colour)).decode()
        lines.append(f'{n}\t몇 개인가요?\t"- 5점: 둘\n- 5점: 한국어"\t객체\t{picture}')
    path = tmp_path / "KOFFVQA.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    row, _ = _written("koffvqa", path, tmp_path / "out")
    assert row.fields == {"id": "0", "kind": "객체", "language": "ko"}
    assert row.messages[1]["content"][0]["text"] == "- 5점: 둘\n- 5점: 한국어"


def test_llava_bench(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    tables: dict[str, list[dict]] = {"questions": [], "answers_gpt4": [], "context": []}
    for n, colour in enumerate(("red", "blue")):
        (tmp_path / "images" / f"{n}.jpg").write_bytes(_png(colour))
        asked = {"question_id": n, "image": f"{n}.jpg", "text": "What?", "category": "conv"}
        tables["questions"].append(asked)
        tables["answers_gpt4"].append({"question_id": n, "text": f"A {colour} square."})
        tables["context"].append({"id": n, "image": f"{n}.jpg", "caption": f"All {colour}."})
    for name, rows in tables.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    _, row = _written("llava_bench", tmp_path / "questions.jsonl", tmp_path / "out")
    assert row.fields == {"id": "1", "kind": "conv", "language": "en", "shows": "All blue."}
    assert row.messages[1]["content"][0]["text"] == "A blue square."
    # The authors' judge reads the caption, which may be a list of sentences.
    caption = '{"image": "1.jpg", "caption": ["All blue.", "A square."]}'
    (tmp_path / "context.jsonl").write_text(caption + "\n" + '{"image": "0.jpg"}\n')
    with pytest.raises(RecipeError, match=r"questions.jsonl:1: not a row of llava_bench"):
        convert("llava_bench", tmp_path / "questions.jsonl", tmp_path / "again")
    (tmp_path / "context.jsonl").write_text(f"{caption}\n{caption.replace('1.jpg', '0.jpg')}\n")
    rows = _written("llava_bench", tmp_path / "questions.jsonl", tmp_path / "listed")
    assert [row.fields["shows"] for row in rows] == ["All blue.\nA square."] * 2
    # A question without a reference is named.
    (tmp_path / "answers_gpt4.jsonl").write_text('{"question_id": 0, "text": "A."}\n')
    with pytest.raises(RecipeError, match=r"questions.jsonl:2: not a row of llava_bench"):
        convert("llava_bench", tmp_path / "questions.jsonl", tmp_path / "again")
    assert not (tmp_path / "again").exists()


def _pictures(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name, colour in zip(names, ("red", "blue")):
        (folder / name).write_bytes(_png(colour))
    return folder


def test_pope(tmp_path: Path) -> None:
    """As its authors publish it; questions about one picture are about one thing."""
    _pictures(tmp_path / "images", "1.jpg", "2.jpg")
    asked = [
        {"question_id": n, "image": f"{n}.jpg", "text": f"Is there a cup {n}?", "label": label}
        for n, label in ((1, "yes"), (2, "no"))
    ]
    path = tmp_path / "coco_pope_random.json"
    path.write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    yes, no = _written("pope", path, tmp_path / "out")
    facts = {"kind": "yes_no", "language": "en"}
    assert yes.fields == {"id": "0-1", "answers": ["yes"], "truth": True, **facts}
    assert no.fields == {"id": "1-2", "answers": ["no", "not"], "truth": False, **facts}
    assert [item.truth for item in read_items(tmp_path / "out", "test", None)] == [True, False]
    path.write_text(json.dumps(asked[0] | {"label": "maybe"}), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"random.json:1: not a row of pope \(KeyError: 'maybe'"):
        convert("pope", path, tmp_path / "again")


def test_gqa(tmp_path: Path) -> None:
    images = _pictures(tmp_path / "jpg", "n1.jpg", "n2.jpg")
    rows = {
        "07": {"imageId": "n1", "question": "What is it?", "answer": "cup", "types": {}},
        "08": {"imageId": "n2", "question": "Is it a cup?", "answer": "No", "types": {}},
    }
    path = tmp_path / "gqa.json"
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")
    main(
        ["published-pictures", "gqa", str(path), "--images", str(images)]
        + ["--out", str(tmp_path / "out")]
    )
    word, truth = read_items(tmp_path / "out", "test", None)
    assert (word.id, word.kind, word.answers, word.truth) == ("07", "question", ("cup",), None)
    assert (truth.kind, truth.answers, truth.truth) == ("yes_no", ("no", "not"), False)
    assert is_right(truth, "Not at all.") and is_right(word, "A cup.")
    for content, message in (
        ('{"a": {"question": "?"}}', "gqa.json: not one JSON object of questions"),
        ('{"x": {"imageId": "n9", "question": "?", "answer": "no"}}', "no picture .*n9.jpg; name"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(RecipeError, match=message):
            convert("gqa", path, tmp_path / "again", images)


def test_vqa(tmp_path: Path) -> None:
    """As its authors publish it: what ten people said stands in a file of its own."""
    names = [f"COCO_val2014_{n:012d}.jpg" for n in (42, 43)]
    images = _pictures(tmp_path / "val2014", *names)
    said = {420: ["2"] * 6 + ["two"] * 3 + ["3"], 430: ["no"] * 9 + ["yes"]}
    shared = {"data_subtype": "val2014"}
    questions = [{"image_id": n // 10, "question": "How many?", "question_id": n} for n in said]
    annotations = [
        {"question_id": n, "image_id": n // 10, "answer_type": kind, "multiple_choice_answer": "x",
         "answers": [{"answer": text, "answer_id": i} for i, text in enumerate(said[n])]}
        for n, kind in ((420, "number"), (430, "yes/no"))
    ]  # fmt: skip
    path = tmp_path / "v2_OpenEnded_mscoco_val2014_questions.json"
    beside = tmp_path / "v2_mscoco_val2014_annotations.json"
    path.write_text(json.dumps(shared | {"questions": questions}), encoding="utf-8")
    beside.write_text(json.dumps(shared | {"annotations": annotations}), encoding="utf-8")
    assert convert("vqa", path, tmp_path / "out", images) == 2
    number, truth = read_items(tmp_path / "out", "test", None)
    assert (number.id, number.kind, number.answers) == ("420", "number", ("2", "two", "3"))
    assert (number.votes, truth.votes, truth.truth) == ((6, 3, 1), (9, 1), None)
    assert [score_of(number, text) for text in ("2", "Two.", "3")] == pytest.approx([1, 0.9, 0.3])
    # A question that nobody answered is named, and so is a file that is another.
    beside.write_text(json.dumps(shared | {"annotations": annotations[:1]}), encoding="utf-8")
    with pytest.raises(RecipeError, match=r"question 430: not a row of vqa"):
        convert("vqa", path, tmp_path / "again", images)
    for file, message in (
        (beside, "name the file of questions"),
        (path, "annotations.json: not of VQAv2"),
    ):
        beside.write_text(json.dumps(shared), encoding="utf-8")
        with pytest.raises(RecipeError, match=message):
            convert("vqa", file, tmp_path / "again", images)


def test_what_is_no_such_file_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("index\tquestion\n1\tWhat?\n", encoding="utf-8")
    command = ["published-pictures", "koffvqa", str(path), "--out"]
    with pytest.raises(SystemExit, match="t.tsv:2: not a row of koffvqa"):
        main([*command, str(tmp_path / "out")])
    with pytest.raises(SystemExit, match="is there already"):
        main([*command, str(tmp_path)])
    path.write_text("index\tquestion\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="no questions in it"):
        main([*command, str(tmp_path / "out")])
