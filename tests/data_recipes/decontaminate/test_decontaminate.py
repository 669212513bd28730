"""Decontamination: what is a hit and what is not, per task, to the item."""

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
from data_recipes.decontaminate.config import SHIPPED, DecontaminateConfig
from data_recipes.decontaminate.index import INDEX, Index, build_index
from data_recipes.decontaminate.step import REPORT, DecontaminateStep, write_report
from data_recipes.engine.executors import ExecutorConfig, execute
from data_recipes.toy import documents

from ..hand_made import hashes_of, rows_of, some_texts, write_shards_of

# 22 words.
ENGLISH = (
    "Which of the seven lighthouses on the northern coast was built first, "
    "according to the letter that the old harbour master wrote?"
)
# 15 words and 13.
KOREAN = (
    "조선 시대에 한강을 건너던 나루터 가운데 가장 먼저 다리가 놓인 곳은 어디이며, "
    "그 까닭은 무엇인가?"
)
KOREAN_13 = (
    "바닷가 마을에서 처음으로 등대를 세운 사람이 남긴 일기에 따르면 겨울밤 파도는 얼마나 높았는가"
)
# 10 words, searched for as a whole.
SHORT = "Name the only metal that melts in a warm hand."
APOSTROPHE = (
    "It isn't clear whether the ferryman's oldest daughter kept his lantern after the storm"
)
TOO_SHORT = "What is a noun?"
# 6 words and 14 letters, too few alone; with their choices they are searched for.
BRIEF = "Which of these metals is liquid?"
BRIEF_CHOICES = ["mercury", "iron", "tin"]
BRIEF_KOREAN = "광합성에 대한 설명으로 옳은 것은?"
BRIEF_KOREAN_CHOICES = ["빛이 필요하다.", "밤에만 한다.", "뿌리에서 한다."]
# 16 words, in front of every question of one task.
INSTRUCTION = (
    "Read the following statement with care and then decide whether it is true or false today:"
)


def write_sets(root: Path) -> list[dict]:
    """Three tasks: English, five items; Korean in Parquet, three; one with boilerplate, 13."""
    english = [
        {"question": ENGLISH, "choices": ["a lighthouse", "none of them"], "answer": 1},
        {"question": SHORT, "choices": [], "answer": 0},
        {"question": APOSTROPHE, "choices": [], "answer": 0},
        {"question": TOO_SHORT, "choices": [], "answer": 0},
        {"question": BRIEF, "choices": BRIEF_CHOICES, "answer": 0},
    ]
    (root / "english.jsonl").write_text("".join(json.dumps(row) + "\n" for row in english))
    korean = [
        {"body": {"text": KOREAN}, "options": {"text": ["예", "아니요"]}},
        {"body": {"text": KOREAN_13}, "options": {"text": []}},
        {"body": {"text": BRIEF_KOREAN}, "options": {"text": BRIEF_KOREAN_CHOICES}},
    ]
    pq.write_table(pa.Table.from_pylist(korean), root / "korean.parquet")
    statements = [f"{INSTRUCTION} Statement {n} holds." for n in "abcdefghijkl"]
    rows = [{"prompt": statement} for statement in [*statements, ENGLISH]]
    (root / "boilerplate.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [
        {
            "task": "english",
            "path": str(root / "english.jsonl"),
            "columns": ["question", "choices"],
        },
        {
            "task": "korean",
            "path": [str(root / "korean.parquet")],
            "columns": ["body.text", "options.text"],
        },
        {"task": "true_false", "path": str(root / "boilerplate.jsonl"), "columns": ["prompt"]},
    ]


def around(text: str, seed: int = 2) -> str:
    """A text inside a web page."""
    page = next(documents("web", "en", seed))
    return f"{page}\n\n{text}\n\n{page}"


