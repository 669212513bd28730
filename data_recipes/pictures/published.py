"""Published questions about pictures that a user has fetched, as rows of a picture set.

The names of their columns are those of the data cards and of public code that reads them; the files
themselves were never seen here. What has one right answer becomes questions of `kormo eval vision`.
Others have a reference, which a judge is shown beside the answers of models (`kormo eval judge`).

    k_mmstar     NCSOFT/K-MMStar: Parquet; the options stand in the question, `answer` is a letter
    k_llava_w    NCSOFT/K-LLaVA-W: Parquet; `caption` says what the picture shows
    koffvqa      maum-ai/KOFFVQA_Data: TSV; `answer` holds criteria, pictures are Base64
    llava_bench  liuhaotian/llava-bench-in-the-wild: questions.jsonl, and beside it
                 answers_gpt4.jsonl, context.jsonl and images/
    pope         Li et al. 2023, arXiv 2305.10355: JSON lines with `image`, `text` and `label`
    gqa          Hudson and Manning 2019: one JSON object, by question, with `imageId`
    vqa          VQAv2, arXiv 1612.00837: v2_OpenEnded_mscoco_val2014_questions.json, and beside it
                 v2_mscoco_val2014_annotations.json with ten people's answers to each
"""

import argparse
import base64
import csv
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..common.errors import RecipeError
from ..common.files import open_staged, staged_folder
from ..read.conversations import about_picture, read_rows
from ..read.pictures import open_picture

_Rows = Iterator[tuple[str, dict[str, Any]]]
SPLIT = "test"


@dataclass(frozen=True)
class _Format:
    """Columns of a set.

    Attributes:
        language: of its questions.
        rows: reads its file.
        id: column of what names a question.
        question: of its text.
        answer: of what is right, or of a reference.
        kind: of the kind of question.
        shows: of what the picture shows, which the authors' judge reads: a text, or several.
        exact: what the answer is where it alone is right: the letter of an option, yes or no
            (`truth`), a word, or what several people said, each with its `votes`.
    """

    language: str
    rows: Callable[[Path, Path], _Rows]
    id: str
    question: str
    answer: str
    kind: str = "category"
    shows: str | None = None
    exact: Literal["letter", "truth", "word", "votes"] | None = None


def _columns(path: Path, images: Path) -> _Rows:
    return read_rows(str(path))


def _table(path: Path, images: Path) -> _Rows:
    csv.field_size_limit(sys.maxsize)  # of pictures
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for number, row in enumerate(csv.DictReader(file, delimiter="\t"), 2):
                yield f"{path}:{number}", row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecipeError(f"{path}: cannot be read as a table ({error})") from error


def _bench(path: Path, images: Path) -> _Rows:
    """Read questions with what stands about them in the files beside."""
    beside = {
        name: {str(row[key]): row for _, row in read_rows(str(path.with_name(f"{name}.jsonl")))}
        for name, key in (("answers_gpt4", "question_id"), ("context", "image"))
    }
    for where, row in read_rows(str(path)):
        known = {
            "reference": beside["answers_gpt4"].get(str(row.get("question_id")), {}).get("text"),
            "caption": beside["context"].get(str(row.get("image")), {}).get("caption"),
            "image": images / str(row.get("image")),
        }
        yield where, row | known


def _pope(path: Path, images: Path) -> _Rows:
    for number, (where, row) in enumerate(read_rows(str(path))):
        picture = images / row["image"] if isinstance(row.get("image"), str) else None
        yield where, row | {"id": f"{number}-{row.get('question_id')}", "image": picture}


def _gqa(path: Path, images: Path) -> _Rows:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        named = [
            row | {"id": name, "image": images / f"{row['imageId']}.jpg"}
            for name, row in rows.items()
        ]
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RecipeError(f"{path}: not one JSON object of questions ({error!r})") from error
    for row in named:
        yield f"{path}, question {row['id']}", row


