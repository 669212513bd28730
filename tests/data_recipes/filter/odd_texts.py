"""Texts that look real, with everything planted in them that rules can disagree about."""

import random

from ..hand_made import some_texts

ODD = [
    "a",
    "- one",
    "word",
    "\n",
    "\n\n\n",
    " \t ",
    "x\n",
    "\nx",
    "\n\nsame\n\nsame\n\n",
    "one two\r\none two\r\n\r\none two\r\n",
    "line…\nline...\n... \n…\n. . .\n....\nend of it…",
    "• bullet\n  - bullet\n\t•\n-\nno bullet",
    "a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i",
    "- a\u2028- b\x85- c\r- d\r\n",
    "\x85\u2028\n\x85",
    "\x00\n\x00\x00\n\n\x00- x\n\x00",
    "\u00a0pad\u3000\u2003between\u00a0",
    "# ## ### a # b ...... … ....",
    "ab c ab c a bc a bc a bc",
    "1 11 1 1 1 11 1 1 1 1 1 1 11 1 1 1 1",
    "가 나 다 라 마 " * 30,
    "😀 😀😀 😀 \U0001f1f0\U0001f1f7 𝒳𝒴 " * 9,
    "e\u0301te\u0301 été ÉTÉ \u0301",
    "the the be be to of and\nthat have with, with",
    "!!! ??? ... --- ### the end",
    "end。\nend？\nend!\nend.\r\nend. \nend",
    "a\ta\ta\ta\ta",
    "long" * 100 + " " + "long" * 100 + " x",
]


def odd_texts(seed: int = 3, documents: int = 150) -> list[str]:
    """The odd ones, and documents of the embedded corpus with planted repetitions and debris."""
    rng = random.Random(seed)
    texts = list(ODD)
    for text in some_texts(documents):
        lines = text.split("\n")
        for _ in range(rng.randint(0, 6)):
            kind = rng.randrange(9)
            place = rng.randrange(len(lines) + 1)
            line = rng.choice(lines)
            words = line.split() or ["-"]
            planted = [
                line,
                "",
                "\n".join([line, line]),
                " ".join(rng.choices(words, k=2) * rng.randint(2, 9)),
                rng.choice(ODD),
                "- " + line + "...",
                "".join(words),
                " # ".join(words),
                "... ".join(words) + " …",
            ][kind]
            lines.insert(place, planted)
        texts.append(rng.choice(["\n", "\n", "\r\n", "\n\n"]).join(lines))
    return texts