HITS = {
    "verbatim": around(ENGLISH),
    "case and punctuation": around(ENGLISH.upper().replace(",", " --").replace("?", "!")),
    "apostrophe": around(APOSTROPHE.replace("'", "\u2019")),
    "line breaks": around(ENGLISH.replace(" ", "\n")),
    "13 words": around(" ".join(ENGLISH.split()[3:16])),
    "short as a whole": around(SHORT.lower().rstrip(".")),
    "Korean": around(f"문제: {KOREAN}"),
    "Korean, 13 words": around(KOREAN_13),
    "Korean in letters": around(unicodedata.normalize("NFD", KOREAN_13)),
    "at the very end": f"End. {ENGLISH}",
    "HTML": around(ENGLISH.replace(" ", "&nbsp;")),
    "question and choices": around("\n".join([BRIEF, *BRIEF_CHOICES])),
    "question and lettered choices": around(f"{BRIEF} (A) mercury (B) iron (C) tin"),
    "Korean without spaces": around(KOREAN_13.replace(" ", "")),
    "Korean, other spaces": around(KOREAN_13.replace("처음으로 등대를", "처음 으로등대를")),
    "Korean, one particle": around(KOREAN_13.replace("사람이", "사람은")),
    "Korean, one word changed": around(KOREAN.replace("나루터", "뱃길")),
    "Korean, 16 letters": around(KOREAN_13.replace(" ", "")[:16]),
    "Korean, circled numbers": around(
        BRIEF_KOREAN + "".join(f" {n} {c}" for n, c in zip("①②③", BRIEF_KOREAN_CHOICES))
    ),
}
MISSES = {
    "12 words": around(" ".join(ENGLISH.split()[3:15])),
    # After the last word, "A" of the page would be the letter before the first choice.
    "12 words at two places": around(" ".join(ENGLISH.split()[:12]))
    + around(" ".join(ENGLISH.split()[-13:-1])),
    "paraphrase": around(
        "The old harbour master wrote a letter. According to it, which of the lighthouses on the "
        "northern coast, seven in all, was the first to be built?"
    ),
    "one word changed in each half": around(
        ENGLISH.replace("northern", "southern").replace("harbour", "harbor")
    ),
    "part of a short item": around(" ".join(SHORT.split()[:9])),
    "too short an item": around(TOO_SHORT),
    "boilerplate": around(INSTRUCTION),
    "Korean, 15 letters": around(KOREAN_13.replace(" ", "")[:15]),
    "another question of the kind": around(f"{BRIEF} gold, silver, copper"),
    "another Korean question of the kind": around(f"{BRIEF_KOREAN} ① 산소를 쓴다. ② 열이 난다."),
    "across documents": " ".join(ENGLISH.split()[:10]),
    "across documents, the rest": " ".join(ENGLISH.split()[10:]),
    "nothing but spaces": " \n ",
}


def run(root: Path, config: DecontaminateConfig, tasks: int = 1) -> DecontaminateStep:
    out = root / "decontaminate"
    sources = {path.name: path for path in sorted((root / "read").iterdir())}
    step = DecontaminateStep(sources, out, config)
    build_index(config, out)
    execute(step, tasks, ExecutorConfig(workers=tasks), out / "logs")
    write_report(config, list(sources), out)
    return step


def letter_ngrams(text: str) -> set[str]:
    letters = "".join(c for c in text.lower() if c.isalnum())
    return {letters[i : i + 16] for i in range(len(letters) - 15)}


def report_of(root: Path) -> dict:
    return json.loads((root / "decontaminate" / REPORT).read_text())


def write_inputs(root: Path) -> list[str]:
    """Hits and misses among ordinary documents, in two shards each of two sources."""
    ordinary = some_texts(60)
    texts = [*HITS.values(), *MISSES.values(), *ordinary]
    mixed = [texts[i] for i in np.random.default_rng(0).permutation(len(texts))]
    write_shards_of(root / "read" / "web_ko", [mixed[0::4], mixed[1::4]], "web_ko", "ko")
    write_shards_of(root / "read" / "web_en", [mixed[2::4], mixed[3::4]], "web_en", "en")
    return ordinary


def test_hits_are_removed_and_nothing_else_is(tmp_path: Path) -> None:
    ordinary = write_inputs(tmp_path)
    config = DecontaminateConfig(evaluation_sets=write_sets(tmp_path))
    step = run(tmp_path, config)
    sides = {
        side: [row for folder in step.outputs.values() for row in rows_of(folder.root / side)]
        for side in ("kept", "rejected")
    }
    rejected = {row["text"]: row for row in sides["rejected"]}
    assert len(rejected) == len(sides["rejected"])
    assert set(rejected) == set(HITS.values())
    assert sorted(r["text"] for r in sides["kept"]) == sorted([*MISSES.values(), *ordinary])
    assert {row["reason"] for row in sides["rejected"]} == {"contaminated"}
    detail = rejected[HITS["verbatim"]]["detail"]
    assert detail.startswith(
        'english, item 0: "which of the seven lighthouses on the northern coast'
    )
    assert "english, true_false" in detail and "21 n-grams" in detail
    assert "item 4" in rejected[HITS["question and lettered choices"]]["detail"]
    assert rejected[HITS["Korean, 13 words"]]["detail"].startswith(
        f'korean, item 1: "{KOREAN_13[:20]}'
    )


