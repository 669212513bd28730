"""Bad text made from good by rules, to see what a profile's limits catch."""

import random
import unicodedata
from collections.abc import Callable

# What pages are made of that are no prose, by language; `*` where there are none of its own.
_MENUS = {
    "ko": "홈 로그인 회원가입 고객센터 공지사항 자주 묻는 질문 회사 소개 오시는 길 상품 목록 "
    "최근 본 상품 주문 배송 조회 이벤트 커뮤니티 자유게시판 자료실 갤러리 사이트맵 검색 "
    "전체 메뉴 뉴스 스포츠 연예 경제 정치 사회 문화 날씨 지도 쇼핑 블로그 카페 메일 사전 "
    "더보기 이전 다음 인쇄 글꼴 크게",
    "*": "Home About Contact Login Register Cart Checkout Help Support Terms Blog News Sports "
    "Weather Business Opinion Travel Photos Videos Gallery Search Sitemap Categories "
    "Archive Tags Next Previous More Share Print Download Account Orders Wishlist Careers "
    "Press Partners",
}
_SPAM = {
    "ko": "강남 홍대 부산 대구 맛집 추천 후기 가격 할인 무료 최저가 예약 당일 대출 바카라 카지노 "
    "토토 사이트 먹튀 검증 출장 마사지 성형 다이어트 보험 비교 견적 렌탈 휴대폰 성지 쿠폰 "
    "이벤트 1위 24시",
    "*": "cheap best buy online free discount casino poker bonus viagra cialis loan credit "
    "quote insurance deal price review top rated coupon sale rolex replica download crack "
    "keygen torrent",
}
_FOOTERS = {
    "ko": "저작권자 © 무단 전재 및 재배포 금지\n로그인이 필요합니다\n"
    "이용약관 | 개인정보처리방침 | 청소년보호정책\n"
    "사업자등록번호 123-45-67890 통신판매업 신고 제2020-서울-0000호",
    "*": "Copyright © 2020. All rights reserved.\nThis site uses cookies. See our cookie policy.\n"
    "Terms of Use | Privacy Policy\nPlease enable JavaScript to continue.",
}


def _bank(banks: dict[str, str], language: str) -> str:
    return banks.get(language, banks["*"])


def _shuffled_characters(text: str, rng: random.Random, language: str) -> str:
    visible = [c for c in text if not c.isspace()]
    rng.shuffle(visible)
    return "".join(c if c.isspace() else visible.pop() for c in text)


def _shuffled_words(text: str, rng: random.Random, language: str) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def _repeated_lines(text: str, rng: random.Random, language: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    again = rng.choice(lines)
    for _ in range(len(lines)):
        lines.insert(rng.randrange(len(lines) + 1), again)
    return "\n".join(lines)


def _repeated_phrase(text: str, rng: random.Random, language: str) -> str:
    words = text.split()
    start = rng.randrange(max(1, len(words) - 4))
    phrase = words[start : start + 4]
    return " ".join(words[: len(words) // 2] + phrase * (len(words) // 8 + 1))


def _menu(text: str, rng: random.Random, language: str) -> str:
    items = _bank(_MENUS, language).split()
    return "\n".join(" ".join(rng.choices(items, k=rng.randint(1, 4))) for _ in range(60))


def _spam_list(text: str, rng: random.Random, language: str) -> str:
    words = _bank(_SPAM, language).split()
    lines = [" ".join(rng.choices(words, k=rng.randint(4, 10))) for _ in range(25)]
    return "\n".join(lines)


def _boilerplate(text: str, rng: random.Random, language: str) -> str:
    """A short text with more around it than in it."""
    words, footer = text.split(), _bank(_FOOTERS, language)
    return "\n".join([footer, " ".join(words[:25]), footer.upper()])


def _links(text: str, rng: random.Random, language: str) -> str:
    return "\n".join(
        f"{word} https://example.com/{rng.randrange(10**9):09d}/index.html?from={rng.random():.6f}"
        for word in text.split()[:60]
    )


def _unspaced(text: str, rng: random.Random, language: str) -> str:
    return "\n".join("".join(line.split()) for line in text.split("\n"))


def _read_as(encoding: str, wrong: str) -> Callable[[str, random.Random, str], str]:
    def damage(text: str, rng: random.Random, language: str) -> str:
        return text.encode(encoding, errors="replace").decode(wrong, errors="replace")

    return damage


def _jamo(text: str, rng: random.Random, language: str) -> str:
    return " ".join(
        f"{word} {rng.choice('ㅋㅎㅠㅜㅇ') * rng.randint(2, 8)}" if rng.random() < 0.4 else word
        for word in text.split()
    )


def _decomposed(text: str, rng: random.Random, language: str) -> str:
    return unicodedata.normalize("NFD", text)


DAMAGES: dict[str, Callable[[str, random.Random, str], str]] = {
    "shuffled characters": _shuffled_characters,
    "shuffled words": _shuffled_words,
    "repeated lines": _repeated_lines,
    "repeated phrase": _repeated_phrase,
    "menu": _menu,
    "spam list": _spam_list,
    "boilerplate": _boilerplate,
    "links": _links,
    "UTF-8 read as Latin-1": _read_as("utf-8", "latin-1"),
}
# For text in Hangul.
KOREAN_DAMAGES: dict[str, Callable[[str, random.Random, str], str]] = {
    "without spaces": _unspaced,
    "CP949 read as Latin-1": _read_as("cp949", "latin-1"),
    "CP949 read as UTF-8": _read_as("cp949", "utf-8"),
    "UTF-8 read as CP949": _read_as("utf-8", "cp949"),
    "U+FFFD read as CP949": lambda text, rng, language: " ".join(
        "占쏙옙" * len(word) if rng.random() < 0.5 else word for word in text.split()
    ),
    "letters alone": _jamo,
    "decomposed": _decomposed,
}


def damaged(texts: list[str], language: str, seed: int = 0) -> dict[str, list[str]]:
    """Texts, damaged in every way that the language can be, by the name of the damage."""
    kinds = DAMAGES | (KOREAN_DAMAGES if language == "ko" else {})
    return {
        name: [
            damage(t, random.Random(f"{seed}/{name}/{i}"), language) for i, t in enumerate(texts)
        ]
        for name, damage in kinds.items()
    }
