"""A text taken apart: code, mathematics, words that are no language, and prose."""

import re
from dataclasses import dataclass, field

_FENCE = re.compile(r"^[ \t]*(```+|~~~+)[^\n]*\n(.*?)^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)(`+)(?!`)(.+?)(?<!`)\1(?!`)")
_MATH = re.compile(
    r"\$\$(?P<display>.+?)\$\$|\\\[(?P<brackets>.+?)\\\]|\\\((?P<round>.+?)\\\)"
    r"|(?P<whole>\\begin\{(?P<name>\w+\*?)\}.*?\\end\{(?P=name)\})"
    # As pandoc has it, so that $5 and $6 are amounts: no space inside, no digit behind.
    r"|(?<![\\A-Za-z0-9$])\$(?=[^\s$])(?P<inline>[^$\n]*?[^\s$\\])\$(?!\d)",
    re.DOTALL,
)
_COMMAND = re.compile(r"\\[A-Za-z]+\*?")
# Words in mathematics are translated, and only they.
_WORDS = re.compile(r"\\(text|mbox|textbf|textit)\s*\{([^{}]*)\}")
_VERBATIM = re.compile(
    r"https?://[^\s<>\"'()\]가-힣]*[^\s<>\"'()\]가-힣.,;:!?]"
    r"|[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]*[A-Za-z0-9]"
    r"|(?<![A-Za-z0-9_])[A-Za-z_][A-Za-z0-9_.]*\(\)"
    r"|(?<![A-Za-z0-9_])_*[A-Za-z0-9]+(?:_+[A-Za-z0-9]+)+_*(?:\(\))?"
    r"|(?<![A-Za-z0-9_])[a-z]+(?:[A-Z][a-z0-9]*)+(?![A-Za-z0-9_])"
    r"|(?<![A-Za-z0-9_])[A-Za-z0-9_./~-]*[A-Za-z0-9_]"
    r"\.(?:py|txt|json|jsonl|ya?ml|csv|c|cpp|h|java|js|ts|html|md|sh|pdf|png|jpg|zip)"
    r"(?![A-Za-z0-9_])"
    r"|(?<![A-Za-z0-9_.])v?\d+(?:\.\d+){2,}(?![A-Za-z0-9_])"
    r"|\{[A-Za-z_][A-Za-z0-9_]*\}|%[sd](?![A-Za-z])"
    r"|(?!</?think>)</?[a-z][a-z0-9]{0,9}(?:\s+[a-z-]+=\"[^\"<>]*\")*\s*/?>"
)


@dataclass
class Spans:
    """Pieces of a text.

    Attributes:
        fences: contents of fenced code.
        inline: contents of inline code.
        maths: LaTeX without delimiters and white space, words in it left out.
        verbatim: addresses, file names, identifiers, tags and placeholders in the prose;
            not the think tags.
        prose: the rest; pieces have left a space each.
    """

    fences: list[str] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    maths: list[str] = field(default_factory=list)
    verbatim: list[str] = field(default_factory=list)
    prose: str = ""


def _plain_math(latex: str) -> str:
    def digits(match: re.Match[str]) -> str:
        return rf"\{match[1]}{{{''.join(sorted(re.findall(r'[0-9]', match[2])))}}}"

    return re.sub(r"\s+", "", _WORDS.sub(digits, latex)).rstrip(".,")


def _group_end(text: str, start: int) -> int:
    """Behind the braces that open at `start`; `start` if they do not close."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] in "{}" and text[position - 1] != "\\":
            depth += 1 if text[position] == "{" else -1
            if depth == 0:
                return position + 1
    return start


def _take_commands(text: str, maths: list[str]) -> str:
    """LaTeX outside of mathematics, such as `\\boxed{4}`."""
    rest, position = [], 0
    while match := _COMMAND.search(text, position):
        end = match.end()
        while end < len(text) and text[end] == "{" and (behind := _group_end(text, end)) > end:
            end = behind
        maths.append(_plain_math(text[match.start() : end]))
        rest += [text[position : match.start()], " "]
        position = end
    return "".join(rest) + text[position:]


def take_apart(text: str) -> Spans:
    """The pieces of a text, each in its order."""
    spans = Spans()

    def fence(match: re.Match[str]) -> str:
        spans.fences.append("\n".join(line.rstrip() for line in match[2].splitlines()))
        return " "

    def inline(match: re.Match[str]) -> str:
        spans.inline.append(match[2].strip())
        return " "

    def math(match: re.Match[str]) -> str:
        kinds = ("display", "brackets", "round", "whole", "inline")
        spans.maths.append(_plain_math(next(match[kind] for kind in kinds if match[kind])))
        return " "

    def verbatim(match: re.Match[str]) -> str:
        spans.verbatim.append(match[0])
        return " "

    text = _INLINE.sub(inline, _FENCE.sub(fence, text))
    text = _take_commands(_MATH.sub(math, text), spans.maths)
    spans.prose = _VERBATIM.sub(verbatim, text)
    return spans
