"""Check digits, and dates of birth: what tells a number of a person from any other number."""

import calendar
import re
from operator import mul

# Weights of the twelve digits before the check digit of a resident's number.
_RESIDENT = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_BUSINESS = (1, 3, 7, 1, 3, 7, 1, 3, 5)
# Since October 2020 the last six digits of new resident numbers are drawn by chance.
NO_CHECK_DIGIT = (2020, 10)
# No one is born later. A fixed year, so that what is masked does not depend on the day of the run.
_LAST_YEAR = 2030
# By the seventh digit: 1 to 4 residents, 5 to 8 aliens; odd men, even women.
_CENTURIES = {"1": 1900, "2": 1900, "3": 2000, "4": 2000}
_CENTURIES |= {"5": 1900, "6": 1900, "7": 2000, "8": 2000, "9": 1800, "0": 1800}
# First digits and lengths of issuers; 9 begins cards for use in Korea alone.
_ISSUERS = re.compile(
    r"(?:4\d{15}|5[1-5]\d{14}|(?:222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Visa, MC
    r"|3[47]\d{13}|(?:30[0-5]|309|36\d|3[89]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"  # Amex, DC, JCB
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12}|62\d{14,17}|(?:50|5[6-8]|6\d)\d{14}"  # Discover, UP, Maestro
    r"|9\d{15})"
)


def birth(digits: str) -> tuple[int, int] | None:
    """Year and month of birth in a resident's or alien's number; `None` if there is no such day."""
    year = _CENTURIES[digits[6]] + int(digits[:2])
    month, day = int(digits[2:4]), int(digits[4:6])
    if year > _LAST_YEAR or not 1 <= month <= 12:
        return None
    return (year, month) if 1 <= day <= calendar.monthrange(year, month)[1] else None


def _resident_sum(digits: str) -> int:
    return sum(w * int(d) for w, d in zip(_RESIDENT, digits)) % 11


def is_resident(digits: str) -> bool:
    """Whether 13 digits can be a resident's number: a birthday, and the check digit it should have.

    Who was born in October 2020 or later has a number without a check digit.
    """
    if digits[6] in "5678" or (born := birth(digits)) is None:
        return False
    return born >= NO_CHECK_DIGIT or (11 - _resident_sum(digits)) % 10 == int(digits[12])


def is_alien(digits: str) -> bool:
    """Whether 13 digits can be an alien's registration number."""
    if digits[6] not in "5678" or (born := birth(digits)) is None:
        return False
    return born >= NO_CHECK_DIGIT or (13 - _resident_sum(digits)) % 10 == int(digits[12])


def is_business(digits: str) -> bool:
    """Whether 10 digits are a Korean business registration number."""
    if not digits.strip("0") or digits[:3] < "101":
        return False
    total = sum(map(mul, _BUSINESS, map(int, digits))) + int(digits[8]) * 5 // 10
    return (10 - total % 10) % 10 == int(digits[9])


def is_social(digits: str) -> bool:
    """Whether 9 digits can be an American social security number.

    The Social Security Administration gives out no area 000, 666 or 900 to 999, no group 00 and no
    serial number 0000 (ssa.gov, "Social Security Number Randomization").
    """
    area = digits[:3]
    return area not in ("000", "666") and area < "900" and digits[3:5] != "00" < digits[5:] > "0000"


def luhn(digits: str) -> bool:
    """Whether the last digit checks the others, as on cards (Luhn, ISO/IEC 7812-1)."""
    double = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
    own = [int(d) for d in reversed(digits)]
    return (sum(own[::2]) + sum(double[d] for d in own[1::2])) % 10 == 0


def is_card(digits: str) -> bool:
    """Whether digits are a card's number: an issuer's first digits, its length, and Luhn."""
    return _ISSUERS.fullmatch(digits) is not None and luhn(digits) and len(set(digits)) > 1


def is_ean(digits: str) -> bool:
    """Whether 13 digits are an article's number (EAN-13), which ISBN is too."""
    own = [int(d) for d in digits]
    return (sum(own[::2]) + 3 * sum(own[1::2])) % 10 == 0
