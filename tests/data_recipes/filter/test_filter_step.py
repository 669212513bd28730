"""The step: what is kept, why not, what is counted; hooks; and damage that must be caught."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from data_recipes.common.errors import RecipeError
from data_recipes.engine.executors import ExecutorConfig, execute
from data_recipes.filter.config import FilterConfig
from data_recipes.filter.judge import Judge
from data_recipes.filter.perplexity import Scorer
from data_recipes.filter.profiles import PerplexityConfig, load_profile
from data_recipes.filter.step import FilterStep
from data_recipes.filter.tuning import (
    agreement_table,
    catch_rates,
    catch_table,
    keep_table,
    percentile_table,
    reason_table,
    reasons_of,
    statistics_of,
)
from data_recipes.text.histograms import SCALES
from data_recipes.toy import documents

from ..hand_made import hashes_of, rows_of, write_shards_of

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
    execute([work], tasks, ExecutorConfig(workers=tasks), work.output_dir / "logs")


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
        assert sum(sides["kept"]) == len(GOOD["ko"]), name
    # Measured are those that are not empty, and, but for the language, those in the language.
    assert sum(histograms["language_score"]["fraction"]["rejected"]) == len(BAD) - 1
    assert sum(histograms["dup_line_frac"]["fraction"]["rejected"]) == len(BAD) - 2
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


def judged(profile: dict[str, Any], texts: list[str]) -> list[str | None]:
    return reasons_of(Judge(load_profile(profile)), texts)


def test_word_lists(tmp_path: Path) -> None:
    path = tmp_path / "bad.txt"
    path.write_text("도박\n바카라 사이트\n")
    entry = {"path": path, "match": "word_start", "max_hits": 1, "source": "test"}
    good = GOOD["ko"][0]
    texts = [
        good,
        f"{good}\n도박을 끊은 사람의 이야기다.",
        f"{good}\n도박을 끊은 사람이 다시 도박에 빠졌다.",
        f"{good}\n인도박물관과 지도박람회에 다녀왔다.",
        f"{good}\n도박과 바카라 사이트를 알리는 글이다.",
    ]
    wanted = [None, None, "word_list", None, "word_list"]
    assert judged({"base": "ko_eojeol", "word_lists": [entry]}, texts) == wanted
    words = len(texts[2].split())
    for ratio, reason in ((1.9 / words, "word_list"), (2.1 / words, None)):
        share = {k: v for k, v in entry.items() if k != "max_hits"} | {"max_word_ratio": ratio}
        assert judged({"base": "ko_eojeol", "word_lists": [share]}, texts[2:3]) == [reason]


def test_datatrove_filters_decide_and_change_texts(tmp_path: Path) -> None:
    good = GOOD["ko"]
    texts = [
        good[0] + "\n자바스크립트는 JavaScript 라고 쓴다.",
        good[1] + "\nlorem ipsum 이다.",
        good[2],
    ]
    write_shards_of(tmp_path / "read" / "web_ko", [texts], "web_ko", "ko")
    write_shards_of(tmp_path / "read" / "web_en", [GOOD["en"][:1]], "web_en", "en")
    c4 = {"filter": "C4QualityFilter", "min_num_sentences": -1, "filter_no_terminal_punct": False}
    work = step(tmp_path, {"base": "ko_eojeol", "datatrove": [c4 | {"min_words_per_line": -1}]})
    run(work)
    kept = [row["text"] for row in rows_of(work.outputs["web_ko"].root / "kept")]
    lines = ["\n".join(line.strip() for line in t.splitlines()).strip() for t in (good[0], good[2])]
    assert kept == lines
    (rejected,) = rows_of(work.outputs["web_ko"].root / "rejected")
    assert rejected["reason"] == "C4QualityFilter.lorem_ipsum"
    assert rejected["text"] == texts[1]
    english = rows_of(work.outputs["web_en"].root / "kept")
    assert [row["text"] for row in english] == GOOD["en"][:1]


def test_datatrove_filters_that_fail_are_named() -> None:
    unmade = {"base": "ko_eojeol", "datatrove": [{"filter": "RegexFilter"}]}
    with pytest.raises(RecipeError, match="datatrove filter RegexFilter: .*regex_exp"):
        Judge(load_profile(unmade))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model over bytes, the same for every text of the same bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    root = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    config = LlamaConfig(vocab_size=256, num_attention_heads=2, **sizes, initializer_range=1.0)
    LlamaForCausalLM(config).save_pretrained(root)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(root)
    return root


def test_bits_per_byte_are_those_of_each_text_alone(model: Path) -> None:
    config = PerplexityConfig(model=str(model), max_tokens=50, batch_size=3, max=9, source="test")
    scorer = Scorer(config)
    texts = [GOOD["ko"][0], "short one", "", "a", GOOD["en"][1], "가나다"]
    scores = scorer.bits_per_byte(texts)
    llama = LlamaForCausalLM.from_pretrained(model)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(model)
    for text, score in zip(texts, scores, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"][:50]])
        if ids.shape[1] < 2:
            assert score == 0
            continue
        with torch.no_grad():
            loss = llama(input_ids=ids, labels=ids).loss.item()  # mean over all but the first
        # One token a byte; the first character is not counted, of which the first token is a part.
        head, cut = len(text[0].encode()), bytes(text.encode()[:50]).decode(errors="replace")
        size = len(cut.rstrip("\ufffd").encode())
        size += 3 if cut.endswith("\ufffd") else 0  # a character cut in half counts whole
        nats = loss * (ids.shape[1] - 1)
        assert score == pytest.approx(nats / 0.6931471805599453 / (size - head), rel=1e-4)


def test_perplexity_rejects_on_both_sides(model: Path) -> None:
    texts = GOOD["ko"][:6]
    config = {"model": str(model), "max_tokens": 64, "source": "test"}
    scorer = Scorer(PerplexityConfig(**config, max=9))
    scores = sorted(scorer.bits_per_byte(texts))
    low, high = (scores[0] + scores[1]) / 2, (scores[-1] + scores[-2]) / 2
    profile = {"base": "ko_eojeol", "perplexity": config | {"min": low, "max": high}}
    reasons = judged(profile, texts)
    assert sorted(filter(None, reasons)) == ["high_bits_per_byte", "low_bits_per_byte"]
    with pytest.raises(RecipeError, match="perplexity.model: .*nowhere"):
        Judge(load_profile(profile | {"perplexity": config | {"max": 1, "model": "./nowhere"}}))


def test_damage_is_caught_and_good_text_kept() -> None:
    judge = Judge(load_profile("ko_eojeol"))
    texts = [t for g in ("stories", "web") for t, _ in zip(documents(g, "ko", 9), range(60))]
    texts = [t for t in texts if len(t.split()) >= 38]
    reasons = reasons_of(judge, texts)
    assert reasons.count(None) > 0.95 * len(texts) > 50
    # Also without language identification, which would hide what the limits do.
    for own in (judge, Judge(load_profile({"base": "ko_eojeol", "language_id": None}))):
        caught = catch_rates(own, texts)
        assert len(caught) == 16
        for name, found in caught.items():
            least = 0.5 if name.startswith("shuffled") else 0.98
            assert found.texts > 50 and found.rejected >= least * found.texts, name


def test_tuning_tables_show_every_statistic() -> None:
    judge = Judge(load_profile("en"))
    texts = [*GOOD["en"], "short"]
    found = statistics_of(judge, texts)
    reasons = reasons_of(judge, texts)
    assert set(found) >= set(judge.profile.limits)
    assert len(percentile_table(found).splitlines()) == 1 + len(found)
    row = next(x for x in keep_table(found, judge.profile).splitlines() if x.startswith("words "))
    assert row.split() == ["words", "50", "100000", f"{40 / 41:.2%}"]
    assert reason_table(reasons).splitlines()[0].split()[:2] == ["kept", "40"]
    other = [None] * 39 + ["x", "y"]
    assert "only the first keeps 2.44%" in agreement_table(reasons, other)
    assert "menu" in catch_table(catch_rates(judge, texts[:3]))


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
    assert judged("ko_kiwi", texts[:5]).count(None) >= 3
