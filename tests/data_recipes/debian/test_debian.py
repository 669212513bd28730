"""Text from Debian packages: what the parsers keep, what is removed, and how downloads fail."""

import gzip
import hashlib
import json
import struct
import subprocess
from pathlib import Path

import pytest

from data_recipes.debian import apt, collect, collect_debian
from data_recipes.debian.apt import Apt, Archive, TranslationIndex
from data_recipes.debian.blocks import (
    LONG_PARAGRAPH_BYTES,
    Block,
    Deduplicator,
    drop_bare_headings,
    hangul_share,
    keep_korean,
    render,
)
from data_recipes.debian.descriptions import parse_translations
from data_recipes.debian.markup import parse_markup, read_titles
from data_recipes.debian.plain import parse_catalogue, parse_plain
from data_recipes.debian.sources import Manual
from data_recipes.debian.wraps import WrapJoiner

STANZAS = """\
Package: tint
Description-md5: 4622fde0aaaabbbbccccddddeeeeffff
Description-en: Tetris clone  for terminals
 TINT is a clone of the
 original game.
 .
 It offers:
  * levels that
    go up
  * a score
  file.dat  - kept on its own line
 .
 Have fun.

Package: next
Description-md5: 00000000aaaabbbbccccddddeeeeffff
Description-en: another one
"""


def test_description_becomes_paragraphs() -> None:
    documents = dict(parse_translations(STANZAS, "en"))
    assert list(documents) == ["tint/4622fde0", "next/00000000"]
    assert render(documents["tint/4622fde0"]) == (
        "Tetris clone for terminals\n\n"
        "TINT is a clone of the original game.\n\n"
        "It offers:\n\n"
        "- levels that go up\n"
        "- a score file.dat - kept on its own line\n\n"
        "Have fun."
    )
    assert documents["next/00000000"] == [Block("another one")]


def test_description_of_another_language_is_not_taken() -> None:
    assert list(parse_translations(STANZAS, "ko")) == []


def test_verbatim_lines_stay_apart() -> None:
    stanza = "Package: x\nDescription-en: tools\n Tools:\n  a - first\n  b - second\n"
    ((_, blocks),) = parse_translations(stanza, "en")
    assert render(blocks) == "tools\n\nTools:\n\na - first\nb - second"


def test_korean_lines_cut_inside_a_word_are_joined() -> None:
    joiner = WrapJoiner("가 옵션들을 나\n" * 3 + "가 다른 파일을 나\n" * 3)
    cut = " " + "가나다라마바사아자차카타파하" * 3  # 85 columns
    assert joiner.join("있는 옵", cut, "션들을 씁니다") == "있는 옵션들을 씁니다"
    assert joiner.join("있는 다른", cut, "파일을 씁니다") == "있는 다른 파일을 씁니다"
    # A short line ends where its author ended it.
    assert joiner.join("있는 옵", " 짧은 줄", "션들을") == "있는 옵 션들을"


HTML = """\
<html><head><meta charset="utf-8"><title>head</title><script>code()</script></head><body>
<div class="navheader">Prev Next</div><header>menu</header>
<h1>Title <a class="permalink" href="#t">&para;</a></h1>
<p>One&nbsp;<b>bold</b>
   word &amp; <a href="x">link</a>.<br>Second line.</p>
<ul><li>first</li><li><p>second</p><p>more</p></li></ul>
<ol><li>open</li><li>close</li></ol>
<dl><dt>-c</dt><dd>compiles</dd><dt>-x</dt></dl>
<table><tr><th>Name:</th><td>value</td></tr><tr><td>a</td><td>b</td></tr></table>
<pre>if x:

    pass
</pre>
<span class="switchinline"><span class="MAC">Mac</span><span id="default1">Other</span></span>
<p><a href="y.html">Only a link</a></p>
<div id="DEBUG">debug</div><div class="navfooter">Home</div></body></html>
"""


