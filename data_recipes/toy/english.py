"""English inflection: articles, plurals, verb forms, capitals, number words.

Templates carry marks that :func:`realise` resolves once the words are in place: ``[a] apple``,
``apple[s]``, ``[ed]``, ``[ing]`` or ``[es]`` in front of a verb, and ``3[w]`` for a
number in words.
"""

import re

_IRREGULAR_PLURALS = {
    "child": "children",
    "person": "people",
    "man": "men",
    "woman": "women",
    "foot": "feet",
    "tooth": "teeth",
    "mouse": "mice",
    "goose": "geese",
    "sheep": "sheep",
    "deer": "deer",
    "fish": "fish",
    "leaf": "leaves",
    "knife": "knives",
    "wolf": "wolves",
    "shelf": "shelves",
    "loaf": "loaves",
    "scarf": "scarves",
    "potato": "potatoes",
    "tomato": "tomatoes",
    "hero": "heroes",
    "mango": "mangoes",
    "octopus": "octopuses",
}
# Past forms; a verb that is not listed is regular.
_IRREGULAR_PASTS = dict(
    pair.split(":")
    for pair in (
        "be:was become:became begin:began bend:bent bring:brought build:built buy:bought "
        "catch:caught choose:chose come:came cut:cut dig:dug do:did draw:drew drink:drank "
        "drive:drove eat:ate fall:fell feed:fed feel:felt find:found fly:flew forget:forgot "
        "freeze:froze get:got give:gave go:went grow:grew hang:hung have:had hear:heard "
        "hide:hid hold:held keep:kept know:knew lay:laid lead:led leave:left lend:lent let:let "
        "lie:lay light:lit lose:lost make:made meet:met pay:paid put:put read:read ride:rode "
        "ring:rang rise:rose run:ran say:said see:saw sell:sold send:sent set:set shake:shook "
        "shine:shone shut:shut sing:sang sit:sat sleep:slept speak:spoke spend:spent "
        "spread:spread stand:stood steal:stole sweep:swept swim:swam take:took teach:taught "
        "tell:told think:thought throw:threw understand:understood wake:woke wear:wore "
        "win:won wind:wound write:wrote"
    ).split()
)
_DOUBLING = frozenset(
    "chat chop clap cut dig drag drop grab get hop hug jog knit let mop nod pat plan plot put "
    "rub run set shop shut sit skip slip stir stop swim tap trim trip wrap win".split()
)
_SILENT_H = ("hour", "honest", "heir", "honour")
_CONSONANT_SOUND = ("uni", "use", "usu", "euro", "one", "once", "uku", "ura")

_MARK = re.compile(r"\[a\] (?=[\"'“]?(\w+))|(\w+)\[s\]|\[(ed|ing|es)\](\w+)|(\d+)\[w\]")
_SENTENCE_START = re.compile(
    r"(^|[.!?] |[.]\" |\n(?:- |\d+\. )?|[,:] \"|\n\"|(?:^|\n)\w+: )([a-z])"
)

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def article(word: str) -> str:
    """``a`` or ``an``, by the sound the word or number begins with."""
    lower = word.lower()
    if lower[0].isdigit():
        return "an" if lower.startswith("8") or lower in ("11", "18") else "a"
    if lower.startswith(_SILENT_H):
        return "an"
    if lower.startswith(_CONSONANT_SOUND):
        return "a"
    return "an" if lower[0] in "aeiou" else "a"


def plural(noun: str) -> str:
    """Plural of a countable noun."""
    if noun in _IRREGULAR_PLURALS:
        return _IRREGULAR_PLURALS[noun]
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return noun + "es"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + "s"


def verb(base: str, ending: str) -> str:
    """Past (``ed``), participle (``ing``) or third person (``es``) of a verb."""
    if ending == "es":
        if base in ("have", "be"):
            return {"have": "has", "be": "is"}[base]
        return plural(base) if not base.endswith("o") else base + "es"
    if ending == "ed" and base in _IRREGULAR_PASTS:
        return _IRREGULAR_PASTS[base]
    if base in _DOUBLING:
        return base + base[-1] + ending
    if base.endswith("e"):
        if ending == "ed":
            return base + "d"
        if base.endswith("ie"):
            return base[:-2] + "ying"
        return base + "ing" if base.endswith(("ee", "oe")) or base == "be" else base[:-1] + "ing"
    if ending == "ed" and base.endswith("y") and base[-2] not in "aeiou":
        return base[:-1] + "ied"
    return base + ending


def number_words(value: int) -> str:
    """A whole number from 0 to 99 in words."""
    if value < 20:
        return _ONES[value]
    return _TENS[value // 10] + (f"-{_ONES[value % 10]}" if value % 10 else "")


def realise(text: str) -> str:
    """Resolve every inflection mark, then capitalise the sentence starts."""

    def replace(match: re.Match[str]) -> str:
        if match[2]:
            return plural(match[2])
        if match[3]:
            return verb(match[4], match[3])
        if match[5]:
            return number_words(int(match[5]))
        return article(match[1]) + " "

    inflected = _MARK.sub(replace, text)
    return _SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), inflected)
