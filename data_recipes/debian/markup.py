"""Paragraphs of HTML, Mallard and DocBook pages, without their navigation."""

import re
import textwrap

from lxml import etree, html

from .blocks import Block

_SKIPPED_TAGS = set(
    # HTML: page furniture
    "head script style noscript header footer nav aside button input svg form "
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
    # LibreOffice: related links, "to reach this command" menus, icon captions, debug data
    "relatedtopics howtoget noteicon iconcell debug".split()
)
_BLOCK_TAGS = set(
    # HTML
    "html body div p h1 h2 h3 h4 h5 h6 ul ol li dl dt dd table thead tbody tfoot tr td th pre "
    "blockquote section article main center hr fieldset address caption figure figcaption "
    # Mallard
    "page title subtitle desc list steps terms tree item note example code screen synopsis "
    "listing quote colgroup "
    # DocBook
    "book chapter appendix preface part sect1 sect2 sect3 sect4 sect5 simplesect refentry "
    "refsect1 para simpara formalpara itemizedlist orderedlist variablelist varlistentry "
    "listitem term simplelist member procedure step substeps tip warning caution important "
    "programlisting literallayout informaltable tgroup row entry informalexample glosslist "
    "glossentry glossterm glossdef qandaset qandaentry question answer epigraph".split()
)
_SECTION_TAGS = set(
    "page section book article chapter appendix preface part sect1 sect2 sect3 sect4 sect5 "
    "simplesect refsect1".split()
)
_ITEM_TAGS = {"li", "item", "listitem", "step", "member"}
_TERM_TAGS = {"dt", "term", "glossterm"}
_GLOSSARY_TAGS = {"dl", "variablelist", "glosslist", "terms"}
_CELL_TAGS = {"td", "th", "entry"}
_VERBATIM_TAGS = {"pre", "screen", "programlisting", "literallayout"}
_CODE_CLASSES = {"example", "code", "codeintable"}
# Elements whose children are drawn apart although no space is written between them.
_JOINERS = {"guiseq": " > ", "menuchoice": " > ", "keyseq": "+", "keycombo": "+"}

_BREAK = "\0"
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_EXTERNAL_ENTITY = re.compile(rb"<!ENTITY\s+([\w.-]+)\s+(?:SYSTEM|PUBLIC)[^>]*>")
_CHARSET = re.compile(rb"charset=[\"']?([\w-]+)", re.IGNORECASE)


def _squeeze(text: str) -> str:
    lines = (" ".join(_INVISIBLE.sub("", line).split()) for line in text.split(_BREAK))
    return "\n".join(line for line in lines if line)


def _verbatim(text: str) -> str:
    # A blank line would read as the end of the paragraph.
    lines = _INVISIBLE.sub("", textwrap.dedent(text.expandtabs(4))).splitlines()
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _parents(node: etree._Element, count: int) -> list[str]:
    return [etree.QName(parent).localname for parent in node.iterancestors()][:count]


def _is_bare_link(node: etree._Element) -> bool:
    # LibreOffice ends its pages with paragraphs that are nothing but links to other pages.
    if node.tag != "p" or (node.text or "").strip():
        return False
    links = [child for child in node if child.tag == "a" and child.get("href")]
    rest = "".join(child.tail or "" for child in node)
    named = [c for c in node if c not in links and "".join(c.itertext()).strip()]
    return len(links) == 1 and not named and not rest.strip()


