"""Template grammar that turns the text files in ``banks/`` into documents.

A bank file is a list of rules. ``# name`` opens a rule and every following line is one
alternative; ``# name: ko | en | colour_ko | colour_en`` opens a table whose lines are rows.
Of a table only the columns of the grammar's language are kept: ``ko`` or ``en`` is the text of
the row and ``colour`` becomes the field ``{x.colour}`` of a row bound to ``x``.

Inside an alternative:

==================  ===========================================================================
``{rule}``          a random alternative; none is repeated in a document until all were used
``{x:rule}``        the same, remembered as ``{x}`` (and ``{x.field}``) for the whole document
``{!x:rule}``       remembered without appearing in the text
``{_x:rule}``       the same as ``{x:rule}``, but drawn anew each time the slot is met
``{rule?}``         present in half of the cases
``{rule*2-4}``      two to four alternatives, joined by a space; a suffix changes the layout:
                    ``/`` lines, ``,`` a comma list, ``-`` a bulleted and ``#`` a numbered list;
                    ``>`` before it keeps the order of the bank, as steps of a recipe need
``{3-20}``          a number, ``{x:100-900/50}`` a remembered number on a grid
``<a|b|c>``         an inline choice
``\\n``              a line break
==================  ===========================================================================

Inflection marks in square brackets are left to :mod:`korean` and :mod:`english`, because they
depend on the words that end up next to them.
"""

import random
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources

from . import english, korean

_NUMBER = re.compile(r"(\d+)-(\d+)(?:/(\d+))?")
_REPEAT = re.compile(r"(\w+)\*(\d+)-(\d+)(>?)([/,#-]?)")
_SPACES = re.compile(r" {2,}| +(?=\n)|(?<=\n) +")
_REALISE: dict[str, Callable[[str], str]] = {"ko": korean.realise, "en": english.realise}

# Genres whose documents come from the grammar alone.
PROSE = ("web", "encyclopedia", "stories", "dialogue")

Node = Callable[["_Expansion"], str]
Template = tuple["str | Node", ...]
Row = tuple[Template, dict[str, Template]]


class Grammar:
    """The rules of several bank files for one language."""

    def __init__(self, language: str, *banks: str) -> None:
        self._realise = _REALISE[language]
        self._rules: dict[str, list[Row]] = {}
        for bank in banks:
            text = resources.files(__package__).joinpath("banks", f"{bank}.txt").read_text("utf-8")
            for name, rows in _read_rules(text, language):
                if name in self._rules:
                    raise ValueError(f"rule {name!r} is defined twice, again in bank {bank!r}")
                self._rules[name] = rows

    def write(
        self, rng: random.Random, template: str, values: Mapping[str, str] | None = None
    ) -> str:
        """Expand a template, with some slots already bound, and inflect the result."""
        expansion = _Expansion(rng, self._rules, dict(values or {}))
        return self._realise(_SPACES.sub(_squeeze, expansion.text(_compile(template))).strip())


@cache
def grammar_of(genre: str, language: str) -> Grammar:
    """Return the rules of a genre, beside words and names that all genres share."""
    facts = ("facts",) if genre == "encyclopedia" else ()
    return Grammar(language, "words", f"names_{language}", *facts, f"{genre}_{language}")


class _Expansion:
    """State of one document while its slots are being filled."""

    __slots__ = ("random", "rules", "values", "rows", "used")

    def __init__(
        self, rng: random.Random, rules: dict[str, list[Row]], values: dict[str, str]
    ) -> None:
        # Only random() is promised to stay the same across Python versions, hence no choice().
        self.random = rng.random
        self.rules = rules
        self.values = values
        self.rows: dict[str, Row] = {}
        self.used: dict[str, set[int]] = {}

    def text(self, template: Template) -> str:
        return "".join([part if type(part) is str else part(self) for part in template])

    def pick(self, count: int) -> int:
        return int(self.random() * count)

    def draw(self, rule: str) -> Row:
        try:
            rows = self.rules[rule]
        except KeyError:
            raise KeyError(f"no rule or bound value named {rule!r}") from None
        used = self.used.setdefault(rule, set())
        if len(used) == len(rows):
            used.clear()
        index = self.pick(len(rows))
        while index in used:
            index = (index + 1) % len(rows)
        used.add(index)
        return rows[index]


def _squeeze(match: re.Match[str]) -> str:
    at_line_edge = match.string[match.end() : match.end() + 1] == "\n" or (
        match.start() > 0 and match.string[match.start() - 1] == "\n"
    )
    return "" if at_line_edge else " "


