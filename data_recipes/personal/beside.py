"""What stands beside a number and says what it is: words before it, and headings of its column."""

import re
from functools import lru_cache

_BEFORE = 48
_KOREAN_NO = r"(?:[ ]?등록)?(?:[ ]?번호)?"
# A word begins behind no letter, or with the capital of a key: bizNo, user_phone.
_W = r"(?:(?<![A-Za-z])|(?-i:(?<=[a-z])(?=[A-Z])))"
# What may follow such a word, also within a key.
_NO = r"(?:[ ._-]{0,2}(?:registration|reg|card|phone|id|number|num|no\b\.?))*"
_SOCIAL = r"SSN|SS[ ]?(?:#|no\b\.?)|soc(?:ial|\.)?[ _-]?sec(?:urity|\.|\b)|social insurance"
# By what they say: how far before a number the words may stand, Korean words and words within
# others, and words that begin as such. Keys of logs are often romanised Korean.
_CUES: dict[str, tuple[int, str, str]] = {
    "resident number": (
        *(14, f"주민{_KOREAN_NO}|민번|실명확인"),
        f"resident(?:['’]s)?|RRN|Korean ID|jumin|national id|{_SOCIAL}",
    ),
    "alien number": (
        *(14, f"외국인{_KOREAN_NO}|거소"),
        "alien|ARC|foreigner|oegugin|residence|visa holder",
    ),
    "social": (
        30,
        "사회보장번호",
        rf"{_SOCIAL}|(?:my|your|his|her|their) soc(?:ial)?\b|social(?=[:#])",
    ),
    "company": (14, r"법인|corporat\w*", "beobin"),
    "business number": (
        *(
            24,
            f"사업자{_KOREAN_NO}|사업번호|공급(?:받는)?자|(?:등록|고유)[ ]?번호|세금[ ]?계산서"
            "|지출[ ]?증빙",
        ),
        r"business|biz|BRN|saupja|tax (?:id|invoice)|registration|reg(?=[ ._-]|:)|unique (?:no|id)"
        r"|TIN|VAT|corp|company",
    ),
    "card": (14, "카드", "card|pan|cc|visa|amex"),
    "telephone": (
        *(24, "전화|연락처|휴대폰|핸드폰|모바일|팩스|문의|대표번호|번호로|h\\.p|☎|☏|📞|📱"),
        "hp|tel|ph|(?:tele)?phone|mobile|cell|fax|call|text|dial|whatsapp|contact|rsvp|msisdn|mdn"
        "|jeonhwa|reach(?:ed|able)?(?: (?:me|us|him|her|them))? (?:at|on)",
    ),
    # Who answers or is written to, with nothing but marks and a short word between.
    "desk": (
        *(6, r"['’]s number is|(?<!\w)[OTMCPFH][:.]|\([OTMCPFH]\)"),
        r"office|reception|front desk|hotline|ring|reach"
        r"|(?:to|from|sender|receiver|rcpt|re?cv)(?:_?no|_?number)?="
        r"|(?:my|our|your|his|her|their|the)"
        r"(?: (?:new|old|direct|cell|home|work|phone))? number is",
    ),
    # A code of a thing, which may begin with a day.
    "code": (
        *(
            6,
            "(?:문서|일련|제품|부품|도면|품번|송장|로트|모델|주문|관리|접수|타임스탬프|밀리초)"
            "(?:[ ]?(?:번호|코드))?",
        ),
        r"(?:timestamp|epoch|order|serial|invoice|ticket|part|batch|item|lot|model|ref|drawing)\w*",
    ),
    "IP address": (
        *(14, "아이피|주소|서버|접속"),
        "ip|address|host|server|from|ping|ssh|client|forwarded-for",
    ),
}
SAYS = {
    what: re.compile(rf"(?:{words}|{_W}(?:{own}){_NO})[^0-9\n]{{0,{far}}}\Z", re.IGNORECASE)
    for what, (far, words, own) in _CUES.items()
}
BUSINESS_BEHIND = re.compile(
    r"[^0-9\n]{0,30}?(?:사업자|\b(?:(?:registration|business) (?:number|no|id)|tax id)\b)",
    re.IGNORECASE,
)
# What may be far before a number, in its paragraph or record, where its groups are little else.
BUSINESS_IN_RECORD = re.compile(r"사업자|계산서|\b(?:BRN|tax office|business)\b", re.IGNORECASE)
_OWN_SOCIAL = rf"{_W}(?:{_SOCIAL}|(?:my|your|his|her|their) soc(?:ial)?\b|social(?=[:#]))"
SOCIAL_IN_RECORD = re.compile(_OWN_SOCIAL, re.IGNORECASE)
SOCIAL_BEHIND = re.compile(rf"[^0-9.\n]{{1,20}}?{_OWN_SOCIAL}", re.IGNORECASE)
# What has four numbers too; a program's name and "/" is how browsers write theirs.
SAYS_VERSION = re.compile(
    r"(?:(?:버전|펌웨어|\b(?:ver|version|release|firmware|driver|build|section|oid)\b)[^0-9\n]{0,8}"
    r"|[A-Za-z]/)\Z",
    re.IGNORECASE,
)
# A number alone on its line, under a town with its ZIP code or beside a line of e-mail.
BLOCK_BEFORE = re.compile(r"(?:\b[A-Z]{2} [0-9]{5}(?:-[0-9]{4})?|@[^\s@]+)[ ]*\n[ ]*\Z")
BLOCK_BEHIND = re.compile(r"[ ]*(?:\n|\Z)")
MAIL_BEHIND = re.compile(r"[ ]*\n[ ]*[^\s@]+@[^\s@]+\.")
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
# Behind eight or nine digits
BRACKETED_BANK = re.compile(rf"[ ]?[(/][ ]?{_ENGLISH_BANKS}", re.IGNORECASE)
# A key of a record for the bank, and what a key for a number without more says.
_BANK_KEY = rf"(?:은행|{_W}bank)(?:명|이름|[ _]?name)?[\"']?[ ]?[:=]"
BARE_KEY = re.compile(r"(?:번호|number|num|no)[\"']?[ ]?[:=][ ]?[\"']?\Z", re.IGNORECASE)
BANK_KEY_BEFORE = re.compile(rf"{_BANK_KEY}[^\n:=]{{1,30}}[\n,;&][^0-9\n]{{0,20}}\Z", re.IGNORECASE)
BANK_KEY_BEHIND = re.compile(rf"[\"']?[,;]?\s{{0,12}}[\"']?{_BANK_KEY}", re.IGNORECASE)
SAYS["account"] = re.compile(
    rf"(?:(?:은행|뱅크|새마을금고|신협|우체국|농협|수협|계좌|입금|송금|예금|통장|환불|이체|예금주"
    rf"|{_W}(?:bank|deposit|gyejwa"
    rf"|(?:(?<!service)(?<!service.)account|acct|a/c|acc(?=[ ._]?no)){_NO}"
    rf"(?:[ ](?:at|with)[ ][A-Za-z&.' ]{{2,30}})?))[^0-9\n]{{0,24}}\Z"
    rf"|(?:{_BANKS})(?:은행|뱅크)?{_CLOSE}\Z|(?:{_ENGLISH_BANKS}|{_INITIALS}){_CLOSE}\Z)",
    re.IGNORECASE,
)
BANK_BEHIND = re.compile(
    rf"[ ,]{{0,2}}(?:[(\[]?{_GROUPS}(?:(?:{_BANKS})[ ]?(?:은행|뱅크|bank)"
    r"|농협|새마을금고|우체국|신협|수협|신한|카뱅|예금주)"
    rf"|{_ENGLISH_BANKS}|[(\[]{_GROUPS}(?:{_BANKS}|{_INITIALS}|{_ENGLISH_BANKS})[)\]])"
    # Behind a stroke, or with what is done with money
    rf"|[ ]?/[ ]?{_GROUPS}(?:{_BANKS})(?![가-힣])"
    rf"|[ ,]{{1,2}}{_GROUPS}(?:{_BANKS})[ ][^0-9\n]{{0,10}}(?:입금|송금|이체|예금주|계좌|보내)",
    re.IGNORECASE,
)
# The code of a British bank's office beside eight digits.
_SORT = r"[0-9]{2}[- ]?[0-9]{2}[- ]?[0-9]{2}"
SORT_BEFORE = re.compile(
    rf"(?:{_ENGLISH_BANKS}|{_INITIALS}|\bsort\b)[^0-9\n]{{0,14}}{_SORT}[^0-9\n]{{1,16}}\Z",
    re.IGNORECASE,
)
SORT_BEHIND = re.compile(
    rf"[^0-9\n]{{0,24}}\bsort\b[^0-9\n]{{0,10}}{_SORT}(?![0-9])", re.IGNORECASE
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


def says(what: str, text: str, found: re.Match[str]) -> bool:
    """Whether the words before a number, or the heading of its column, say what it is."""
    near = before(text, found)
    if not _NO_WORD.search(near, max(0, len(near) - 9)) and SAYS[what].search(near):
        return True
    top = _heading(text, *found.span())
    return bool(top and SAYS[what].search(top))
