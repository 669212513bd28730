"""Reasoning tasks on made-up questions in the schemas of the Hub: passed by value, not by luck."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_recipes.common.errors import RecipeError
from eval.reasoning import as_turn
from eval.suites import check_suite, leaf_entries, load_suite
from eval.task_manager import LM_EVAL_TASKS, LocalTaskManager

from .oracle import Guesser, Oracle, chance_interval

LETTERS = "ABCD"
MMMLU_SUBJECTS = (
    "elementary_mathematics high_school_statistics astronomy college_physics conceptual_physics "
    "high_school_physics college_chemistry high_school_chemistry college_biology "
    "high_school_biology abstract_algebra"
).split()
CHOICES = [
    "ko_reasoning_hrm8k_mmmlu",
    "ko_reasoning_gpqa",
    *(f"ko_reasoning_mmmlu_{name}" for name in ("mathematics", "physics", "chemistry", "biology")),
]


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _choice(rng: random.Random, n: int) -> tuple[str, list[str], int]:
    values = [str(x) for x in rng.sample(range(10, 99), 4)]
    gold = rng.randrange(4)
    return f"문제 {n}: {values[gold]}와 같은 수를 고르세요. ", values, gold


@pytest.fixture(scope="module")
def reasoning_dir(tmp_path_factory: pytest.TempPathFactory, datasets_cache: None) -> Path:
    root = tmp_path_factory.mktemp("reasoning")
    rng = random.Random(0)
    for part, answers in (
        ("GSM8K", [17.0, 1000.0, 0.5, -3.0]),
        ("KSM", [17, 4, 120, 0]),
        ("MATH", ["\\frac{1}{2}", "2\\sqrt{3}", "17", "1,000"]),
        ("OMNI_MATH", ["\\frac{\\pi}{4}", "2^{10}", "0.125", "-1"]),
    ):
        rows = [
            {"question": f" {n}번 문제입니다. ", "original": "A question.", "answer": answer}
            for n, answer in enumerate(answers)
        ]
        _write(root / f"HAERAE-HUB/HRM8K/{part}/test.jsonl", rows)
    numbered, science, mmmlu = [], [], []
    for n in range(120):
        question, values, gold = _choice(rng, n)
        listed = "\n".join(f"{i}. {value}" for i, value in enumerate(values, 1))
        numbered.append({"question": f"{question}\n{listed}", "answer": float(gold + 1)})
        wrong = [value for i, value in enumerate(values) if i != gold]
        science.append({"Question": question, "Correct Answer": f" {values[gold]}\n"})
        science[-1] |= {f"Incorrect Answer {i}": value for i, value in enumerate(wrong, 1)}
    for subject in MMMLU_SUBJECTS:
        for n in range(60):
            question, values, gold = _choice(rng, n)
            row = {"Question": question, **dict(zip(LETTERS, values)), "Answer": LETTERS[gold]}
            mmmlu.append(row | {"Subject": subject})
    _write(root / "HAERAE-HUB/HRM8K/MMMLU/test.jsonl", numbered)
    _write(root / "LLaMAX/BenchMAX_Science/ko/train.jsonl", science)
    _write(root / "openai/MMMLU/KO_KR/test.jsonl", mmmlu)
    grade = [{"question": "사과는 모두 몇 개입니까?", "answer_number": n} for n in (3, 1200, 8)]
    _write(root / "LLaMAX/BenchMAX_Math/ko/test.jsonl", [{**g, "answer": None} for g in grade])
    return root


@pytest.fixture(scope="module")
def reasoning(reasoning_dir: Path) -> LocalTaskManager:
    return LocalTaskManager(reasoning_dir, folders=[LM_EVAL_TASKS / "hrm8k"])


@pytest.fixture(scope="module")
def tasks(reasoning: LocalTaskManager) -> dict[str, Any]:
    suite = load_suite("ko_reasoning")
    check_suite(suite, reasoning)
    names = [e.name for row in suite.tasks for e in leaf_entries(reasoning, row.task)]
    assert len(names) == 12
    return reasoning.load([*names, "reasoning_mini_en"])["tasks"]


def scores(
    model: Any, tasks: dict[str, Any], manager: Any, limit: int | None = None
) -> dict[str, dict[str, float]]:
    import lm_eval

    results = lm_eval.simple_evaluate(
        model=model,
        tasks=list(tasks.values()),
        task_manager=manager,
        limit=limit,
        bootstrap_iters=0,
    )["results"]
    metrics = ("right", "truncated_thinking", "other_language", "as_asked")
    return {name: {m: results[name][f"{m},none"] for m in metrics} for name in tasks}


def _is_english(task: Any) -> bool:
    return task.config.task.endswith("_en")


def _answer(task: Any, doc: dict[str, Any], language: str) -> str:
    value = f"\\boxed{{{task.doc_to_target(doc)}}}"
    return f"Now we see that the answer is {value}." if language == "en" else f"답은 {value}입니다."


def _own(task: Any, doc: dict[str, Any]) -> str:
    return _answer(task, doc, "en" if _is_english(task) else "ko")


def _foreign(task: Any, doc: dict[str, Any]) -> str:
    return (
        "따라서 우리가 구하는 답은 다음과 같습니다. " + _answer(task, doc, "ko")
        if _is_english(task)
        else _answer(task, doc, "en")
    )


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (lambda t, d: as_turn(f"생각합니다.\n</think>\n\n{_own(t, d)}", True), (1, 0, 0, 1)),
        (lambda t, d: as_turn(_own(t, d), False), (1, 0, 0, 1)),
        (lambda t, d: as_turn(f"\n</think>\n\n{_own(t, d)}", True), (1, 0, 0, 0)),
        (lambda t, d: as_turn(f"생각합니다. {_own(t, d)}", True), (0, 1, 0, 0)),
        (lambda t, d: as_turn(f"생각합니다.\n</think>\n\n{_foreign(t, d)}", True), (1, 0, 1, 1)),
        (lambda t, d: as_turn("답은 \\boxed{987654}입니다.", False), (0, 0, 0, 1)),
    ],
    ids=["thinking", "not thinking", "empty block", "truncated", "other language", "wrong"],
)
def test_an_oracle_scores_what_its_form_deserves(
    tasks: dict[str, Any],
    reasoning: LocalTaskManager,
    say: Callable[[Any, dict[str, Any]], str],
    expected: tuple[int, ...],
) -> None:
    model = Oracle(tasks, say=say)
    all_questions = sum(expected) == 2 and expected[3]
    found = scores(model, tasks, reasoning, limit=None if all_questions else 20)
    if "987654" in say(tasks["ko_reasoning_mini"], {"answer": 1}):
        found.pop("reasoning_mini_en")  # an answer in Korean
    assert {name: tuple(row.values()) for name, row in found.items()} == dict.fromkeys(
        found, expected
    )
    assert model.generated > (1500 if all_questions else 150)


def test_every_setting_is_one_that_lm_evals_own_backends_know(tasks: dict[str, Any]) -> None:
    """Another would be an argument of `generate`, or stand in the body of a server's request."""
    known = {"until", "do_sample", "temperature", "max_gen_toks"}
    for task in tasks.values():
        assert task.config.generation_kwargs.keys() == known, task.config.task


