"""Answers without what surrounds their value: LaTeX wrapping, markdown, endings, particles."""

import re
import unicodedata
from collections import Counter

_SYMBOLS = str.maketrans(
    {"²": "^2", "³": "^3", "−": "-", "–": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/", "㎡": "m^2"}
)
_FRACTION_SIGNS = re.compile(r"[¼-¾⅐-⅞]")
_WRAPPED = re.compile(
    r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|operatorname|boxed|fbox|mbox)\s*\{([^{}]*)\}"
)
# Not the line end of a matrix, whose second backslash a blank follows.
_SPACING = re.compile(r"(?<!\\)\\(?:left|right|displaystyle|quad|qquad|[,;:!]|\s)|~")
_ENDINGS = re.compile(
    r"(?<=\S)\s*(?:입니다|이에요|이예요|예요|에요|이다|입니까|이야|이죠|(?:이|가)\s*(?:됩니다|된다|돼요)"
    r"|이?(?:네요|군요)|이?겠(?:네요|군요|습니다)|(?:으로|로)\s*(?:계산|도출)(?:됩니다|된다|돼요))$"
    r"|(?<=[\dA-Za-z%)\]}$①-⑩])\s*(?:다|야|요|죠|임)$"
    r"|(?<=[가-힣]{2})\s*임$"  # not of 게임, 책임, 모임
    r"|(?<=\d[개명원번도살세회배점권대쪽년월일시분초])\s*임$"
)
_LEADING = re.compile(
    r"^(?:(?:=>?|∴|⇒|→|\\therefore)\s*|(?:총|모두|전부|전체)\s+"
    r"|(?:a total of|exactly|it is|it's)\s+)",
    re.I,
)
_TIMES_A_POWER = re.compile(r"(?<=\d)\s*[xX]\s*(?=10\s*\^)")  # 3 x 10^8
_UNIT_IN_BRACKETS = re.compile(r"(\d)\s*\(([가-힣]{1,6})\)$")
_SUBSCRIPT = re.compile(r"_(?:\{(\w+)\}|(\w))")
_POINTS = re.compile(r"^[ .,?]+(?!\d)")  # but .5 is no 5
# Before a word alone: in `a b`, `a - b` and `a sin x` it is a variable.
_ARTICLE = re.compile(
    r"^(?:the\s+|an?\s+(?=[A-Za-z]{3})(?!(?:sin|cos|tan|sec|csc|cot|log|exp|sqrt)\b))",
    re.IGNORECASE,
)
# What tells by its case, or does not.
_LETTERS = re.compile(r"[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{3}|[가-힣]{2}")
_IN_FORMULA = re.compile(r"[\d+*/^=<>\\|!(\[{_]|-(?![A-Za-z]{3})")
_BEFORE_NUMBER = re.compile(r"(?<=[a-z])\s+(?=\d)")  # pH 7, and pH7
_GENES = re.compile(r"(?:([A-HJ-Za-hj-z])(?i:\1))+")  # II is a number
# Units and abbreviations that are nothing else in another case; but Mm and Mg are.
_IN_ANY_CASE = frozenset(
    "mm cm km mg kg ml dl kph usd krw am pm ok tv pc cd dj uk eu un ai".split()
)
_PREFIXED = frozenset(("Mm", "Mg"))
# A compound, H2O or Ca(OH)2: symbols of elements and a number. Co2 has one symbol, and is no CO2.
_COMPOUND = re.compile(r"(?=.*\d)(?:\(|\)|[A-Z][a-z]?|(?<=[A-Za-z)])\d+)+")
_SYMBOL = re.compile("[A-Z][a-z]?")
_ELEMENTS = frozenset(
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Ag Cd Sn Sb I Xe Cs Ba La Ce W Pt Au Hg Pb Bi Ra U".split()
)
# Zero-width blanks and joiners, marks of direction, soft hyphens, byte-order marks.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]+")
# Letters by the language that their script is of, as far as it is of one.
_LETTERS_OF = {
    code: re.compile(f"[{letters}]")
    for code, letters in {"ko": "가-힣ㄱ-ㆎ", "ja": "ぁ-ヿ一-鿿", "en": "A-Za-zÀ-ɏ"}.items()
}
_QUOTES = '"`“”‘’「」『』《》*_ \t'


def as_seen(text: str) -> str:
    """Return a text as readers see it: syllables composed (NFC), nothing in it invisible."""
    return text if text.isascii() else _INVISIBLE.sub("", unicodedata.normalize("NFC", text))


def letters_of(text: str) -> Counter[str]:
    """Count letters by script: `ko` Hangul, `ja` kana and Han, `en` Latin, and `other`."""
    letters = "".join(filter(str.isalpha, as_seen(text)))
    counts = Counter({code: len(own.findall(letters)) for code, own in _LETTERS_OF.items()})
    counts["other"] = len(letters) - counts.total()
    return counts


def language_of(text: str) -> str | None:
    """Tell a text's language by the script of most of its letters; `None` without letters."""
    ((language, letters),) = letters_of(text).most_common(1)
    return language if letters else None


