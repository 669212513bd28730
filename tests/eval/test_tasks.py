"""Every multiple-choice task runs without network, can be passed, and cannot be passed by luck."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset

from data_recipes.common.errors import RecipeError
from eval.choices import LETTERS, gpqa_main
from eval.suites import leaf_entries
from eval.task_manager import LM_EVAL_TASKS, TASKS, LocalTaskManager, examples_data, hub_data

from .hub_items import kmmlu
from .oracle import Guesser, Oracle, chance_interval, gold_index

# As public sources state them; the others are read as they are, and marked.
REVISIONS = {
    "HAERAE-HUB/HRM8K": "cec114ca962244dd706d439636e8105870d92ed3",
    "HAERAE-HUB/K2-Eval": "14bbbc9ee6eef17368508735700465eedc9ec4c5",
    "HAERAE-HUB/KMMLU": "d61b3f19e552c576bf5960dd24289763edc36a88",
    "Idavidrein/gpqa": "633f5ee89ab8ad4522a9f850766b73f62147ffdd",
    "cais/mmlu": "c30699e8356da336a370243923dbaf21066bb9fe",
    "LGAI-EXAONE/KMMLU-Pro": "e1567939724a369e428e66f15472562c55a5d181",
    "edinburgh-dawg/mmlu-redux-2.0": "372ea425445d51e1ba1188c56e5e893f8138621f",
    "openai/MMMLU": "038c7808122969ead7456361af05cb8f47d247f8",
    "snuh/ClinicalQA": "29bdc9043f3e693b7671f868e2038ec7ac288acd",
    "snunlp/KoBALT-700": "30c30a431066508e6bef77cfa6d6059b85b12f0d",
}


@pytest.fixture(scope="module")
def multiple_choice(manager: Any) -> dict[str, Any]:
    index = manager.task_index
    names = [n for n in manager.all_subtasks if index[n].cfg["output_type"] == "multiple_choice"]
    names = [name for name in names if not name.startswith("kmmlu_") or "mini" in name]
    tasks = manager.load([*names, "kormo_kmmlu", "kormo_kmmlu_hard"])["tasks"]
    assert len(tasks) == 7 + 45 + 45 + 57 + 9 + 4
    return tasks


@pytest.fixture(scope="module")
def both(datasets_cache: None, tmp_path_factory: pytest.TempPathFactory) -> LocalTaskManager:
    """Our tasks and lm-eval's, on the same made-up questions of two subjects."""
    root = tmp_path_factory.mktemp("both")
    rng = random.Random(0)
    for folder in (
        "HAERAE-HUB/KMMLU/Law",
        "HAERAE-HUB/KMMLU-HARD/law",
        "cais/mmlu/anatomy",
        "edinburgh-dawg/mmlu-redux-2.0/anatomy",
    ):
        (root / folder).mkdir(parents=True)
    for split in ("dev", "test"):
        rows = [kmmlu(rng) for _ in range(6)]
        for row in rows:
            row |= {"choices": [row[letter] for letter in "ABCD"]}
        korean = "".join(json.dumps(row) + "\n" for row in rows)
        english = "".join(json.dumps({**row, "answer": row["answer"] - 1}) + "\n" for row in rows)
        for data in ("KMMLU/Law", "KMMLU-HARD/law"):
            (root / "HAERAE-HUB" / data / f"{split}.jsonl").write_text(korean)
        (root / "cais/mmlu/anatomy" / f"{split}.jsonl").write_text(english)
    # As on the Hub, it has no examples of its own.
    (root / "edinburgh-dawg/mmlu-redux-2.0/anatomy/test.jsonl").write_text(english)
    return LocalTaskManager(root, folders=[LM_EVAL_TASKS / "kmmlu", LM_EVAL_TASKS / "mmlu"])


def evaluate(model: Any, tasks: Any, manager: Any, **options: Any) -> dict[str, Any]:
    import lm_eval

    return lm_eval.simple_evaluate(
        model=model, tasks=tasks, task_manager=manager, bootstrap_iters=0, **options
    )


def test_lm_eval_finds_every_file(manager: Any) -> None:
    # lm-eval passes over a file that it cannot read without a word.
    found = {entry.yaml_path for entry in manager.task_index.values() if entry.yaml_path}
    paths = set(TASKS.rglob("*.yaml"))
    included = set()
    for path in paths:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("include:"):
                included.add((path.parent / line.split()[1]).resolve())
    assert len(found) > 200
    assert not {path for path in paths - found if path.resolve() not in included}


