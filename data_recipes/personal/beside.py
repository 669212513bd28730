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
    rf"(?:사업자{_KOREAN_NO}|(?:business|BRN|tax id|registration){_NO}){_FAR}",
    re.IGNORECASE,
)
BUSINESS_BEHIND = re.compile(
    r"[^0-9\n]{0,30}?(?:사업자|\b(?:(?:registration|business) (?:number|no|id)|tax id)\b)",
    re.IGNORECASE,
)
SAYS_CARD = re.compile(rf"(?:카드|\b(?:card|pan|cc|visa|amex){_NO}){_FAR}", re.IGNORECASE)
SAYS_TELEPHONE = re.compile(
    r"(?:전화|연락처|휴대폰|휴대전화|핸드폰|모바일|팩스|문의|대표번호|번호로|hp|h\.p|"
    rf"(?:tel|phone|mobile|cell|fax|call|text|dial|whatsapp|contact){_NO}|☎|☏|📞|📱)"
    rf"{_FAR.replace('14', '24')}",
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
    r"(?:주문|관리|문서|접수|일련|제품|부품|송장|운송장|로트|모델|타임스탬프|밀리초|timestamp|epoch"
    rf"|\b(?:order|serial|invoice|ticket|part|batch|item|lot|model|ref)\w*{_NO}){_FAR}",
    re.IGNORECASE,
)
SAYS_IP = re.compile(
    rf"(?:\bip|아이피|주소|서버|접속|\b(?:address|host|server|from|ping|ssh|client|forwarded-for))"
    rf"{_FAR}|//\Z",
    re.IGNORECASE,
)
# What has four numbers too; a program's name and "/" is how browsers write theirs.
SAYS_VERSION = re.compile(
    r"(?:(?:버전|펌웨어|\b(?:ver|version|release|firmware|driver|build|section|oid)\b)[^0-9\n]{0,8}"
    r"|[A-Za-z]/)\Z",
    re.IGNORECASE,
)
_BANKS = (
    "국민|신한|우리|하나|농협|기업|산업|수협|신협|새마을금고|우체국|제일|씨티|대구|부산|경남|광주|전북|제주"
    "|카카오|카뱅|토스|토뱅|케이|케뱅|외환|수출입|저축|축협|산림조합|(?<![A-Za-z])(?-i:iM)"
)
# Written before another name: KB국민, BNK부산.
_GROUPS = "(?:(?:KB|NH|MG|BNK|DGB|KEB|SC|IBK|KDB|한국)[ ]?)?"
# Names that are words too only with their capitals; written down by us, so others are missing.
# Initials, which may be units (KB), count before a number of ten digits, and in brackets.
_INITIALS = "(?<![A-Za-z])(?-i:KB|NH|IBK|KDB|SC|DBS|UOB|ANZ|NAB|UBS|ING|RBS|TSB)(?![A-Za-z])"
_ENGLISH_BANKS = (
    r"(?<![A-Za-z])(?-i:Shinhan|Woori|Hana|Kookmin|Nonghyup|Kakao|Toss|Chase"
    r"|JPMorgan|Citi|Wells Fargo|Capital One|PNC|Truist|BofA|HSBC|Barclays|Lloyds|NatWest|Santander"
    r"|Monzo|Nationwide|Revolut|Starling|Halifax|OCBC|Westpac|BNP Paribas"
    r"|Standard Chartered|(?:[A-Z][A-Za-z.&]*[ ]){0,3}Bank(?:[ ]of[ ][A-Z][a-z]+)?)"
    r"(?:[ ]?[Bb]ank|[ ]UK)?(?![A-Za-z])"
)
# Nothing but marks, or the tags of a page, between a name and a number.
_CLOSE = r"(?:[^\w\n]|</?[a-z]{1,6}>){0,6}"
BANK_BEFORE = re.compile(rf"{_ENGLISH_BANKS}{_CLOSE}\Z", re.IGNORECASE)
SAYS_ACCOUNT = re.compile(
    rf"(?:(?:은행|뱅크|새마을금고|신협|우체국|농협|수협|계좌|입금|송금|예금|통장|환불|이체|예금주"
    rf"|\bbank|(?:\baccount|\bacct|\ba/c){_NO}(?:[ ](?:at|with)[ ][A-Za-z&.' ]{{2,30}})?|\bdeposit)"
    rf"{_FAR.replace('14', '24')}"
    rf"|(?:{_BANKS})(?:은행|뱅크)?{_CLOSE}\Z|(?:{_ENGLISH_BANKS}|{_INITIALS}){_CLOSE}\Z)",
    re.IGNORECASE,
)
BANK_BEHIND = re.compile(
    rf"[ ,]{{0,2}}(?:[(\[]?{_GROUPS}(?:(?:{_BANKS})[ ]?(?:은행|뱅크|bank)"
    r"|농협|새마을금고|우체국|신협|수협|신한|카뱅|예금주)"
    rf"|{_ENGLISH_BANKS}|[(\[]{_GROUPS}(?:{_BANKS}|{_INITIALS}|{_ENGLISH_BANKS})[)\]])",
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
