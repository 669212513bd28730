"""HTML, Mallard and DocBook pages as text: navigation goes, inscriptis lays out the rest."""

import re
import textwrap

from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.html_engine import Inscriptis
from inscriptis.html_properties import Display, WhiteSpace
from inscriptis.model.config import ParserConfig
from inscriptis.model.html_element import HtmlElement
from inscriptis.model.tag import CustomHtmlTagHandlerMapping
from lxml import etree, html

_SKIPPED_TAGS = set(
    # HTML: page furniture
    "head script style noscript header footer nav aside button svg form "
    # Mallard: who wrote it, links to other pages, pictures
    "info links media comment "
    # DocBook: front matter and index entries
    "bookinfo articleinfo chapterinfo sectioninfo legalnotice revhistory authorgroup copyright "
    "indexterm mediaobject inlinemediaobject graphic remark titleabbrev toc".split()
)
# Classes and ids of the navigation that the manuals carry, by the tool that writes them.
_SKIPPED_MARKS = set(
    # DocBook XSL (installation guide, FAQ)
    "navheader navfooter toc footnotes "
    # Apache
    "page-header path up top toplang bottomlang quickview permalink footer seealso related "
    # Sphinx (Python)
    "headerlink sphinxsidebar "
    # LibreOffice: related links, "to reach this command" menus, icon captions, debug data
    "relatedtopics howtoget noteicon iconcell debug".split()
)
# Elements of Mallard and DocBook, and those of HTML that look like them. All others only hold
# these, or stand in a line.
_AS_HTML = {
    old: new
    for new, names in {
        "p": "para simpara desc",
        "h2": "title subtitle",
        "ul": "itemizedlist simplelist list tree",
        "ol": "orderedlist procedure steps substeps",
        "li": "listitem item member step",
        "dl": "variablelist glosslist terms",
        "dt": "term glossterm",
        "dd": "glossdef",
        "pre": "screen programlisting literallayout",
        "tr": "row",
        "td": "entry",
        "rows": "table",
        "span": "link",
    }.items()
    for old in names.split()
}
# Elements whose children are drawn apart although no space is written between them.
_JOINERS = {"guiseq": " > ", "menuchoice": " > ", "keyseq": "+", "keycombo": "+"}
# What an element is by the one it stands in (by its name in HTML, if it has one).
_BY_PARENT = {
    ("item", "dl"): "dd",
    ("title", "dd"): "dt",
    ("listitem", "varlistentry"): "dd",
}
# Mallard writes both listings and words in a sentence as <code>.
_MALLARD = "http://projectmallard.org/1.0/"
_HOLD_LISTINGS = ("page", "section", "li", "dd", "note", "example", "listing")
_BLOCKS = ("p", "div", "li", "dt", "pre", "tr", "h1", "h2", "h3", "h4", "h5", "h6")

_PARAGRAPH = HtmlElement(display=Display.block, margin_before=1, margin_after=1)
# A block inside takes the margin of the one it is in: lists have none, or their items stand apart.
_LINE = HtmlElement(display=Display.block)
_VERBATIM = HtmlElement(
    display=Display.block, margin_before=1, margin_after=1, whitespace=WhiteSpace.pre
)
_CONFIG = ParserConfig(
    css=STRICT_CSS_PROFILE
    | dict.fromkeys(("p", "div", "blockquote"), _PARAGRAPH)
    | dict.fromkeys(("ul", "ol", "dl", "dt", "dd", "rows", "line"), _LINE)
    | {"pre": _VERBATIM},
    custom_html_tag_handler_mapping=CustomHtmlTagHandlerMapping(
        {"ul": lambda state, _: state.li_counter.append("- ")}, {}
    ),
)
_EXTERNAL_ENTITY = re.compile(rb"<!ENTITY\s+([\w.-]+)\s+(?:SYSTEM|PUBLIC)[^>]*>")
_CHARSET = re.compile(rb"charset=[\"']?([\w-]+)", re.IGNORECASE)


def _parse(data: bytes, name: str) -> etree._Element | None:
    if name.endswith(".html"):
        declared = _CHARSET.search(data[:2048])
        charset = declared.group(1).decode() if declared else "utf-8"
        # Pages that say EUC-KR hold syllables that only its superset has.
        charset = "cp949" if charset.lower() == "euc-kr" else charset
        text = re.sub(r"^\s*<\?xml[^>]*\?>", "", data.decode(charset, errors="replace"))
        return html.document_fromstring(text)
    # External entities would be files on the machine that reads the page, and a refused one
    # makes the parser lose the entities after it.
    for entity in _EXTERNAL_ENTITY.findall(data):
        data = data.replace(b"&" + entity + b";", b"")
    data = _EXTERNAL_ENTITY.sub(b"", data)
    parser = etree.XMLParser(resolve_entities="internal", no_network=True, recover=True)
    return etree.fromstring(data, parser)