def _vqa(path: Path, images: Path) -> _Rows:
    """Read questions with what people answered, in the file beside, the commonest first."""
    beside = path.with_name(
        path.name.replace("OpenEnded_", "").replace("questions", "annotations", 1)
    )
    if beside == path:
        raise RecipeError(f"{path}: name the file of questions, v2_OpenEnded_…_questions.json")
    file, said = path, {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        name = f"COCO_{content['data_subtype']}_{{:012d}}.jpg"
        questions = [
            row | {"image": images / name.format(row["image_id"])} for row in content["questions"]
        ]
        file = beside
        for row in json.loads(beside.read_text(encoding="utf-8"))["annotations"]:
            votes = Counter(own["answer"] for own in row["answers"]).most_common()
            answers, counts = [text for text, _ in votes], [count for _, count in votes]
            own = {"answer": answers[0], "answers": answers, "votes": counts}
            said[row["question_id"]] = own | {"answer_type": row["answer_type"]}
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise RecipeError(f"{file}: not of VQAv2 ({error!r})") from error
    for row in questions:
        known = row.get("question_id")
        yield f"{path}, question {known}", row | said.get(known, {})


FORMATS = {
    "k_mmstar": _Format("ko", _columns, "index", "question", "answer", exact="letter"),
    "k_llava_w": _Format("ko", _columns, "question_id", "question", "gpt_answer", shows="caption"),
    "koffvqa": _Format("ko", _table, "index", "question", "answer"),
    "llava_bench": _Format("en", _bench, "question_id", "text", "reference", shows="caption"),
    "pope": _Format("en", _pope, "id", "text", "label", exact="truth"),
    "gqa": _Format("en", _gqa, "id", "question", "answer", exact="word"),
    "vqa": _Format("en", _vqa, "question_id", "question", "answer", "answer_type", exact="votes"),
}
# What POPE's authors count as either, by its first word.
_YES_NO = {"yes": (True, ["yes"]), "no": (False, ["no", "not"])}


def _picture(value: Any) -> bytes:
    """Bytes of a picture: a file, Base64, or what Parquet holds of an image."""
    if isinstance(value, Path):
        return value.read_bytes()
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    return value["bytes"]


def _caption(own: _Format, row: dict[str, Any]) -> str | None:
    """What a picture shows; a judge must not go without it where the set's authors' reads it."""
    if own.shows is None:
        return None
    given = row[own.shows]
    text = "\n".join(given) if isinstance(given, list) else given.strip()
    if not text:
        raise ValueError(f"{own.shows} is empty")
    return text


def _right(own: _Format, row: dict[str, Any], answer: str) -> dict[str, Any]:
    """Say which answers are right, and what is asked for, where that is known exactly."""
    if own.exact is None or own.exact == "letter":
        exact = {"ask": "letter", "answers": [answer]} if own.exact else {}
        return {"kind": str(row[own.kind]), **exact}
    if own.exact == "votes":
        return {"kind": row[own.kind], "answers": row["answers"], "votes": row["votes"]}
    if own.exact == "word" and answer.lower() not in _YES_NO:
        return {"kind": "question", "answers": [answer]}
    truth, answers = _YES_NO[answer.lower()]
    return {"kind": "yes_no", "answers": answers, "truth": truth}


def convert(form: str, path: Path, out: Path, images: Path | None = None) -> int:
    """Write a picture set of one split, `test`; return the number of its rows.

    Args:
        form: one of `FORMATS`.
        path: the file.
        out: directory to write.
        images: of the pictures that lie in files; `images` beside the file by default.

    Raises:
        RecipeError: a file that is not of the form, or a picture that is none.
    """
    own = FORMATS[form]
    seen: set[str] = set()
    with staged_folder(out) as folder, open_staged(folder / f"{SPLIT}.jsonl") as file:
        (folder / "images").mkdir()
        for where, row in own.rows(path, images or path.parent / "images"):
            try:
                name = str(row[own.id])
                data = _picture(row["image"])
                # Named by what it is: questions about one picture depend on each other.
                picture = folder / "images" / hashlib.sha256(data).hexdigest()[:16]
                if not picture.is_file():
                    picture.write_bytes(data)
                    open_picture(picture)
                question, answer = row[own.question].strip(), row[own.answer].strip()
                right, shows = _right(own, row, answer), _caption(own, row)
            except FileNotFoundError as error:
                raise RecipeError(
                    f"{where}: no picture {error.filename}; name their directory with --images"
                ) from error
            except RecipeError as error:
                raise RecipeError(f"{where}: its picture is none: {error}") from error
            except (KeyError, TypeError, ValueError, AttributeError, OSError) as error:
                raise RecipeError(
                    f"{where}: not a row of {form} ({type(error).__name__}: {error})"
                ) from error
            if name in seen:
                raise RecipeError(f"{where}: question {name} is there twice")
            seen.add(name)
            written = {
                "id": name,
                "images": [f"images/{picture.name}"],
                "messages": about_picture([(question, answer)]),
                "language": own.language,
                **right,
            }
            written |= {"shows": shows} if shows else {}
            file.write(json.dumps(written, ensure_ascii=False) + "\n")
        if not seen:
            raise RecipeError(f"{path}: no questions in it")
    return len(seen)


def run(args: argparse.Namespace) -> None:
    """The command."""
    if args.out.exists():
        raise RecipeError(f"--out {args.out}: is there already; choose another directory")
    print(f"{args.out}: {convert(args.format, args.file, args.out, args.images):,} questions")
