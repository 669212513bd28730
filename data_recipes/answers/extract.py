"""Finds the answer that a solution ends with."""

import re

from .same import is_value, read_mark
from .text import as_seen, strip_ends

# The answer is at the end; what comes before so many characters is not searched.
_TAIL = 4_000
_LONGEST = 200
_PHRASES = 16  # so many are looked at, from the last on

_DISPLAY = re.compile(r"\$\$\s*([^$]{1,200}?)\s*\$\$|\\\[\s*([^\[\]]{1,200}?)\s*\\\]")
_TAGGED = re.compile(
    r"<answer>\s*(\S[^<]{0,200}?)\s*</answer>|^####[ \t]*(\S.{0,200})$", re.MULTILINE
)
# Bold type, and what is left of it; 2**10 is a power.
_BOLD = re.compile(r"(?<![A-Za-z0-9)])\*\*(?=\S)([^\n]{1,400}?)(?<=\S)\*\*")
_HALF_BOLD = re.compile(r"(?<![A-Za-z0-9)])\*\*|\*\*(?![A-Za-z0-9(])")
_PHRASE = re.compile(
    r"\b(?:answer|ans|(?:correct|right)\s+(?:option|choice))\s*(?:is|:|=)\s*:?"
    r"|(?<![가-힣])\[?(?:최종)?(?:정답|해답|답변|답안|답)"
    r"(?:\s*(?:은|:|=|\]|\))\s*:?|[ \t]+(?=[-\d$\\(A-J①-⑩]))",
    re.IGNORECASE,
)
_NAMED_ANSWER = re.compile(
    r"(?:^|(?<=\s))(\S{1,40}?)\s*(?:(?<!\s)[이가]|\s)\s*(?:정답|답)(?:입니다|이다|이에요|임|다)"
    r"|(?:^|(?<=\s))(\S{1,40}) is the (?:correct |right |final )?(?:answer|option|choice)\b",
    re.IGNORECASE | re.MULTILINE,
)
_BELOW = re.compile(r"(?:다음|아래)(?:과|와) 같(?:습니다|다|아요)|as follows", re.IGNORECASE)
# What is said about an answer that has been given: 답은 맞다.
_APPROVAL = re.compile(r"(?:맞|옳|정확|확실|correct|right)", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[^\s\d.])\.(?=\s)|(?<=\d)\.(?=\s)|[!?](?=\s)|。")
_REASON = re.compile(
    r",?\s+(?:because|since)\b|(?:이므로|이기\s?때문|이라서|이니까)(?=[\s,.]|에)", re.IGNORECASE
)
_CONCLUSION = re.compile(
    r"^(?:따라서|그러므로|그래서|즉|결국|결과적으로|최종적으로|so|thus|therefore|hence|∴)[,\s]+",
    re.IGNORECASE,
)
_DENIAL = re.compile(r"아니(?!,)|아닙|않|못|없|모르|모릅|\bnot?\b|n't\b|\bnever\b", re.IGNORECASE)
_TOPIC = re.compile(r"(?<=[가-힣\w)$])(?<!또)[은는이가]\s+|\b(?:is|are|was|were|equals)\s+")
# An answer that is taken back: what is concluded after it counts.
_CORRECTION = re.compile(
    r"아니[,.]|다시|잠깐|정정|\b(?:wait|actually|correction|no,)", re.IGNORECASE
)
_NOT_BUT = re.compile(r"^.{0,40}?(?:[이가]\s*아니라|\bnot\b.{1,30}?\bbut)\s+", re.IGNORECASE)
_FINISHED = re.compile(r"[.!。]$|[다요]$")
_FORMULA = re.compile(r"\$[^$\n]{1,200}\$|\\\([^\n]{1,200}?\\\)")
_NUMERAL = re.compile(
    r"(?<![\w.])[-−]?[$₩€]?\d[\d,]*(?:\.\d+)?(?:/\d+)?(?:[십백천만억조]+(?:\s?\d[\d,]*[십백천만억조]+)*)?"
)
_UNIT = re.compile(r"\s?[가-힣A-Za-z%°℃/]{1,8}")


