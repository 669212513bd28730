"""Korean inflection: josa after any word, verb endings, spelled-out numbers.

Templates carry marks that :func:`realise` resolves once the words are in place: ``사과[을]``
picks 을 or 를, ``걷다[~았다]`` puts the verb in front of it into the named ending, and ``3[한]``
reads the number the native way (세), as counters such as 번 and 명 want it.
"""

import re

_BASE = ord("가")
_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_RIEUL = _FINALS.index("ㄹ")

_DIGITS = "영일이삼사오육칠팔구"
_UNIT_READINGS = {
    "kg": "킬로그램",
    "g": "그램",
    "km": "킬로미터",
    "cm": "센티미터",
    "m": "미터",
    "mL": "밀리리터",
    "%": "퍼센트",
    "℃": "도",
}
# Only the letters whose Korean name ends in a consonant matter (엘, 엠, 엔, 알).
_LETTER_READINGS = {"L": "엘", "M": "엠", "N": "엔", "R": "알"}

_PAIRS = {
    "은": ("은", "는"),
    "이": ("이", "가"),
    "을": ("을", "를"),
    "과": ("과", "와"),
    "아": ("아", "야"),
    "이에요": ("이에요", "예요"),
    "이었": ("이었", "였"),
    "이어": ("이어", "여"),
}

_REGULAR_BIEUP = frozenset("입잡뽑씹접좁업집꼽")
_IRREGULAR_DIGEUT = ("듣", "걷", "깨닫", "싣", "일컫")
_IRREGULAR_SIOT = frozenset("짓붓젓잇낫긋")
_REGULAR_REU = ("따르", "치르", "들르", "다다르")

_MARK = re.compile(r"([가-힣]+)다\[~([^\]]+)\]|(\d+)\[한\]|\[([^\]~]+)\]")
_TRAILING_TOKEN = re.compile(r"([가-힣]|[A-Za-z]+|[\d,.]*\d|[%℃])[\s\"'”’)\]]*$")


def _final(syllable: str) -> int:
    return (ord(syllable) - _BASE) % 28


