"""Suites name tasks that exist and metrics that these report; mistakes are found at the start."""

import operator
from pathlib import Path
from typing import Any

import pytest
import yaml

from data_recipes.common.errors import RecipeError
from eval.plan import make_plan
from eval.published import load_published
from eval.suites import SUITES, SuiteTask, check_suite, leaf_entries, load_suite, suite_names
from eval.task_manager import LM_EVAL_TASKS, LocalTaskManager

from .hub_items import write_data
from .oracle import Guesser, Oracle, chance_interval
from .suite_items import write_suites

# Where the tasks of the card lie; all of lm-eval's would take ten seconds to read.
FOLDERS = [
    *("arc", "super_glue", "gpqa", "hellaswag", "mmlu", "global_mmlu/full/en", "mmlu_pro"),
    *("global_mmlu/full/ko", "openbookqa", "piqa", "siqa", "winogrande"),
    *("click", "csatqa", "haerae", "kmmlu", "kobest"),
]
TASK = {"task": "kmmlu_mini", "shots": 5, "metric": "acc", "reason": "for a test"}


@pytest.fixture(scope="module")
def known() -> LocalTaskManager:
    return LocalTaskManager(folders=[LM_EVAL_TASKS / folder for folder in FOLDERS])


def write(path: Path, *tasks: dict) -> Path:
    suite = {"name": path.stem, "description": "A test.", "tasks": list(tasks)}
    path.write_text(yaml.safe_dump(suite), encoding="utf-8")
    return path


@pytest.mark.parametrize("name, rows, columns", [("en", 14, 13), ("ko", 10, 9)])
def test_the_suites_of_the_card(
    known: LocalTaskManager, name: str, rows: int, columns: int
) -> None:
    suite = load_suite(name)
    check_suite(suite, known)
    assert len(suite.tasks) == rows
    assert len([task for task in suite.tasks if task.published]) == columns
    assert sum(len(leaf_entries(known, task.task)) for task in suite.tasks) > 100


def test_csatqa_is_asked_whole_and_as_the_card_has_it(known: LocalTaskManager) -> None:
    published = {row.task: row.published for row in load_suite("ko").tasks}
    whole, of_the_card = (
        {leaf.name for leaf in leaf_entries(known, name)} for name in ("csatqa", "kormo_csatqa_150")
    )
    assert published["csatqa"] is None and published["kormo_csatqa_150"] == "csatqa"
    assert len(whole) == 6 and whole - of_the_card == {"csatqa_li"}
    # Scores of the card are shares of 150: so many right answers that none is a fraction of 187.
    scores = load_published().korean["csatqa"].scores
    assert all(abs(score * 1.5 - round(score * 1.5)) < 0.01 for score in scores)


def test_every_shipped_suite_is_valid() -> None:
    assert {"en", "ko"} <= set(suite_names())
    assert [load_suite(name).name for name in suite_names()] == suite_names()