def test_every_hub_set_states_its_licence_and_revision(manager: Any) -> None:
    ours = [
        e
        for e in manager.task_index.values()
        if LM_EVAL_TASKS not in (e.yaml_path or TASKS).parents
    ]
    read = [entry.cfg for entry in ours if hub_data(entry.cfg or {})]
    assert len(read) > 110
    for config in read:
        pinned = dict(hub_data(config).options).get("revision")
        assert config["metadata"].get("licence")
        # One that nobody states in public is marked.
        assert (config["metadata"].get("revision") == "none") == (pinned is None), config["task"]
        assert pinned == REVISIONS.get(hub_data(config).path), config["task"]
        if examples := examples_data(config):
            assert dict(examples.options)["revision"] == REVISIONS[examples.path], config["task"]
    assert sum(examples_data(config) is not None for config in read) == 57


def test_lm_evals_kmmlu_is_read_at_the_revision_of_our_group(manager: Any) -> None:
    stated = manager.task_index["kormo_kmmlu"].cfg["dataset_kwargs"]
    leaves = leaf_entries(manager, "kormo_kmmlu")
    assert len(leaves) == 45
    assert {hub_data(leaf.cfg).options for leaf in leaves} == {tuple(stated.items())}
    assert {hub_data(leaf.cfg).options for leaf in leaf_entries(manager, "kmmlu")} == {()}


@pytest.mark.parametrize("ours", ["kormo_kmmlu", "kormo_kmmlu_hard"])
def test_kmmlu_is_that_of_lm_eval_with_five_examples(
    both: LocalTaskManager, manager: Any, ours: str
) -> None:
    loaded = manager.load([ours])
    theirs = manager.load([ours.removeprefix("kormo_")])
    assert len(loaded["tasks"]) == 45 and loaded["tasks"].keys() == theirs["tasks"].keys()
    assert {task.get_config("num_fewshot") for task in loaded["tasks"].values()} == {5}
    (metric,) = loaded["groups"][ours].aggregate_metric_list
    assert (metric.metric, metric.weight_by_size) == ("acc", True)
    name = ours.removeprefix("kormo_") + "_law"
    assert loaded["tasks"][name].dump_config() | {"num_fewshot": None} == (
        theirs["tasks"][name].dump_config() | {"num_fewshot": None}
    )


def test_subjects_and_groups_are_those_of_lm_eval(manager: Any) -> None:
    index = manager.task_index
    seen = 0
    for field in ("stem", "applied_science", "humss", "other"):
        ours = manager.load([f"kormo_kmmlu_cot_{field}"])
        theirs = sorted(index[f"kmmlu_{field}_tasks"].tags)
        assert sorted(ours["tasks"]) == [f"kormo_{n.replace('kmmlu', 'kmmlu_cot')}" for n in theirs]
        for name in theirs:
            cot = f"kormo_{name.replace('kmmlu', 'kmmlu_cot')}"
            ours_read, theirs_read = (hub_data(index[task].cfg) for task in (cot, name))
            assert (ours_read.path, ours_read.name) == (theirs_read.path, theirs_read.name)
            seen += 1
    assert seen == 45


def test_the_small_set_is_asked_as_lm_eval_asks_kmmlu(manager: Any) -> None:
    loaded = manager.load(["kmmlu_law", "kmmlu_mini_math"])["tasks"]
    theirs, ours = (task.dump_config() for task in loaded.values())
    for key in ("doc_to_text", "doc_to_choice", "output_type", "fewshot_split", "test_split"):
        assert ours[key] == theirs[key], key
    assert ours["doc_to_target"].replace(" ", "") == theirs["doc_to_target"].replace(" ", "")


def test_a_subject_is_the_same_task_by_name_and_in_its_group(manager: Any) -> None:
    for benchmark, subject in (
        ("kormo_mmlu_redux", "us_foreign_policy"),
        ("kormo_kmmlu_cot", "korean_history"),
        ("kmmlu_mini", "unit_conversion"),
        ("mmlu_mini", "high_school_biology"),
    ):
        name = f"{benchmark}_{subject}"
        (alone,) = manager.load([name])["tasks"].items()
        inside = manager.load([benchmark])["tasks"][name]
        assert alone[0] == name and alone[1].task_name == inside.task_name == name
        assert list(alone[1].eval_docs) == list(inside.eval_docs)
        assert alone[1].dump_config() | {"metadata": 0} == inside.dump_config() | {"metadata": 0}


def test_lm_evals_own_manager_builds_what_ours_builds(datasets_cache: None) -> None:
    from lm_eval.tasks import TaskManager

    groups = ["kmmlu_mini", "mmlu_mini", "ko_reasoning_mini", "reasoning_mini_en"]
    stock = TaskManager(include_path=str(TASKS), include_defaults=False).load(groups)
    ours = LocalTaskManager(folders=[]).load(groups)
    assert list(stock["tasks"]) == list(ours["tasks"]) and len(stock["tasks"]) == 9 + 4 + 2
    assert stock["group_map"] == ours["group_map"] and len(stock["groups"]) == 8
    for name, task in stock["tasks"].items():
        doc, same = task.eval_docs[0], ours["tasks"][name].eval_docs[0]
        shots = task.get_config("num_fewshot")
        for one in (task, ours["tasks"][name]):
            one.set_fewshot_seed(1)
        assert task.fewshot_context(doc, shots) == ours["tasks"][name].fewshot_context(same, shots)


