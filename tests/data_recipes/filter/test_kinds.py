"""What the shipped profiles keep and drop of many kinds of text, written before their rules."""

import json
from collections import Counter
from pathlib import Path

import pytest

from data_recipes.filter.profiles import load_profile
from data_recipes.filter.step import DocumentFilter
from scripts.tune_filters import batches_of

PROFILES = {"en": "en", "ko": "ko_eojeol"}
# No rule on words and lines can tell these: the quality classifier sorts them out, or nothing.
BEYOND_RULES = {"word_salad", "machine_translation"}
# The others that are judged wrongly: a page that is down, said in whole sentences; a system for
# roulette as its inventor's story; messages whose endings nouns have, too; a review in notes
# without full stops; a song whose lines are sung three times, as damaged text has them.
WRONG = {"boilerplate-en-05", "casino-en-09", "dialogue-ko-08", "review-ko-08", "song-en-09"}

ROWS = [
    json.loads(line) for line in (Path(__file__).parent / "kinds.jsonl").read_bytes().splitlines()
]


@pytest.fixture(scope="module")
def judged() -> dict[str, tuple[str | None, str]]:
    """Reason and detail by id."""
    found = {}
    for language, profile in PROFILES.items():
        rows = [row for row in ROWS if row["language"] == language]
        own = DocumentFilter(load_profile(profile))
        results = [own.apply(b) for b in batches_of([row["text"] for row in rows], language)]
        reasons = [pair for r in results for pair in zip(r.reasons, r.details)]
        found |= dict(zip((row["id"] for row in rows), reasons, strict=True))
    return found


def test_good_text_of_every_kind_is_kept_and_spam_is_not(
    judged: dict[str, tuple[str | None, str]],
) -> None:
    wrong = {
        row["id"]: judged[row["id"]]
        for row in ROWS
        if (judged[row["id"]][0] is None) != row["keep"] and row["kind"] not in BEYOND_RULES
    }
    kinds = Counter(row["kind"] for row in ROWS)
    assert len(kinds) == 23 and set(kinds.values()) == {20}
    assert wrong.keys() == WRONG, wrong


def test_a_no_break_space_is_a_space() -> None:
    good = [
        row["text"]
        for row in ROWS
        if row["keep"] and row["language"] == "en" and row["id"] not in WRONG
    ]
    own = DocumentFilter(load_profile("en"))
    texts = [text.replace(" ", "\u00a0") for text in good]
    reasons = [reason for b in batches_of(texts, "en") for reason in own.apply(b).reasons]
    assert len(texts) > 70 and reasons == [None] * len(texts)


@pytest.mark.parametrize("language", PROFILES)
def test_a_short_text_is_called_short(language: str) -> None:
    """And not repetitive, though every n-gram of a short text is a large share of it."""
    text = {
        "en": "The dog ran to the river. The dog ran home.",
        "ko": "개가 강으로 뛰었다. 개가 왔다.",
    }
    own = DocumentFilter(load_profile(PROFILES[language]))
    (batch,) = batches_of([text[language]], language)
    assert own.apply(batch).reasons == ["low_words"]


def test_the_subject_of_an_article_is_no_boilerplate() -> None:
    """Short lines about JavaScript and cookies; pages that want them switched on say so."""
    own = DocumentFilter(load_profile("en"))
    article = (
        "JavaScript was written in ten days, and the name was a choice of the sellers.\n"
        "Until then a page was text, and a form had to be sent to be looked at.\n"
        "With JavaScript the browser could tell that a field was empty before that.\n"
        "A cookie is a line of text that the browser keeps and sends back each time.\n"
        "JavaScript can read the cookie, unless the server has said that it may not.\n"
        "Most of what has been said against JavaScript is about how it was used."
    )
    wall = (
        "Please enable JavaScript to view this page.\nThis site uses cookies.\n" * 3 + article[:160]
    )
    (batch,) = batches_of([article, wall], "en")
    assert own.apply(batch).reasons[0] is None
    assert own.apply(batch).reasons[1] is not None


@pytest.mark.parametrize(
    ("language", "article", "wall"),
    [
        (
            "ko",
            "웹 서버에서 자바스크립트를 활성화하는 꾸러미를 새로 묶은 사람은 도서관 직원이었다.\n"
            "글자 크기는 세 단계로 바뀌고, 노인들은 대개 가장 큰 글자 크기를 골라 책을 빌렸다.\n"
            "자바스크립트를 사용할 수 있는 기기가 적어서 처음에는 목록만 보여 주기로 하였다.\n"
            "쿠키를 사용하는 까닭을 묻는 사람도 있어서 안내문에 한 줄을 더 적어 두었다고 한다.",
            "이 페이지를 보려면 자바스크립트를 활성화해 주세요.\n글자 크기 크게 작게\n"
            "이 사이트는 쿠키를 사용합니다.\n자바스크립트를 사용할 수 없는 브라우저입니다.\n" * 4,
        ),
        (
            "en",
            "A lorem ipsum generator was the first thing that the printers asked for.\n"
            "The words of lorem ipsum were taken from a book about pain and pleasure.\n"
            "Nobody reads it, and so it shows how a page will look and not what it says.\n"
            "When the real text came, it was half as long as the lorem ipsum had been, "
            "and the pages had to be set again before they could be sent to the press.",
            "Lorem ipsum dolor sit amet, consectetur adipiscing elit.\nThe page is not done.\n" * 5,
        ),
    ],
)
def test_what_an_article_is_about_is_no_page_furniture(
    language: str, article: str, wall: str
) -> None:
    own = DocumentFilter(load_profile(PROFILES[language]))
    (batch,) = batches_of([article, wall], language)
    kept, dropped = own.apply(batch).reasons
    assert kept is None and dropped is not None


def test_a_short_text_may_say_its_title_again() -> None:
    title = "큰불 다음날 마을 회관에 모인 사람들의 이야기 모음"
    text = (
        f"{title}\n\n{title}은 지난해 봄에 산에서 번진 불로 집을 잃은 열두 집의 말을 옮겨 적은 "
        "책이다. 글쓴이는 석 달 동안 회관에서 함께 밥을 먹으며 들었고, 이름은 모두 바꾸었다. "
        "뒤에는 그날의 지도와 바람이 바뀐 때를 적은 표가 붙어 있다."
    )
    own = DocumentFilter(load_profile("ko_eojeol"))
    (batch,) = batches_of([text], "ko")
    assert own.apply(batch).reasons == [None]


def test_one_phrase_of_spam_says_nothing() -> None:
    own = DocumentFilter(load_profile("en"))
    good = next(r["text"] for r in ROWS if r["kind"] == "news" and r["language"] == "en")
    (batch,) = batches_of(
        [f"{good} The casino on the pier is closed, and you can call it a day."], "en"
    )
    assert own.apply(batch).reasons == [None]
