"""Mathematics in LaTeX or plain text: math-verify's parser, with what it may cost bounded before.

math-verify stops long computations with a signal, which only a main thread can use, so rewards in
worker threads would fail. Here the text is measured first: what could be large is not read at all,
and two expressions are compared by their values at a few points, never by simplification, whose
time nobody knows. sympy is imported at the first use, because commands that never compare an
answer should not wait for it.
"""

from __future__ import annotations

import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from sympy import Expr

Number: TypeAlias = "Fraction | Expr"

# Our choice: what a person writes as an answer is shorter, and none of its powers reaches this.
_MAX_LENGTH = 120
_MAX_DEPTH = 12
_MAX_DIGITS = 40
_MAX_EXPONENT = 1_000  # product of all exponents, so that towers count by their height
_MAX_FACTORIAL = 100
_MAX_SYMBOLS = 6

_FUNCTIONS = "sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|log|ln|exp"
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|varphi|omega|psi|eta|xi|zeta"
)
# Integrals, sums and limits are not read: nothing bounds what they cost.
_COMMAND = re.compile(
    rf"(?:{_FUNCTIONS}|{_GREEK}|frac|sqrt|pi|cdot|times|div|binom|infty|cup|cap|setminus|emptyset"
    r"|left|right|lfloor|rfloor|lceil|rceil|leq?|geq?|lt|gt|neq?|in|pm|mathbb|lvert|rvert|vert"
    r"|begin|end)"
)
_MATRIX = re.compile(r"\\(?:begin|end)\{([a-z]+)\}")
_EXPONENT = re.compile(r"\^\s*(\{(?:[^{}]|\{[^{}]*\})*\}|\\?[A-Za-z]+|-?\d+(?:\.\d+)?|\([^()]*\))")
_FACTORIAL = re.compile(r"(\d+|[A-Za-z]|\([^()!]*\))\s*!")
_REWRITES = (
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\\frac\s*(\d)\s*(\d)"), r"\\frac{\1}{\2}"),
    (re.compile(r"\\frac\s*(\d)\s*\{"), r"\\frac{\1}{"),
    (re.compile(r"\\frac\s*(\{[^{}]*\})\s*(\d)"), r"\\frac\1{\2}"),
    (re.compile(r"(?:√|(?<![A-Za-z\\])sqrt)\s*\(([^()]*)\)"), r"\\sqrt{\1}"),
    (re.compile(r"(?:√|\\sqrt)\s*(\d+|[A-Za-z])"), r"\\sqrt{\1}"),
    (re.compile(rf"(?<![A-Za-z\\])({_FUNCTIONS})(?![A-Za-z])"), r"\\\1"),
    (re.compile(r"π|(?<![A-Za-z\\])pi(?![A-Za-z])"), r"\\pi "),
    (re.compile(r"≤|<="), r"\\leq "),
    (re.compile(r"≥|>="), r"\\geq "),
    (re.compile(r"∞"), r"\\infty "),
    (re.compile(r"(?:루트|제곱근)\s*(\d{1,20})"), r"\\sqrt{\1}"),
    (re.compile(r"(\d{1,20})의\s*(\d{1,3})\s*제곱"), r"\1^{\2}"),
    # A combination as Korean books write it, _5C_2 or {}_{5}C_{2}; among others C_2 is a constant.
    (
        re.compile(r"^(?:\{\})?_?\{?(\d{1,2})\}?\s*C\s*_\{?(\d{1,2})\}?$"),
        r"\\binom{\1}{\2}",
    ),
    (re.compile(r"∪"), r"\\cup "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"_\s*(\d)\s+"), r"_{\1} "),
    (re.compile(r"\\(?:mathrm|text)\s*\{\s*([A-Za-z])\s*\}"), r"\1"),
)
# Of a sentence, which the parser would read as products of letters.
_WORDS = re.compile(
    r"(?:^|\s)(?:so|we|it|it's|is|are|was|has|had|get|the|and|but|not|no|if|to|of|for|by|he|she|its)\s",
    re.IGNORECASE,
)
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)\s*°")
_ANY_FUNCTION = re.compile(rf"\\(?:{_FUNCTIONS})(?![A-Za-z])")


