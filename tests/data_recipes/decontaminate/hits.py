"""Three evaluation sets, and texts that hold something of them or nearly do."""

import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_recipes.toy import documents

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
