"""Package descriptions: the Translation indexes of a Debian archive.

The layout of a long description is section 5.6.13 of the Debian Policy Manual: one space
starts a line of a paragraph, more spaces a line to be shown as it is, ` .` a blank line.
"""

import re
from collections.abc import Iterator

from .blocks import Block
from .wraps import WrapJoiner

_BULLET = re.compile(r"[-*+o•·]\s+(?=\S)")


def _one_space(text: str) -> str:
    return " ".join(text.split())


def _long_description(lines: list[str], joiner: WrapJoiner | None) -> list[Block]:
    blocks: list[Block] = []
    kind = None
    previous = ""
    for line in lines:
        body = line.strip()
        indent = len(line) - len(line.lstrip())
        if body in ("", "."):
            kind = None
        elif bullet := _BULLET.match(body):
            kind = "item"
            blocks.append(Block("- " + _one_space(body[bullet.end() :]), kind))
        elif kind == "item" and indent > 1 or kind == "text" and indent == 1:
            # Hard line wraps are an artefact of the index, not part of the text.
            last, body = blocks.pop(), _one_space(body)
            text = joiner.join(last.text, previous, body) if joiner else f"{last.text} {body}"
            blocks.append(Block(text, last.kind))
        else:
            kind = "text" if indent == 1 else None
            blocks.append(Block(_one_space(body), kind or "item"))
        previous = line
    return blocks


def parse_translations(index: str, language: str) -> Iterator[tuple[str, list[Block]]]:
    """(package/md5, paragraphs) for each stanza of a Translation file, in its order."""
    field = f"Description-{language}:"
    joiner = WrapJoiner(index) if language == "ko" else None
    for stanza in index.split("\n\n"):
        name = digest = ""
        description: list[str] = []
        inside = False
        for line in stanza.split("\n"):
            if line.startswith(" "):
                if inside:
                    description.append(line)
                continue
            inside = line.startswith(field)
            if inside:
                description = [line.removeprefix(field).strip()]
            elif line.startswith("Package:"):
                name = line.removeprefix("Package:").strip()
            elif line.startswith("Description-md5:"):
                digest = line.removeprefix("Description-md5:").strip()
        if name and description:
            short = [Block(_one_space(description[0]))] if description[0] else []
            yield f"{name}/{digest[:8]}", short + _long_description(description[1:], joiner)