def _cost_is_bounded(text: str) -> bool:
    """Whether reading and evaluating the text takes a moment: see the limits above."""
    if len(text) > _MAX_LENGTH or re.search(rf"\d{{{_MAX_DIGITS + 1}}}", text):
        return False
    depth = 0
    for character in text:
        depth += (character in "({[") - (character in ")}]")
        if depth > _MAX_DEPTH:
            return False
    total = 1.0
    exponents = [match[1] for match in _EXPONENT.finditer(text)]
    for exponent in exponents:
        # A power in an exponent may only be one of a letter: e^{x^2}, not 9^{9^{9}}.
        if "!" in exponent or "binom" in exponent or re.search(r"[^A-Za-z]\s*\^", exponent):
            return False
        for numeral in re.findall(r"\d+(?:\.\d+)?", exponent):
            total *= max(1.0, float(numeral))
    nested = sum(exponent.count("^") for exponent in exponents)
    if total > _MAX_EXPONENT or len(exponents) + nested != text.count("^"):
        return False
    factorials = _FACTORIAL.findall(text)
    if len(factorials) != text.count("!"):
        return False
    numerals = [int(n) for part in factorials for n in re.findall(r"\d+", part)]
    binomials = re.findall(r"\d+", text) if "binom" in text else []
    return all(n <= _MAX_FACTORIAL for n in [*numerals, *map(int, binomials)])


def _is_mathematics(text: str) -> bool:
    """Whether the text is a formula by its letters: words are products to the parser."""
    if re.search(r"[^\x00-\x7f]", text) or re.search(r"\d\s+\d|[-+]\s*[-+]|[:;?@#$%~`\"]", text):
        return False
    if any(_COMMAND.fullmatch(name) is None for name in re.findall(r"\\([A-Za-z]+)", text)):
        return False
    bare = _MATRIX.sub(" ", re.sub(r"\\mathbb\s*\{\w\}", " ", text))
    bare = re.sub(r"\\[A-Za-z]+", "|", bare)
    if any(len(run) > 3 for run in re.findall(r"[A-Za-z]+", bare)) or _WORDS.search(text):
        return False
    # A letter before a number, pH 7, x2 or 5C2, is no factor of it.
    if re.search(r"[A-Za-z]\s*\d", bare):
        return False
    return bool(re.search(r"[\d+\-*/^=<>\\|!(\[]", text))


@lru_cache(maxsize=4096)
def read_formula(text: str) -> Any | None:
    """The sympy object that a formula is; `None` if it is none, or could cost more than a moment.

    Decimals become exact fractions, `i` the imaginary unit where it is the only letter.
    """
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    if _ANY_FUNCTION.search(text):
        text = _DEGREES.sub(r"(\\frac{\1\\pi}{180})", text)
    if not _is_mathematics(text) or not _cost_is_bounded(text):
        return None
    from latex2sympy2_extended import latex2sympy
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig
    from sympy import Basic, Float, I, MatrixBase, Rational, Symbol

    try:
        read = latex2sympy(
            text,
            is_real=True,
            normalization_config=None,
            conversion_config=ConversionConfig(lowercase_symbols=False),
        )
        if not isinstance(read, (Basic, MatrixBase)) or len(read.free_symbols) > _MAX_SYMBOLS:
            return None
        exact = {number: Rational(str(number)) for number in read.atoms(Float)}
        if {str(symbol) for symbol in read.free_symbols} == {"i"}:
            exact |= {symbol: I for symbol in read.atoms(Symbol)}
        return read.xreplace(exact) if exact else read
    except Exception:  # whatever the parser trips over is no formula
        return None


def _sympy(value: Number) -> Expr:
    from sympy import Rational

    return Rational(*value.as_integer_ratio()) if isinstance(value, Fraction) else value


def read_constant(text: str) -> Number | None:
    """The number that a formula without letters has as its value; `None` if it has none."""
    # A list or relation is no number; not to parse it saves most of the time that it costs.
    formula = None if re.search(r"[,=<>]", text) else read_formula(text)
    if formula is None:
        return None
    from sympy import Expr

    if not isinstance(formula, Expr) or formula.free_symbols:
        return None
    value = _value(formula, {})
    if value is None:
        return None
    simple = formula.doit() if not formula.is_Rational else formula
    return Fraction(int(simple.p), int(simple.q)) if simple.is_Rational else formula


def equal(left: Number, right: Number) -> bool:
    """Whether two numbers are exactly equal; there is no tolerance."""
    if isinstance(left, Fraction) and isinstance(right, Fraction):
        return left == right
    return _same_expression(_sympy(left), _sympy(right)) is True


_DIGITS = 50
_OR = re.compile(r"\s+(?:or|또는|혹은)\s+|\s*\\(?:vee|lor)(?![a-z])\s*")


def _value(expression: Expr, point: dict[Any, Any]) -> Any | None:
    """The complex value at a point; `None` if it has none."""
    try:
        value = expression.xreplace(point).evalf(_DIGITS)
        return value if value.is_number and value.is_finite else None
    except Exception:  # sympy raises many kinds where a function is not defined
        return None


def _points(symbols: list[Any]) -> list[dict[Any, Any]]:
    """Points at which two different formulas that a person writes do not meet by chance."""
    from sympy import Rational

    primes = (7, 11, 13, 17, 19, 23)
    return [
        {s: Rational(sign * (primes[i] + 3 * k), 10 + k) for i, s in enumerate(symbols)}
        for k, sign in enumerate((1, 1, 1, -1))
    ]