def _vowel(syllable: str) -> str:
    return _VOWELS[(ord(syllable) - _BASE) // 28 % 21]


def _with_final(syllable: str, final: str) -> str:
    return chr(ord(syllable) - _final(syllable) + _FINALS.index(final))


def _with_vowel(syllable: str, vowel: str) -> str:
    initial = (ord(syllable) - _BASE) // 588
    return chr(_BASE + (initial * 21 + _VOWELS.index(vowel)) * 28)


def last_syllable(word: str) -> str:
    """The Hangul syllable a reader says last, also for digits, units and Latin letters."""
    match = _TRAILING_TOKEN.search(word)
    if match is None:
        raise ValueError(f"no pronounceable ending in {word!r}")
    token = match[1]
    if "가" <= token <= "힣":
        return token
    if token[-1].isdigit():
        if "." in token:
            return _DIGITS[int(token[-1])]
        return sino_number(int(token.replace(",", "")))[-1]
    if token in _UNIT_READINGS:
        return _UNIT_READINGS[token][-1]
    return _LETTER_READINGS.get(token[-1].upper(), "이")[-1]


def josa(word: str, particle: str) -> str:
    """The form of a particle that follows a word; named by its after-consonant form.

    >>> josa("물", "으로"), josa("3", "을"), josa("학교", "이라고")
    ('로', '을', '라고')
    """
    return _josa_after(last_syllable(word), particle)


def _josa_after(syllable: str, particle: str) -> str:
    final = _final(syllable)
    if particle.startswith("으로"):
        return particle if final not in (0, _RIEUL) else particle[1:]
    for stem in ("이에요", "이었", "이어", particle):
        if stem in _PAIRS and particle.startswith(stem):
            return _PAIRS[stem][final == 0] + particle[len(stem) :]
    if particle.startswith("이"):
        return particle if final else particle[1:]
    raise ValueError(f"unknown particle {particle!r}")


def _vowel_stem(stem: str) -> str:
    """The stem as it stands before an ending that begins with a vowel (듣- becomes 들-)."""
    last, head = stem[-1], stem[:-1]
    final = _FINALS[_final(last)]
    if final == "ㄷ" and stem.endswith(_IRREGULAR_DIGEUT):
        return head + _with_final(last, "ㄹ")
    if final == "ㅂ" and last not in _REGULAR_BIEUP:
        return head + _with_final(last, " ") + "우"
    if final == "ㅅ" and last in _IRREGULAR_SIOT:
        return head + _with_final(last, " ")
    return stem


def _infinitive(stem: str) -> str:
    """The stem with 아/어 joined to it: 가 -> 가, 먹 -> 먹어, 마시 -> 마셔, 하 -> 해."""
    if stem.endswith("하"):
        return stem[:-1] + "해"
    if stem.endswith("르") and not stem.endswith(_REGULAR_REU):
        before = stem[-2]
        ending = "라" if _vowel(before) in "ㅏㅗ" else "러"
        return stem[:-2] + _with_final(before, "ㄹ") + ending
    changed = _vowel_stem(stem)
    if changed != stem and changed.endswith("우"):
        return changed[:-1] + ("와" if stem in ("돕", "곱") else "워")
    last, head = changed[-1], changed[:-1]
    vowel = _vowel(last)
    if _final(last) or changed != stem:
        return changed + ("아" if vowel in "ㅏㅑㅗ" else "어")
    if vowel == "ㅡ":
        bright = bool(head) and _vowel(head[-1]) in "ㅏㅗ"
        return head + _with_vowel(last, "ㅏ" if bright else "ㅓ")
    joined = {"ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ", "ㅚ": "ㅙ"}.get(vowel)
    if joined:
        return head + _with_vowel(last, joined)
    if vowel in "ㅏㅓㅐㅔㅕ":
        return changed
    return changed + "어"


def conjugate(stem: str, ending: str) -> str:
    """Join a verb stem (without 다) and an ending, named by its form after 잡-.

    >>> conjugate("걷", "았다"), conjugate("만들", "는"), conjugate("마시", "습니다")
    ('걸었다', '만드는', '마십니다')
    """
    last, head = stem[-1], stem[:-1]
    final = _final(last)
    if ending.startswith("았"):
        base = _infinitive(stem)
        return base[:-1] + _with_final(base[-1], "ㅆ") + ending[1:]
    if ending.startswith("아"):
        return _infinitive(stem) + ending[1:]
    if ending.startswith(("는다", "습니", "은", "을", "읍")):
        joined = {"는": "ㄴ", "은": "ㄴ", "을": "ㄹ", "습": "ㅂ", "읍": "ㅂ"}[ending[0]]
        if final in (0, _RIEUL):
            return head + _with_final(last, joined) + ending[1:]
        if ending[0] in "는습":
            return stem + ending
        changed = _vowel_stem(stem)
        if _final(changed[-1]) == 0 and changed.endswith("우"):
            return changed[:-1] + _with_final("우", joined) + ending[1:]
        return changed + ending
    if ending.startswith("으"):
        if final == _RIEUL:
            return (head + _with_final(last, " ") if ending[1] in "니세시" else stem) + ending[1:]
        changed = _vowel_stem(stem)
        if final == 0 or (changed != stem and changed.endswith("우")):
            return changed + ending[1:]
        return changed + ending
    if final == _RIEUL and ending[0] in "는네니":
        return head + _with_final(last, " ") + ending
    return stem + ending


def sino_number(value: int) -> str:
    """Sino-Korean reading of a whole number below 10**16."""
    if value == 0:
        return "영"
    groups = []
    for unit in ("", "만", "억", "조"):
        value, group = divmod(value, 10000)
        text = ""
        for digit, place in zip(f"{group:04d}", ("천", "백", "십", ""), strict=True):
            if digit != "0":
                text += ("" if digit == "1" and place else _DIGITS[int(digit)]) + place
        if text:
            groups.append("만" if (text, unit) == ("일", "만") else text + unit)
    return "".join(reversed(groups))


_NATIVE_ONES = ("", "한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉")
_NATIVE_TENS = ("", "열", "스물", "서른", "마흔", "쉰", "예순", "일흔", "여든", "아흔")


def native_number(value: int) -> str:
    """Native Korean counting form used before a counter (한 개, 스무 명), 1 to 99."""
    if not 1 <= value <= 99:
        raise ValueError(f"native Korean numbers run from 1 to 99, not {value}")
    return "스무" if value == 20 else _NATIVE_TENS[value // 10] + _NATIVE_ONES[value % 10]


def realise(text: str) -> str:
    """Replace every mark by the fitting form."""

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return conjugate(match[1], match[2])
        if match[3]:
            return native_number(int(match[3]))
        before = match.string[match.start() - 1]
        if "가" <= before <= "힣":
            return _josa_after(before, match[4])
        return josa(match.string[max(0, match.start() - 24) : match.start()], match[4])

    return _MARK.sub(replace, text)