class _Walker:
    def __init__(self, titles: dict[str, str]) -> None:
        self.blocks: list[Block] = []
        self._titles = titles
        self._parts: list[str] = []
        self._marker = ""
        self._term = ""
        self._items = 0
        self._code = 0
        self._sections = 0

    def _emit(self, block: Block) -> None:
        # A term and what explains it make one line: "-c: compile the files".
        if self._term and block.kind in ("text", "item"):
            block = Block(f"{self._term}: {block.text}", "item")
            self._term = ""
        self._release_term()
        self.blocks.append(block)

    def flush(self, level: int = 0, term: bool = False) -> None:
        text = _squeeze("".join(self._parts))
        self._parts = []
        if not text:
            return
        if term:
            # Two terms may share an explanation.
            self._term = f"{self._term}, {text}" if self._term else text
        elif level:
            self._emit(Block(text, "heading", level))
        elif self._code:
            self._emit(Block(text, "code"))
        else:
            self._emit(Block(self._marker + text, "item" if self._items else "text"))
            self._marker = ""

    def finish(self) -> list[Block]:
        self.flush()
        self._release_term()
        return self.blocks

    def _release_term(self) -> None:
        if self._term:
            self.blocks.append(Block(self._term, "item"))
        self._term = ""

    def visit(self, node: etree._Element) -> None:
        if not isinstance(node.tag, str):  # comment, processing instruction, entity
            return
        tag = etree.QName(node).localname
        marks = {*node.get("class", "").split(), node.get("id", "").lower()}
        if tag in _SKIPPED_TAGS or marks & _SKIPPED_MARKS or _is_bare_link(node):
            return
        if tag == "br":
            self._parts.append(_BREAK)
        elif "switchinline" in marks or "switch" in marks:
            self._variant(node)
        elif tag in ("link", "xref") and not len(node) and not (node.text or "").strip():
            self._parts.append(self._titles.get(node.get("xref") or node.get("linkend"), ""))
        elif tag in _JOINERS:
            self._parts.append(
                _JOINERS[tag].join(" ".join("".join(child.itertext()).split()) for child in node)
            )
        elif tag not in _BLOCK_TAGS and tag not in _SECTION_TAGS:
            self._children(node)
        elif tag == "code" and not self._is_listing(node):
            self._children(node)
        else:
            self.flush()
            self._block(node, tag, marks)

    @staticmethod
    def _is_listing(node: etree._Element) -> bool:
        # Mallard writes both listings and words in a sentence as <code>.
        if "mallard" not in (etree.QName(node).namespace or ""):
            return False
        return any(
            parent in (_BLOCK_TAGS | _SECTION_TAGS) - {"p", "title", "desc"}
            for parent in _parents(node, 1)
        )

    def _children(self, node: etree._Element) -> None:
        self._parts.append(node.text or "")
        for child in node:
            self.visit(child)
            self._parts.append(child.tail or "")

    def _variant(self, node: etree._Element) -> None:
        # LibreOffice ships the text for every system and hides all but one with a script.
        variants = [child for child in node if isinstance(child.tag, str)]
        default = [child for child in variants if child.get("id", "").startswith("default")]
        for child in (default or variants)[:1]:
            self.visit(child)

    def _block(self, node: etree._Element, tag: str, marks: set[str]) -> None:
        if tag in _VERBATIM_TAGS or tag == "code":
            if text := _verbatim("".join(node.itertext())):
                self._emit(Block(text, "code"))
        elif tag in ("tr", "row"):
            self._row(node)
        elif tag in _ITEM_TAGS:
            self._item(node, tag)
        elif re.fullmatch("h[1-6]", tag):
            self._children(node)
            self.flush(level=int(tag[1]))
        elif tag == "title" and self._names_section(node):
            self._children(node)
            self.flush(level=self._sections)
        elif tag in _TERM_TAGS or (tag == "title" and "terms" in _parents(node, 2)):
            self._children(node)
            self.flush(term=True)
        else:
            section, code = tag in _SECTION_TAGS, bool(marks & _CODE_CLASSES)
            entry = tag == "dd"
            self._sections += section
            self._code += code
            self._items += entry
            self._children(node)
            self.flush()
            if tag in _GLOSSARY_TAGS:
                self._release_term()
            self._items -= entry
            self._code -= code
            self._sections -= section

    @staticmethod
    def _names_section(node: etree._Element) -> bool:
        return any(parent in _SECTION_TAGS for parent in _parents(node, 1))

    def _item(self, node: etree._Element, tag: str) -> None:
        kind = next(iter(_parents(node, 1)), "")
        if kind in ("ol", "orderedlist", "procedure", "steps"):
            number = sum(1 for _ in node.itersiblings(node.tag, preceding=True)) + 1
            self._marker = f"{number}. "
        elif kind not in ("varlistentry", "terms"):
            self._marker = "- "
        self._items += 1
        self._children(node)
        self.flush()
        self._items -= 1
        self._marker = ""

    def _row(self, node: etree._Element) -> None:
        cells = []
        for child in node:
            if isinstance(child.tag, str) and etree.QName(child).localname in _CELL_TAGS:
                cell = _Walker(self._titles)
                cell._items = 1
                cell.visit(child)
                cells.append(cell.finish())
        if all(len(blocks) <= 1 for blocks in cells):
            text = " | ".join(block.text for blocks in cells for block in blocks)
            if text:
                self._emit(Block(text.replace(": | ", ": ").replace("\n", " "), "item"))
        else:  # a table that lays out paragraphs
            for block in (block for blocks in cells for block in blocks):
                self._emit(block)


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
    """Titles of a Mallard or DocBook page by the names under which other pages refer to them."""
    root = None if name.endswith(".html") else _parse(data, name)
    titles: dict[str, str] = {}
    for node in () if root is None else root.iter("{*}page", "{*}section", "{*}sect1", "{*}sect2"):
        title = node.find("{*}title")
        if title is None or not node.get("id"):
            continue
        text = _squeeze("".join(title.itertext()))
        if node is not root and (page := root.get("id")):
            titles[f"{page}#{node.get('id')}"] = text
        titles[node.get("id")] = text
    return titles


def parse_markup(data: bytes, name: str, titles: dict[str, str] | None = None) -> list[Block]:
    """Paragraphs of a page; `name` ends in .html for HTML, anything else is read as XML.

    `titles` (of `read_titles`, for all pages of the manual) stand where a page shows only a
    reference.
    """
    root = _parse(data, name)
    if root is None:
        return []
    walker = _Walker(titles or {})
    walker.visit(root)
    return walker.finish()
