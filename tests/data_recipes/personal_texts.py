"""Personal data in the sentences people write, and sentences that only look so: a blind test set.

The frames (tests/fixtures/personal_texts) and the forms below were written from what the masking
promises, by someone who had not seen its rules, their documentation or their tests. It counts:

- secret of a postal address: street or lot, number and unit, not the region, the postcode or the
  name of a building; of a telephone number: not its extension; of an account: not bank, sort code;
- IP addresses that are routed; private and documentation ranges are in neither set. Loopback,
  0.0.0.0 and netmasks name nobody and are look-alikes;
- a number called an order or a part that fails the checksum is a look-alike, as a barcode is.
"""

import random
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.data_recipes.personal_forms import ACCOUNTS, ADDRESSES, PHONES, Bank, pattern

FRAMES = Path(__file__).parent.parent / "fixtures" / "personal_texts"
SLOT = re.compile(r"«([^»]*)»")
KO, EN = "ko", "en"

FILLERS = {
    KO: {
        "name": "김민서 이도윤 박서연 최지후 정하은 강수빈 조현우 윤채원 임준호 남궁민",
        "co": "한빛소프트 (주)누리상사 새벽식품 주식회사|다온 미래기계 별빛커피 세종물산",
        "date": "2023-04-15 2021.11.02 2019년|3월|7일 23.06.30 2020/08/21 5월|12일 2022.|9.|1.",
        "time": "14:30 오전|9시 18시 11:05 오후|3시|30분",
    },
    EN: {
        "name": "Emma|Clarke James|O'Neill Priya|Nair Minji|Kim Luis|Ortega Sarah|Whitfield",
        "co": "Brightforge|Ltd Hanul|Trading|Co. Oakridge|Dental Nuri|Systems,|Inc. Blue|Fern",
        "date": "12|March|2021 2023-04-15 June|3,|2019 07/22/2020 Nov|5 1|Sep|2022",
        "time": "14:30 9|am 6:15|PM 11:05 noon",
    },
}
LOCALS = (
    "minsu.kim hong_gd jy-park sarah.w info2 devkim88 Emma.Clarke t.baker93 luna0412 sales 20191234"
)
DOMAINS = (
    "naver.com daum.net hanmail.net gmail.com kakao.com nate.com outlook.com yahoo.co.uk korea.kr "
    "snu.ac.kr hanbit-soft.co.kr mail.brightforge.io cs.northfield.edu proton.me Hotmail.com "
    "nuri.technology qq.com law.firm-park.kr kbs.or.kr"
)
# National and international networks: first digits, then the sizes of the groups.
CARDS = (
    *(("4", (4, 4, 4, 4)), ("51", (4, 4, 4, 4)), ("5387", (4, 4, 4, 4)), ("2230", (4, 4, 4, 4))),
    *(
        ("6011", (4, 4, 4, 4)),
        ("3528", (4, 4, 4, 4)),
        ("6212", (4, 4, 4, 4)),
        ("9410", (4, 4, 4, 4)),
    ),
    *(("37", (4, 6, 5)), ("34", (4, 6, 5)), ("36", (4, 6, 4))),
)
V6 = "2001:2d8:e1{}::{} 2404:6800:4004:8{}::2{} 2a00:1450:40{}:80c::{} 2607:f8b0:4{}:c07::{}"
V6_FULL = "2001:e60:{:x}:{:x}:{:x}:{:x}:{:x}:{:x}"
CUES = {  # what a frame has to say before digits without separators are meant in it
    "phone": re.compile("phone|tel|call|text|cell|mobile|ring", re.I),
    "business": re.compile("사업자|business|registration|tax", re.I),
}


class Written(NamedTuple):
    """A secret in the form in which it stands in a text, with what belongs around it."""

    text: str
    secret: str
    bank: str = ""


def luhn(digits: str) -> int:
    """The digit that completes a card number."""
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    return -sum(d - 9 * (d > 9) for d in doubled) % 10


def grouped(digits: str, sizes: tuple[int, ...], separator: str) -> str:
    """The digits in groups."""
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    return separator.join(digits[s : s + n] for s, n in zip(starts, sizes))


def bracketed(text: str) -> Written:
    """The secret in brackets and the text without them."""
    before, _, rest = text.rpartition("[")
    secret, _, after = rest.partition("]")
    return Written(before + secret + after, secret)


