"""The index: how texts are compared with it, the sets it is made of, and what it refuses."""

import html
import json
import random
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.decontaminate.compare import compare
from data_recipes.decontaminate.config import SHIPPED, DecontaminateConfig, EvaluationSet
from data_recipes.decontaminate.index import INDEX, Index, build_index
from data_recipes.decontaminate.items import read_items

from .hits import HITS, KOREAN, MISSES, write_sets


def test_texts_are_made_uniform() -> None:
    """On signs that join with what is beside them."""
    signs = ["a", "B", "1", " ", "&", "&amp;", "&nbsp;", "\n", "가", "각", "힣", "ᄀ", "ᅡ", "ᆨ"]
    signs += [
        "é",
        "e\u0301",
        "\u0301",
        "\u200b",
        "\ufeff",
        "\u00ad",
        "ﬁ",
        "Ａ",
        "１",
        "①",
        "㎡",
        "…",
    ]
    signs += ["’", "Σ", "ς", "ß", "İ", "Я", "漢", "ｶﾞ", "\u3000", "½", "ㅋ", "Å", "\U0001d6ba"]
    rng = random.Random(4)
    texts = ["".join(rng.choices(signs, k=rng.randint(1, 9))) for _ in range(2000)]
    for text in texts:
        whole = unicodedata.normalize("NFKC", html.unescape(text))
        for sign in "\u00ad\u200b\u200c\u200d\u2060\ufeff":
            whole = whole.replace(sign, "")
        whole = whole.lower().replace("\u2019", "'")
        assert compare([text]).data.tobytes().decode() == whole


@pytest.mark.parametrize(("task", "kind"), [("english", "words"), ("korean", "characters")])
def test_what_no_item_is_made_of_is_not_looked_for(tmp_path: Path, task: str, kind: str) -> None:
    sets = [own for own in write_sets(tmp_path) if own["task"] == task]
    if task == "english":
        sets[0]["columns"] = ["question"]
    build_index(DecontaminateConfig(evaluation_sets=sets), tmp_path / "out")
    index = Index.load(tmp_path / "out" / INDEX)
    assert index.record["kinds"] == [kind]
    whole = Index.load(tmp_path / "out" / INDEX)
    del whole.record["kinds"]  # an index of before
    texts, compared = [*HITS.values(), *MISSES.values()], []
    finds = []
    for one in (index, whole):
        compared.append(compare(texts))
        finds.append(one.find(compared[-1]))
    assert {"words", "characters"} & vars(compared[0]).keys() == {kind}
    assert {"words", "characters"} <= vars(compared[1]).keys()
    assert len(finds[0].texts) > 10
    assert all(np.array_equal(a, b) for a, b in zip(*finds))


def test_other_sets_are_noticed_and_the_same_ones_kept(tmp_path: Path) -> None:
    sets = write_sets(tmp_path)
    build_index(DecontaminateConfig(evaluation_sets=sets), tmp_path / "out")
    before = (tmp_path / "out" / INDEX).stat().st_mtime_ns
    build_index(DecontaminateConfig(evaluation_sets=sets), tmp_path / "out")
    assert (tmp_path / "out" / INDEX).stat().st_mtime_ns == before
    with pytest.raises(RecipeError, match="other evaluation sets or settings"):
        build_index(DecontaminateConfig(evaluation_sets=sets, ngram_size=12), tmp_path / "out")
    with (tmp_path / "english.jsonl").open("a") as file:
        file.write(json.dumps({"question": KOREAN, "choices": [], "answer": 0}) + "\n")
    with pytest.raises(RecipeError, match="other evaluation sets or settings"):
        build_index(DecontaminateConfig(evaluation_sets=sets), tmp_path / "out")
    (tmp_path / "out" / INDEX / "owners.npy").write_bytes(b"\0")
    with pytest.raises(RecipeError, match="missing or damaged index"):
        Index.load(tmp_path / "out" / INDEX)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": ["questions"]}, "no column 'questions'; columns are 'question', 'choices'"),
        ({"columns": ["answer"]}, "row 0: found int where text was expected"),
        ({"columns": ["question.text"]}, "found str where text was expected"),
        ({"path": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
        ({"columns": ["choices"]}, "'english': none of 5 items can be searched for"),
    ],
)
def test_sets_that_cannot_be_searched_for_are_refused(
    tmp_path: Path, change: dict, message: str
) -> None:
    sets = write_sets(tmp_path)
    with pytest.raises(RecipeError, match=message):
        build_index(
            DecontaminateConfig(evaluation_sets=[sets[0] | change]), tmp_path / "decontaminate"
        )
    assert not (tmp_path / "decontaminate" / INDEX).exists()


