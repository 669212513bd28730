"""Decontamination: what is a hit and what is not, per task, to the item."""

import json
from pathlib import Path

import numpy as np

from data_recipes.decontaminate.config import DecontaminateConfig
from data_recipes.decontaminate.index import INDEX, Index, build_index
from data_recipes.decontaminate.step import REPORT, DecontaminateStep, write_report
from data_recipes.engine.executors import ExecutorConfig, execute

from ..hand_made import hashes_of, rows_of, some_texts, write_shards_of
from .hits import (
    BRIEF_KOREAN,
    BRIEF_KOREAN_CHOICES,
    HITS,
    INSTRUCTION,
    KOREAN,
    KOREAN_13,
    MISSES,
    write_sets,
)


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


def test_the_largest_max_items_of_a_task_counts(tmp_path: Path) -> None:
    question = " ".join(f"word{n}" for n in range(20))
    sets = []
    for number, most in enumerate((1, 2)):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps({"q": question}) + "\n")
        sets.append({"task": "t", "path": str(path), "columns": ["q"], "max_items": most})
    build_index(DecontaminateConfig(evaluation_sets=sets), tmp_path)
    assert Index.load(tmp_path / INDEX).record["tasks"]["t"]["items_searchable"] == 2


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