def test_a_guesser_scores_chance(tasks: dict[str, Any], reasoning: LocalTaskManager) -> None:
    chosen = {name: tasks[name] for name in CHOICES}

    def guess(rng: random.Random, task: Any, doc: dict[str, Any]) -> str:
        marks = "1234" if "hrm8k" in task.config.task else LETTERS
        return as_turn(f"생각합니다.\n</think>\n\n답은 \\boxed{{{rng.choice(marks)}}}입니다.", True)

    for name, row in scores(Guesser(chosen, guess=guess), chosen, reasoning).items():
        low, high = chance_interval([0.25] * len(chosen[name].eval_docs))
        assert 0.05 < low <= row["right"] <= high < 0.45, name


def test_the_right_choice_is_the_one_that_is_right(tasks: dict[str, Any]) -> None:
    places = set()
    for name in CHOICES[1:]:
        for doc in tasks[name].eval_docs:
            wanted = doc["question"].split(": ")[1].split("와")[0]
            assert doc[doc["answer"]] == wanted
            assert f"\n{doc['answer']}. {wanted}" in tasks[name].doc_to_text(doc)
            places.add(doc["answer"])
    assert places == set(LETTERS)
    subjects = {doc["Subject"] for name in CHOICES[2:] for doc in tasks[name].eval_docs}
    assert subjects == set(MMMLU_SUBJECTS) - {"abstract_algebra"}