def test_broken_files_are_named(tmp_path: Path) -> None:
    for name in ("broken.jsonl", "broken.parquet", "latin.parquet"):
        (tmp_path / name).write_text('{"question": ')
        if name.startswith("latin"):
            latin = pa.array([b"\xe9"], pa.binary()).view(pa.string())
            pq.write_table(pa.table({"question": latin}), tmp_path / name)
        own = {"task": "t", "path": str(tmp_path / name), "columns": ["question"]}
        with pytest.raises(RecipeError, match=rf"{name}(:1: not JSON|: damaged|, row 0: .*UTF-8)"):
            build_index(DecontaminateConfig(evaluation_sets=[own]), tmp_path / "out")


def test_a_set_may_be_an_array_as_it_may_be_lines(tmp_path: Path) -> None:
    rows = [{"question": KOREAN, "hint": "옛날 시계이다"}, {"question": "a " + KOREAN}]
    lines, array = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text("\n".join(map(json.dumps, rows)))
    array.write_text(json.dumps(rows))
    columns = ["question", "hint"]
    items = [
        read_items(EvaluationSet(task="t", path=str(p), columns=columns)) for p in (lines, array)
    ]
    assert items[0] == items[1] == [[KOREAN, "옛날 시계이다"], ["a " + KOREAN]]


def test_the_shipped_sets_are_named_by_file() -> None:
    sets = DecontaminateConfig(evaluation_sets="evaluation_sets.yaml").sets()
    tasks = {s.task for s in sets}
    # The suites of the model card, 14 English with winogrande and 9 Korean.
    assert len(tasks) == 23 and {"mmlu", "kmmlu", "click", "kobest"} <= tasks
    assert all(path.startswith("hub://") for s in sets for path in s.paths)
    assert len(next(s for s in sets if s.task == "kmmlu").paths) == 45
    # Most of these questions rest on the findings.
    clinical = next(s for s in sets if s.task == "kr_clinical_qa")
    assert clinical.columns == ["question", "exam", "options"]
    assert (SHIPPED / "evaluation_sets.yaml").is_file()
    with pytest.raises(RecipeError, match="no such config file"):
        DecontaminateConfig(evaluation_sets="evaluation_set.yaml").sets()


def test_lists_that_are_no_sets_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "sets.yaml"
    path.write_text("evaluation_sets:\n  - {task: t, path: x, column: [q]}\n")
    with pytest.raises(RecipeError, match="sets.yaml: not a list of evaluation sets"):
        DecontaminateConfig(evaluation_sets=str(path)).sets()
    with pytest.raises(RecipeError, match="the list is empty"):
        DecontaminateConfig(evaluation_sets=[]).sets()
    with pytest.raises(ValueError, match="min_words is at most ngram_size, 7"):
        DecontaminateConfig(evaluation_sets=[], ngram_size=7)
    with pytest.raises(ValueError, match="min_characters is at most ngram_characters, 9"):
        DecontaminateConfig(evaluation_sets=[], ngram_characters=9)


def test_items_that_look_like_dates_are_texts(tmp_path: Path) -> None:
    days = [f"2019-01-0{n}" for n in range(1, 4)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"q": day}) + "\n" for day in days))
    own = EvaluationSet(task="t", path=str(tmp_path / "q.jsonl"), columns=["q"])
    assert read_items(own) == [[day] for day in days]
