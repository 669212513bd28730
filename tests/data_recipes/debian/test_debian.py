"""Text from Debian packages: what the parsers keep, what is aligned, and how downloads fail."""

import gzip
import json
import struct
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from data_recipes.common.config_files import CONFIGS, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.debian import archive, collect, collect_debian
from data_recipes.debian.archive import Archive, Package
from data_recipes.debian.collect import Manual, PackageList
from data_recipes.debian.markup import page_text, read_titles
from data_recipes.debian.texts import WrapJoiner, read_catalogue, read_descriptions, read_plain

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
    documents = read_descriptions(STANZAS, "en")
    assert documents == {
        "tint/4622fde0": (
            "Tetris clone for terminals\n\n"
            "TINT is a clone of the original game.\n\n"
            "It offers:\n\n"
            "- levels that go up\n"
            "- a score file.dat - kept on its own line\n\n"
            "Have fun."
        ),
        "next/00000000": "another one",
    }
    assert read_descriptions(STANZAS, "ko") == {}


def test_verbatim_lines_stay_apart() -> None:
    stanza = "Package: x\nDescription-en: tools\n Tools:\n  a - first\n  b - second\n"
    assert read_descriptions(stanza, "en") == {"x/": "tools\n\nTools:\n\na - first\nb - second"}


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
    assert page_text(HTML.encode(), "page.html") == (
        "Title\n\n"
        "One bold word & link.\nSecond line.\n\n"
        "- first\n- second\nmore\n"
        "1. open\n2. close\n"
        "-c\ncompiles\n-x\n"
        "Name: value\na | b\n\n"
        "if x:\n\n    pass\n\n"
        "Other"
    )


def test_text_that_speaks_of_markup_stays_text() -> None:
    """inscriptis would read the references a second time, and colours would join lines."""
    page = "<p>Write &amp;lt; for &lt;.</p><pre><b>if</b> x:\n  <i>y</i> = 1\n</pre>"
    assert page_text(page.encode(), "a.html") == "Write &lt; for <.\n\nif x:\n  y = 1"


def test_html_charset_is_the_declared_one() -> None:
    page = '<html><head><meta content="text/html; charset=EUC-KR"></head><p>똠방각하</p></html>'
    assert page_text(page.encode("cp949"), "a.html") == "똠방각하"


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
    assert page_text(MALLARD.encode(), "mouse.page", {"keys": "Keyboard"}) == (
        "Mouse\n\nSee Keyboard, press Ctrl+C in File > Copy or run ls.\n\nls -l\n\n"
        "Speed\n\n1. Open it.\ndpi\ndots per inch"
    )
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
    text = page_text(book.encode(), "index.docbook")
    assert text == "Guide\n\nStart\n\nVersion 2.24.\n\n- one\n\nmake"


def test_packages_are_unpacked_in_memory(tmp_path: Path) -> None:
    """A real .deb: only what matches comes out, and a damaged one is named."""
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    control = "Package: p\nVersion: 1\nArchitecture: all\nMaintainer: m\nDescription: d\n"
    (root / "DEBIAN/control").write_text(control)
    (root / "usr").mkdir()
    for name in ("b.txt", "a.txt", "c.png"):
        (root / "usr" / name).write_text(name)
    deb = tmp_path / "p.deb"
    subprocess.run(["dpkg-deb", "--build", str(root), str(deb)], check=True, capture_output=True)
    members = Package("p", "1", deb).members(r"usr/.*\.txt")
    assert members == [("usr/a.txt", b"a.txt"), ("usr/b.txt", b"b.txt")]
    deb.write_bytes(deb.read_bytes()[:-40])
    with pytest.raises(RecipeError, match="p.deb: dpkg-deb cannot unpack it"):
        Package("p", "1", deb).members(".*")


def _fake_apt_get(
    monkeypatch: pytest.MonkeyPatch, status: int = 0, out: str = "", said: str = ""
) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> object:
        calls.append(command)
        return subprocess.CompletedProcess(command, status, out, said)

    monkeypatch.setattr(archive.subprocess, "run", run)
    return calls


