"""Made-up questions in the schemas of lm-eval's tasks that stand in the suites `en` and `ko`."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from .hub_items import LETTERS, Row, mmlu_redux, question_of, subjects, write_rows

_CLICK = (
    "CSAT_korean_22_1 CSAT_korean_20_12 CSAT_korean_20_5 economy geography history law politics "
)
_CLICK += "popular society tradition"
_HAERAE = "general_knowledge history loan_words rare_words standard_nomenclature"
_MMLU_PRO = "biology business chemistry economics engineering health history law math other "
_MMLU_PRO += "philosophy physics psychology"


def arc(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    choices = {"text": texts, "label": list("ABCD")}
    stem = {"question": question, "question_stem": question}
    return {**stem, "choices": choices, "answerKey": "ABCD"[gold]}


def yes_or_no(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 2)
    text = f"{question} {texts[0]}"
    row = {"passage": text, "paragraph": text, "question": text, "sentence": text, "label": gold}
    return {**row, "word": texts[1], "context_1": text, "context_2": question}


def copa(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 2)
    row = {"premise": f"{question}.", "question": rng.choice(["cause", "effect"]), "label": gold}
    return {**row, "choice1": f"X{texts[0]}", "choice2": f"X{texts[1]}"}


def copa_ko(rng: random.Random) -> Row:
    row = copa(rng)
    row["question"] = rng.choice(["원인", "결과"])
    return {**row, "alternative_1": row["choice1"], "alternative_2": row["choice2"]}


def hellaswag(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    row = {"activity_label": "sums", "ctx_a": question, "ctx_b": "then", "context": question}
    endings = {f"ending_{n}": text for n, text in enumerate(texts, start=1)}
    return {**row, **endings, "endings": texts, "label": str(gold)}


def hellaswag_ko(rng: random.Random) -> Row:
    row = hellaswag(rng)
    return {**row, "label": int(row["label"])}


def global_mmlu(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    options = {f"option_{letter}": text for letter, text in zip("abcd", texts)}
    return {"question": question, **options, "answer": "ABCD"[gold]}


def mmlu_pro(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 10)
    thought = f"A: Let's think step by step. The answer is ({LETTERS[gold]})."
    return {"question": question, "options": texts, "cot_content": thought} | {
        "answer": LETTERS[gold]
    }


def piqa(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 2)
    return {"goal": question, "sol1": texts[0], "sol2": texts[1], "label": gold}


def siqa(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 3)
    answers = {f"answer{letter}": text for letter, text in zip("ABC", texts)}
    return {"context": question, "question": "?", **answers, "label": str(gold + 1)}


def winogrande(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 2)
    sentence = f"{question} It is _ and no other."
    return {"sentence": sentence, "option1": texts[0], "option2": texts[1], "answer": str(gold + 1)}


def click(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 4)
    return {"paragraph": "", "question": question, "choices": texts, "answer": texts[gold]}


def click_exam(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 5)
    return {"paragraph": "글", "question": question, "choices": texts, "answer": texts[gold]}


def csatqa(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 5)
    options = {f"option#{n}": text for n, text in enumerate(texts, start=1)}
    return {"context": f"글 {question}", "question": question, **options, "gold": str(gold + 1)}


def haerae(rng: random.Random) -> Row:
    question, texts, gold = question_of(rng, 5)
    return {"query": f"{question} {' '.join(texts)}", "answer": f"({LETTERS[gold]})"}


def _each(
    names: list[str], column: str, make: Callable[[random.Random], Row]
) -> Callable[[random.Random], Row]:
    """Rows that go through the names of a column."""
    rest = iter(names * 1000)
    return lambda rng: {**make(rng), column: next(rest)}


def write_suites(root: Path, rows: int) -> None:
    """Write local data for lm-eval's tasks in the suites.

    Args:
        root: the folder to pass as `data_dir`.
        rows: questions of a split, or of each subject in it.
    """
    half = 4 * rows
    both = {"train": 8, "validation": 8 * rows}
    every = {**both, "test": 8 * rows}
    mmlu = subjects("mmlu_redux")
    pro, exams = [*_MMLU_PRO.split(), "computer science"], _CLICK.split()
    of_mmlu = {split: n * len(mmlu) for split, n in (("dev", 5), ("test", rows))}
    for place, splits, make in (
        ("allenai/ai2_arc/ARC-Challenge", every, arc),
        ("allenai/ai2_arc/ARC-Easy", every, arc),
        ("allenai/openbookqa/main", every, arc),
        ("aps/super_glue/boolq", both, yes_or_no),
        ("aps/super_glue/copa", both, copa),
        ("Rowan/hellaswag/default", both, hellaswag),
        ("baber/piqa/default", both, piqa),
        ("lighteval/siqa/default", both, siqa),
        ("allenai/winogrande/winogrande_xl", both, winogrande),
        ("CohereForAI/Global-MMLU/en", of_mmlu, _each(mmlu, "subject", global_mmlu)),
        ("CohereForAI/Global-MMLU/ko", of_mmlu, _each(mmlu, "subject", global_mmlu)),
        (
            "TIGER-Lab/MMLU-Pro/default",
            {split: n * len(pro) for split, n in (("validation", 5), ("test", rows))},
            _each(pro, "category", mmlu_pro),
        ),
        ("skt/kobest_v1/boolq", every, yes_or_no),
        ("skt/kobest_v1/copa", every, copa_ko),
        ("skt/kobest_v1/hellaswag", every, hellaswag_ko),
        ("skt/kobest_v1/sentineg", every, yes_or_no),
        ("skt/kobest_v1/wic", every, yes_or_no),
        *(
            (f"HAERAE-HUB/csatqa/{part}", {"test": half}, csatqa)
            for part in ("GR", "LI", "RCH", "RCS", "RCSS", "WR")
        ),
        *((f"HAERAE-HUB/HAE_RAE_BENCH/{part}", {"test": half}, haerae) for part in _HAERAE.split()),
    ):
        write_rows(root / place, splits, make)
    for subject in mmlu:
        write_rows(root / "cais" / "mmlu" / subject, {"dev": 5, "test": rows}, mmlu_redux)

    def of_exam(rng: random.Random) -> Row:
        name = next(ids)
        return {**(click_exam(rng) if "CSAT" in name else click(rng)), "id": name}

    ids = iter(exams * 1000)
    write_rows(root / "EunsuKim" / "CLIcK" / "default", {"train": 8 * len(exams)}, of_exam)
