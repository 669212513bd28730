"""Draw Korean residents', companies' and card numbers, with the check digits that they carry."""

import re
from datetime import date, timedelta
from random import Random

# Issuers' shares of the first digits; 9 is a card for use in Korea only.
_CARDS = {
    "4": 16,
    "51": 16,
    "53": 16,
    "55": 16,
    "2221": 16,
    "34": 15,
    "37": 15,
    "9": 16,
    "3569": 16,
}
_DIVIDED = re.compile(r"\s*[|\n]\s*")


def one(rng: Random, table: str) -> str:
    """Return one entry of a table whose entries stand between bars or line ends."""
    return rng.choice(_DIVIDED.split(table.strip()))


def fill(rng: Random, pattern: str) -> str:
    """Put a digit for `#`, a digit from 2 to 9 for `&`, and a hexadecimal one for `¤`."""
    signs = {"#": "0123456789", "&": "23456789", "¤": "0123456789abcdef"}
    return "".join(rng.choice(signs[c]) if c in signs else c for c in pattern)


def resident_check(digits: str) -> int:
    """Return the check digit of a citizen's 12 digits; a foreigner's is 2 more, modulo 10."""
    return (11 - sum(int(d) * (2 + i % 8) for i, d in enumerate(digits[:12])) % 11) % 10


def business_check(digits: str) -> int:
    """Return the tenth digit of a Korean business registration number."""
    total = sum(int(d) * w for d, w in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5)))
    return -(total + int(digits[8]) * 5 // 10) % 10


def luhn_check(digits: str) -> int:
    """Return the digit that makes `digits` and itself pass Luhn's test."""
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return -sum(d // 10 + d % 10 for d in doubled) % 10


def born(rng: Random, first: date, last: date) -> date:
    """Return a day from `first` to `last`."""
    return first + timedelta(rng.randrange((last - first).days + 1))


def _hyphened(rng: Random, digits: str) -> str:
    return digits[:6] + rng.choice(["-"] * 6 + [" ", " - ", "", ""]) + digits[6:]


def resident(rng: Random) -> str:
    """Make a citizen's number as given before October 2020, with its check digit."""
    day = born(rng, date(1930, 1, 1), date(2020, 9, 30))
    digits = f"{day:%y%m%d}{rng.choice((1, 2) if day.year < 2000 else (3, 4))}" + fill(rng, "#####")
    return _hyphened(rng, digits + str(resident_check(digits)))


def resident_2020(rng: Random) -> str:
    """Make a number as given since October 2020, its last digit never the old check digit."""
    digits = f"{born(rng, date(2020, 10, 5), date(2025, 6, 30)):%y%m%d}{rng.choice('34')}"
    digits += fill(rng, "#####")
    return _hyphened(rng, digits + str((resident_check(digits) + rng.randrange(1, 10)) % 10))


def alien(rng: Random) -> str:
    """Make a foreigner's number: half with the check digit of before 2020, half with any digit."""
    day = born(rng, date(1950, 1, 1), date(2015, 12, 31))
    digits = f"{day:%y%m%d}{rng.choice((5, 6) if day.year < 2000 else (7, 8))}" + fill(rng, "#####")
    last = (resident_check(digits) + 2) % 10 if rng.random() < 0.5 else rng.randrange(10)
    return _hyphened(rng, digits + str(last))


def business(rng: Random, off: int = 0) -> str:
    """Make a business registration number whose check digit is `off` too high."""
    digits = f"{rng.randrange(101, 900)}{rng.randrange(1, 100):02}" + fill(rng, "####")
    digits += str((business_check(digits) + off) % 10)
    s = rng.choice(["-"] * 8 + ["", " "])
    return s.join((digits[:3], digits[3:5], digits[5:]))


def card(rng: Random, off: int = 0) -> str:
    """Make a card number whose check digit is `off` too high."""
    prefix = rng.choice(list(_CARDS))
    digits = prefix + fill(rng, "#" * (_CARDS[prefix] - len(prefix) - 1))
    digits += str((luhn_check(digits) + off) % 10)
    cuts = (4, 10, 15) if len(digits) == 15 else (4, 8, 12, 16)
    parts = [digits[a:b] for a, b in zip((0, *cuts), cuts)]
    return rng.choice(["-", "-", " ", " ", "", "."]).join(parts)
