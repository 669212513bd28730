"""Collect Korean and English text from the Debian archive into JSONL files."""

import json
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from .apt import Apt, TranslationIndex, read_members
from .blocks import Block, Deduplicator, keep_korean, render
from .descriptions import parse_translations
from .markup import parse_markup, read_titles
from .plain import CATALOGUES, PLAIN, parse_catalogue, parse_plain
from .sources import ANY, DESCRIPTIONS_LICENCE, LICENCE_NOTE, MANUALS, MORE_MANUALS, Manual

# Bytes of text that make a tokenizer and a first training run worth starting.
FLOOR_BYTES = {"ko": 5_000_000, "en": 20_000_000}

_Row = dict[str, str]


@dataclass
class _Collection:
    """What has been collected, per language."""

    everything: bool
    rows: dict[str, list[_Row]] = field(default_factory=lambda: defaultdict(list))
    unique: dict[str, Deduplicator] = field(default_factory=lambda: defaultdict(Deduplicator))
    sources: list[dict[str, str | int]] = field(default_factory=list)

    def add(
        self,
        source: str,
        version: str,
        licence: str,
        language: str,
        documents: Iterable[tuple[str, list[Block]]],
    ) -> None:
        rows = []
        for name, blocks in documents:
            if self.everything:
                text = render(blocks)
            else:
                if language == "ko":
                    blocks = keep_korean(blocks)
                text = self.unique[language].document(blocks)
            if text:
                rows.append(
                    {
                        "id": f"{source}/{name}",
                        "text": text,
                        "language": language,
                        "source": source,
                        "licence": licence,
                    }
                )
        self.rows[language] += rows
        size = _text_bytes(rows)
        self.sources.append(
            {
                "package": source,
                "version": version,
                "licence": licence,
                "language": language,
                "documents": len(rows),
                "bytes": size,
            }
        )
        _say(f"{source} {version}: {language}, {len(rows):,} documents, {size:,} bytes")


def _say(message: str) -> None:
    print(f"debian: {message}", file=sys.stderr, flush=True)


def _text_bytes(rows: list[_Row]) -> int:
    return sum(len(row["text"].encode()) for row in rows)


def _require_debian() -> None:
    absent = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if absent:
        raise RuntimeError(
            f"{' and '.join(absent)} not found: this command collects text from a Debian archive "
            "and needs a Debian system. Run it in a debian container, or use "
            "`python -m data_recipes corpus` for generated text"
        )


def _require_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise OSError(
            f"{directory}: cannot write there ({error.strerror}); choose another directory"
        ) from None


def _default_work_dir() -> Path:
    # Not below out_dir: the readers of this project take every text file under a directory.
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kormo-recipes" / "debian"


def _add_descriptions(
    collection: _Collection, apt: Apt, indexes: Iterable[TranslationIndex]
) -> None:
    for index in indexes:
        documents = parse_translations(apt.read_index(index), index.language)
        collection.add(
            f"Translation-{index.language}",
            f"{index.suite} {index.version}".strip(),
            DESCRIPTIONS_LICENCE,
            index.language,
            documents,
        )


def _pages(deb: Path, pattern: str, language: str) -> Iterator[tuple[str, list[Block]]]:
    pages = read_members(deb, pattern)
    # Names of pages are unique in a manual, which is a directory.
    titles: dict[str, dict[str, str]] = defaultdict(dict)
    markup = [page for page in pages if not page[0].endswith((*PLAIN, *CATALOGUES))]
    for name, data in markup:
        titles[os.path.dirname(name)] |= read_titles(data, name)
    for name, data in pages:
        if name.endswith(PLAIN):
            yield name, parse_plain(data, name)
        elif name.endswith(CATALOGUES):
            yield name, parse_catalogue(data, name, language)
        else:
            yield name, parse_markup(data, name, titles[os.path.dirname(name)])


def _add_manual(collection: _Collection, apt: Apt, manual: Manual, language: str) -> str | None:
    """Add its pages in `language`; the package's name if this release does not have it."""
    pattern = manual.members(language)
    package = manual.package.replace(ANY, language)
    # English has its own name in the packages that are made per language.
    if pattern is None or (language == "en" and package != manual.package):
        return None
    archive = apt.find(package)
    if archive is None:
        return package
    pages = _pages(apt.download(archive), pattern, language)
    collection.add(package, archive.version, manual.licence, language, pages)
    return None