def email(rng: random.Random, language: str, frame: str) -> Written:
    """An address for e-mail; one in ten hidden from robots, where a reader still sees one."""
    local, domain = rng.choice(LOCALS.split()), rng.choice(DOMAINS.split())
    if rng.random() < 0.4:
        local = local.capitalize() if rng.random() < 0.2 else local + str(rng.randint(1, 999))
    if rng.random() < 0.05:
        local += "+news"
    at = "@"
    if rng.random() < 0.1 and not re.search("mailto:|<«|=«|:«", frame):
        at = rng.choice((" [at] ", "(at)", " (at) ", " @ ", "＠", "[at]"))
        if at == " [at] " and rng.random() < 0.5:
            domain = domain.replace(".", " [dot] ")
    return Written(text := local + at + domain, text)


def ip(rng: random.Random, language: str, frame: str) -> Written:
    """A routed address, one in five of version 6."""
    if rng.random() < 0.2 and "«»:" not in frame and "://«" not in frame:
        if rng.random() < 0.5:
            text = V6_FULL.format(*(rng.randint(1, 65535) for _ in range(6)))
        else:
            text = rng.choice(V6.split()).format(rng.randint(10, 99), f"{rng.randint(1, 4095):x}")
    else:
        first = rng.choice((1, 14, 27, 39, 58, 61, 73, 86, 112, 121, 175, 185, 203, 211, 220, 223))
        text = f"{first}.{rng.randint(114, 255)}.{rng.randint(0, 255)}.{rng.randint(1, 254)}"
    return Written(text, text)


def address(rng: random.Random, language: str, frame: str) -> Written:
    """A postal address of a house or a flat, with its region unless the frame says 주소."""
    form = rng.choice(ADDRESSES[language])
    if (
        "주소" in frame
        and form.startswith(("{region} [{road}", "{region} [{lot}"))
        and rng.random() < 0.25
    ):
        form = form.removeprefix("{region} ")
    return bracketed(pattern(rng, form))


def phone(rng: random.Random, language: str, frame: str) -> Written:
    """A telephone number, perhaps with an extension behind it; some are Korean in English texts."""
    forms = PHONES[language]
    if language == EN and rng.random() < 0.15:
        forms = [f for f in PHONES[KO] if f.startswith("[+")]
    elif language == EN and CUES["phone"].search(frame) and rng.random() < 0.05:
        forms = PHONES["bare"]
    written = pattern(rng, rng.choice(forms))
    return bracketed(written[: written.index("]") + 1] if "tel:" in frame else written)


def resident(rng: random.Random, language: str, frame: str, wrong: int = 0) -> Written:
    """A resident registration number, with its check digit or one that is off by `wrong`."""
    year, sex = rng.randint(1935, 2015), rng.randint(1, 2)
    digits = f"{year % 100:02}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    digits += f"{sex + 2 * (year >= 2000)}{rng.randint(0, 99999):05}"
    total = sum(int(d) * w for d, w in zip(digits, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)))
    digits += str(((11 - total % 11) % 10 + wrong) % 10)
    text = grouped(digits, (6, 7), rng.choice("-----|").replace("|", rng.choice(("", " ", " - "))))
    return Written(text, text)


