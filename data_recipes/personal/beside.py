"""What stands beside a number and says what it is: words before it, and headings of its column."""

import re
from functools import lru_cache

_BEFORE = 48
_FAR = r"[^0-9\n]{0,14}\Z"  # how far before a number the word for it may stand
_KOREAN_NO = r"(?:[ ]?등록)?(?:[ ]?번호)?"
_NO = r"(?:[ ](?:registration|card|phone|id|number|no\b\.?))*"  # what may follow such a word
SAYS_RESIDENT = re.compile(
    rf"(?:주민{_KOREAN_NO}|(?:resident|RRN|SSN|social security|Korean ID){_NO}){_FAR}",
    re.IGNORECASE,
)
SAYS_ALIEN = re.compile(
    rf"(?:외국인{_KOREAN_NO}|거소|\b(?:alien|ARC|foreigner|residence|visa holder){_NO}){_FAR}",
    re.IGNORECASE,
)
SAYS_COMPANY = re.compile(rf"(?:법인|corporat\w*){_FAR}", re.IGNORECASE)
SAYS_BUSINESS = re.compile(
    rf"(?:사업자{_KOREAN_NO}|(?:business|BRN|tax id){_NO}){_FAR}", re.IGNORECASE
)
SAYS_TELEPHONE = re.compile(
    r"(?:전화|연락처|휴대폰|휴대전화|핸드폰|모바일|팩스|문의|대표번호|번호로|hp|h\.p|"
    rf"(?:tel|phone|mobile|cell|fax|call|text|dial|whatsapp|contact){_NO}|☎|☏|📞|📱){_FAR}",
    re.IGNORECASE,
)
# Who answers, which is enough beside three groups of an American number.
SAYS_DESK = re.compile(
    r"(?:\b(?:office|reception|front desk|hotline|ring|reach)\b"
    r"|(?:\b(?:my|our|your|his|her|their|the)|['’]s) number is)[^0-9\n]{0,6}\Z",
    re.IGNORECASE,
)
# A code of a thing, which may begin with a day.
SAYS_CODE = re.compile(
    r"(?:주문|관리|문서|접수|일련|제품|부품|송장|운송장|로트|모델"
    rf"|\b(?:order|serial|invoice|ticket|part|batch|item|lot|model|ref)\w*{_NO}){_FAR}",
    re.IGNORECASE,
)
_BANKS = (
    "국민|신한|우리|하나|농협|기업|산업|수협|신협|새마을금고|우체국|제일|씨티|대구|부산|경남|광주|전북|제주"
    "|카카오|토스|케이|외환|수출입|저축|축협|산림조합|iM|(?<![A-Za-z])(?:KB|NH|IBK|KDB|SC|Shinhan|Woori"
    "|Hana|Kookmin|Nonghyup|Kakao|Toss)"
)
SAYS_ACCOUNT = re.compile(
    rf"(?:(?:은행|뱅크|새마을금고|신협|우체국|농협|수협|계좌|입금|송금|예금|통장|환불|이체|예금주"
    rf"|\bbank|(?:\baccount|\bacct|\ba/c){_NO}(?:[ ](?:at|with)[ ][A-Za-z&.' ]{{2,30}})?|\bdeposit)"
    rf"{_FAR.replace('14', '24')}"
    rf"|(?:{_BANKS})(?:은행|뱅크)?[ :()|\t]{{0,3}}\Z)",
    re.IGNORECASE,
)
BANK_BEHIND = re.compile(
    rf"[ ,]{{0,2}}[(\[]?(?:(?:{_BANKS})[ ]?(?:은행|뱅크|bank)"
    r"|농협|새마을금고|우체국|신협|수협|예금주)",
    re.IGNORECASE,
)
# Nothing but marks since another number or line: no word can stand there.
_NO_WORD = re.compile(r"[0-9\n][^\w☎☏📞📱]{0,8}\Z")
_MARKS = "|\t,"
# A table is followed up no farther than this; longer lines are data, longer cells no headings.
_TABLE, _LINE, _HEADING = 4_000, 1_000, 40


def before(text: str, found: re.Match[str]) -> str:
    """Return what stands before a number, as far as its words are looked for."""
    return text[max(0, found.start() - _BEFORE) : found.start()]


# A line is asked about for each of its numbers, and each kind of them.
@lru_cache(maxsize=1)
def _top(text: str, start: int, mark: str, marks: int) -> str:
    """Return the first line of the table that ends before `start`; "" if none does.

    A table's lines have as many marks, `|`, tab or comma, as the one with the number.
    """
    top = ""
    for line in reversed(text[max(0, start - _TABLE) : max(0, start - 1)].split("\n")):
        if line.count(mark) != marks:
            break
        top = line
    return top


@lru_cache(maxsize=1)
def _heading(text: str, begin: int, end: int) -> str:
    """Return the heading of the column in which a number stands alone; "" if it is in no table."""
    first, last = max(0, begin - _LINE), min(len(text), end + _LINE)
    start = text.rfind("\n", first, begin) + 1
    behind = text.find("\n", end, last)
    if not start and first or behind < 0 and last < len(text):
        return ""
    behind = last if behind < 0 else behind
    left = text[start:begin].rstrip(" ")
    right = text[end:behind].lstrip(" ")
    mark = left[-1:] or right[:1]
    if not mark or mark not in _MARKS or right and right[0] != mark:
        return ""
    column, columns = left.count(mark), left.count(mark) + right.count(mark)
    top = _top(text, start, mark, columns)
    cell = top.split(mark)[column].strip() if top else ""
    return cell if len(cell) <= _HEADING else ""


def says(words: re.Pattern[str], text: str, found: re.Match[str]) -> bool:
    """Whether the words before a number, or the heading of its column, say what it is."""
    near = before(text, found)
    if not _NO_WORD.search(near, max(0, len(near) - 9)) and words.search(near):
        return True
    top = _heading(text, *found.span())
    return bool(top and words.search(top))
