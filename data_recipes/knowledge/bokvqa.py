"""BOK-VQA's own questions (arXiv 2401.06443), where a user has them, in the rows of this project.

Its repository has a CSV per language and split with the columns `img_name, question, h, r, t,
answer, fold`; the pictures are AI-Hub's (71357). Answers and names of entities are English in both
languages. Its test set is no test of knowledge alone: by a count of these files 91.8 % of the facts
and 95.9 % of the answers of the test stand in training, so rows say what is new in them.
"""

import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import Field

from ..common.config_files import Strict
from ..common.errors import RecipeError
from ..read.conversations import about_picture
from .questions import SPLITS
from .triples import LANGUAGES, Graph, Triple

_COLUMNS = ("img_name", "question", "h", "r", "t", "answer", "fold")
_SOURCE, _LICENCE = "BOK-VQA", "as AI-Hub and its authors grant it"


class BokVqaConfig(Strict):
    """Where the files are.

    Attributes:
        train: CSV of the training questions by language code, `ko`, `en` or both.
        test: CSV of the test questions.
        images: directory of the pictures.
        triples: CSV of the whole graph with the columns `h, r, t`; the facts of the questions by
            default.
    """

    train: dict[str, Path] = Field(min_length=1)
    test: dict[str, Path] = Field(min_length=1)
    images: Path
    triples: Path | None = None


def _table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"bokvqa: {path}: cannot be read ({error})") from error
    reader = csv.DictReader(io.StringIO(text))
    if absent := [name for name in columns if name not in (reader.fieldnames or ())]:
        raise RecipeError(
            f"bokvqa: {path}: no column {', '.join(absent)}; it has "
            f"{', '.join(reader.fieldnames or ())}"
        )
    rows = list(reader)
    for number, row in enumerate(rows, 2):
        if any(row[name] in (None, "") for name in columns):
            raise RecipeError(f"bokvqa: {path} line {number}: an empty field")
    return rows


def _row(source: dict[str, str], language: str, images: Path, asked: Counter) -> dict[str, Any]:
    """Turn a line into a row.

    `item` is made of picture and fact, which both languages share; several questions about them
    are counted in `asked`, by their order.
    """
    picture = images / source["img_name"]
    if not picture.is_file():
        raise RecipeError(f"bokvqa: {picture}: no such picture; `images` is their directory")
    fact = [source["h"], source["r"], source["t"]]
    item = f"{source['img_name']} {'/'.join(fact)}"
    asked[item, language] += 1
    item = f"{item} {asked[item, language]}"
    return {
        "id": f"{item} {language}",
        "item": item,
        "entity": source["h"],
        "images": [str(picture.resolve())],
        "messages": about_picture([(source["question"], source["answer"])]),
        "kind": "knowledge",
        "relation": source["r"],
        "language": language,
        "answers": [source["answer"]],
        "triples": [fact],
        "hops": 1,
    }


def read_bokvqa(config: BokVqaConfig) -> tuple[Graph, dict[str, list[dict[str, Any]]]]:
    """Read questions and graph.

    Returns:
        The graph, and rows by split: a test question is in `seen`, `unseen_triples` or
        `unseen_entities` by what training has of its fact.

    Raises:
        RecipeError: a file, a column or a picture is missing, or a language is not ko or en.
    """
    if odd := sorted({*config.train, *config.test} - {*LANGUAGES}):
        raise RecipeError(f"bokvqa: language {', '.join(odd)}; there are ko and en")
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in SPLITS}
    asked: Counter[tuple[str, str]] = Counter()
    for language, path in config.train.items():
        table = _table(path, _COLUMNS)
        rows["train"] += [_row(own, language, config.images, asked) for own in table]
    facts = {tuple(row["triples"][0]) for row in rows["train"]}
    heads = {head for head, _, _ in facts}
    answers = {(row["language"], row["answers"][0]) for row in rows["train"]}
    for language, path in config.test.items():
        for own in _table(path, _COLUMNS):
            row = _row(own, language, config.images, asked)
            fact = tuple(row["triples"][0])
            novelty = (
                "seen" if fact in facts
                else "unseen_triples" if fact[0] in heads
                else "unseen_entities"
            )  # fmt: skip
            seen = (language, row["answers"][0]) in answers
            rows[novelty].append(row | {"novelty": novelty, "answer_seen": seen})
    keys = {tuple(row["triples"][0]) for own in rows.values() for row in own}
    if config.triples is not None:
        columns = ("h", "r", "t")
        keys |= {tuple(row[c] for c in columns) for row in _table(config.triples, columns)}
    names = {end: {code: (end,) for code in LANGUAGES} for h, _, t in keys for end in (h, t)}
    return Graph.of((Triple(*key, _SOURCE, _LICENCE) for key in keys), names), rows
