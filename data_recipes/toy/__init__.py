"""A small Korean-English corpus that the project writes itself, for work without a network.

Every sentence comes from the word lists, fact tables and templates in ``banks/``, so the text is
free of anybody else's rights and the same on every machine.
"""

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ..common.config_files import Strict
from ..common.files import disk_full_is_an_error, open_staged
from ..read.source import trace_text
from . import long_documents, reasoning
from .chats import chats as chat_rows
from .chats import questions as question_rows
from .grammar import PROSE, grammar_of
from .items import items, parallel_rows
from .preferences import preferences as preference_rows

GENRES: tuple[str, ...] = (*PROSE, "reasoning")
# Written only where a recipe asks for them: they take no share of the others' megabytes.
EXTRA_GENRES = ("traces", "long")
LANGUAGES = ("ko", "en")


class CorpusConfig(Strict):
    """The embedded corpus, generated into `<output_dir>/text`.

    Attributes:
        megabytes: UTF-8 text over all genres and both languages, in 1e6 bytes.
        seed: another seed gives other documents.
        extra: further genres (reasoning traces, long documents with facts to recall), each with
            its megabytes over both languages, beside the others' `megabytes`.
        chats: conversations per language, in `chats_<language>.jsonl`.
        preferences: preference pairs per language, in `preferences_<language>.jsonl`.
        questions: questions with the value of their answer, per language, in
            `questions_<language>.jsonl`.
        parallel: rows that say the same in both languages, in `parallel.jsonl`.
    """

    megabytes: float = Field(gt=0)
    seed: int = 0
    extra: dict[Literal["traces", "long"], Annotated[float, Field(gt=0)]] = {}
    chats: int = Field(default=0, ge=0)
    preferences: int = Field(default=0, ge=0)
    questions: int = Field(default=0, ge=0)
    parallel: int = Field(default=0, ge=0)

    def record(self) -> str:
        """What identifies the text. Without extras it is what it was before there were any."""
        extras = ("extra", "chats", "preferences", "questions", "parallel")
        unused = {name for name in extras if not getattr(self, name)}
        return self.model_dump_json(exclude=unused)


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
        # Alone in its document: what a trace copies stands in its own question.
        item = next(items(language, "train", f"traces/{rng.random()}"))
        return trace_text(item.question, item.reasoning, item.answer)
    if genre == "long":
        return long_documents.document(rng, language)
    return grammar_of(genre, language).write(rng, "{doc}")


def generate_corpus(
    out_dir: Path,
    megabytes: float,
    seed: int,
    extra: Mapping[str, float] | None = None,
    chats: int = 0,
    preferences: int = 0,
    questions: int = 0,
    parallel: int = 0,
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
        parallel: Rows of ``parallel.jsonl``, each in both languages; 0 writes no such file.

    Returns:
        The UTF-8 bytes of text in each file, by file stem; those of whole lines for rows.
    """
    shares = dict.fromkeys(GENRES, megabytes / len(GENRES)) | dict(extra or {})
    sizes = {}
    for genre, both in shares.items():
        for language in LANGUAGES:
            rows = _document_rows(genre, language, both * 1e6 / len(LANGUAGES), seed)
            sizes[f"{genre}_{language}"] = _write_rows(out_dir / f"{genre}_{language}.jsonl", rows)
    for name, stream, number in (
        ("chats", chat_rows, chats),
        ("preferences", preference_rows, preferences),
        ("questions", question_rows, questions),
    ):
        for language in LANGUAGES if number else ():
            rows = itertools.islice(stream(language, seed), number)
            sizes[f"{name}_{language}"] = _write_rows(out_dir / f"{name}_{language}.jsonl", rows)
    if parallel:
        rows = itertools.islice(parallel_rows(seed), parallel)
        sizes["parallel"] = _write_rows(out_dir / "parallel.jsonl", rows)
    return sizes


def keep_corpus(out_dir: Path, config: CorpusConfig) -> dict[str, int] | None:
    """Generate the corpus, unless the one that is asked for is there.

    Returns:
        As of `generate_corpus`; `None` if it was there.

    Raises:
        RecipeError: the disk is full.
    """
    record, wanted = out_dir / "corpus.json", config.record()
    if record.is_file() and record.read_text(encoding="utf-8").strip() == wanted:
        return None
    with disk_full_is_an_error(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
        sizes = generate_corpus(out_dir, **config.model_dump())
        record.write_text(wanted + "\n", encoding="utf-8")
    return sizes


def _document_rows(genre: str, language: str, size: float, seed: int) -> Iterator[dict[str, Any]]:
    written = 0
    for n, text in enumerate(documents(genre, language, seed)):
        if written >= size:
            return
        written += len(text.encode("utf-8"))
        yield {"id": f"{genre}-{language}-{n}", "text": text, "language": language}


def _write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSON lines; return the bytes of their texts, or of the lines without any."""
    size = 0
    with open_staged(path) as file:
        for row in rows:
            line = json.dumps(row, ensure_ascii=False) + "\n"
            file.write(line)
            size += len(row.get("text", line).encode("utf-8"))
    return size
