"""A small Korean-English corpus that the project writes itself, for work without a network.

Every sentence comes from the word lists, fact tables and templates in ``banks/``, so the text is
free of anybody else's rights and the same on every machine.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import long_documents, prose, reasoning, traces
from .chats import chats as chat_rows
from .chats import questions as question_rows
from .preferences import preferences as preference_rows

GENRES: tuple[str, ...] = (*prose.GENRES, "reasoning")
# Written only where a recipe asks for them: they take no share of the others' megabytes.
EXTRA_GENRES = ("traces", "long")
LANGUAGES = ("ko", "en")


def documents(genre: str, language: str, seed: int) -> Iterator[str]:
    """Endless, deterministic stream of document texts of one genre and language.

    Document ``n`` depends on the seed, the genre, the language and ``n`` only, so a longer corpus
    begins with the shorter one.
    """
    for name, value, choices in (
        ("genre", genre, (*GENRES, *EXTRA_GENRES)),
        ("language", language, LANGUAGES),
    ):
        if value not in choices:
            raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")
    return (_document(genre, language, seed, n) for n in itertools.count())


def _document(genre: str, language: str, seed: int, n: int) -> str:
    # A string seed is hashed by its bytes, so it does not vary between processes.
    rng = random.Random(f"{seed}/{genre}/{language}/{n}")
    if genre == "reasoning":
        return reasoning.document(rng, language)
    if genre == "traces":
        return traces.document(rng, language)
    if genre == "long":
        return long_documents.document(rng, language)
    return prose.document(rng, genre, language)


def generate_corpus(
    out_dir: Path,
    megabytes: float,
    seed: int,
    extra: Mapping[str, float] | None = None,
    chats: int = 0,
    preferences: int = 0,
    questions: int = 0,
) -> dict[str, int]:
    """Write the corpus as one ``<genre>_<language>.jsonl`` file for every genre and language.

    Args:
        out_dir: Folder for the files; created if missing. Files of the same name are replaced.
        megabytes: Total size of the texts in units of 10**6 UTF-8 bytes, shared out evenly over
            ``GENRES``. Every file ends with the document that reaches its share.
        seed: Selects the corpus.
        extra: Genres of ``EXTRA_GENRES`` to write as well, each with its own megabytes over both
            languages.
        chats: Rows of ``chats_<language>.jsonl``; 0 writes no such file.
        preferences: Rows of ``preferences_<language>.jsonl``; 0 writes no such file.
        questions: Rows of ``questions_<language>.jsonl``; 0 writes no such file.

    Returns:
        The UTF-8 bytes of text in each file, by file stem; those of whole lines for rows.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    shares = dict.fromkeys(GENRES, megabytes / len(GENRES)) | dict(extra or {})
    sizes = {
        f"{genre}_{language}": _write_documents(out_dir, genre, language, share, seed)
        for genre, both in shares.items()
        for language in LANGUAGES
        for share in [both * 1e6 / len(LANGUAGES)]
    }
    for name, rows, number in (
        ("chats", chat_rows, chats),
        ("preferences", preference_rows, preferences),
        ("questions", question_rows, questions),
    ):
        for language in LANGUAGES if number else ():
            stem = f"{name}_{language}"
            records = itertools.islice(rows(language, seed), number)
            sizes[stem] = _write_file(out_dir / f"{stem}.jsonl", map(_with_line_size, records))
    return sizes


def _write_documents(out_dir: Path, genre: str, language: str, size: float, seed: int) -> int:
    def records() -> Iterator[tuple[dict[str, Any], int]]:
        written = 0
        for n, text in enumerate(documents(genre, language, seed)):
            if written >= size:
                return
            number = len(text.encode("utf-8"))
            written += number
            yield {"id": f"{genre}-{language}-{n}", "text": text, "language": language}, number

    return _write_file(out_dir / f"{genre}_{language}.jsonl", records())


def _with_line_size(row: dict[str, Any]) -> tuple[dict[str, Any], int]:
    return row, len(_line(row).encode("utf-8"))


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False) + "\n"


def _write_file(path: Path, records: Iterator[tuple[dict[str, Any], int]]) -> int:
    """Write records with their sizes as JSON lines; the sum of the sizes."""
    # The process id keeps two runs that share a folder out of each other's unfinished file.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    written = 0
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            for record, size in records:
                file.write(_line(record))
                written += size
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return written