def read_titles(data: bytes, name: str) -> dict[str, str]:
    """Read the titles of a Mallard or DocBook page, by the names that other pages call them."""
    root = None if name.endswith(".html") else _parse(data, name)
    titles: dict[str, str] = {}
    for node in () if root is None else root.iter("{*}page", "{*}section", "{*}sect1", "{*}sect2"):
        title = node.find("{*}title")
        if title is None or not node.get("id"):
            continue
        text = " ".join("".join(title.itertext()).split())
        if node is not root and (page := root.get("id")):
            titles[f"{page}#{node.get('id')}"] = text
        titles[node.get("id")] = text
    return titles


def page_text(data: bytes, name: str, titles: dict[str, str] | None = None) -> str:
    """Read a page as plain text, paragraphs apart by a blank line.

    Args:
        data: the page.
        name: ends in `.html` for HTML; anything else is read as XML.
        titles: of `read_titles`, for all pages of the manual; they stand where a page shows only a
            reference.
    """
    root = _parse(data, name)
    if root is None:
        return ""
    etree.strip_elements(root, etree.Comment, etree.PI, with_tail=False)
    for node in root.iter(etree.Element):
        _simplify(node, titles or {})
    etree.strip_elements(root, "skipped", with_tail=False)
    for node in list(root.iter("pre", "tr", "li", "dt", "dd")):
        _flatten(node)
    for node in root.iter():
        # inscriptis reads character references, which lxml has done already, once more.
        node.text = node.text and node.text.replace("&", "&amp;")
        node.tail = node.tail and node.tail.replace("&", "&amp;")
    text = Inscriptis(root, _CONFIG).get_text().replace("\xa0", " ")
    lines = "\n".join(line.rstrip() for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n")


def _simplify(node: etree._Element, titles: dict[str, str]) -> None:
    """Give an element its name in HTML, or `skipped`. Its parent has got one before."""
    name = etree.QName(node)
    tag = name.localname
    parent = getattr(node.getparent(), "tag", "")
    marks = {*node.get("class", "").split(), node.get("id", "").lower()}
    if tag in _SKIPPED_TAGS or marks & _SKIPPED_MARKS or _is_bare_link(node):
        node.tag = "skipped"
    elif (tag, parent) in _BY_PARENT:
        node.tag = _BY_PARENT[tag, parent]
    elif tag == "code" and name.namespace == _MALLARD and parent in _HOLD_LISTINGS:
        node.tag = "pre"
    else:
        node.tag = _AS_HTML.get(tag, tag)
    if marks & {"switch", "switchinline"}:
        # LibreOffice ships the text for every system and hides all but one with a script.
        default = [child for child in node if child.get("id", "").startswith("default")]
        for child in node:
            child.tag = child.tag if child in (default or node)[:1] else "skipped"
    elif tag in ("link", "xref") and not len(node) and not (node.text or "").strip():
        node.text = titles.get(node.get("xref") or node.get("linkend"), "")
    elif tag in _JOINERS:
        node.text = ""
        for child in node:
            child.tail = _JOINERS[tag] if child.getnext() is not None else ""


def _is_bare_link(node: etree._Element) -> bool:
    # LibreOffice ends its pages with paragraphs that are nothing but links to other pages.
    return node.tag == "p" and node.xpath(
        "count(a[@href]) = 1 and normalize-space() = normalize-space(a[@href])"
    )


def _flatten(node: etree._Element) -> None:
    """Make one line of a row of a table, and of each paragraph in an item of a list."""
    if node.tag == "pre":
        # Without the colours that lines of a program have.
        _set_text(node, textwrap.dedent("".join(node.itertext()).expandtabs(4)).strip("\n"))
    elif node.tag != "tr":
        for inner in node.iter("p", "div", "td", "th"):
            inner.tag = "line"
    elif all(len(list(cell.iter(*_BLOCKS))) <= 1 for cell in node):
        cells = (" ".join("".join(cell.itertext()).split()) for cell in node)
        text = " | ".join(cell for cell in cells if cell)
        _set_text(node, text.replace(": | ", ": "), "line")
    else:  # a table that lays out paragraphs
        for cell in node:
            cell.tag = "div"


def _set_text(node: etree._Element, text: str, tag: str | None = None) -> None:
    del node[:]
    node.text, node.tag = text, tag or node.tag
