"""Every multiple-choice task runs without network, can be passed, and cannot be passed by luck."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from eval import subject_files
from eval.choices import LETTERS, names_choice, options_from_text
from eval.local_data import LM_EVAL_TASKS, TASKS, LocalTaskManager, hub_data

from .hub_items import kmmlu
from .oracle import Guesser, Oracle, chance_interval, gold_index


@pytest.fixture(scope="module")
def multiple_choice(manager: Any) -> dict[str, Any]:
    index = manager.task_index
    names = [n for n in manager.all_subtasks if index[n].cfg["output_type"] == "multiple_choice"]
    assert len(names) > 150
    return manager.load(names)["tasks"]


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
        for data in ("cais/mmlu/anatomy", "edinburgh-dawg/mmlu-redux-2.0/anatomy"):
            (root / data / f"{split}.jsonl").write_text(english)
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


def test_every_hub_set_states_its_licence(manager: Any) -> None:
    read = [entry.cfg for entry in manager.task_index.values() if hub_data(entry.cfg or {})]
    assert len(read) > 150
    assert all(config["metadata"].get("licence") for config in read)


@pytest.mark.parametrize("family", subject_files.FAMILIES, ids=lambda family: family.group)
def test_task_files_equal_their_table(family: subject_files.Family) -> None:
    folder = TASKS / family.folder
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert there == subject_files.files(family)


@pytest.mark.parametrize("theirs", ["kmmlu", "kmmlu_hard"])
def test_subjects_and_groups_are_those_of_lm_eval(both: LocalTaskManager, theirs: str) -> None:
    index = both.task_index
    tags = [name for name in both.all_tags if name.startswith(f"{theirs}_")]
    tags = [name for name in tags if ("hard" in name) == ("hard" in theirs) and "_cot" not in name]
    tags = [name for name in tags if "direct" not in name]
    seen = 0
    for tag in tags:
        group = index["kormo_" + tag.removesuffix("_tasks")].cfg["task"]
        assert sorted(group) == sorted(f"kormo_{name}" for name in index[tag].tags)
        for name in index[tag].tags:
            assert hub_data(index[f"kormo_{name}"].cfg) == hub_data(index[name].cfg)
            seen += 1
    assert seen == 45


@pytest.mark.parametrize("task, shots", [("kmmlu_law", 5), ("kmmlu_hard_law", 5)])
def test_prompts_and_scores_equal_those_of_lm_eval(
    both: LocalTaskManager, tiny_model: Any, task: str, shots: int
) -> None:
    results = evaluate(tiny_model, [task, f"kormo_{task}"], both, num_fewshot=shots)
    theirs, ours = (results["samples"][name] for name in (task, f"kormo_{task}"))
    assert len(theirs) == 6 and theirs[0]["arguments"][0][0].count("정답：") == shots + 1
    for a, b in zip(theirs, ours, strict=True):
        assert a["arguments"] == b["arguments"] and a["resps"] == b["resps"]
    scores = [results["results"][name]["acc,none"] for name in (task, f"kormo_{task}")]
    assert scores[0] == scores[1]
    assert len({str(sample["resps"]) for sample in theirs}) > 1  # the model does tell them apart


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


@pytest.mark.parametrize(
    "text, right",
    [
        ("정답은 (B)입니다.", True),
        ("B를 고릅니다. 답은 ②입니다.", True),
        ("정답은 2번입니다.", True),
        ("먼저 (A)를 봅니다.\n정답은 B입니다.", True),
        ("정답은 부산입니다.", True),
        ("정답은 (B) 부산입니다.", True),
        ("정답은 (A)입니다.", False),
        ("정답은 서울입니다.", False),  # two choices say so
        ("부산은 항구입니다.", False),  # no answer is named
        ("", False),
    ],
)
def test_an_answer_may_name_the_letter_the_number_or_the_text(text: str, right: bool) -> None:
    assert names_choice(text, 1, ["서울", "부산", "서울", "대구"]) is right


def test_a_number_that_is_a_choice_names_that_choice() -> None:
    numbers = ["12", "1", "7", "5"]
    assert names_choice("정답은 1입니다.", 1, numbers)
    assert not names_choice("정답은 1입니다.", 0, numbers)
    assert names_choice("정답은 3입니다.", 2, numbers)  # no choice says 3, so it is the third
    assert names_choice("정답은 2번입니다.", 1, ["2", "9", "4", "5"])
    assert not names_choice("정답은 2번입니다.", 0, ["2", "9", "4", "5"])
    assert not names_choice("정답은 2입니다.", 1, ["2.0", "9", "4", "5"])


def test_options_as_text_are_read_in_the_order_of_their_letters() -> None:
    from datasets import Dataset

    from data_recipes.common.errors import RecipeError

    rows = Dataset.from_list([{"options": "{'option_b': 'y', 'option_a': 'x'}", "answer": "B"}])
    row = options_from_text(rows)[0]
    assert (row["texts"], row["gold"]) == (["x", "y"], 1)
    for options, answer in (("x or y", "B"), ("{'option_a': 'x'}", "B"), ("['x']", "A")):
        with pytest.raises(RecipeError, match="row 0: cannot read options"):
            options_from_text(Dataset.from_list([{"options": options, "answer": answer}]))


@pytest.mark.parametrize(
    "task, end", [("kormo_kmmlu_pro", "\n정답："), ("kormo_kobalt", "\n정답：")]
)
def test_choices_of_the_question_are_all_in_the_prompt(manager: Any, task: str, end: str) -> None:
    loaded = manager.load([task])["tasks"][task]
    sizes = set()
    for doc in loaded.eval_docs:
        letters = loaded.doc_to_choice(doc)
        prompt = loaded.doc_to_text(doc)
        assert prompt.endswith(end) and "\n\n정답" not in prompt
        assert [x for x in LETTERS if f"\n{x}. " in prompt or f"\n{x}: " in prompt] == letters
        sizes.add(len(letters))
    assert sizes == ({10} if "kobalt" in task else {4, 5})


def test_the_right_choice_is_the_one_that_is_right(multiple_choice: dict[str, Any]) -> None:
    # The oracle asks the task; here the made-up sums are added up again.
    checked = 0
    for name, task in multiple_choice.items():
        if name.startswith(("kmmlu_mini", "mmlu_mini")):
            continue
        for doc in list(task.eval_docs)[:6]:
            prompt = task.doc_to_text(doc)
            first, second = re.search(r"(\d+) 더하기 (\d+)", prompt).groups()
            (letter,) = re.findall(rf"\n([A-J])[.:] {int(first) + int(second)}\n", prompt)
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
