"""Prompts of reinforcement learning: rendered row by row, in order, and bad rows named."""

from pathlib import Path

import pytest

from data_recipes.common.errors import RecipeError
from recipes.post.model import load_rollout_tokenizer
from recipes.post.prompts import load_prompts
from recipes.post.trainers import RewardTrainer
from tests.recipes.post.grpo_hand_made import ROWS, stage, write_rows


def test_prompts_are_rendered_row_by_row(overrides: list[str]) -> None:
    config = stage(overrides)
    tokenizer = load_rollout_tokenizer(config.model.init_from)
    prompts = load_prompts(config.data, tokenizer)
    rows = prompts.rows.to_list()
    assert [row["thinking"] for row in rows] == [True, True, False, True]
    assert [row["answer"] for row in rows] == ["17", "12", "2", "10"]
    assert rows[0]["prompt"].endswith("<|BOT|>assistant\n<think>\n")
    assert rows[2]["prompt"].endswith("<think>\n\n</think>\n\n")
    assert "Be short." in rows[3]["prompt"]
    assert "1 ko without thinking" in prompts.counts()
    # The ids that are generated from are those of the chat template: no BOS before them.
    trainer = object.__new__(RewardTrainer)
    trainer.processing_class = tokenizer
    ids, _, _ = trainer._tokenize_prompts([rows[0]["prompt"]])
    messages = [{"role": "user", "content": ROWS[0]["question"]}]
    wanted = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert ids[0] == wanted["input_ids"]


def test_every_pass_has_all_prompts_in_another_order(overrides: list[str]) -> None:
    config = stage(overrides)
    prompts = load_prompts(config.data, load_rollout_tokenizer(config.model.init_from))
    answers = prompts.in_order(21, 2, seed=1)["answer"]
    passes = [tuple(answers[i : i + 4]) for i in range(0, 40, 4)]
    assert all(sorted(one) == ["10", "12", "17", "2"] for one in passes)
    assert len(set(passes)) > 3
    assert prompts.in_order(4, 2, seed=1)["answer"][:] == answers[:8]


def test_long_prompts_are_dropped_and_counted(overrides: list[str], tmp_path: Path) -> None:
    long = {"language": "en", "question": "many words " * 100, "value": "1"}
    path = write_rows(tmp_path / "long.jsonl", [*ROWS, long])
    config = stage(overrides, f"data.paths=[{path}]")
    prompts = load_prompts(config.data, load_rollout_tokenizer(config.model.init_from))
    assert (len(prompts.rows), prompts.too_long) == (4, 1)
    config = stage(overrides, "data.max_prompt_tokens=3")
    with pytest.raises(RecipeError, match="max_prompt_tokens"):
        load_prompts(config.data, load_rollout_tokenizer(config.model.init_from))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": None}, "no answer in 'value'"),
        ({"value": " "}, "no answer in 'value'"),
        ({"value": True}, "no answer in 'value'"),
        ({"language": "de"}, "language 'de'"),
        ({"language": None}, "known: ko, en"),
        ({"question": ""}, "question_column"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "ends with the user"),
        ({"messages": []}, "ends with the user"),
        ({"chat_template_kwargs": {"enable_thinking": "no"}}, "enable_thinking"),
        ({"chat_template_kwargs": {"thinking": True}}, "enable_thinking"),
    ],
)
def test_bad_rows_are_named(
    overrides: list[str], tmp_path: Path, change: dict, message: str
) -> None:
    path = write_rows(tmp_path / "bad.jsonl", [ROWS[0], {**ROWS[0], **change}])
    config = stage(overrides, f"data.paths=[{path}]")
    with pytest.raises(RecipeError, match=message) as error:
        load_prompts(config.data, load_rollout_tokenizer(config.model.init_from))
    assert f"{path}:2" in str(error.value)


def test_broken_and_missing_files_are_named(overrides: list[str], tmp_path: Path) -> None:
    tokenizer = load_rollout_tokenizer(stage(overrides).model.init_from)
    (tmp_path / "broken.jsonl").write_text('{"a": 1}\n{"a"\n'.replace('{"a": 1}\n', "\n"))
    for name, message in (("broken.jsonl", ":2: not JSON"), ("absent.jsonl", "no such file")):
        config = stage(overrides, f"data.paths=[{tmp_path / name}]")
        with pytest.raises(RecipeError, match=message):
            load_prompts(config.data, tokenizer)