def test_html_keeps_paragraphs_and_drops_navigation() -> None:
    blocks = parse_markup(HTML.encode(), "page.html")
    assert blocks[0] == Block("Title", "heading", 1)
    assert render(blocks) == (
        "Title\n\n"
        "One bold word & link.\nSecond line.\n\n"
        "- first\n- second\nmore\n"
        "1. open\n2. close\n"
        "-c: compiles\n"
        "-x\n"
        "Name: value\n"
        "a | b\n\n"
        "if x:\n    pass\n\n"
        "Other"
    )


def test_html_charset_is_the_declared_one() -> None:
    page = '<html><head><meta content="text/html; charset=EUC-KR"></head><p>똠방각하</p></html>'
    assert parse_markup(page.encode("cp949"), "a.html") == [Block("똠방각하")]


MALLARD = """\
<page xmlns="http://projectmallard.org/1.0/" id="mouse">
<info><desc>hidden</desc><credit><name>hidden</name></credit></info>
<title>Mouse</title><p>See <link xref="keys"/>, press <keyseq><key>Ctrl</key><key>C</key></keyseq>
in <guiseq><gui>File</gui><gui>Copy</gui></guiseq> or run <code>ls</code>.</p>
<code>ls -l</code>
<section id="s"><title>Speed</title><steps><item><p>Open it.</p></item></steps>
<terms><item><title>dpi</title><p>dots per inch</p></item></terms></section>
</page>
"""


def test_mallard_page() -> None:
    blocks = parse_markup(MALLARD.encode(), "mouse.page", {"keys": "Keyboard"})
    assert render(blocks) == (
        "Mouse\n\nSee Keyboard, press Ctrl+C in File > Copy or run ls.\n\nls -l\n\n"
        "Speed\n\n1. Open it.\ndpi: dots per inch"
    )
    assert [block.level for block in blocks if block.kind == "heading"] == [1, 2]
    assert read_titles(MALLARD.encode(), "mouse.page") == {
        "mouse": "Mouse",
        "mouse#s": "Speed",
        "s": "Speed",
    }


def test_docbook_with_entities() -> None:
    book = """<!DOCTYPE book [<!ENTITY v "2.24"><!ENTITY legal SYSTEM "/etc/hostname">]>
    <book><title>Guide</title><bookinfo><author>hidden</author></bookinfo>&legal;
    <sect1><title>Start</title><para>Version &v;.</para><itemizedlist><listitem><para>one</para>
    </listitem></itemizedlist><programlisting>make</programlisting></sect1></book>"""
    blocks = parse_markup(book.encode(), "index.docbook")
    assert render(blocks) == "Guide\n\nStart\n\nVersion 2.24.\n\n- one\n\nmake"


def test_untranslated_parts_leave_the_korean_text() -> None:
    listing = Block("x = 1", "code")
    kept = keep_korean(
        [
            Block("ACOTH", "heading", 1),
            Block("Syntax:", "heading", 2),
            Block("Nobody has translated this sentence about 수식."),
            listing,
            Block("ScHint 지시어", "heading", 2),
            Block("이 함수는 Number의 값을 구합니다."),
            listing,
            Block("- GtkLabel", "item"),
            Block("y" * 1000, "code"),
        ]
    )
    assert [block.text for block in kept] == [
        "ACOTH",
        "ScHint 지시어",
        "이 함수는 Number의 값을 구합니다.",
        "x = 1",
        "- GtkLabel",
    ]
    assert hangul_share("값 ab 12") == pytest.approx(1 / 3)
    assert hangul_share("12 + 3") == 0


def test_headings_of_empty_sections_go() -> None:
    title, part, text = Block("T", "heading", 1), Block("P", "heading", 2), Block("text")
    assert drop_bare_headings([title, part, text, part]) == [title, part, text]
    assert drop_bare_headings([part, title, text]) == [title, text]
    assert drop_bare_headings([title]) == []