def test_redux_shows_the_examples_of_mmlu(both: LocalTaskManager) -> None:
    task = both.load(["kormo_mmlu_redux_anatomy"])["tasks"]["kormo_mmlu_redux_anatomy"]
    theirs = both.load(["mmlu_anatomy"])["tasks"]["mmlu_anatomy"]
    questions = [doc["question"] for doc in theirs.fewshot_docs()]
    assert [doc["question"] for doc in task.fewshot_docs()] == questions
    assert not set(questions) & {doc["question"] for doc in task.eval_docs}


def test_clinical_questions_come_with_their_findings(manager: Any) -> None:
    task = manager.load(["kormo_kr_clinical_qa"])["tasks"]["kormo_kr_clinical_qa"]
    for doc in list(task.eval_docs)[:5]:
        text = task.doc_to_text(doc)
        question, exam, options = (
            text.index(p) for p in (doc["question"].strip(), doc["exam"], "A. ")
        )
        assert question < exam < options
    from data_recipes.decontaminate.config import DecontaminateConfig

    sets = DecontaminateConfig(evaluation_sets="evaluation_sets.yaml").sets()
    (columns,) = [one.columns for one in sets if one.task == "kr_clinical_qa"]
    assert {"question", "exam", "options"} <= set(columns)


def test_the_choices_of_gpqa_stay_where_they_are(manager: Any) -> None:
    # lm-eval's own task shuffles them anew whenever its questions are read.
    task = manager.load(["kormo_gpqa_main"])["tasks"]["kormo_gpqa_main"]
    once, again = list(task.eval_docs), list(task.eval_docs)
    assert once == again and len({doc["answer"] for doc in once}) == 4
    for doc in once:
        assert doc[f"choice{'ABCD'.index(doc['answer'][1]) + 1}"] == doc["Correct Answer"]
    # Nor may another run find them elsewhere; rows in memory are not cached.
    rows = [
        {k: doc[k] for k in doc if k.startswith(("Question", "Corr", "Incorr"))} for doc in once
    ]
    first, second = (list(gpqa_main(Dataset.from_list(5 * rows))) for _ in range(2))
    assert first == second


def test_a_template_is_compiled_once_and_rendered_for_each_question() -> None:
    from lm_eval.utils import apply_template, env

    assert env.from_string("{{q}}?") is env.from_string("{{q}}?")
    assert [apply_template("{{q}}?", {"q": q}) for q in "ab"] == ["a?", "b?"]


def test_what_subjects_share_is_no_task(manager: Any) -> None:
    with pytest.raises(RecipeError, match="kmmlu_mini_subject is what .* share, and no task"):
        manager.load(["kmmlu_mini_subject"])


def test_a_part_of_kmmlu_is_asked_alone_as_in_its_group(manager: Any) -> None:
    """With the group's five examples, of which lm-eval's own name gives none."""
    inside = manager.load(["kormo_kmmlu_hard"])["tasks"]
    field = manager.load(["kormo_kmmlu_hard_humss"])
    assert field["tasks"].keys() < inside.keys() and "kormo_kmmlu_hard_humss" in field["groups"]
    (alone,) = manager.load(["kormo_kmmlu_hard_law"])["tasks"].values()
    assert alone.task_name == "kormo_kmmlu_hard_law"
    prompts = set()
    for task in (alone, inside["kmmlu_hard_law"], field["tasks"]["kmmlu_hard_law"]):
        task.set_fewshot_seed(1)
        prompts.add(task.fewshot_context(task.eval_docs[0], task.config.num_fewshot))
    assert len(prompts) == 1 and prompts.pop().count("정답：") == 6
    assert [e.name for e in leaf_entries(manager, "kormo_kmmlu_law")] == ["kormo_kmmlu_law"]
    assert len(leaf_entries(manager, "kormo_kmmlu_stem")) == 11


def test_the_redux_prompt_is_the_one_of_mmlu(both: LocalTaskManager) -> None:
    # Examples differ on purpose: MMLU's own are not in the data set.
    tasks = both.load(["mmlu_anatomy", "kormo_mmlu_redux_anatomy"])["tasks"]
    theirs, ours = (task.fewshot_context(task.eval_docs[0], 0) for task in tasks.values())
    assert theirs == ours and theirs.startswith("The following are multiple choice questions")


