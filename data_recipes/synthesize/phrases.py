"""What models say instead of doing as they are told, and around what they were told to write.

English and Korean, matched without regard to case and to which apostrophe it is. The lists are our
own, from what instruction-tuned models commonly write; a phrase that is in the seed itself does not
count.
"""

import re

_END = 250  # characters at the end of an answer in which a good-bye stands (our choice)

_REFUSAL_ANYWHERE = (
    r"\bas an ai\b(?! (?:researcher|engineer|company))",
    r"\bas a(?:n ai)? language model\b",
    r"\bi(?:'m| am) (?:just )?an ai\b",
    r"(?:ai|인공지능) (?:언어 )?모델(?:로서|이기 때문|이므로|이라서)",
    r"\bai로서",
    r"인공지능으로서",
    r"언어 모델로서",
    r"저는 (?:ai|인공지능)(?:입니다|이에요|이기)",
)
_REFUSAL_FIRST = (
    r"i(?:'m| am) sorry\b",
    r"sorry, (?:but )?i\b",
    r"i (?:cannot|can't|can not|won't|am unable to|am not able to) ",
    r"i'm (?:unable|not able) to ",
    r"unfortunately, i ",
    r"죄송하지만",
    r"죄송합니다",
    r"미안하지만",
    r"(?:해당|요청하신|이) (?:요청|내용|질문|작업)[^.\n]{0,40}(?:수 없습니다|어렵습니다)",
    r"[^.\n]{0,40}(?:도와드릴|답변드릴|답변할|제공할|제공해 드릴|수행할) 수 (?:없습니다|없어요)",
)
_META_FIRST = (
    r"(?:sure|certainly|of course|absolutely|okay|ok|great|got it)\b[^.\n]{0,20}[,.!:]",
    r"(?:here|below) (?:is|are)\b[^\n]{0,80}(?::|\b(?:rewrit|translat|version|text|passage|article"
    r"|summary|retelling|textbook)\w*)",
    r"here's\b[^\n]{0,80}(?::|\b(?:rewrit|translat|version|text|passage|article|summary)\w*)",
    r"(?:the )?(?:following|rewritten|translated) (?:is|text|version|passage)\b[^\n]{0,60}:",
    r"(?:translation|rewritten text|rewrite|korean(?: version| translation)?|output|answer)\s*:",
    r"i(?:'ll| will|'ve| have) (?:rewrit|translat|written|now|provide|write)\w*\b",
    r"다음은 [^\n]{0,60}(?:번역|글|내용|텍스트|요약|설명|답변|버전|교재|문서)[^\n]{0,20}"
    r"(?:입니다|이에요|예요|드립니다|습니다)",
    r"아래는 [^\n]{0,60}(?:번역|글|내용|텍스트|요약|설명|답변|버전|교재|문서)[^\n]{0,20}"
    r"(?:입니다|이에요|예요|드립니다|습니다)",
    r"(?:번역|번역문|번역본|번역 결과|한국어 번역|한국어|답변|결과|다시 쓴 글|재작성|출력)\s*:",
    r"(?:네|예|물론입니다|물론이죠|물론이에요|알겠습니다|좋습니다)[,.!]",
    r"요청하신 (?:대로|글|내용|번역|텍스트)",
)
_META_LAST = (
    r"\bi hope (?:this|that|it) (?:helps|is|was)\b",
    r"\blet me know if\b",
    r"\bfeel free to (?:ask|reach|let)\b",
    r"\bwould you like me to\b",
    r"\bnote: (?:i|this|the) (?:have|translation|text|rewrit)",
    r"도움이 되(?:었|셨|기|길|시길)",
    r"(?:추가|더) ?(?:로|적인)? ?(?:궁금한|필요한|질문|요청)[^.\n]{0,20}(?:있으|말씀|알려)",
    r"언제든지? (?:말씀|물어|알려|질문|문의)",
    r"(?:원하시면|필요하시면)[^.\n]{0,40}(?:드리겠습니다|드릴 수 있|드릴게요)",
    r"\(?(?:참고|주의|주)\s*:\s*(?:이|위|본) (?:번역|글|텍스트|답변)",
)
# Bold, headings, quotes and brackets around the first words.
_OPENING_MARKS = re.compile(r"^[\s#*_>\"'“”‘’\[\]()~\-]+")


def _any(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p})" for p in patterns), re.IGNORECASE)


_ANYWHERE, _FIRST = _any(_REFUSAL_ANYWHERE), _any(_REFUSAL_FIRST)
_META_OPENING, _META_CLOSING = _any(_META_FIRST), _any(_META_LAST)


def find_phrase(text: str, seed: str) -> tuple[str, str] | None:
    """A refusal, or talk about the task.

    Args:
        text: the answer.
        seed: what it was written from; its own phrases are no fault of the answer.

    Returns:
        `refusal` or `meta_talk`, and the words; `None` if there are none.
    """
    plain = text.replace("’", "'")
    start = _OPENING_MARKS.sub("", plain)
    own = seed.replace("’", "'").casefold()
    for reason, found in (
        ("refusal", _ANYWHERE.search(plain)),
        ("refusal", _FIRST.match(start)),
        ("meta_talk", _META_OPENING.match(start)),
        ("meta_talk", _META_CLOSING.search(plain[-_END:])),
    ):
        if found and found[0].casefold() not in own:
            return reason, found[0]
    return None
