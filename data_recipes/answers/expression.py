"""Arithmetic in digits or LaTeX, read by a small parser: never by `eval`."""

import re
from fractions import Fraction
from math import comb

from .surd import PI, Number, add, as_fraction, divide, multiply, negate, rational, root, to_power

_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d{1,80}(?:\.\d{0,80})?|\.\d{1,80})(?:[eE][+-]?\d{1,2}(?![\d.]))?)"
    r"|(?P<command>\\frac|\\binom|\\sqrt(?:\[\d{1,2}\])?|\\pi|π|√)|(?P<symbol>[-+*/^(){}]))"
)
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)")
_MAX_DEPTH = 20


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[str] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise ValueError(f"not arithmetic at {position}")
            self.tokens.append(match.group().strip())
            position = match.end()
        self.position = 0
        self.depth = 0

    @property
    def next(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self) -> str:
        token = self.next
        self.position += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise ValueError(f"{token} expected")

    def whole(self) -> Number:
        value = self.sum()
        if self.next:
            raise ValueError("more than one value")
        return value

    def sum(self) -> Number:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ValueError("nested too deeply")
        value = self.product()
        while self.next in ("+", "-"):
            sign = self.take()
            term = self.product()
            value = add(value, term if sign == "+" else negate(term))
        self.depth -= 1
        return value

    def product(self) -> Number:
        if self.next in ("+", "-"):
            # Inside `product`, so that -3^2 is -9 and 2 * -3 is read; once, so that --3 is not.
            sign = self.take()
            if self.next in ("+", "-"):
                raise ValueError("two signs")
            value = self.product()
            return value if sign == "+" else negate(value)
        value = self.power()
        while self.next and self.next not in ("+", "-", ")", "}"):
            if self.next == "*":
                self.take()
                value = multiply(value, self.signed_power())
            elif self.next == "/":
                self.take()
                value = divide(value, self.signed_power())
            elif self.next[0].isdigit() or self.next[0] == ".":
                raise ValueError("two numbers side by side")
            else:
                value = multiply(value, self.power())
        return value

    def signed_power(self) -> Number:
        if self.next == "-":
            self.take()
            return negate(self.power())
        return self.power()

    def power(self) -> Number:
        base = self.atom()
        if self.next != "^":
            return base
        self.take()
        return to_power(base, self.signed_power() if self.next == "-" else self.atom())

    def group(self, opening: str, closing: str) -> Number:
        self.expect(opening)
        value = self.sum()
        self.expect(closing)
        return value

    def argument(self) -> Number:
        return self.group("{", "}") if self.next == "{" else self.atom()

    def atom(self) -> Number:
        if self.next == "(":
            return self.group("(", ")")
        if self.next == "{":
            return self.group("{", "}")
        token = self.take()
        if token == "\\frac":
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise ValueError("nested too deeply")
            numerator = self.argument()
            value = divide(numerator, self.argument())
            self.depth -= 1
            return value
        if token == "\\binom":
            return _binomial(self.argument(), self.argument())
        if token.startswith(("\\sqrt", "√")):
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise ValueError("nested too deeply")
            order = int(token[6:-1]) if token.endswith("]") else 2
            value = root(self.argument(), order)
            self.depth -= 1
            return value
        if token in ("\\pi", "π"):
            return PI
        if token and (token[0].isdigit() or token[0] == "."):
            return rational(Fraction(token.rstrip(".") if token[-1] == "." else token))
        raise ValueError("value expected")


def _binomial(above: Number, below: Number) -> Number:
    n, k = as_fraction(above), as_fraction(below)
    if n is None or k is None or n.denominator * k.denominator != 1 or not 0 <= k <= n <= 64:
        raise ValueError("binomial too large or not of whole numbers")
    return rational(comb(int(n), int(k)))


_MIXED = re.compile(r"(-?)(\d{1,20})(?:\s+(\d{1,20})\s*/\s*(\d{1,20})|\s*(\\frac.+))")


def read_expression(text: str) -> Number | None:
    """Value of an arithmetic expression; `None` if it is none, or too large to bother with."""
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _THOUSANDS.sub(lambda match: match.group().replace(",", ""), text.strip())
    try:
        if mixed := _MIXED.fullmatch(text):
            sign, whole, above, below, fraction = mixed.groups()
            part = (
                _Parser(fraction).whole()
                if fraction
                else divide(rational(int(above)), rational(int(below)))
            )
            value = add(rational(int(whole)), part)
            return negate(value) if sign else value
        return _Parser(text).whole()
    except (ValueError, ZeroDivisionError, RecursionError):
        return None