def _near(left: Any, right: Any) -> bool:
    scale = max(abs(left), abs(right))
    # Beyond this a difference is what rounding left of a zero.
    return scale < 1e-45 and 0 in (left, right) or abs(left - right) <= scale * 1e-40


def _same_expression(left: Expr, right: Expr) -> bool | None:
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    met = 0
    for point in _points(symbols) if symbols else [{}]:
        values = [_value(side, point) for side in (left, right)]
        if None in values:
            continue
        if any(v.has_free() for v in values if hasattr(v, "has_free")):
            return None
        negative = any(v < 0 for v in point.values())
        if negative and not all(v.is_real for v in values):
            continue  # logarithms and roots of negative numbers: a person means positive ones
        if not _near(*values):
            return False
        met += 1
    return True if met >= min(2, len(symbols) + 1) else None


def _proportional(left: Expr, right: Expr, positive: bool) -> bool:
    """Whether two expressions differ by a constant factor, a positive one if asked."""
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)
    if not symbols or left.free_symbols != right.free_symbols:
        return False
    ratios = []
    for point in _points(symbols):
        above, below = _value(left, point), _value(right, point)
        if above is None or not below:
            return False
        ratios.append(above / below)
    return all(_near(ratios[0], r) for r in ratios) and not (positive and not ratios[0] > 0)


def _linear_interval(relation: Any) -> Any | None:
    """The interval of a linear inequality in one letter; `None` if it is none."""
    from sympy import Interval, oo

    if len(relation.free_symbols) != 1:
        return None
    (symbol,) = relation.free_symbols
    difference = (relation.gts - relation.lts).expand()
    if difference.as_poly(symbol) is None or difference.as_poly(symbol).degree() != 1:
        return None
    slope = difference.coeff(symbol, 1)
    root = -difference.coeff(symbol, 0) / slope
    is_open = relation.rel_op in ("<", ">")
    above = slope.is_positive
    if above is None:
        return None
    return Interval(root, oo, is_open, True) if above else Interval(-oo, root, True, is_open)


def _as_set(formula: Any) -> Any | None:
    """A set, an interval, or the set that inequalities in one letter describe."""
    from latex2sympy2_extended.logic import And
    from sympy import Intersection, Set
    from sympy.core.relational import GreaterThan, LessThan, StrictGreaterThan, StrictLessThan

    if isinstance(formula, Set):
        return formula
    if isinstance(formula, (GreaterThan, LessThan, StrictGreaterThan, StrictLessThan)):
        return _linear_interval(formula)
    if isinstance(formula, And):
        parts = [_as_set(part) for part in formula.args]
        if None not in parts and len(formula.free_symbols) == 1:
            return Intersection(*parts)
    return None


def _read_set(text: str) -> Any | None:
    """The set of numbers of a formula, or of several with "or" between them: x < 1 또는 x > 2."""
    from sympy import Union

    formulas = [read_formula(part) for part in _OR.split(text)]
    parts = [_as_set(formula) for formula in formulas]
    if None in parts or len(set().union(*(formula.free_symbols for formula in formulas))) > 1:
        return None
    return Union(*parts)


def compare_formulas(given: str, wanted: str) -> bool | None:
    """Whether two formulas say the same; `None` if one is not read, or it cannot be decided."""
    left, right = read_formula(given), read_formula(wanted)
    several = _OR.search(given) or _OR.search(wanted)
    if (left is None or right is None) and not several:
        return None
    from sympy import Eq, Expr, MatrixBase
    from sympy.core.relational import Relational

    try:
        if isinstance(left, MatrixBase) and isinstance(right, MatrixBase):
            if left.shape != right.shape:
                return False
            cells = [_same_expression(a, b) for a, b in zip(left, right)]
            return False if False in cells else None if None in cells else True
        if isinstance(left, Expr) and isinstance(right, Expr):
            return _same_expression(left, right)
        if isinstance(left, Relational) and type(left) is type(right):
            # Equations are the same up to a factor, inequalities up to a positive one.
            sides = [side.lhs - side.rhs for side in (left, right)]
            if _proportional(*sides, positive=not isinstance(left, Eq)):
                return True
        ours, theirs = _read_set(given), _read_set(wanted)
        if ours is None or theirs is None:
            return None
        from math_verify import verify

        # It warns that no time limit is set; the bounds above are the limit.
        logging.getLogger("math_verify.grader").setLevel(logging.ERROR)
        return verify(theirs, ours, strict=True, float_rounding=15, timeout_seconds=None)
    except Exception:  # sympy raises many kinds for what it cannot compare
        return None
