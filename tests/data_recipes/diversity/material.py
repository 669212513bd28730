"""Texts that are varied to a known degree."""

import random

NOUNS = "강 산 바다 마을 시장 학교 공원 도서관 들판 골목 정원 다리 호수 언덕 섬 숲 밭 길 집".split()
VERBS = "걷는다 본다 찾는다 떠난다 부른다 그린다 만든다 읽는다 쓴다 배운다 심는다 듣는다".split()


def varied(count: int, seed: int = 0) -> list[str]:
    """Documents of random words, of very different lengths."""
    rng = random.Random(seed)
    letters = [chr(0xAC00 + 28 * n) for n in range(0, 399, 3)]

    def word() -> str:
        common = NOUNS if rng.random() < 0.3 else None
        return rng.choice(common) if common else "".join(rng.choices(letters, k=3))

    return [" ".join(word() for _ in range(rng.choice((8, 30, 90, 250)))) for _ in range(count)]


def templated(count: int, seed: int = 0) -> list[str]:
    """Documents of one template, with two slots that vary."""
    rng = random.Random(seed)

    def sentence() -> str:
        place, act = rng.choice(NOUNS), rng.choice(VERBS)
        return f"오늘은 {place} 쪽으로 가서 친구와 함께 천천히 {act} 그리고 다시 온다."

    return [" ".join(sentence() for _ in range(6)) for _ in range(count)]