def test_the_report_per_task_is_the_one_counted_by_hand(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    config = DecontaminateConfig(evaluation_sets=write_sets(tmp_path))
    run(tmp_path, config)
    report = report_of(tmp_path)
    assert report["documents"] == len(HITS) + len(MISSES) + 60
    assert report["documents_removed"] == len(HITS)
    assert report["bytes_removed"] == sum(len(text.encode()) for text in HITS.values())

    english, korean, true_false = (report["tasks"][t] for t in ("english", "korean", "true_false"))
    assert (english["items"], english["items_searchable"], english["items_too_short"]) == (5, 4, 1)
    # The question of 22 words; with five words of choices, and with two letters (the first begins
    # as without) or numbers; the short one and the one with apostrophes; the brief one of nine
    # words with choices, and of 12.
    ngrams = 10 + 5 + 6 + 7 + 1 + 2 + 1 + 1 + 1
    assert english["ngrams"] == ngrams and english["boilerplate_ngrams"] == 0
    assert (english["items_found"], english["share_found"]) == (4, 1.0)
    assert english["found"] == [0, 1, 2, 4]
    # Six texts with the question, the short one, the one with apostrophes, two with the brief one.
    assert english["documents"] == sum(english["documents_by_source"].values()) == 10
    assert english["examples"][0]["documents"] == 4
    assert english["examples"][0]["text"].startswith("which of the seven lighthouses")

    assert (korean["items"], korean["items_found"]) == (3, 3)
    assert korean["documents"] == sum("Korean" in name for name in HITS)
    brief = [(BRIEF_KOREAN, *BRIEF_KOREAN_CHOICES), (KOREAN, "예", "아니요")]
    wanted = letter_ngrams(KOREAN_13) | letter_ngrams(KOREAN)
    for first, *rest in brief:
        for labels in ("   ", "ABC", "123"):
            wanted |= letter_ngrams(first + "".join(map("".join, zip(labels, rest))))
    assert korean["ngrams"] == len(wanted)

    # The instruction alone is boilerplate; each statement's own end is not.
    assert (true_false["items"], true_false["items_searchable"]) == (13, 13)
    words = len(INSTRUCTION.split())
    assert true_false["boilerplate_ngrams"] == words - 12 + 1  # with "Statement" after it
    assert true_false["found"] == [12] and true_false["documents"] == 6
    assert true_false["ngrams"] == 12 * 2 + 10


def test_tasks_do_not_show(tmp_path: Path) -> None:
    for name, tasks in (("one", 1), ("two", 2)):
        (tmp_path / name).mkdir()
        write_inputs(tmp_path / name)
        sets = DecontaminateConfig(evaluation_sets=write_sets(tmp_path))
        run(tmp_path / name, sets, tasks)
    one, two = (tmp_path / name for name in ("one", "two"))
    assert report_of(one) == report_of(two)
    hashes = hashes_of(one / "decontaminate")
    assert hashes == hashes_of(two / "decontaminate") and len(hashes) == 8


def test_flagged_documents_are_all_kept(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    config = DecontaminateConfig(evaluation_sets=write_sets(tmp_path), action="flag")
    step = run(tmp_path, config)
    flags = {}
    for folder in step.outputs.values():
        flags |= {row["text"]: row["contaminated_by"] for row in rows_of(folder.root / "kept")}
        assert not rows_of(folder.root / "rejected")
    assert len(flags) == len(HITS) + len(MISSES) + 60
    assert flags[HITS["verbatim"]] == ["english", "true_false"]
    assert flags[HITS["Korean"]] == ["korean"]
    assert {text for text, tasks in flags.items() if tasks} == set(HITS.values())
    assert report_of(tmp_path)["documents_removed"] == 0
    assert report_of(tmp_path)["tasks"]["english"]["documents"] == 10


def test_more_matches_may_be_asked_for(tmp_path: Path) -> None:
    write_inputs(tmp_path)
    config = DecontaminateConfig(evaluation_sets=write_sets(tmp_path), min_matches=2)
    step = run(tmp_path, config)
    rejected = {r["text"] for f in step.outputs.values() for r in rows_of(f.root / "rejected")}
    single = {"13 words", "short as a whole", "Korean, 16 letters"}
    single |= {"question and choices", "question and lettered choices"}
    assert rejected == {text for name, text in HITS.items() if name not in single}


def test_shared_text_is_boilerplate_above_max_items_only(tmp_path: Path) -> None:
    sets = write_sets(tmp_path)
    write_shards_of(tmp_path / "read" / "web_en", [[MISSES["boilerplate"], HITS["verbatim"]]])
    sets[2]["max_items"] = 12
    step = run(tmp_path, DecontaminateConfig(evaluation_sets=sets))
    assert step.outputs["web_en"].tally().documents_rejected == 2
    assert report_of(tmp_path)["tasks"]["true_false"]["boilerplate_ngrams"] == 0
    assert report_of(tmp_path)["tasks"]["true_false"]["items_found"] == 13


def test_sets_of_one_task_are_counted_together(tmp_path: Path) -> None:
    first, second = write_sets(tmp_path)[:2]
    sets = [first, write_sets(tmp_path)[2], second | {"task": "english"}]
    write_shards_of(tmp_path / "read" / "web_en", [[HITS["Korean"], HITS["verbatim"]]])
    run(tmp_path, DecontaminateConfig(evaluation_sets=sets))
    tasks = report_of(tmp_path)["tasks"]
    assert list(tasks) == ["english", "true_false"]
    assert (tasks["english"]["items"], tasks["english"]["found"]) == (8, [0, 5])


def test_every_ngram_is_found_where_it_stands(tmp_path: Path) -> None:
    """Against a plain search, on texts of few words, where n-grams repeat and overlap."""
    rng = np.random.default_rng(3)
    words = np.array([f"w{i}" for i in range(4)])
    items = [" ".join(rng.choice(words, size)) for size in rng.integers(2, 9, 40)]
    path = tmp_path / "set.jsonl"
    path.write_text("".join(json.dumps({"q": item}) + "\n" for item in items))
    config = DecontaminateConfig(
        evaluation_sets=[{"task": "t", "path": str(path), "columns": ["q"], "max_items": 40}],
        ngram_size=5,
        min_words=3,
    )
    texts = [" ".join(rng.choice(words, size)) for size in rng.integers(0, 20, 1500)]
    write_shards_of(tmp_path / "read" / "s", [texts])
    step = run(tmp_path, config)

    def ngrams(item: str) -> set[tuple[str, ...]]:
        own = item.split()
        if len(own) < 5:
            return {tuple(own)} if len(own) >= 3 else set()
        return {tuple(own[i : i + 5]) for i in range(len(own) - 4)}

    def contains(text: str, ngram: tuple[str, ...]) -> bool:
        return f" {' '.join(ngram)} " in f" {text} "

    found = {
        number
        for number, item in enumerate(items)
        for text in texts
        if any(contains(text, ngram) for ngram in ngrams(item))
    }
    contaminated = {
        text for text in texts if any(contains(text, n) for item in items for n in ngrams(item))
    }
    rejected = {row["text"] for row in rows_of(step.outputs["s"].root / "rejected")}
    assert rejected == contaminated and 100 < len(contaminated) < 1400
    # More than the kernel makes room for at first.
    finds = [contains(text, n) for text in texts for item in items for n in ngrams(item)]
    assert sum(finds) > 1024
    assert report_of(tmp_path)["tasks"]["t"]["found"] == sorted(found)


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
    for name in ("broken.jsonl", "broken.parquet"):
        (tmp_path / name).write_text('{"question": ')
        own = {"task": "t", "path": str(tmp_path / name), "columns": ["question"]}
        with pytest.raises(RecipeError, match=f"{name}: not an evaluation set"):
            build_index(DecontaminateConfig(evaluation_sets=[own]), tmp_path / "out")


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