def test_copies_are_removed_and_the_first_stays() -> None:
    shared = Block("s" * LONG_PARAGRAPH_BYTES)
    own, short = Block("o" * 2 * LONG_PARAGRAPH_BYTES), Block("short one")
    unique = Deduplicator()
    assert unique.document([shared, short]) == render([shared, short])
    assert unique.document([shared, short]) is None
    assert unique.document([shared, short, own]) == render([short, own])
    # Less than half is new: a fragment, which does not mark its own paragraphs as seen either.
    other = Block("n" * LONG_PARAGRAPH_BYTES)
    assert unique.document([own, other]) is None
    assert unique.document([other]) == other.text
    assert unique.document([other]) is None
    assert unique.document([Block("label")]) is None


PAYLOAD = b"the whole package"
ARCHIVE = Archive(
    "pkg", "1.0", "pkg_1.0_all.deb", len(PAYLOAD), "sha256", hashlib.sha256(PAYLOAD).hexdigest()
)


def _fake_apt_get(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(command: list[str], cwd: Path | None = None, **_: object) -> object:
        calls.append(command)
        if cwd is not None:
            (cwd / ARCHIVE.file_name).write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(apt.subprocess, "run", run)
    return calls


@pytest.mark.parametrize("cached", [PAYLOAD[:5], b"x" * len(PAYLOAD)], ids=["short", "altered"])
def test_partial_download_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cached: bytes
) -> None:
    calls = _fake_apt_get(monkeypatch, PAYLOAD)
    client = Apt(tmp_path)
    (tmp_path / "debs" / ARCHIVE.file_name).write_bytes(cached)
    assert client.download(ARCHIVE).read_bytes() == PAYLOAD
    assert len(calls) == 1
    assert client.download(ARCHIVE).read_bytes() == PAYLOAD
    assert len(calls) == 1  # whole by now


def test_truncated_download_is_an_error_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_apt_get(monkeypatch, PAYLOAD[:5])
    with pytest.raises(RuntimeError, match="differs from the package index"):
        Apt(tmp_path).download(ARCHIVE)
    assert list((tmp_path / "debs").iterdir()) == []


def test_unreachable_archive_shows_what_apt_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "W: Failed to fetch index: Temporary failure resolving"
    monkeypatch.setattr(
        apt.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, "", said),
    )
    with pytest.raises(RuntimeError, match="(?s)Temporary failure resolving.*Check the network"):
        Apt(tmp_path).update(("ko", "en"))


