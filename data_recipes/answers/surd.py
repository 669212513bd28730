"""Exact numbers: sums of fractions times square roots times powers of pi."""

from fractions import Fraction
from math import isqrt

# (radicand, power of pi) -> coefficient; no zero coefficients, so equal numbers are equal dicts.
Number = dict[tuple[int, int], Fraction]

_RATIONAL = (1, 0)
# Larger radicands are only tested for being a square, so that time stays bounded.
_MAX_FACTORED = 1_000_000
_MAX_BITS = 4_096
_MAX_TERMS = 16


def rational(value: Fraction | int) -> Number:
    return {_RATIONAL: Fraction(value)} if value else {}


PI: Number = {(1, 1): Fraction(1)}


def _checked(number: Number) -> Number:
    if len(number) > _MAX_TERMS or any(
        max(abs(c.numerator).bit_length(), c.denominator.bit_length()) > _MAX_BITS
        for c in number.values()
    ):
        raise ValueError("number too large")
    return {key: c for key, c in number.items() if c}


def add(left: Number, right: Number) -> Number:
    total = dict(left)
    for key, c in right.items():
        total[key] = total.get(key, Fraction(0)) + c
    return _checked(total)


def negate(number: Number) -> Number:
    return {key: -c for key, c in number.items()}


def _pull_squares(radicand: int) -> tuple[int, int]:
    root = isqrt(radicand)
    if root * root == radicand:
        return root, 1
    outside = 1
    if radicand <= _MAX_FACTORED:
        for factor in range(2, isqrt(radicand) + 1):
            while radicand % (factor * factor) == 0:
                radicand //= factor * factor
                outside *= factor
    return outside, radicand


def multiply(left: Number, right: Number) -> Number:
    total: Number = {}
    for (a, p), c in left.items():
        for (b, q), d in right.items():
            outside, inside = _pull_squares(a * b)
            total = add(total, {(inside, p + q): c * d * outside})
    return total


def divide(left: Number, right: Number) -> Number:
    """Raises ValueError for zero, and for sums, which have no inverse of this form."""
    if len(right) != 1:
        raise ValueError("cannot divide by that")
    ((radicand, power), c) = next(iter(right.items()))
    return multiply(left, {(radicand, -power): 1 / (c * radicand)})


def to_power(base: Number, exponent: Number) -> Number:
    """Raises ValueError unless the exponent is a small whole number."""
    value = as_fraction(exponent)
    if value is None or value.denominator != 1 or abs(value) > 64:
        raise ValueError("exponent too large or not whole")
    result = rational(1)
    for _ in range(abs(int(value))):
        result = multiply(result, base)
    return divide(rational(1), result) if value < 0 else result


def square_root(number: Number) -> Number:
    value = as_fraction(number)
    if value is None or value < 0:
        raise ValueError("no such root")
    if value == 0:
        return {}
    # sqrt(a/b) = sqrt(ab)/b
    outside, inside = _pull_squares(value.numerator * value.denominator)
    return _checked({(inside, 0): Fraction(outside, value.denominator)})


def as_fraction(number: Number) -> Fraction | None:
    if not number:
        return Fraction(0)
    return number[_RATIONAL] if set(number) == {_RATIONAL} else None