def test_unknown_names_are_met_with_a_suggestion(known: LocalTaskManager, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown suite 'kor'; did you mean 'ko'"):
        load_suite("kor")
    suite = load_suite(write(tmp_path / "s.yaml", TASK | {"task": "kmmlu_mimi"}))
    with pytest.raises(RecipeError, match="unknown task 'kmmlu_mimi'; did you mean 'kmmlu_mini'"):
        check_suite(suite, known)


def test_all_mistakes_are_listed_before_anything_runs(
    known: LocalTaskManager, tmp_path: Path
) -> None:
    thinking = TASK | {"think": "on"}
    wrong = TASK | {"task": "mmlu_pro", "metric": "exact_match"}
    right = TASK | {"task": "kormo_kmmlu_cot", "think": "both"}
    suite = load_suite(write(tmp_path / "s.yaml", thinking, wrong, right))
    with pytest.raises(RecipeError) as error:
        check_suite(suite, known)
    assert "think is 'on', but kmmlu_mini_biology compares likelihoods" in str(error.value)
    assert "reports no metric 'exact_match'; it reports exact_match,custom" in str(error.value)
    assert "kormo_kmmlu_cot" not in str(error.value)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"shot": 5}, "did you mean 'shots'"),
        ({"shots": -1}, "tasks.0.shots"),
        ({"metric": "acc none"}, "tasks.0.metric"),
        ({"think": "maybe"}, "tasks.0.think"),
        ({"reason": ""}, "tasks.0.reason"),
    ],
)
def test_bad_rows_are_named(tmp_path: Path, change: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_suite(write(tmp_path / "s.yaml", TASK | change))


def test_a_task_or_row_counts_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'kmmlu_mini' is listed twice"):
        load_suite(write(tmp_path / "s.yaml", TASK, TASK))
    pair = [TASK | {"task": name, "published": "mmlu"} for name in ("mmlu", "mmlu_mini")]
    with pytest.raises(RecipeError, match="'mmlu' belongs to two tasks"):
        load_suite(write(tmp_path / "s.yaml", *pair))


def test_a_task_is_asked_with_the_shots_of_its_suite(tmp_path: Path) -> None:
    path = write(tmp_path / "few.yaml", TASK | {"shots": 2})
    plan = make_plan([str(path)], [])
    assert {unit.shots for unit in plan.units} == {2}
    assert {task.get_config("num_fewshot") for task in plan.tasks.values()} == {2}
    alone = make_plan([], ["kmmlu_mini"])  # 5, as its own files say
    assert {task.get_config("num_fewshot") for task in alone.tasks.values()} == {5}
    assert {unit.shots for unit in alone.units} == {5}


def test_a_suite_is_named_after_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "one.yaml", TASK)
    path.rename(tmp_path / "two.yaml")
    with pytest.raises(RecipeError, match="named after its file"):
        load_suite(tmp_path / "two.yaml")
    assert (SUITES / "ko.yaml").is_file()


@pytest.fixture(scope="module")
def on_made_up_rows(
    datasets_cache: None, tmp_path_factory: pytest.TempPathFactory
) -> LocalTaskManager:
    """Every task of the suites, lm-eval's too, on made-up questions."""
    root = tmp_path_factory.mktemp("suites")
    write_suites(root, rows=2)
    write_data(root, rows=2)
    return LocalTaskManager(root, folders=[LM_EVAL_TASKS / folder for folder in FOLDERS])


def _row_tasks(manager: LocalTaskManager, name: str, row: SuiteTask) -> dict[str, Any]:
    """The tasks of a row, with its shots."""
    # The subjects of a benchmark have one form; the first six stand for all.
    tasks = manager.load([entry.name for entry in leaf_entries(manager, row.task)[:8]])["tasks"]
    for task in tasks.values():
        task.set_config("num_fewshot", row.shots)
        task.set_fewshot_seed(seed=1)
    return tasks


def _written(task: Any, doc: dict[str, Any]) -> str:
    """An answer as lm-eval's only generated task of these suites reads it."""
    return f"Let's see. The answer is ({doc['answer']})."


@pytest.mark.parametrize("name", ["en", "ko"])
def test_an_oracle_and_a_guesser_on_every_row_of_a_suite(
    on_made_up_rows: LocalTaskManager, name: str
) -> None:
    from lm_eval import evaluate

    rows = load_suite(name).tasks
    for row in rows:
        tasks = _row_tasks(on_made_up_rows, name, row)
        metric = row.metric_key

        def score(model: Any, tasks: dict[str, Any] = tasks, metric: str = metric) -> float:
            found = evaluate(model, {"tasks": tasks, "groups": {}}, bootstrap_iters=0)["results"]
            sizes = [own["sample_len"] for own in found.values()]
            values = [own[metric] for own in found.values()]
            return sum(map(operator.mul, values, sizes)) / sum(sizes)

        assert score(Oracle(tasks, say=_written)) == 1.0, row.task
        columns = {column for task in tasks.values() for doc in task.eval_docs for column in doc}
        assert row.cluster is None or row.cluster in columns, row.task
        if next(iter(tasks.values())).OUTPUT_TYPE == "generate_until":
            continue
        chances = []
        for task in tasks.values():
            chances += [1 / _choices(task, doc) for doc in task.eval_docs]
        low, high = chance_interval(chances)
        assert len(chances) >= 16 and low <= score(Guesser(tasks)) <= high, row.task


def _choices(task: Any, doc: dict[str, Any]) -> int:
    return len(task.doc_to_choice(doc))