def test_fetched_package_has_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _fake_apt_get(monkeypatch, out="'http://x/p.deb' p_1%3a2+b_all.deb 17 SHA256:00\n")
    assert Archive(tmp_path).fetch("p") == Package(
        "p", "1:2+b", tmp_path / "debs/p_1%3a2+b_all.deb"
    )
    assert [call[4:] for call in calls] == [["download", "--print-uris", "p"], ["download", "p"]]


def test_package_that_the_release_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fake_apt_get(monkeypatch, 100, said="E: Unable to locate package p")
    assert Archive(tmp_path).fetch("p") is None


def test_unreachable_archive_shows_what_apt_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_apt_get(monkeypatch, said="W: Failed to fetch index: Temporary failure resolving")
    with pytest.raises(RecipeError, match="(?s)Temporary failure resolving.*Check the network"):
        Archive(tmp_path, ("ko", "en")).update()


def test_no_apt_get_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RecipeError, match="apt-get .*not found.*debian container"):
        collect_debian(tmp_path / "out", tmp_path / "work")
    assert not (tmp_path / "out").exists()


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


CATALOGUE = compile_catalogue(
    {
        "": "Content-Type: text/plain; charset=UTF-8\n",
        "Open the file": "파일을 엽니다",
        "OK": "OK",
        "button\x04Quit": "그만두기",
        "menu\x04Quit": "끝내기",
    }
)


def test_messages_of_programs() -> None:
    assert read_catalogue(CATALOGUE, "x.mo") == [
        ("OK", "OK"),
        ("Open the file", "파일을 엽니다"),
        ("Quit", "그만두기"),
        ("Quit", "끝내기"),
    ]
    messages = '{"@metadata": {"authors": []}, "edit": "편집", "empty": ""}'.encode()
    assert read_catalogue(messages, "i18n/ko.json") == [("edit", "편집")]


def test_plain_text_keeps_its_lines() -> None:
    text = "제목\n====\n\n\n첫 줄\n둘째 줄\n\n\n"
    expected = "제목\n====\n\n첫 줄\n둘째 줄"
    assert read_plain(text.encode(), "a.txt") == expected
    assert read_plain(gzip.compress(text.encode()), "a.rst.gz") == expected