def business(rng: random.Random, language: str, frame: str, wrong: int = 0) -> Written:
    """A business registration number, with its check digit or one that is off by `wrong`."""
    digits = f"{rng.randint(101, 899)}{rng.randint(1, 89):02}{rng.randint(0, 9999):04}"
    total = sum(int(d) * w for d, w in zip(digits, (1, 3, 7, 1, 3, 7, 1, 3, 5)))
    digits += str(((10 - (total + int(digits[8]) * 5 // 10) % 10) + wrong) % 10)
    bare = rng.random() < 0.15 and CUES["business"].search(frame)
    text = grouped(digits, (3, 2, 5), rng.choice(("", " ")) if bare else "-")
    return Written(text, text)


def card(rng: random.Random, language: str, frame: str, wrong: int = 0) -> Written:
    """A card number of one of the networks, with its check digit or one that is off by `wrong`."""
    start, sizes = rng.choice(CARDS)
    digits = start + "".join(rng.choice("0123456789") for _ in range(sum(sizes) - 1 - len(start)))
    digits += str((luhn(digits) + wrong) % 10)
    text = grouped(digits, sizes, rng.choice(("-", "-", " ", " ", "")))
    return Written(text, text)


def account(rng: random.Random, language: str, frame: str) -> Written:
    """An account and the name of its bank, in the orders in which the two are written."""
    bank: Bank = rng.choice(ACCOUNTS[language])
    number, name = pattern(rng, rng.choice(bank.numbers)), rng.choice(bank.names)
    if rng.random() < 0.15:
        number = number.replace("-", "")
    return Written(rng.choice(bank.orders).format(bank=name, number=number), number, name)


KINDS: dict[str, Callable[[random.Random, str, str], Written]] = {
    **{"email": email, "ip": ip, "address": address, "phone": phone},
    **{"resident": resident, "business": business, "card": card, "account": account},
}


@cache
def frames(file: str) -> dict[str, list[str]]:
    """The frames of a file by the heading in brackets above them."""
    found: dict[str, list[str]] = {}
    for line in (FRAMES / f"{file}.txt").read_text(encoding="utf-8").splitlines():
        if heading := re.fullmatch(r"\[([a-z]+)\]", line):
            found[heading[1]] = lines = []
        else:
            lines.append(line.replace("\\n", "\n").replace("\\t", "\t"))
    return found


def book(rng: random.Random, slot: str) -> str:
    """An ISBN or a barcode with its check digit; no barcode that is a resident number as well."""
    while True:
        digits = (
            "88" + pattern(rng, "0%########")
            if slot == "ean"
            else "97889" + pattern(rng, "#######")
        )
        digits += str(-sum(int(d) * (1 + 2 * (i % 2)) for i, d in enumerate(digits)) % 10)
        if slot == "isbn":
            return rng.choice((digits, grouped(digits, (3, 2, 4, 3, 1), "-")))
        if not ("01" <= digits[4:6] <= "31" and digits[6] in "1234"):
            return digits


def fill(rng: random.Random, slot: str, language: str) -> str:
    """What stands in a slot that holds no secret."""
    if slot in FILLERS[language]:
        return rng.choice(FILLERS[language][slot].split()).replace("|", " ")
    if between := re.fullmatch(r"(\d+)-(\d+)", slot):
        return str(rng.randint(int(between[1]), int(between[2])))
    if digits := re.fullmatch(r"([NDx])(\d+)", slot):
        if digits[1] == "x":
            return "".join(rng.choice("0123456789abcdef") for _ in range(int(digits[2])))
        return pattern(rng, ("%" if digits[1] == "N" else "#") + "#" * (int(digits[2]) - 1))
    if slot in ("badcard", "badbiz", "badrrn"):
        make = {"badcard": card, "badbiz": business, "badrrn": resident}[slot]
        return make(rng, language, "", wrong=rng.randint(1, 9)).text
    if slot in ("isbn", "ean"):
        return book(rng, slot)
    return {
        "n": lambda: str(rng.randint(2, 99)),
        "won": lambda: f"{rng.randint(1, 999)},000",
        "handle": lambda: rng.choice(
            ("dev_kim", "luna.daily", "jpark88", "seoul-tiger", "northfield")
        ),
    }[slot]()


def positives_with_frames(seed: int, count: int) -> list[tuple[str, str, str, str]]:
    """As `positives`, each with the frame it was made from."""
    rng, made = random.Random(seed), []
    for i in range(count):
        language = (KO, EN)[i % 2]
        kind = list(KINDS)[i // 2 % len(KINDS)]
        frame = rng.choice(frames(f"personal_{language}")[kind])
        written = KINDS[kind](rng, language, frame)
        values = {"": written.text, "bank": written.bank, "number": written.secret}

        def value(
            slot: re.Match[str], values: dict[str, str] = values, lang: str = language
        ) -> str:
            return values[slot[1]] if slot[1] in values else fill(rng, slot[1], lang)

        made.append((SLOT.sub(value, frame), written.secret, f"{kind}.{language}", frame))
    return made


def positives(seed: int, count: int) -> list[tuple[str, str, str]]:
    """Texts with one secret each: (text, secret, kind and language), the kinds in turn."""
    return [item[:3] for item in positives_with_frames(seed, count)]


def negatives_with_frames(seed: int, count: int) -> list[tuple[str, str, str]]:
    """As `negatives`, each with its kind and the frame it was made from."""
    rng, made = random.Random(seed), []
    for i in range(count):
        language = (KO, EN)[i % 2]
        alike = frames(f"alike_{language}")
        kind = list(alike)[i // 2 % len(alike)]
        frame = rng.choice(alike[kind])
        text = SLOT.sub(lambda slot, lang=language: fill(rng, slot[1], lang), frame)
        made.append((text, f"{kind}.{language}", frame))
    return made


def negatives(seed: int, count: int) -> list[str]:
    """Texts without personal data, full of numbers and signs that look like it."""
    return [text for text, _, _ in negatives_with_frames(seed, count)]
