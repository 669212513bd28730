"""Preference pairs: what of them is learned, and where the question of a pair stands."""

from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from recipes.post.chat_config import ChatSource
from recipes.post.masks import ChatTokenizer
from recipes.post.model import load_chat_tokenizer
from recipes.post.pairs import PairTokenizer, PreferenceCollator, build_pairs, read_pair

from .grpo_hand_made import write_rows


def test_only_the_answer_counts_in_preference_tuning(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [
        {"role": "user", "content": "a?"},
        {"role": "assistant", "content": "earlier"},
        {"role": "user", "content": "b?"},
    ]
    sides = {
        "chosen": [{"role": "assistant", "content": "yes", "reasoning_content": "hm"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }
    rows = [{"prompt": asked, **sides}]
    for number in ("1\r\n", "2"):
        question = {"role": "user", "content": f"{number}?"}
        rows.append({side: [question, *answer] for side, answer in sides.items()})
    path = write_rows(tmp_path / "pairs.jsonl", [*rows, {**rows[0], "rejected": sides["chosen"]}])
    tokenizer = load_chat_tokenizer(str(base))
    source = ChatSource(path=str(path), language="en", licence="-")
    data = build_pairs([source], tokenizer, 200, 1, 0)
    assert "left out, equal" in data.table
    assert "1 of 4 pairs made uniform: line_ends 1" in capsys.readouterr().out
    everything = [*data.train, *data.heldout]
    assert len(everything) == 3
    batch = PreferenceCollator(tokenizer.pad_token_id)(everything)
    learned = [
        tokenizer.decode(row[mask.bool()])
        for row, mask in zip(batch["input_ids"], batch["completion_mask"])
    ]
    # The first half is the preferred one: a swap would train and measure the opposite.
    assert learned == ["hm\n</think>\n\nyes<|EOT|>"] * 3 + ["no<|EOT|>"] * 3
    assert ((batch["attention_mask"] == 0) == (batch["input_ids"] == tokenizer.pad_token_id)).all()


ASKED, GOOD, BAD = (
    {"role": "user", "content": "2+2?"},
    {"role": "assistant", "content": "four"},
    {"role": "assistant", "content": "five"},
)
SYSTEM, EARLIER = {"role": "system", "content": "Add."}, {"role": "assistant", "content": "hello"}
HI = {"role": "user", "content": "hi"}


@pytest.mark.parametrize(
    ("row", "before"),
    [
        ({"prompt": "2+2?", "chosen": "four", "rejected": "five"}, 1),
        ({"prompt": "2+2?", "chosen": [GOOD], "rejected": [BAD]}, 1),
        ({"prompt": "2+2?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, 1),
        ({"prompt": [ASKED], "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, 1),
        ({"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, 1),
        ({"prompt": "2+2?", "chosen": [SYSTEM, ASKED, GOOD], "rejected": [SYSTEM, ASKED, BAD]}, 2),
        (
            {
                "prompt": "hi",
                "chosen": [HI, EARLIER, ASKED, GOOD],
                "rejected": [HI, EARLIER, ASKED, BAD],
            },
            3,
        ),
    ],
)
def test_the_question_of_a_pair_stands_once(base: Path, row: dict, before: int) -> None:
    tokenizer = load_chat_tokenizer(str(base))
    found, sides = read_pair(row, "row")
    assert found == before
    tokens = PairTokenizer(ChatTokenizer(tokenizer, 400, "drop"))(row, "row")
    for side, answer in (("chosen", "four"), ("rejected", "five")):
        assert sides[side].messages[-1]["content"] == answer
        assert tokenizer.decode(tokens[side].input_ids).count("2+2?") == 1
        learned = [i for i, x in zip(tokens[side].input_ids, tokens[side].labels) if x >= 0]
        assert tokenizer.decode(learned) == f"{answer}<|EOT|>"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"prompt": "3+3?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
            "do not begin with",
        ),
        ({"prompt": [HI], "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, "not begin with"),
        (
            {"prompt": "2+2?", "chosen": [ASKED, GOOD], "rejected": [HI, BAD]},
            "no question in common",
        ),
        ({"prompt": "2+2?", "chosen": [ASKED, GOOD], "rejected": [BAD]}, "an answer only"),
        ({"chosen": "four", "rejected": "five"}, "give prompt"),
        ({"prompt": "2+2?", "chosen": "four"}, "needs the columns"),
    ],
)
def test_pairs_with_another_question_are_refused(row: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=f"row 7: .*{message}"):
        read_pair(row, "row 7")
