"""Names and things of the items; the same index is the same thing in both languages."""

NAMES = {
    "en": "Emma Leo Grace Daniel Lucy Henry Nora Adam Ruby Alice Peter Mina".split(),
    "ko": "지훈 서연 민준 하은 도윤 지우 현우 수빈 준서 예린 유진 민서".split(),
}
FRUITS = {
    "en": "apple pear peach plum lemon melon".split(),
    "ko": "사과 배 복숭아 자두 레몬 참외".split(),
}
THINGS = {"en": "ball key book hat".split(), "ko": "공 열쇠 책 모자".split()}
EVENTS = {"en": "party trip test concert".split(), "ko": "잔치 여행 시험 공연".split()}
WEEKDAYS = {
    "en": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(),
    "ko": "월요일 화요일 수요일 목요일 금요일 토요일 일요일".split(),
}
MONTHS = {
    "en": (
        "January February March April May June July August September October November December"
    ).split(),
    "ko": [f"{month}월" for month in range(1, 13)],
}
OTHER = {"en": "ko", "ko": "en"}