def _last_box(text: str) -> str | None:
    """Content of the last complete `\\boxed{}` or `\\fbox{}`, whose braces may nest."""
    starts = [match.end() for match in re.finditer(r"\\(?:boxed|fbox)\s?\{", text)]
    for start in reversed(starts):
        depth = 1
        for position in range(start, min(len(text), start + 2 * _LONGEST)):
            if text[position] in "{}" and text[position - 1] != "\\":
                depth += 1 if text[position] == "{" else -1
                if depth == 0:
                    return text[start:position].strip() or None
    return None


def _stated(text: str) -> str | None:
    """What follows the last "the answer is", on its line or, if nothing does, on the next."""
    found: list[tuple[int, str]] = []
    for match in reversed(list(_PHRASE.finditer(text))[-_PHRASES:]):
        lines = [line.strip() for line in text[match.end() :].split("\n", 8)[:8]]
        first = _BELOW.sub("", lines[0]).strip(" .:,")
        answer = lines[0] if first else next((line for line in lines[1:] if line), "")
        answer = _SENTENCE_END.split(answer, maxsplit=1)[0]
        answer = _NOT_BUT.sub("", _REASON.split(answer, maxsplit=1)[0].strip())
        answer = strip_ends(answer.rstrip("!"))
        if answer and not _APPROVAL.match(answer):
            if _CORRECTION.search(text, match.end()):
                return _concluded(text.rstrip().rpartition("\n")[2])
            found.append((match.start(), answer))
            break
    for match in _NAMED_ANSWER.finditer(text):
        answer = strip_ends(match[1] or match[2])
        if is_value(answer):
            found.append((match.start(), answer))
    return max(found)[1] if found else None


def _tagged(text: str) -> str | None:
    """What stands in the last `<answer>`, or behind the last `####` that begins no heading."""
    for match in reversed(list(_TAGGED.finditer(text))[-_PHRASES:]):
        answer, rest = strip_ends(match[1] or match[2]), text[match.end() :]
        if match[1]:
            return answer or None
        if not rest.strip():
            return _stated(answer) or answer or None
        # Markdown's headings look the same: "#### Step 1", "#### A. Result".
        if is_value(answer) and (read_mark(answer) or not read_mark(answer, described=True)):
            later = _stated(rest)
            return later if later and is_value(later) else answer
    return None


def _only_number(sentence: str) -> str | None:
    """The one formula of a sentence, else its one number with its unit; `None` for several."""
    if formulas := _FORMULA.findall(sentence):
        rest = _FORMULA.sub(" ", sentence)
        return formulas[0] if len(formulas) == 1 and not _NUMERAL.search(rest) else None
    numerals = list(_NUMERAL.finditer(sentence))
    if len(numerals) != 1:
        return None
    unit = _UNIT.match(sentence, numerals[0].end())
    for end in range(unit.end() if unit else numerals[0].end(), numerals[0].end(), -1):
        if is_value(measured := sentence[numerals[0].start() : end]):
            return strip_ends(measured)
    return numerals[0].group()


def _concluded(line: str) -> str | None:
    """A value alone, or as what a last sentence concludes: 따라서 남은 개수는 5개이다."""
    if is_value(alone := strip_ends(_CONCLUSION.sub("", line))):
        return alone
    sentence = _SENTENCE_END.split(line.rstrip(".!? "))[-1].strip()
    plain = _CONCLUSION.sub("", sentence)
    if is_value(alone := strip_ends(plain)):
        return alone
    if _DENIAL.search(plain):
        return None
    finished = plain != sentence or _FINISHED.search(line)
    topics = [m for m in _TOPIC.finditer(plain) if finished or m[0][0] in "은는"]
    if topics and is_value(value := strip_ends(plain[topics[-1].end() :])):
        return value
    return _only_number(plain) if finished else None


def extract_answer(text: str) -> str | None:
    """The answer in a text; `None` if it has none.

    In this order: the last `\\boxed{}`; the last `<answer>` or value after `####`; the last "The
    answer is ..." or "답은 ..."; what the last line concludes. A think block is not searched.
    """
    tail = as_seen(text[-_TAIL:]).rpartition("</think>")[2]
    if (boxed := _last_box(tail)) is not None:
        return boxed
    tail = _HALF_BOLD.sub("", _BOLD.sub(r"\1", tail))
    tail = _DISPLAY.sub(lambda match: f"$${match[1] or match[2]}$$".replace("\n", " "), tail)
    if (answer := _tagged(tail)) is not None:
        return answer
    if (answer := _stated(tail)) is not None:
        return answer
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    return _concluded(lines[-1]) if lines else None