def test_no_apt_get_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="apt-get .*not found.*debian container"):
        collect_debian(tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release with one manual, without another, and descriptions in both languages."""
    monkeypatch.setattr(collect, "_require_debian", lambda: None)
    sentence = {"ko": "이 패키지는 화면에 글자를 그리는 도구입니다. " * 5, "en": "It draws. " * 20}
    indexes = [TranslationIndex(lang, "test", "1", tmp_path / lang) for lang in ("ko", "en")]
    page = f"<html><meta charset=utf-8><p>{sentence['ko']}설명서</p><p>English left over</p></html>"
    monkeypatch.setattr(
        Apt, "update", lambda self, languages: [i for i in indexes if i.language in languages]
    )
    monkeypatch.setattr(
        Apt,
        "read_index",
        lambda self, index: (
            f"Package: p\nDescription-{index.language}: p\n {sentence[index.language]}\n"
        ),
    )
    monkeypatch.setattr(Apt, "find", lambda self, name: ARCHIVE if name == "pkg" else None)
    monkeypatch.setattr(Apt, "download", lambda self, archive: tmp_path / "pkg.deb")
    monkeypatch.setattr(collect, "read_members", lambda deb, pattern: [("a.html", page.encode())])
    manuals = (Manual("pkg", "MIT", {"ko": ".*"}), Manual("gone", "MIT", {"ko": ".*"}))
    monkeypatch.setattr(collect, "MANUALS", manuals)


@pytest.mark.usefixtures("archive")
def test_files_hold_what_was_collected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "FLOOR_BYTES", {"ko": 100, "en": 100})
    report = collect_debian(tmp_path / "out", tmp_path / "work")
    lines = (tmp_path / "out/debian_ko.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["source"] for row in rows] == ["Translation-ko", "pkg"]
    assert rows[1].keys() == {"id", "text", "language", "source", "licence"}
    assert "도구입니다" in lines[1] and rows[1]["text"].endswith("설명서")
    assert report["debian_ko"]["documents"] == 2
    assert report["debian_ko"]["bytes"] == sum(len(row["text"].encode()) for row in rows)
    assert report["debian_en"]["documents"] == 1
    facts = json.loads((tmp_path / "out/SOURCES.json").read_text(encoding="utf-8"))
    assert facts["missing_packages"] == ["gone"]
    assert [source["version"] for source in facts["sources"]] == ["test 1", "test 1", "1.0"]
    assert "collected without: gone" in capsys.readouterr().err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "debian_ko.jsonl",
        "debian_en.jsonl",
        "SOURCES.json",
    }


@pytest.mark.usefixtures("archive")
def test_too_little_text_names_the_missing_package(tmp_path: Path) -> None:
    with pytest.raises(
        RuntimeError, match="too little text.*bytes of ko.*This release lacks: gone"
    ):
        collect_debian(tmp_path / "out", tmp_path / "work")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.usefixtures("archive")
def test_output_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OSError, match="out: cannot write there"):
        collect_debian(tmp_path / "out", tmp_path / "work")


def test_everything_is_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: None) -> None:
    """Copies stay, and so does what was left in English."""
    monkeypatch.setattr(collect, "FLOOR_BYTES", {"ko": 100})
    monkeypatch.setattr(collect, "MANUALS", (Manual("pkg", "MIT", {"ko": ".*"}),) * 2)
    monkeypatch.setattr(collect, "MORE_MANUALS", (Manual("pkg", "MIT", {"ko": ".*"}),))
    report = collect_debian(tmp_path / "out", tmp_path / "work", ("ko",), everything=True)
    rows = [json.loads(line) for line in (tmp_path / "out/debian_ko.jsonl").open(encoding="utf-8")]
    assert report.keys() == {"debian_ko"}
    assert len(rows) == 4 and rows[1]["text"] == rows[3]["text"]
    assert "English left over" in rows[1]["text"]
    manuals = (tmp_path / "out/manuals_ko.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in manuals] == rows[1:]


def test_a_manual_names_its_pages_in_any_language() -> None:
    manual = Manual(
        "help-{language}", "MIT", {"en": "help/C/.*", "{language}": "help/{language}/.*"}
    )
    assert manual.members("en") == "help/C/.*"
    assert manual.members("da") == "help/da/.*"
    assert Manual("x", "MIT", {"en": ".*"}).members("da") is None


def compile_catalogue(messages: dict[str, str]) -> bytes:
    """A gettext catalogue, as section "The Format of GNU MO Files" of its manual has it."""
    pairs = [(k.encode(), v.encode()) for k, v in sorted(messages.items())]
    start = 28 + 16 * len(pairs)
    text, tables = b"", [b"", b""]
    for side in (0, 1):
        for pair in pairs:
            tables[side] += struct.pack("<II", len(pair[side]), start + len(text))
            text += pair[side] + b"\0"
    header = (0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    return struct.pack("<7I", *header) + tables[0] + tables[1] + text


def test_messages_of_programs() -> None:
    data = compile_catalogue(
        {
            "": "Content-Type: text/plain; charset=UTF-8\n",
            "Open the file": "파일을 엽니다",
            "menu\x04Quit": "끝내기",
        }
    )
    assert parse_catalogue(data, "x.mo", "ko") == [Block("파일을 엽니다"), Block("끝내기")]
    assert parse_catalogue(data, "x.mo", "en") == [Block("Open the file"), Block("Quit")]
    messages = '{"@metadata": {"authors": []}, "edit": "편집", "empty": ""}'.encode()
    assert parse_catalogue(messages, "i18n/ko.json", "ko") == [Block("편집")]


def test_plain_text_keeps_its_lines() -> None:
    text = "제목\n====\n\n첫 줄\n둘째 줄\n\n\n"
    blocks = [Block("제목\n===="), Block("첫 줄\n둘째 줄")]
    assert parse_plain(text.encode(), "a.txt") == blocks
    assert parse_plain(gzip.compress(text.encode()), "a.rst.gz") == blocks
