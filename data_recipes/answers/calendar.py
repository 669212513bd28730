"""Dates, times of day and weekdays, Korean and English."""

import re

_MONTHS = (
    "january february march april may june july august september october november december"
).split()
_DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
_DAYS_KO = "월화수목금토일"
_MONTH = "|".join(f"{name}|{name[:3]}\\.?" for name in _MONTHS) + r"|sept\.?"

_KOREAN = re.compile(r"(?:(\d{1,4})년\s*)?(\d{1,2})월(?:\s*(\d{1,2})일)?")
_NUMERIC = re.compile(r"(\d{4})\s?([-./])\s?(\d{1,2})\s?\2\s?(\d{1,2})")
_MONTH_FIRST = re.compile(rf"({_MONTH})\s+(\d{{1,2}})(?:st|nd|rd|th)?(?:,?\s+(\d{{4}}))?", re.I)
_DAY_FIRST = re.compile(
    rf"(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})(?:,?\s+(\d{{4}}))?", re.I
)
_CLOCK_KO = re.compile(r"(오전|오후)?\s*(\d{1,2})시(?:\s*(?:(\d{1,2})분|(반)))?")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\s*(?:(am|pm|a\.m|p\.m)\.?)?", re.I)
_CLOCK_HOUR = re.compile(r"(\d{1,2})\s*(am|pm|a\.m|p\.m)\.?", re.I)

_MONTH_ALONE = re.compile("|".join(_MONTHS), re.IGNORECASE)
_NAMED = {
    **{"유월": "6월", "시월": "10월", "정오": "오후 12시", "noon": "오후 12시"},
    **{"자정": "오전 12시", "midnight": "오전 12시"},
}

# ("date", year, month, day), ("clock", hour, minute, half of the day) or ("day", index)
Moment = tuple[str | int | None, ...]


def _month(name: str) -> int:
    return [m[:3] for m in _MONTHS].index(name.casefold()[:3]) + 1


def _date(year: str | None, month: int, day: str | None) -> Moment | None:
    if not (1 <= month <= 12 and 1 <= int(day or 1) <= 31):
        return None
    return ("date", int(year) if year else None, month, int(day) if day else None)


def _clock(hour: str, minute: str | None, half: str | None) -> Moment | None:
    if int(hour) > 24 or int(minute or 0) > 59 or int(hour) == 24 and int(minute or 0):
        return None
    if int(hour) in (0, 24):
        hour, half = "12", half or "오전"  # midnight; a bare 12 may be noon as well
    late = {"오전": 0, "오후": 1, "a": 0, "p": 1}.get(half if half in ("오전", "오후") else "")
    if half and late is None:
        late = int(half.casefold().startswith("p"))
    if int(hour) > 12:
        late, hour = 1, str(int(hour) - 12)
    return ("clock", int(hour) % 12, int(minute or 0), late)


def read_moment(text: str) -> Moment | None:
    """A date, weekday or time of day; `None` if the text is none."""
    text = _NAMED.get(text.casefold(), text)
    if _MONTH_ALONE.fullmatch(text):
        return _date(None, _month(text), None)
    if match := _KOREAN.fullmatch(text):
        return _date(match[1], int(match[2]), match[3])
    if match := _NUMERIC.fullmatch(text):
        return _date(match[1], int(match[3]), match[4])
    if match := _MONTH_FIRST.fullmatch(text):
        return _date(match[3], _month(match[1]), match[2])
    if match := _DAY_FIRST.fullmatch(text):
        return _date(match[3], _month(match[2]), match[1])
    if match := _CLOCK_KO.fullmatch(text):
        return _clock(match[2], "30" if match[4] else match[3], match[1])
    if match := _CLOCK.fullmatch(text):
        return _clock(match[1], match[2], match[3])
    if match := _CLOCK_HOUR.fullmatch(text):
        return _clock(match[1], None, match[2])
    if match := re.fullmatch(rf"([{_DAYS_KO}])요일", text):
        return ("day", _DAYS_KO.index(match[1]))
    lower = text.casefold().removeprefix("on ")
    return ("day", _DAYS.index(lower)) if lower in _DAYS else None


def same_moment(left: Moment, right: Moment) -> bool:
    """Equal, where a clock without morning or afternoon fits both."""
    if left[0] == right[0] == "clock" and None in (left[3], right[3]):
        return left[:3] == right[:3]
    return left == right