def _read_rules(text: str, language: str) -> list[tuple[str, list[Row]]]:
    rules: list[tuple[str, list[Row]]] = []
    columns: list[str] = []
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("# "):
            name, _, header = line[2:].partition(":")
            columns = [column.strip() for column in header.split("|")] if header else []
            rules.append((name.strip(), []))
        elif line and columns:
            cells = [cell.strip() for cell in line.split("|")]
            if len(cells) != len(columns):
                raise ValueError(f"rule {rules[-1][0]!r} needs {len(columns)} columns: {line!r}")
            row = dict(zip(columns, cells, strict=True))
            fields = {
                column.removesuffix(f"_{language}"): _compile(cell)
                for column, cell in row.items()
                if not column.endswith(("_ko", "_en")) or column.endswith(f"_{language}")
            }
            rules[-1][1].append((_compile(row[language]), fields))
        elif line:
            rules[-1][1].append((_compile(line), {}))
    return rules


@cache
def _compile(template: str) -> Template:
    parts: list[str | Node] = []
    literal = ""
    position = 0
    while position < len(template):
        char = template[position]
        if char in "{<":
            end = _closing(template, position)
            inside = template[position + 1 : end]
            if literal:
                parts.append(literal)
                literal = ""
            parts.append(_slot(inside) if char == "{" else _choice(inside))
            position = end + 1
        elif template.startswith("\\n", position):
            literal += "\n"
            position += 2
        else:
            literal += char
            position += 1
    if literal:
        parts.append(literal)
    return tuple(parts)


def _closing(template: str, start: int) -> int:
    opening, closing = template[start], {"{": "}", "<": ">"}[template[start]]
    depth = 0
    for position in range(start, len(template)):
        depth += (template[position] == opening) - (template[position] == closing)
        if depth == 0:
            return position
    raise ValueError(f"unclosed {opening!r} in template {template!r}")


def _choice(inside: str) -> Node:
    options: list[str] = [""]
    depth = 0
    for char in inside:
        depth += (char in "<{") - (char in ">}")
        if char == "|" and depth == 0:
            options.append("")
        else:
            options[-1] += char
    compiled = [_compile(option) for option in options]
    return lambda expansion: expansion.text(compiled[expansion.pick(len(compiled))])


def _slot(inside: str) -> Node:
    if inside.endswith("?"):
        inner = _slot(inside[:-1])
        return lambda expansion: inner(expansion) if expansion.random() < 0.5 else ""
    if match := _REPEAT.fullmatch(inside):
        return _repeat(match[1], int(match[2]), int(match[3]), bool(match[4]), match[5])
    if inside.startswith("!"):
        silent = _slot(inside[1:])
        return lambda expansion: silent(expansion)[:0]
    variable, _, source = inside.rpartition(":")
    if variable:
        return _binding(variable, source)
    if match := _NUMBER.fullmatch(inside):
        return lambda expansion: _number(expansion, match)
    if "." in inside:
        owner, _, field = inside.partition(".")
        return lambda expansion: expansion.text(expansion.rows[owner][1][field])

    def reference(expansion: _Expansion) -> str:
        bound = expansion.values.get(inside)
        return expansion.text(expansion.draw(inside)[0]) if bound is None else bound

    return reference


def _binding(variable: str, source: str) -> Node:
    number = _NUMBER.fullmatch(source)
    anew = variable.startswith("_")

    def bind(expansion: _Expansion) -> str:
        if anew or variable not in expansion.values:
            if number:
                expansion.values[variable] = _number(expansion, number)
            else:
                expansion.rows[variable] = row = expansion.draw(source)
                expansion.values[variable] = expansion.text(row[0])
        return expansion.values[variable]

    return bind


def _number(expansion: _Expansion, match: re.Match[str]) -> str:
    low, high, step = int(match[1]), int(match[2]), int(match[3] or 1)
    return str(low + step * expansion.pick((high - low) // step + 1))


def _repeat(rule: str, low: int, high: int, ordered: bool, layout: str) -> Node:
    def repeat(expansion: _Expansion) -> str:
        count = low + expansion.pick(high - low + 1)
        drawn = [expansion.draw(rule) for _ in range(count)]
        if ordered:
            drawn.sort(key=expansion.rules[rule].index)
        items = [expansion.text(row[0]) for row in drawn]
        if layout == "#":
            return "\n".join(f"{number}. {item}" for number, item in enumerate(items, 1))
        if layout == "-":
            return "\n".join(f"- {item}" for item in items)
        return {"/": "\n", ",": ", ", "": " "}[layout].join(items)

    return repeat
