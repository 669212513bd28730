"""A small Korean-English corpus that the project writes itself, for work without a network.

Every sentence comes from the word lists, fact tables and templates in ``banks/``, so the text is
free of anybody else's rights and the same on every machine.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path

from . import prose, reasoning

GENRES: tuple[str, ...] = (*prose.GENRES, "reasoning")
LANGUAGES = ("ko", "en")


def documents(genre: str, language: str, seed: int) -> Iterator[str]:
    """Endless, deterministic stream of document texts of one genre and language.

    Document ``n`` depends on the seed, the genre, the language and ``n`` only, so a longer corpus
    begins with the shorter one.
    """
    for name, value, choices in (("genre", genre, GENRES), ("language", language, LANGUAGES)):
        if value not in choices:
            raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(choices)}")
    return (_document(genre, language, seed, n) for n in itertools.count())


def _document(genre: str, language: str, seed: int, n: int) -> str:
    # A string seed is hashed by its bytes, so it does not vary between processes.
    rng = random.Random(f"{seed}/{genre}/{language}/{n}")
    if genre == "reasoning":
        return reasoning.document(rng, language)
    return prose.document(rng, genre, language)


def generate_corpus(out_dir: Path, megabytes: float, seed: int) -> dict[str, int]:
    """Write the corpus as one ``<genre>_<language>.jsonl`` file for every genre and language.

    Args:
        out_dir: Folder for the files; created if missing. Files of the same name are replaced.
        megabytes: Total size of the texts in units of 10**6 UTF-8 bytes, shared out evenly. Every
            file ends with the document that reaches its share.
        seed: Selects the corpus.

    Returns:
        The UTF-8 bytes of text in each file, by file stem.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    share = megabytes * 1e6 / (len(GENRES) * len(LANGUAGES))
    return {
        f"{genre}_{language}": _write_file(out_dir, genre, language, share, seed)
        for genre in GENRES
        for language in LANGUAGES
    }


def _write_file(out_dir: Path, genre: str, language: str, size: float, seed: int) -> int:
    path = out_dir / f"{genre}_{language}.jsonl"
    # The process id keeps two runs that share a folder out of each other's unfinished file.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    written = 0
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as file:
            for n, text in enumerate(documents(genre, language, seed)):
                if written >= size:
                    break
                record = {"id": f"{genre}-{language}-{n}", "text": text, "language": language}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                written += len(text.encode("utf-8"))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return written
