"""The step: what is kept, why not, what is counted; hooks; and damage that must be caught."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.engine.documents import SCALES
from data_recipes.engine.executors import ExecutorConfig, execute
from data_recipes.filter.profiles import FilterConfig, load_profile
from data_recipes.filter.step import DocumentFilter, FilterStep
from data_recipes.toy import documents
from scripts.tune_filters import (
    keep_table,
    percentile_table,
    reason_table,
    reasons_of,
    statistics_of,
)

from ..hand_made import hashes_of, rows_of, write_shards_of
from .damage import damaged

GOOD = {
    language: [next(d) for d in [documents("stories", language, 4)] for _ in range(40)]
    for language in ("ko", "en")
}
BAD = {
    "empty": " \n\t ",
    "language": "Dieser Text ist auf Deutsch geschrieben und hat nichts mit dem Thema zu tun. " * 6,
    "low_words": "짧은 글은 남지 않는다.",
    "high_dup_line_frac": "\n".join([max(GOOD["ko"][0].split("\n"), key=len)] * 20),
    "low_suffix_word_frac": "\n".join(
        f"사전 {n}번 연예 스포츠 경제 문화 블로그 메일." for n in range(12)
    ),
}


def step(root: Path, ko: Any = "ko_eojeol") -> FilterStep:
    config = FilterConfig(profiles={"ko": ko, "en": "en"})
    inputs = {name: root / "read" / name for name in ("web_ko", "web_en")}
    return FilterStep(inputs, root / "filter", config)


def write_inputs(root: Path) -> None:
    korean = GOOD["ko"] + list(BAD.values())
    write_shards_of(root / "read" / "web_ko", [korean[0::2], korean[1::2]], "web_ko", "ko")
    write_shards_of(root / "read" / "web_en", [GOOD["en"] + GOOD["ko"][:3]], "web_en", "en")


def run(work: FilterStep, tasks: int = 1) -> None:
    execute(work, tasks, ExecutorConfig(workers=tasks), work.output_dir / "logs")


def test_kept_and_rejected_with_their_reasons(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    work = step(tmp_path)
    run(work)
    folder = work.outputs["web_ko"].root
    kept = [row["text"] for row in rows_of(folder / "kept")]
    assert sorted(kept) == sorted(GOOD["ko"])
    rejected = {row["text"]: row for row in rows_of(folder / "rejected")}
    assert {rejected[text]["reason"]: text for text in BAD.values()} == BAD
    assert rejected[BAD["low_words"]]["detail"].endswith("4, at least 38 is kept")
    assert "looks like de" in rejected[BAD["language"]]["detail"]
    english = [row["reason"] for row in rows_of(work.outputs["web_en"].root / "rejected")]
    assert english.count("language") == 3


def test_size_comes_before_language() -> None:
    english = DocumentFilter(load_profile("en"))
    reasons = reasons_of(english, ["Ein Satz, und kurz.", BAD["language"], GOOD["ko"][0]])
    assert reasons == ["low_words", "language", "language"]


def test_counts_are_those_of_the_documents(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    work = step(tmp_path)
    run(work)
    tally = work.outputs["web_ko"].tally()
    reasons = {name: own["documents"] for name, own in tally.reasons.items()}
    assert reasons == dict.fromkeys(BAD, 1)
    histograms = tally.counts["histograms"]
    for name, scales in histograms.items():
        ((scale, sides),) = scales.items()
        assert len(sides["kept"]) == len(sides["rejected"]) == SCALES[scale].bins
        assert sum(sides["kept"]) == (name != "language_score") * len(GOOD["ko"]), name
    # Measured are those that are not empty; asked for its language is the one without Hangul.
    assert sum(histograms["language_score"]["fraction"]["rejected"]) == 1
    assert sum(histograms["dup_line_frac"]["fraction"]["rejected"]) == len(BAD) - 1
    assert histograms["dup_line_frac"]["fraction"]["rejected"][47] == 1  # 19 of 20


def test_tasks_do_not_show(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    one = step(tmp_path)
    run(one)
    two = FilterStep({n: f.root for n, f in one.inputs.items()}, tmp_path / "again", one.config)
    run(two, tasks=2)
    assert hashes_of(one.outputs["web_ko"].root) == hashes_of(two.outputs["web_ko"].root) != {}


def test_a_language_without_profile_stops_the_step(tmp_path: Path) -> None:
    write_shards_of(tmp_path / "read" / "web_ko", [["une phrase"]], "web_ko", "fr")
    write_shards_of(tmp_path / "read" / "web_en", [["x"]], "web_en", "en")
    with pytest.raises(RecipeError, match="web_ko/0:0: no filter profile for language 'fr'"):
        run(step(tmp_path))


def test_damage_is_caught_and_good_text_kept() -> None:
    own = DocumentFilter(load_profile("ko_eojeol"))
    texts = [t for g in ("stories", "web") for t, _ in zip(documents(g, "ko", 9), range(60))]
    texts = [t for t in texts if len(t.split()) >= 38]
    whole = [t for t, reason in zip(texts, reasons_of(own, texts)) if reason is None]
    assert len(whole) > 0.95 * len(texts) > 50
    broken = damaged(whole, "ko")
    assert len(broken) == 16
    # Also without language identification, which would hide what the limits do.
    for judge in (own, DocumentFilter(load_profile({"base": "ko_eojeol", "language_id": None}))):
        for name, after in broken.items():
            changed = [text for before, text in zip(whole, after) if text != before]
            rejected = len(changed) - reasons_of(judge, changed).count(None)
            least = 0.5 if name.startswith("shuffled") else 0.98
            assert len(changed) > 50 and rejected >= least * len(changed), name


def test_tuning_tables_show_every_statistic() -> None:
    own = DocumentFilter(load_profile("en"))
    texts = [*GOOD["en"], "short"]
    found = statistics_of(own, texts)
    assert set(found) >= set(own.profile.limits)
    assert len(percentile_table(found).splitlines()) == 1 + len(found)
    row = next(x for x in keep_table(found, own.profile).splitlines() if x.startswith("words "))
    assert row.split() == ["words", "50", "100000", f"{40 / 41:.2%}"]
    assert reason_table(reasons_of(own, texts)).splitlines()[0].split()[:2] == ["kept", "40"]


def test_the_step_is_sent_to_workers(tmp_path: Path) -> None:
    sent = pickle.loads(pickle.dumps(step(tmp_path)))
    assert sent.config == step(tmp_path).config


def test_kiwi_words_are_those_of_datatrove() -> None:
    pytest.importorskip("kiwipiepy")
    from datatrove.utils.word_tokenizers import KiwiTokenizer

    from data_recipes.filter.kiwi import KiwiWords

    texts = [*GOOD["ko"][:5], "했다 갔어 1234567890 끝", "", "abc ㅋㅋ 漢字 😀"]
    tokenizer = KiwiTokenizer()
    kiwi = KiwiWords()
    assert kiwi.words(texts) == [tokenizer.word_tokenize(text) for text in texts]
    assert kiwi.words([f"갔어 {'7' * 23} 끝"]) == [["갔", "갔", "어", "끝"]]
    assert reasons_of(DocumentFilter(load_profile("ko_kiwi")), texts[:5]).count(None) >= 3