def test_an_oracle_passes_every_task(multiple_choice: dict[str, Any], manager: Any) -> None:
    model = Oracle(multiple_choice)
    results = evaluate(model, list(multiple_choice.values()), manager, limit=2)
    assert {name: r["acc,none"] for name, r in results["results"].items()} == dict.fromkeys(
        multiple_choice, 1.0
    )
    # With the shots that each task states, five examples stand before each question.
    shots = results["n-shot"]
    assert set(shots.values()) == {5}
    assert model.compared > 2 * 4 * len(multiple_choice)


def test_a_guesser_scores_chance(multiple_choice: dict[str, Any], manager: Any) -> None:
    results = evaluate(
        Guesser(multiple_choice), list(multiple_choice.values()), manager, num_fewshot=0
    )
    everything: list[float] = []
    hits = 0.0
    for name, task in multiple_choice.items():
        chances = [1 / len(task.doc_to_choice(doc)) for doc in task.eval_docs]
        score = results["results"][name]["acc,none"]
        everything += chances
        hits += score * len(chances)
        if len(chances) >= 80:
            low, high = chance_interval(chances)
            assert low <= score <= high < 0.5, name
    low, high = chance_interval(everything)
    assert len(everything) > 800 and 0.15 < low <= hits / len(everything) <= high < 0.35


def _guess(rng: random.Random, task: Any, doc: dict[str, Any]) -> str:
    return f"풀이합니다.\n정답은 ({rng.choice('ABCD')})입니다."


def test_reasoned_answers_are_scored_by_the_checker(manager: Any) -> None:
    loaded = manager.load(["kormo_kmmlu_cot"])
    tasks, group = loaded["tasks"], [loaded["groups"]["kormo_kmmlu_cot"]]
    assert len(tasks) == 45

    def score(model: Any) -> float:
        everything = evaluate(model, group, manager, apply_chat_template=True)
        results = everything["results"]["kormo_kmmlu_cot"]
        assert results["sample_len"] == 90 and model.generated == 90
        return results["acc,none"]

    assert score(Oracle(tasks)) == 1.0
    assert score(Oracle(tasks, say=lambda task, doc: "모르겠습니다.")) == 0.0
    low, high = chance_interval([0.25] * 90)
    assert 0 < low <= score(Guesser(tasks, guess=_guess)) <= high < 0.5


def test_the_right_choice_is_the_one_that_is_right(multiple_choice: dict[str, Any]) -> None:
    # The oracle asks the task; here the made-up sums are added up again.
    checked = 0
    for name, task in multiple_choice.items():
        if name.startswith(("kmmlu_mini", "mmlu_mini")):
            continue
        for doc in list(task.eval_docs)[:6]:
            prompt = task.doc_to_text(doc)
            first, second = re.search(r"(\d+) 더하기 (\d+)", prompt).groups()
            (letter,) = re.findall(rf"\n\(?([A-J])[.:)] {int(first) + int(second)}\n", prompt)
            assert LETTERS[gold_index(task, doc)] == letter, name
            checked += 1
    assert checked > 500


def test_mini_sets_hold_what_they_say() -> None:
    for name, questions in (("kmmlu_mini", 100), ("mmlu_mini", 40)):
        rows = {s: _rows(TASKS / name / f"{s}.jsonl") for s in ("dev", "test")}
        assert len(rows["test"]) >= questions
        assert not {r["question"] for r in rows["dev"]} & {r["question"] for r in rows["test"]}
        for row in rows["dev"] + rows["test"]:
            assert len(set(_choices(row))) == 4, row
        golds = [r["answer"] for r in rows["test"]]
        assert max(map(golds.count, set(golds))) <= 0.3 * len(golds)


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _choices(row: dict[str, Any]) -> list[str]:
    return row["choices"] if "choices" in row else [row[letter] for letter in "ABCD"]


@pytest.mark.parametrize(
    "name, language, subjects",
    [
        ("kmmlu_mini", "ko", {"Math", "Unit-Conversion", "Calendar"}),
        ("mmlu_mini", "en", {"elementary_mathematics"}),
    ],
)
def test_computed_questions_are_of_the_test_split(
    name: str, language: str, subjects: set[str]
) -> None:
    from data_recipes.toy.items import unique_items

    answers = {item.question: item.value for item in unique_items(language, "test", 400, "mini")}
    compared = 0
    for split in ("dev", "test"):
        for row in _rows(TASKS / name / f"{split}.jsonl"):
            if row.get("Category", row.get("subject")) in subjects:
                gold = row["answer"] - (1 if "Category" in row else 0)
                assert _choices(row)[gold] == answers[row["question"]]
                compared += 1
    assert compared == (19 if language == "ko" else 15) * len(subjects)
