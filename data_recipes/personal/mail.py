"""E-mail addresses, also where "@" is spelt out."""

import re
import string
from collections.abc import Iterator

# What an address may hold before the "@"; of RFC 5322's atoms those that are in use.
_LOCAL = string.ascii_letters + string.digits + "._%+-'"
_LONGEST = 64  # RFC 5321
_SIGN = re.compile("@")
_AT = r"[\[({<][ ]?(?:at|AT|골뱅이)[ ]?[\])}>]"
# A blank before it belongs to it too; where each way begins with a sign, the rest is skipped fast.
_SPELT = re.compile(rf"[@＠]|{_AT}[ ]?|골뱅이[ ]?|a(?<= a)t (?=[A-Za-z0-9-]+ dot )")
# What is looked for before the slower of the two.
_SPELLINGS = re.compile(rf"＠|골뱅이|{_AT}")
_DOT = r"(?:\.|[ ]?[\[({][ ]?(?:dot|DOT|점)[ ]?[\])}][ ]?| dot )"
_DOMAIN = re.compile(rf"[A-Za-z0-9가-힣](?:[A-Za-z0-9가-힣-]+|{_DOT}(?=[A-Za-z0-9가-힣]))*")
_LAST = re.compile(rf"(?:{_DOT})([A-Za-z]{{2,24}}|한국)(?![A-Za-z0-9])")
# What stands behind the last point of a file or a systemd unit, and is no top-level domain.
_NO_DOMAINS = frozenset(
    "service socket target timer mount automount swap slice device path scope png jpg jpeg gif svg "
    "webp html htm js json css py pyc md txt rst xml yaml yml toml conf cfg ini tar gz xz zip deb "
    "po pot mo header sed rpm patch diff log lock tmp bak".split()
)
# With blanks around "@" a word and a site are more often "at" it: the word has to look like a name
# of a mailbox, or the site be one of mailboxes, or a word say that it is mail.
_COMMON = frozenset("com net org edu gov kr uk de fr jp cn ca au eu us".split())
_MAILBOX = re.compile(r".*[0-9._+-]")
_PROVIDERS = re.compile(r"(?:naver|daum|hanmail|nate|kakao|gmail|hotmail|outlook|yahoo|icloud)\.")
_SAYS_MAIL = re.compile(r"(?:메일|e-?mail|mailto)[^\n]{0,8}\Z", re.IGNORECASE)
# Who logs in where a repository is read, not who writes.
_LOGINS = ("git", "hg", "svn")


def find_mail(text: str) -> Iterator[tuple[int, int]]:
    """Find where e-mail addresses stand: start and end, without overlaps.

    Not found: systemd units, files ("icon@2x.png"), repositories ("git@host:owner"),
    files on another machine ("user@host:/path") and what
    stands between "//" and a host.
    """
    spelt = " dot " in text or _SPELLINGS.search(text)
    last = 0
    for at in (_SPELT if spelt else _SIGN).finditer(text):
        sign = at.start()
        apart = text[sign - 1 : sign + 2] == " @ "
        if apart or at[0] not in "@＠" and text[sign - 1 : sign] == " ":
            sign -= 1
        floor = max(last, sign - _LONGEST)
        start = floor + len(text[floor:sign].rstrip(_LOCAL))
        while start < sign and text[start] in ".'-":
            start += 1
        local = text[start:sign].rstrip("'")
        domain = _DOMAIN.match(text, at.end() + apart)
        if not local or local == "." or domain is None or text[start - 2 : start] == "//":
            continue
        ends = list(_LAST.finditer(text, domain.start(), domain.end()))
        while ends and ends[-1][1].lower() in _NO_DOMAINS:
            # The name of a file is none; a sentence that begins behind an address ends it.
            ends = [] if ends[-1].end() == domain.end() else ends[:-1]
        if not ends:
            continue
        end = ends[-1].end()
        if local in _LOGINS and text[end : end + 1] in (":", "/"):
            continue
        if apart and (
            ends[-1][1] not in _COMMON
            or text[end : end + 1] == "/"
            or not _MAILBOX.match(local)
            and not _PROVIDERS.match(text, domain.start())
            and not _SAYS_MAIL.search(text[max(0, start - 16) : start])
        ):
            continue
        if text[end : end + 2] in (":/", ":~"):
            continue  # a file on another machine, as scp and rsync write it
        if not text[start:end].lower().strip("x@.-_+%'0 "):
            continue  # a placeholder
        last = end
        yield start, end
