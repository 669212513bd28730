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
    """Raises ValueError for zero, and for sums of more than two terms."""
    if len(right) == 2:
        (first, a), (second, b) = right.items()
        conjugate = {first: a, second: -b}
        right = multiply(right, conjugate)  # (x + y)(x - y): no root is left of two square roots
        left = multiply(left, conjugate)
    if len(right) != 1:
        raise ValueError("cannot divide by that")
    ((radicand, power), c) = next(iter(right.items()))
    return multiply(left, {(radicand, -power): 1 / (c * radicand)})


def to_power(base: Number, exponent: Number) -> Number:
    """Raises ValueError if the exponent is large, or the power no number of this form."""
    value = as_fraction(exponent)
    if value is None or max(abs(value.numerator), value.denominator) > 64:
        raise ValueError("exponent too large or no fraction")
    if value.denominator > 1:
        base = root(base, value.denominator)
    result = rational(1)
    for _ in range(abs(value.numerator)):
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


def _whole_root(value: int, order: int) -> int | None:
    guess = round(value ** (1 / order)) if value.bit_length() <= 1_000 else 0
    return next((r for r in (guess - 1, guess, guess + 1) if r >= 0 and r**order == value), None)


def root(number: Number, order: int) -> Number:
    """Raises ValueError unless the root is a fraction, or the square root of one."""
    value = as_fraction(number)
    if value is None or order < 2:
        raise ValueError("no such root")
    if order == 2:
        return square_root(number)
    if value < 0 and order % 2:
        return negate(root(negate(number), order))
    # Exact, or for even orders the square root of an exact root: the fourth root of 9 is that of 3.
    for part in (order, order // 2 if order % 2 == 0 else order):
        above, below = (_whole_root(abs(v), part) for v in value.as_integer_ratio())
        if value >= 0 and above is not None and below:
            exact = rational(Fraction(above, below))
            return exact if part == order else square_root(exact)
    raise ValueError("no such root")


def as_fraction(number: Number) -> Fraction | None:
    if not number:
        return Fraction(0)
    return number[_RATIONAL] if set(number) == {_RATIONAL} else None
