"""Collect text in several languages, and pairs of texts, from a Debian archive into JSONL files."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..common.config_files import CONFIGS, Strict, load_config
from ..common.errors import RecipeError
from ..common.files import open_staged, write_json_atomically
from .archive import Archive, Package, check_tools, default_work_dir, read_index
from .markup import page_text, read_titles
from .texts import CATALOGUES, PLAIN, read_catalogue, read_descriptions, read_plain

_PACKAGES = CONFIGS / "debian_archive" / "packages.yaml"

_Row = dict[str, str]


class Manual(Strict):
    """A package of manuals or messages, or a family of packages with one for each language.

    Attributes:
        package: its name; `{language}` in it stands for the language.
        licence: of the text.
        pages: pattern of the paths of its pages, with `{language}`; `None` if it is English alone.
        english: pattern for English, where that is another one.
        english_package: package of the English ones, where that is another one.
    """

    package: str
    licence: str
    pages: str | None = None
    english: str | None = None
    english_package: str | None = None

    def find(self, language: str) -> tuple[str, str] | None:
        """Return package and pattern of the pages in a language; `None` if there can be none."""
        if language == "en" and self.english is not None:
            return self.english_package or self.package, self.english
        if self.pages is None:
            return None
        name, pages = (text.replace("{language}", language) for text in (self.package, self.pages))
        return name, pages


class PackageList(Strict):
    """The packages that hold text: `manuals`, and the `more` that `--everything` takes too.

    Attributes:
        note: what to know of the licences.
        descriptions: licence of the descriptions of packages.
    """

    note: str
    descriptions: str
    manuals: list[Manual]
    more: list[Manual]


def _say(message: str) -> None:
    print(f"debian: {message}", file=sys.stderr, flush=True)


class _Collection:
    """What has been collected: rows and pairs with English by language, and where they are from."""

    def __init__(self) -> None:
        self.rows: dict[str, list[_Row]] = defaultdict(list)
        self.pairs: dict[str, list[_Row]] = defaultdict(list)
        self.sources: list[dict[str, str | int]] = []

    def add(
        self, package: Package, licence: str, language: str, documents: Iterable[tuple[str, str]]
    ) -> None:
        """Add (name, text) documents."""
        facts = {"language": language, "source": package.name, "licence": licence}
        rows = [
            {"id": f"{package.name}/{name}", "text": text, **facts}
            for name, text in documents
            if text
        ]
        self.rows[language] += rows
        about = {"package": package.name, "version": package.version, "licence": licence}
        counts = {"language": language, "documents": len(rows), "bytes": _text_bytes(rows)}
        self.sources.append(about | counts)
        _say(
            f"{package.name} {package.version}: {language}, {len(rows):,} documents, "
            f"{counts['bytes']:,} bytes"
        )

    def add_pairs(
        self, source: str, licence: str, language: str, pairs: Iterable[tuple[str, str, str]]
    ) -> None:
        """Add (name, English, translation), where the translation says anything of its own."""
        facts = {"source": source, "licence": licence}
        self.pairs[language] += [
            {"id": f"{source}/{name}", "en": english, language: own, **facts}
            for name, english, own in pairs
            if own != english
        ]


def _text_bytes(rows: list[_Row]) -> int:
    return sum(len(row["text"].encode()) for row in rows)


def _add_descriptions(collection: _Collection, indexes: list[Package], licence: str) -> None:
    by_language: dict[str, dict[str, str]] = defaultdict(dict)
    for index in indexes:
        language = index.name.removeprefix("Translation-")
        documents = read_descriptions(read_index(index.path), language)
        by_language[language] |= documents
        collection.add(index, licence, language, documents.items())
    english = by_language.pop("en", {})
    for language, own in by_language.items():
        pairs = ((name, english[name], text) for name, text in own.items() if name in english)
        collection.add_pairs(f"Translation-{language}", licence, language, pairs)


def _documents(pages: list[tuple[str, bytes]], language: str) -> Iterator[tuple[str, str]]:
    # Names of pages are unique in a manual, which is a directory.
    titles: dict[str, dict[str, str]] = defaultdict(dict)
    for name, data in pages:
        if not name.endswith((*PLAIN, *CATALOGUES)):
            titles[os.path.dirname(name)] |= read_titles(data, name)
    for name, data in pages:
        if name.endswith(PLAIN):
            yield name, read_plain(data, name)
        elif name.endswith(CATALOGUES):
            messages = read_catalogue(data, name)
            keys = language == "en" and name.endswith(".mo")
            yield name, "\n\n".join(key if keys else message for key, message in messages)
        else:
            yield name, page_text(data, name, titles[os.path.dirname(name)])


def _add_manual(
    collection: _Collection, archive: Archive, manual: Manual, languages: tuple[str, ...]
) -> list[str]:
    """Add its pages and pairs of messages; return the packages that this release lacks."""
    packages: dict[str, Package | None] = {}
    english: dict[str, dict[str, str]] = {}
    for language in sorted(languages, key=lambda code: code != "en"):
        found = manual.find(language)
        if found is None:
            continue
        name, pattern = found
        if name not in packages:
            packages[name] = archive.fetch(name)
        package = packages[name]
        if package is None:
            continue
        pages = package.members(pattern)
        documents = _documents(pages, language)
        collection.add(package, manual.licence, language, documents)
        for path, data in pages:
            if not path.endswith(CATALOGUES):
                continue
            messages, beside = read_catalogue(data, path), path.removesuffix(f"{language}.json")
            if language == "en":
                english[beside] = dict(messages)
                continue
            names = path.endswith(".json")
            known = english.get(beside, {}) if names else {key: key for key, _ in messages}
            pairs = (
                (f"{path}/{number}", known[key], message)
                for number, (key, message) in enumerate(messages)
                if key in known
            )
            collection.add_pairs(name, manual.licence, language, pairs)
    return [name for name, package in packages.items() if package is None]


def _check_machine(out_dir: Path) -> None:
    check_tools()
    if out_dir.exists() and not (out_dir.is_dir() and os.access(out_dir, os.W_OK)):
        raise RecipeError(f"{out_dir}: cannot write there; choose another directory")


def _write_rows(path: Path, rows: Iterable[_Row]) -> None:
    with open_staged(path) as file:
        file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def collect_debian(
    out_dir: Path,
    work_dir: Path | None = None,
    languages: tuple[str, ...] = ("ko", "en"),
    everything: bool = False,
) -> dict[str, dict[str, Any]]:
    """Collect package descriptions and manuals from a Debian archive.

    Writes `debian_<language>.jsonl` (`id`, `text`, `language`, `source`, `licence` per line),
    `pairs_<language>.jsonl` if English is asked for too (`id`, `en`, the translation under the
    code of its language, `source`, `licence`: descriptions and messages of programs) and
    `SOURCES.json` (versions, licences and bytes per source). Text is stripped of markup and
    navigation, and else as it is: copies, and what is left in English in Korean manuals, are
    for a data recipe to remove. Fetches about 65 MB with apt from the sources that the system has;
    installs nothing and leaves the system's package lists alone.

    Args:
        out_dir: where the files go; existing ones are replaced when all is collected.
        work_dir: keeps what was fetched, so that a killed run goes on where it was; by default
            `kormo-recipes/debian` in the user's cache directory.
        languages: codes as Debian's Translation indexes have them, e.g. "ko", "de", "pt_BR".
        everything: also large manuals and the messages of programs (about 400 MB to fetch).
            `manuals_<language>.jsonl` then has the manuals once more, as examples of good prose
            for a quality classifier.

    Returns:
        per file of text, by its stem: `documents`, `bytes` (of text, UTF-8), `language`, `licence`
        and `packages`; per file of pairs: `pairs` and `language`.

    Raises:
        RecipeError: not a Debian system, archive not reached, a language without an index, or
            `out_dir` cannot be written.
    """
    _check_machine(out_dir)
    known = load_config(_PACKAGES, PackageList, [])
    _say("fetching package indexes")
    archive = Archive((work_dir or default_work_dir()).absolute(), languages)
    collection = _Collection()
    _add_descriptions(collection, archive.update(), known.descriptions)
    missing: list[str] = []
    for manual in (*known.manuals, *known.more) if everything else known.manuals:
        missing += _add_manual(collection, archive, manual, languages)
    if missing:
        _say(f"warning: not in this release, collected without: {', '.join(missing)}")

    report: dict[str, dict[str, Any]] = {}
    prose = {found[0] for m in known.manuals for code in languages if (found := m.find(code))}
    for language, rows in collection.rows.items():
        _write_rows(out_dir / f"debian_{language}.jsonl", rows)
        if everything:
            good = (row for row in rows if row["source"] in prose)
            _write_rows(out_dir / f"manuals_{language}.jsonl", good)
        report[f"debian_{language}"] = {
            "documents": len(rows),
            "bytes": _text_bytes(rows),
            "language": language,
            "licence": sorted({row["licence"] for row in rows}),
            "packages": list(dict.fromkeys(row["source"] for row in rows)),
        }
    for language, pairs in collection.pairs.items():
        _write_rows(out_dir / f"pairs_{language}.jsonl", pairs)
        report[f"pairs_{language}"] = {"pairs": len(pairs), "language": language}
    facts = {
        "date": datetime.now(UTC).date().isoformat(),
        "note": known.note,
        "files": report,
        "missing_packages": missing,
        "sources": collection.sources,
    }
    write_json_atomically(out_dir / "SOURCES.json", facts)
    return report