def _check_floor(collection: _Collection, missing: list[str], warnings: str) -> None:
    short = [
        f"{size:,} bytes of {language}, {floor:,} wanted"
        for language, floor in FLOOR_BYTES.items()
        if language in collection.rows and (size := _text_bytes(collection.rows[language])) < floor
    ]
    if not short:
        if missing:
            _say(f"warning: not in this release, collected without: {', '.join(missing)}")
        return
    reason = f"This release lacks: {', '.join(missing)}. " if missing else ""
    said = f"apt said:\n{warnings}\n" if warnings else ""
    raise RuntimeError(
        f"too little text: {'; '.join(short)}. {reason}{said}"
        "Use a release that has these packages (Debian 12 does) with `main` among its sources"
    )


def _write_atomically(path: Path, lines: Iterable[str]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("w", encoding="utf-8", newline="\n") as handle:
        handle.writelines(f"{line}\n" for line in lines)
    os.replace(temporary, path)


def collect_debian(
    out_dir: Path,
    work_dir: Path | None = None,
    languages: tuple[str, ...] = ("ko", "en"),
    everything: bool = False,
) -> dict[str, dict]:
    """Collect package descriptions and manuals from a Debian archive.

    Writes `debian_<language>.jsonl` (`id`, `text`, `language`, `source`, `licence` per line) and
    `SOURCES.json` (versions, licences and bytes per source). Text is stripped of markup and
    navigation; exact copies of documents and of long paragraphs are removed, and so is what is
    left in English in the Korean manuals. Fetches about 65 MB with apt from the sources that the
    system has; installs nothing and leaves the system's package lists alone.

    Args:
        out_dir: where the files go; existing ones are replaced when all is collected.
        languages: codes as Debian's Translation indexes have them, e.g. "ko", "de", "pt_BR".
        everything: also large manuals and the messages of programs (about 400 MB to fetch), and
            nothing removed: copies, empty messages and text left in English stay, as raw material
            for a data recipe. `manuals_<language>.jsonl` then has the manuals once more, as
            examples of good prose for a quality classifier.
        work_dir: keeps what was fetched, so that a killed run goes on where it was; by default
            `kormo-recipes/debian` in the user's cache directory.

    Returns:
        per output file stem: `documents`, `bytes` (of text, UTF-8), `language`, `licence` and
        `packages`.

    Raises:
        RuntimeError: not a Debian system, archive not reached, a language without an index, or
            less than 5 MB of Korean or 20 MB of English, with the packages that this release
            lacks.
        OSError: `out_dir` or `work_dir` cannot be written.
    """
    _require_debian()
    work_dir = (work_dir or _default_work_dir()).absolute()
    _require_writable(out_dir)
    _require_writable(work_dir)
    apt = Apt(work_dir)
    _say("fetching package indexes")
    indexes = apt.update(languages)
    warnings = apt.warnings

    collection = _Collection(everything)
    _add_descriptions(collection, apt, indexes)
    manuals = (*MANUALS, *MORE_MANUALS) if everything else MANUALS
    absent = (_add_manual(collection, apt, m, language) for m in manuals for language in languages)
    missing = list(dict.fromkeys(package for package in absent if package))
    _check_floor(collection, missing, warnings)

    report: dict[str, dict] = {}
    manual_names = {m.package.replace(ANY, code) for m in MANUALS for code in languages}
    for language, rows in collection.rows.items():
        stem = f"debian_{language}"
        _write_atomically(
            out_dir / f"{stem}.jsonl", (json.dumps(row, ensure_ascii=False) for row in rows)
        )
        if everything:
            prose = (row for row in rows if row["source"] in manual_names)
            _write_atomically(
                out_dir / f"manuals_{language}.jsonl",
                (json.dumps(row, ensure_ascii=False) for row in prose),
            )
        report[stem] = {
            "documents": len(rows),
            "bytes": _text_bytes(rows),
            "language": language,
            "licence": sorted({row["licence"] for row in rows}),
            "packages": list(dict.fromkeys(row["source"] for row in rows)),
        }
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "note": LICENCE_NOTE,
        "files": report,
        "missing_packages": missing,
        "sources": collection.sources,
    }
    _write_atomically(out_dir / "SOURCES.json", [json.dumps(facts, ensure_ascii=False, indent=2)])
    return report
