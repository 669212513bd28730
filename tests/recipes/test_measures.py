"""The measurements of what a chat or long-context model learned."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from recipes.ladder import RUNGS, Rung, format_rungs
from recipes.measure_answers import Measurement
from recipes.measure_retrieval import question, retrieval


def test_interval() -> None:
    # Wilson's, by hand for 8 of 10 (Brown, Cai and DasGupta 2001).
    low, high = Measurement("m", "en", True, 10, 8, 10, 10).interval()
    assert (low, high) == pytest.approx((0.490, 0.943), abs=1e-3)


def test_retrieval_asks_for_what_was_told_at_the_distance(data_dir: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    for language in ("en", "ko"):
        for distance in (30, 300):
            ids, places = question(tokenizer, language, distance, "a")
            code = tokenizer.decode([ids[p] for p in places])
            assert len(code) == 4 and code.isdigit()
            text = tokenizer.decode(ids)
            assert text.count(code) == 2  # told and asked for, nowhere else
            told = len(tokenizer(text[: text.index(code)])["input_ids"])
            assert distance <= places[0] - told <= distance + 120

    class Oracle(torch.nn.Module):
        """Knows the text it is given."""

        device = torch.device("cpu")
        shift = 1

        def forward(self, ids: torch.Tensor, use_cache: bool) -> object:
            answers = torch.roll(ids[0], -self.shift)
            logits = torch.nn.functional.one_hot(answers, len(tokenizer)).float()[None]
            return type("Output", (), {"logits": logits})

    oracle = Oracle()
    assert retrieval(oracle, tokenizer, "ko", 50, 5) == 1.0
    oracle.shift = 2
    assert retrieval(oracle, tokenizer, "ko", 50, 5) == 0.0


def test_the_ladder_has_every_stage_and_adds_up() -> None:
    assert RUNGS[0] == "stage1" and RUNGS[-2:] == ("sft", "dpo")
    rungs = [
        Rung("stage1", 1000, 3.0, {"en": 2.0, "ko": 1.5}, 10.0),
        Rung("stage2", 2000, 2.5, {"en": 1.9, "ko": 1.4}, None),
    ]
    lines = format_rungs(rungs).splitlines()
    assert lines[1].split() == ["stage1", "1,000", "3.000", "2.000", "1.500", "10", "s"]
    assert lines[2].split()[-1] == "-" and lines[3].split() == ["3,000", "10", "s"]
