"""Bits per byte of right answers: by hand, by any tokenizer, of every kind of task."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from data_recipes.common.errors import RecipeError
from data_recipes.tokenizer.train import train_tokenizer
from eval.backend import KORMoLM
from eval.gold import gold_task
from eval.measure import run_unit
from eval.plan import Plan, Unit, make_plan
from eval.suites import FLOOR_BITS, GOLD_BITS, SuiteTask
from tests.random_model import random_model

SEVERAL = [
    "ko_reasoning_mini_gold",
    "kmmlu_mini_korean_history_gold",
    "mmlu_mini_high_school_biology_gold",
]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(["proxy"], [])


def units(plan: Plan) -> dict[str, Unit]:
    return {unit.task: unit for unit in plan.units}


@pytest.fixture(scope="module")
def tokenizer(data_dir: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(data_dir / "tokenizer")


def records(lm: KORMoLM, plan: Plan, name: str, limit: int) -> list[dict[str, Any]]:
    return run_unit(lm, plan.tasks[name], units(plan)[name], limit)[1]


def test_contexts_are_cloze_and_floors_are_other_answers(plan: Plan) -> None:
    history = plan.tasks["kmmlu_mini_korean_history_gold"]
    first, second = list(history.eval_docs)[:2]
    context, gold, floor = history._of(0)
    assert context == "『동의보감』을 지은 인물은 누구인가?\n정답：" and gold == " 허준"
    assert floor == " " + second["ABCD"[second["answer"] - 1]] != gold
    for name in units(plan):
        task = plan.tasks[name]
        for number in range(len(task.eval_docs)):
            context, gold, floor = task._of(number)
            assert context == context.rstrip() and gold.strip() and gold != floor
            assert not any(f"\n{letter}. " in context for letter in "ABCD")
            # What comes first is whitespace, which no token joins to what stands before it.
            assert gold[0] in " \n" and floor[0] in " \n"
    reasoning = plan.tasks["reasoning_mini_en_gold"]
    context, gold, _ = reasoning._of(0)
    assert context.endswith("\n<think>") and gold.startswith("\n") and "Result:" in gold


@pytest.mark.parametrize("name", SEVERAL)
def test_values_are_those_by_hand(
    plan: Plan, tokenizer: PreTrainedTokenizerBase, name: str
) -> None:
    limit = 20 if "reasoning" in name else 10
    model = random_model(tokenizer, 1280, initializer_range=0.3)
    lm = KORMoLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    found = records(lm, plan, name, limit)
    assert len(found) == limit
    for record in found:
        context, *answers = plan.tasks[name]._of(record["doc_id"])
        for answer, metric in zip(answers, (GOLD_BITS, FLOOR_BITS)):
            before = tokenizer(context)["input_ids"]
            ids = before + tokenizer(answer, add_special_tokens=False)["input_ids"]
            assert before[0] == tokenizer.bos_token_id
            with torch.no_grad():
                scores = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            nats = -sum(scores[i - 1, ids[i]].item() for i in range(len(before), len(ids)))
            by_hand = nats / math.log(2) / len(answer.encode())
            assert record["metrics"][metric] == pytest.approx(by_hand, abs=1e-6 * by_hand + 1e-6)


class Bytes(KORMoLM):
    """A model of bytes, whatever its tokens are: a byte costs more the higher it is."""

    def _loglikelihood_tokens(self, requests: list, **_: Any) -> list[tuple[float, bool]]:
        texts = (self.tokenizer.decode(continuation) for _, _, continuation in requests)
        return [(-sum(1 + b / 64 for b in text.encode()), False) for text in texts]


def test_any_tokenizer_gives_the_same(plan: Plan, tokenizer: PreTrainedTokenizerBase) -> None:
    text = ["어느 날 아침, 그는 숲으로 갔다.", "One morning he went into the forest."] * 20
    other = train_tokenizer(text, 300)
    sizes = []
    found = []
    for own in (tokenizer, other):
        lm = Bytes(pretrained=random_model(own, 1280), tokenizer=own, batch_size=4)
        found.append([r["metrics"] for name in SEVERAL for r in records(lm, plan, name, 10)])
        sizes.append(len(own("정답： 동의보감")["input_ids"]))
    assert sizes[0] != sizes[1]
    for one, two in zip(*found, strict=True):
        assert one == pytest.approx(two, abs=1e-9)


def test_only_right_answers_in_words_can_be_asked_for(plan: Plan) -> None:
    with pytest.raises(ValueError, match="gold_bits is asked without examples"):
        SuiteTask(task="x", shots=5, metric="gold_bits", reason="?")
    with pytest.raises(RecipeError, match="asks for loglikelihood"):
        gold_task(plan.tasks[SEVERAL[0]])  # it is one already