def clean(text: str, endings: bool = True) -> str:
    """The value as plainly as it can be written, still as text.

    Args:
        text: of an answer.
        endings: leave out verb endings.
    """
    text = text.strip().translate(_SYMBOLS)
    text = _FRACTION_SIGNS.sub(lambda match: f" {match.group()}", text)
    text = unicodedata.normalize("NFKC", text).replace("\u2044", "/")
    text = text.replace("{,}", ",").replace("{:}", ":")
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        inner = text[len(opening) : -len(closing)]
        if len(text) > len(opening + closing) and text.startswith(opening):
            if text.endswith(closing) and opening not in inner:
                text = inner
    if text.count("$") > 2 and text.count("$") % 2 == 0 and re.search(r"[\\=]", text):
        text = text.replace("$", "")  # several formulas, not prices
    text = _TIMES_A_POWER.sub("*", _SPACING.sub(" ", text))
    text = re.sub(r"\^\s*(?:\\circ|\{\s*\\circ\s*\})", "°", text)
    for command, plain in (
        (r"\dfrac", r"\frac"),
        (r"\tfrac", r"\frac"),
        (r"\cdot", "*"),
        (r"\times", "*"),
        (r"\div", "/"),
        (r"\pm", "±"),
        (r"\%", "%"),
        (r"\$", "$"),
        (r"\{", "{"),
        (r"\}", "}"),
    ):
        text = text.replace(command, plain)
    for _ in range(4):
        text, found = _WRAPPED.subn(r"\1", text)
        if not found:
            break
    text = _UNIT_IN_BRACKETS.sub(r"\1 \2", strip_ends(" ".join(text.split()), endings))
    return strip_ends(text, endings)


def strip_ends(text: str, endings: bool = True) -> str:
    """Without quotes, full stops, verb endings, and words that only lead up to a value."""
    quotes = _QUOTES
    for _ in range(3):
        before = text
        text = text.lstrip(_QUOTES)
        if text.startswith("'"):
            quotes = _QUOTES + "'"  # one alone at the end is a derivative: y'
        text = text.strip(quotes).rstrip("?。;").strip(quotes)
        text = re.sub(r"(?<=[^\w)}])!+$|(?<=[가-힣])!+$", "", text)  # 5! is 120
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1]
        text = _ENDINGS.sub("", text) if endings else text
        text = _LEADING.sub("", text)
        if text == before:
            break
    return text


def _has_final_consonant(syllable: str) -> bool:
    return "가" <= syllable <= "힣" and (ord(syllable) - ord("가")) % 28 != 0


# particle -> whether the syllable before ends in a consonant; `None`: either.
_PARTICLES = {
    **{"에서": None, "에": None, "은": True, "는": False, "을": True, "를": False},
    **{"이": True, "가": False, "으로": True, "의": None},
}


def without_particle(word: str) -> str | None:
    """The word before a Korean particle; `None` if it ends in none.

    Short words keep what looks like one: 고양이 is not a subject called 고양.
    """
    for particle, after_consonant in _PARTICLES.items():
        stem = word.removesuffix(particle)
        if stem == word or len(stem) < (3 if particle in ("이", "가", "의") else 2):
            continue
        if after_consonant is None or _has_final_consonant(stem[-1]) == after_consonant:
            return stem
    return None


def words(text: str) -> str:
    """Words in the form in which they are compared: no case, articles or outer punctuation."""
    text = _POINTS.sub("", text.casefold()).rstrip(" .,?")
    text = _ARTICLE.sub("", text)
    text = _BEFORE_NUMBER.sub("", _SUBSCRIPT.sub(r"\1\2", text))
    if re.fullmatch(r"\([^(),]*\)", text):
        text = text[1:-1]
    # Korean spacing is loose: 서울 특별시 is 서울특별시.
    return text.replace(" ", "") if re.search(r"[가-힣]", text) else text


def case_says_nothing(given: str, wanted: str) -> bool:
    """Whether two texts that are equal but for upper and lower case say the same.

    Words do however they are written (DNA and dna, vitamin C and vitamin c); genes (Aa and aa),
    symbols (CO and Co, M and m) and what stands in a formula do not, but a compound in small
    letters alone (h2o) was written by one who left capitals out.
    """
    plain, other = sorted((given.strip(" .,?"), wanted.strip(" .,?")), key=str.islower)
    if other == plain.lower() and _is_compound(plain):
        return True
    in_formula = _IN_FORMULA.search(wanted) is not None
    in_words = _WORD.search(wanted) is not None
    runs = (_LETTERS.findall(_ARTICLE.sub("", text.strip(" .,?"))) for text in (given, wanted))
    for ours, theirs in zip(*runs):
        if ours == theirs:
            continue
        if ours.casefold() in _IN_ANY_CASE and not _PREFIXED & {ours, theirs}:
            continue
        if _GENES.fullmatch(ours):
            return False
        if len(ours) < 3:
            one_small = ours.islower() or theirs.islower()
            if in_formula or not (in_words or len(ours) == 2 and one_small):
                return False
    return True


def _is_compound(text: str) -> bool:
    symbols = _SYMBOL.findall(text) if _COMPOUND.fullmatch(text) else []
    return len(symbols) > 1 and _ELEMENTS.issuperset(symbols)
