"""Made-up questions in the schemas that the tasks read on the Hub, written as local data."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from eval.task_manager import TASKS

Row = dict[str, Any]
LETTERS = "ABCDEFGHIJ"


def question_of(rng: random.Random, choices: int) -> tuple[str, list[str], int]:
    """Make a sum, choices that differ, and the index of the right one."""
    a, b = rng.randrange(10, 500), rng.randrange(10, 500)
    gold = rng.randrange(choices)
    numbers = rng.sample([n for n in range(1000, 2000) if n != a + b], choices)
    numbers[gold] = a + b
    return f" {a} 더하기 {b}는 얼마입니까? ", [str(n) for n in numbers], gold


def kmmlu(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    row = {"question": question, "answer": gold + 1, **dict(zip("ABCD", texts, strict=True))}
    return {**row, "Category": "시험", "Human Accuracy": 0.5}


def mmlu_redux(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    return {"question": question, "choices": texts, "answer": gold, "error_type": "ok"}


def k2_eval(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    return {"question": question, "gold_answer": gold, **dict(zip("abcd", texts, strict=True))}


def kobalt(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 10)
    listed = "\n".join(f"{letter}: {text}" for letter, text in zip(LETTERS, texts, strict=True))
    return {"ID": "x", "Class": "Syntax", "Question": f"{question}\n{listed}\n", "Level": 1} | {
        "Answer": LETTERS[gold]
    }


def clinical(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, rng.choice([4, 5]))
    options = {f"option_{letter.lower()}": text for letter, text in zip(LETTERS, texts)}
    exam = f"혈청 칼륨 {rng.randrange(20, 90) / 10} mEq/L"
    return {"question": question, "exam": exam, "options": str(options), "answer": LETTERS[gold]}


def law(rng: random.Random) -> Row:
    row = clinical(rng)
    del row["exam"]
    return row


def gpqa(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    right = texts.pop(gold)
    wrong = {f"Incorrect Answer {n}": text for n, text in enumerate(texts, start=1)}
    return {"Question": f"{question}\n", "Correct Answer": right, **wrong}


def professional(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, rng.choice([4, 5]))
    return {"question": question, "options": texts, "solution": str(gold + 1)}


def subjects(folder: str) -> list[str]:
    """List the subjects of a benchmark below `eval/tasks`, as the Hub names them."""
    files = [path for path in (TASKS / folder).glob("*.yaml") if path.stem != "subject"]
    groups = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
    lines = [line for group in groups for line in group["task"] if isinstance(line, dict)]
    return sorted({line["subject"] for line in lines})


def write_rows(folder: Path, splits: dict[str, int], make: Callable[[random.Random], Row]) -> None:
    folder.mkdir(parents=True)
    rng = random.Random(str(folder.name))
    for split, rows in splits.items():
        lines = [json.dumps(make(rng), ensure_ascii=False) for _ in range(rows)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_data(root: Path, rows: int) -> None:
    """Local data for every task below `eval/tasks` that reads the Hub.

    Args:
        root: the folder to pass as `data_dir`.
        rows: test questions of a subject; sets without subjects get forty times as many.
    """
    for subject in subjects("kormo_kmmlu_cot"):
        for name in (f"KMMLU/{subject}", f"KMMLU-HARD/{subject.lower().replace('-', '_')}"):
            write_rows(root / "HAERAE-HUB" / name, {"dev": 5, "test": rows}, kmmlu)
    for subject in subjects("mmlu_redux"):
        folder = root / "edinburgh-dawg" / "mmlu-redux-2.0" / subject
        write_rows(folder, {"test": max(rows, 6)}, mmlu_redux)
        if not (root / "cais" / "mmlu" / subject).exists():
            write_rows(root / "cais" / "mmlu" / subject, {"dev": 5}, mmlu_redux)
    for place, split, make in (
        ("HAERAE-HUB/K2-Eval/knowledge", "test", k2_eval),
        ("snunlp/KoBALT-700/kobalt_v1", "raw", kobalt),
        ("snuh/ClinicalQA/default", "train", clinical),
        ("snuh/KorMedLawQA/default", "train", law),
        ("Idavidrein/gpqa/gpqa_main", "train", gpqa),
        ("LGAI-EXAONE/KMMLU-Pro/kmmlu_pro", "test", professional),
        ("LGAI-EXAONE/KMMLU-Redux/default", "test", professional),
    ):
        write_rows(root / place, {split: 40 * rows}, make)