RECIPE = """
note: read the licences
descriptions: DDTP
manuals:
  - {package: manual, licence: MIT, pages: 'help/{language}/.*', english: 'help/C/.*'}
  - {package: gone, licence: MIT, pages: '{language}/.*'}
more:
  - {package: tool, licence: GPL, pages: '.*/{language}/.*.mo', english: '.*/ko/.*.mo'}
  - {package: wiki, licence: GPL, pages: 'i18n/{language}.json'}
"""
PACKAGES = {
    "manual": {
        "help/ko/a.html": "<meta charset=utf-8><p>설명서</p><p>English left over</p>",
        "help/C/a.html": "<p>Manual</p>",
    },
    "tool": {"locale/ko/tool.mo": CATALOGUE},
    "wiki": {
        "i18n/en.json": '{"edit": "Edit", "only": "Only here"}',
        "i18n/ko.json": '{"edit": "편집", "new": "새 글"}',
    },
}


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A release with three packages, without another, and with descriptions in both languages."""
    for language, words in {"ko": "글자를 그립니다", "en": "It draws"}.items():
        stanza = "Package: {0}\nDescription-md5: 12\nDescription-{1}: {2}\n"
        names = ("p", "q") if language == "en" else ("p",)
        text = "\n".join(stanza.format(name, language, words) for name in names)
        (tmp_path / language).write_text(text, encoding="utf-8")
    for name, members in PACKAGES.items():
        with tarfile.open(tmp_path / name, "w") as tar:
            for path, data in members.items():
                content = data if isinstance(data, bytes) else data.encode()
                info = tarfile.TarInfo(f"./{path}")
                info.size = len(content)
                tar.addfile(info, BytesIO(content))
    (tmp_path / "packages.yaml").write_text(RECIPE)
    monkeypatch.setattr(collect, "_PACKAGES", tmp_path / "packages.yaml")
    monkeypatch.setattr(collect, "_check_machine", lambda out: None)
    monkeypatch.setattr(collect, "read_index", lambda path: path.read_text(encoding="utf-8"))
    monkeypatch.setattr(
        Archive,
        "update",
        lambda self: [Package(f"Translation-{x}", "test 1", tmp_path / x) for x in ("ko", "en")],
    )
    monkeypatch.setattr(
        Archive,
        "fetch",
        lambda self, name: Package(name, "1.0", tmp_path / name) if name in PACKAGES else None,
    )
    (tmp_path / "bin").mkdir()
    unpack = tmp_path / "bin/dpkg-deb"
    unpack.write_text('#!/bin/sh\ncat "$2"\n')  # a plain tar stands for a package
    unpack.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.open(encoding="utf-8")]


@pytest.mark.usefixtures("release")
def test_files_hold_what_was_collected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    report = collect_debian(out, tmp_path / "work")
    rows = _rows(out / "debian_ko.jsonl")
    assert [row["source"] for row in rows] == ["Translation-ko", "manual"]
    assert rows[1] == {
        "id": "manual/help/ko/a.html",
        "text": "설명서\n\nEnglish left over",
        "language": "ko",
        "source": "manual",
        "licence": "MIT",
    }
    assert report["debian_ko"]["documents"] == 2
    assert report["debian_ko"]["bytes"] == sum(len(row["text"].encode()) for row in rows)
    assert [row["text"] for row in _rows(out / "debian_en.jsonl")] == ["It draws"] * 2 + ["Manual"]
    facts = json.loads((out / "SOURCES.json").read_text(encoding="utf-8"))
    assert facts["missing_packages"] == ["gone"]
    assert {source["version"] for source in facts["sources"]} == {"test 1", "1.0"}
    assert "collected without: gone" in capsys.readouterr().err
    names = {"debian_ko.jsonl", "debian_en.jsonl", "pairs_ko.jsonl", "SOURCES.json"}
    assert {path.name for path in out.iterdir()} == names


@pytest.mark.usefixtures("release")
def test_pairs_say_the_same_in_both_languages(tmp_path: Path) -> None:
    """Descriptions by package, messages by what they translate or by name; no "OK" = "OK"."""
    out = tmp_path / "out"
    report = collect_debian(out, tmp_path / "work", everything=True)
    pairs = _rows(out / "pairs_ko.jsonl")
    assert {(row["source"], row["en"], row["ko"]) for row in pairs} == {
        ("Translation-ko", "It draws", "글자를 그립니다"),
        ("tool", "Open the file", "파일을 엽니다"),
        ("tool", "Quit", "끝내기"),
        ("tool", "Quit", "그만두기"),
        ("wiki", "Edit", "편집"),
    }
    assert len({row["id"] for row in pairs}) == len(pairs) == report["pairs_ko"]["pairs"]
    assert [row["source"] for row in _rows(out / "manuals_ko.jsonl")] == ["manual"]
    english = [row["text"] for row in _rows(out / "debian_en.jsonl") if row["source"] == "tool"]
    assert english == ["OK\n\nOpen the file\n\nQuit\n\nQuit"]


def test_output_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(RecipeError, match="out: cannot write there"):
        collect_debian(tmp_path / "out", tmp_path / "work")


def test_a_manual_names_its_pages_in_any_language() -> None:
    manual = Manual(
        package="help-{language}",
        licence="MIT",
        pages="help/{language}/.*",
        english="help/C/.*",
        english_package="help-en-us",
    )
    assert manual.find("en") == ("help-en-us", "help/C/.*")
    assert manual.find("da") == ("help-da", "help/da/.*")
    assert Manual(package="x", licence="MIT", english=".*").find("da") is None


def test_shipped_list_of_packages_is_read() -> None:
    known = load_config(CONFIGS / "debian_archive" / "packages.yaml", PackageList, [])
    names = [manual.package for manual in (*known.manuals, *known.more)]
    assert len(set(names)) == len(names) and "gnome-user-docs" in names
    assert all(manual.pages or manual.english for manual in (*known.manuals, *known.more))
