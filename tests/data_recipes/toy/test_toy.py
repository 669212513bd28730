"""The embedded corpus is reproducible, correct by construction and free of template leftovers."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from data_recipes.toy import GENRES, LANGUAGES, documents, english, generate_corpus, korean

STREAMS = [(genre, language) for genre in GENRES for language in LANGUAGES]
ROOT = Path(__file__).parents[3]

_EQUATION = re.compile(r"(\d+(?: [-+×÷] \d+)+) = (\d+)")
_OPERATORS = {"×": "*", "÷": "/"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[str]]:
    folder = tmp_path_factory.mktemp("corpus")
    generate_corpus(folder, megabytes=1.0, seed=7)
    return {
        (genre, language): [
            json.loads(line)["text"]
            for line in (folder / f"{genre}_{language}.jsonl").read_text("utf-8").splitlines()
        ]
        for genre, language in STREAMS
    }


def test_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    generate_corpus(tmp_path / "here", megabytes=0.2, seed=3)
    script = (
        "import sys, pathlib; from data_recipes.toy import generate_corpus;"
        "generate_corpus(pathlib.Path(sys.argv[1]), 0.2, 3)"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "there")],
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": str(ROOT)},
    )
    names = sorted(path.name for path in (tmp_path / "here").iterdir())
    assert names == sorted(f"{genre}_{language}.jsonl" for genre, language in STREAMS)
    for name in names:
        here = (tmp_path / "here" / name).read_bytes()
        assert here and here == (tmp_path / "there" / name).read_bytes()


def test_larger_corpus_begins_with_the_smaller(tmp_path: Path) -> None:
    small = generate_corpus(tmp_path / "small", megabytes=0.1, seed=5)
    large = generate_corpus(tmp_path / "large", megabytes=0.3, seed=5)
    for stem in small:
        begin = (tmp_path / "small" / f"{stem}.jsonl").read_bytes()
        whole = (tmp_path / "large" / f"{stem}.jsonl").read_bytes()
        assert begin and len(whole) > len(begin) and whole.startswith(begin)
        assert large[stem] > small[stem]


def test_seed_selects_the_corpus() -> None:
    assert next(documents("web", "ko", 1)) != next(documents("web", "ko", 2))


def test_sizes_and_records(tmp_path: Path) -> None:
    sizes = generate_corpus(tmp_path, megabytes=0.5, seed=1)
    assert set(sizes) == {f"{genre}_{language}" for genre, language in STREAMS}
    for genre, language in STREAMS:
        stem = f"{genre}_{language}"
        lines = (tmp_path / f"{stem}.jsonl").read_text("utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        assert [record["id"] for record in records] == [
            f"{genre}-{language}-{n}" for n in range(len(records))
        ]
        assert {record["language"] for record in records} == {language}
        assert sizes[stem] == sum(len(record["text"].encode()) for record in records)
        assert 50_000 <= sizes[stem] < 60_000


@pytest.mark.parametrize(("genre", "language"), [("poems", "ko"), ("web", "fr")])
def test_unknown_choice_is_named_with_the_valid_ones(genre: str, language: str) -> None:
    with pytest.raises(ValueError) as raised:
        documents(genre, language, 0)
    message = str(raised.value)
    assert ("poems" in message and "stories" in message) or ("fr" in message and "ko" in message)


def test_unwritable_folder_names_the_path(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        generate_corpus(blocked, megabytes=0.01, seed=0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("사과[은] 귤[은]", "사과는 귤은"),
        ("사과[이] 귤[이]", "사과가 귤이"),
        ("사과[을] 귤[을]", "사과를 귤을"),
        ("사과[과] 귤[과]", "사과와 귤과"),
        ("서울[으로] 부산[으로] 제주[으로]", "서울로 부산으로 제주로"),
        ("나래[아] 가람[아]", "나래야 가람아"),
        ("새[이다] 곰[이다]", "새다 곰이다"),
        ("새[이라고] 곰[이라고]", "새라고 곰이라고"),
        ("지수[이에요] 한결[이에요]", "지수예요 한결이에요"),
        ("지수[이었다] 한결[이었다]", "지수였다 한결이었다"),
        ("7[으로] 3[으로] 2[으로]", "7로 3으로 2로"),
        ("10[을] 1000[이] 20[은] 5[은]", "10을 1000이 20은 5는"),
        ("12,000[이다] 3.5[을] 0[이]", "12,000이다 3.5를 0이"),
        ("L[은] A[은] N[이] He[이다]", "L은 A는 N이 He다"),
        ("kg[을] cm[을] 30%[을]", "kg을 cm를 30%를"),
        ('"물"[이라는] 말', '"물"이라는 말'),
    ],
)
def test_josa(text: str, expected: str) -> None:
    assert korean.realise(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("걷다[~았다] 듣다[~으면] 걷다[~는]", "걸었다 들으면 걷는"),
        ("굽다[~은] 돕다[~았다] 입다[~았다]", "구운 도왔다 입었다"),
        ("만들다[~는] 만들다[~으면] 만들다[~습니다]", "만드는 만들면 만듭니다"),
        ("부르다[~았다] 따르다[~았다] 쓰다[~았다]", "불렀다 따랐다 썼다"),
        ("마시다[~았다] 배우다[~아요] 하다[~을]", "마셨다 배워요 할"),
        ("짓다[~았다] 씻다[~아요] 읽다[~는다]", "지었다 씻어요 읽는다"),
    ],
)
def test_verb_endings(text: str, expected: str) -> None:
    assert korean.realise(text) == expected


def test_native_numbers_before_counters() -> None:
    assert korean.realise("1[한] 명 20[한] 살 21[한] 개 99[한] 번") == (
        "한 명 스무 살 스물한 개 아흔아홉 번"
    )
    with pytest.raises(ValueError, match="100"):
        korean.realise("100[한] 개")


def test_sino_numbers() -> None:
    assert [korean.sino_number(value) for value in (0, 10, 105, 10_000, 120_000_034)] == [
        "영",
        "십",
        "백오",
        "만",
        "일억이천만삼십사",
    ]


def test_english_inflection() -> None:
    assert english.realise("5[w] days, 42[w] hours") == "Five days, forty-two hours"
    marked = "[a] apple, [a] unit, [a] hour, [a] 8, knife[s], berry[s]. she [ed]stop and [ed]go"
    assert english.realise(marked) == (
        "An apple, a unit, an hour, an 8, knives, berries. She stopped and went"
    )
    assert english.realise("[ing]take and [ing]run, it [es]carry") == (
        "Taking and running, it carries"
    )


def test_every_equation_is_true_and_gives_the_answer(
    corpus: dict[tuple[str, str], list[str]],
) -> None:
    for language, answer_label in (("ko", "답: "), ("en", "Answer: ")):
        equations = matched_answers = 0
        for item in itertools.chain.from_iterable(
            text.split("\n\n") for text in corpus["reasoning", language]
        ):
            results = []
            for left, right in _EQUATION.findall(item):
                for sign, operator in _OPERATORS.items():
                    left = left.replace(sign, operator)
                assert eval(left) == int(right), item
                results.append(right)
            equations += len(results)
            answer = item.rpartition(answer_label)[2]
            # A clock time or a weekday is not the result of the last equation.
            if results and (number := re.match(r"\d+(?![:시\d])", answer)):
                assert number[0] in results, item
                matched_answers += 1
        assert equations > 100 and matched_answers > 100


@pytest.mark.parametrize(
    ("language", "pattern", "week"),
    [
        ("ko", r"오늘은 (\S+?)이다\. (\d+)일 뒤.*\n.*\n답: (\S+)", "월화수목금토일"),
        ("en", r"Today is (\w+)\. What day .* (\d+) days from now.*\n.*\nAnswer: (\w+)", None),
    ],
)
def test_weekdays_are_counted_right(
    corpus: dict[tuple[str, str], list[str]], language: str, pattern: str, week: str | None
) -> None:
    names = (
        [f"{day}요일" for day in week]
        if week
        else "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    )
    found = re.findall(pattern, "\n\n".join(corpus["reasoning", language]))
    assert len(found) > 5
    for start, days, later in found:
        assert names[(names.index(start) + int(days)) % 7] == later


def test_scripts(corpus: dict[tuple[str, str], list[str]]) -> None:
    for (_, language), texts in corpus.items():
        for text in texts:
            hangul = len(re.findall("[가-힣]", text))
            latin = len(re.findall("[A-Za-z]", text))
            assert hangul + latin > 50
            if language == "ko":
                assert hangul / (hangul + latin) > 0.5
            else:
                assert hangul == 0


def test_few_duplicates_and_reasonable_lengths(
    corpus: dict[tuple[str, str], list[str]],
) -> None:
    for stream, texts in corpus.items():
        assert len(texts) > 30, stream
        assert len(set(texts)) > 0.98 * len(texts), stream
        lengths = sorted(map(len, texts))
        assert lengths[0] > 120 and lengths[-1] < 3500, stream
        assert lengths[len(lengths) // 2] > 250, stream


def test_no_template_leftovers(corpus: dict[tuple[str, str], list[str]]) -> None:
    leftover = re.compile(r"[{}\[\]<>|\\_]|  | [.,!?]|\.\.|[가-힣]\([가-힣]\)")
    for texts in corpus.values():
        assert texts
        for text in texts:
            assert not leftover.search(text), text


def test_articles_agree_with_the_next_word(corpus: dict[tuple[str, str], list[str]]) -> None:
    checked = 0
    for genre in GENRES:
        for text in corpus[genre, "en"]:
            for article, word in re.findall(r"\b(an?) (\w+)", text):
                assert english.article(word) == article, text
                checked += 1
    assert checked > 1000


def test_sentences_start_with_a_capital_in_english(
    corpus: dict[tuple[str, str], list[str]],
) -> None:
    for genre in GENRES:
        for text in corpus[genre, "en"]:
            assert not re.search(r"(^|\n|[^.][.] )[a-z]", text), text
