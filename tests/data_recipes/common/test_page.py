"""Reports: what others wrote is shown and never acted upon, in HTML and in Markdown."""

from html.parser import HTMLParser
from pathlib import Path

from matplotlib.figure import Figure

from data_recipes.common.page import (
    Bullets,
    Cell,
    Details,
    Heading,
    Page,
    Paragraph,
    Picture,
    Pre,
    Span,
    Table,
)

_EVIL = '<script>alert("x")</script> & \x1b[31m |pipe| `code` **bold**\n```\n가'


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def _report() -> Page:
    page = Page(_EVIL)
    page.add(
        Heading("Funnel by source"),
        Paragraph(["plain ", Span(_EVIL, "mark")], "bad"),
        Bullets([_EVIL, "kmmlu_mini"]),
        Table(
            ["name", "share>"],
            [[_EVIL, Cell("50 %", bar=0.5)], [Cell("가", colour="#fff"), "1"]],
            "caption",
        ),
        Details(_EVIL, [Pre(_EVIL, "good", "ko")]),
        Picture(b"\x89PNG", _EVIL, "curve.png"),
        Picture.of(Figure(figsize=(1, 1)), "drawn"),
    )
    return page


def test_html_is_whole_and_holds_no_foreign_markup() -> None:
    text = _report().to_html()
    reader = _Reader()
    reader.feed(text)
    assert not reader.open and "script" not in reader.seen
    assert reader.text.count('<script>alert("x")</script> & ␛[31m') == 7 and "\x1b" not in text
    # It asks for nothing that is not in it.
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in reader.links)
    assert '<a href="#funnel-by-source">' in text and '<h2 id="funnel-by-source">' in text
    assert '<td class="n" style="background: linear-gradient(to right, var(--bar) 50.0%' in text


def test_markdown_keeps_its_form() -> None:
    text = _report().to_markdown()
    assert "<script" not in text.replace("````\n" + _EVIL.replace("\x1b", "␛") + "\n````", "")
    assert "\x1b" not in text and "| name | share |\n| --- | ---: |" in text
    # Text that holds a fence gets a longer one; a pipe does not end its cell.
    assert "````\n<script>" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 4 and all(line.replace("\\|", "").count("|") == 3 for line in rows)
    assert "- kmmlu_mini" in text and "](curve.png)" in text
    # Python-Markdown, which makes the site, reads what is folded away if it is told to.
    assert '\n<details markdown="1"><summary>' in text


def test_a_report_is_written_in_the_form_of_its_name(tmp_path: Path) -> None:
    page = Page("report")
    page.write(tmp_path / "new" / "report.md")
    page.write(tmp_path / "new" / "report.html")
    assert (tmp_path / "new" / "report.md").read_text(encoding="utf-8") == "# report\n"
    assert (tmp_path / "new" / "report.html").read_text().startswith("<!doctype html>")