@pytest.mark.parametrize("said", ["2", "②", "2번", "(2)"])
def test_a_numbered_choice_may_be_written_as_one(tasks: dict[str, Any], said: str) -> None:
    task = tasks["ko_reasoning_hrm8k_mmmlu"]
    turn = as_turn(f"답은 {said}입니다.", False)
    assert task.process_results({"answer": 2.0}, [turn])["right"] == 1
    assert task.process_results({"answer": 3.0}, [turn])["right"] == 0


def test_hrm8k_is_asked_as_lm_eval_asks(reasoning: LocalTaskManager) -> None:
    # Answers are judged differently, on purpose: 1,000 is 1000, which lm-eval takes for wrong.
    parts = ("gsm8k", "ksm", "math", "mmmlu", "omni_math")
    loaded = reasoning.load(
        [f"{prefix}hrm8k_{part}" for part in parts for prefix in ("", "ko_reasoning_")]
    )["tasks"]
    compared = 0
    for part in parts:
        theirs, ours = loaded[f"hrm8k_{part}"], loaded[f"ko_reasoning_hrm8k_{part}"]
        for a, b in zip(theirs.eval_docs, ours.eval_docs, strict=True):
            assert theirs.fewshot_context(a, 0) == ours.fewshot_context(b, 0)
            assert theirs.doc_to_target(a) == ours.doc_to_target(b)
            compared += 1
    assert compared == 136
    theirs = loaded["hrm8k_gsm8k"]
    thousand = {"question": "", "answer": 1000.0}
    assert theirs.process_results(thousand, ["$\\boxed{1,000}$"]) == {"exact_match": 0}
    turn = as_turn("$\\boxed{1,000}$", False)
    assert loaded["ko_reasoning_hrm8k_gsm8k"].process_results(thousand, [turn])["right"] == 1


def test_the_embedded_questions_are_many_fixed_and_of_the_test_split(
    tasks: dict[str, Any],
) -> None:
    from data_recipes.toy.items import unique_items
    from eval.reasoning import embedded

    for name, language in (("ko_reasoning_mini", "ko"), ("reasoning_mini_en", "en")):
        rows = list(tasks[name].eval_docs)
        assert len(rows) == 500 and len({row["question"] for row in rows}) > 490
        assert rows == list(embedded(language, 500, 0, version=1.0)["test"])
        items = unique_items(language, "test", 500, 0)
        assert [(r["question"], r["answer"]) for r in rows] == [
            (i.question, i.value) for i in items
        ]


def test_mmmlu_without_a_subject_is_refused(tmp_path: Path, datasets_cache: None) -> None:
    row = {"Question": "?", "Answer": "A", "Subject": "astronomy", **dict.fromkeys(LETTERS, "x")}
    _write(tmp_path / "openai/MMMLU/KO_KR/test.jsonl", [row])
    manager = LocalTaskManager(tmp_path, folders=[])
    with pytest.raises(RecipeError, match="openai/MMMLU: no rows with Subject college_biology"):
        manager.load(["ko_reasoning_mmmlu_biology"])
