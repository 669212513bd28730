"""Segments of two documents: the second sees the first, on every backend; all else stays."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from data_recipes.tokens.shards import Window
from modeling_kormo import KORMoForCausalLM
from recipes.engine.windows_data import PackedCollator

Build = Callable[..., KORMoForCausalLM]
BOS, EOS = 1, 2
BACKENDS = ["eager", "sdpa", "varlen", "flex_attention"]


def document(length: int, seed: int) -> list[int]:
    inner = torch.randint(3, 96, (length,), generator=torch.Generator().manual_seed(seed))
    return [BOS, *inner.tolist(), EOS]


def windows() -> list[Window]:
    """Two windows of 40 tokens: a pair and a document alone; a pair that is all of it."""
    rows = [[[document(9, 1), document(12, 2)], [document(13, 3)]]]
    rows.append([[document(15, 4), document(21, 5)]])
    made = []
    for segments in rows:
        lengths = [sum(map(len, segment)) for segment in segments]
        tokens = [token for segment in segments for part in segment for token in part]
        ends = np.cumsum(lengths)
        made.append(Window(np.array(tokens), ends, np.append(0, ends[:-1])))
    return made


@torch.no_grad()
def test_four_backends_agree_on_pairs(build: Build) -> None:
    apart = PackedCollator(bos=BOS, pairs="apart")(windows())
    together = PackedCollator(bos=BOS, pairs="together")(windows())
    assert torch.equal(apart["labels"], together["labels"])
    found = {}
    for name, batch in (("apart", apart), ("together", together)):
        inputs = {key: value for key, value in batch.items() if key != "labels"}
        logits = [build(attention)(**inputs).logits[0] for attention in BACKENDS]
        for other in logits[1:]:
            torch.testing.assert_close(other, logits[0], rtol=0, atol=2e-5)
        found[name] = logits[0]
    # First documents and those alone are as they were; second ones see what stands before them.
    moved = (found["together"] - found["apart"]).abs().amax(1)
    second = torch.zeros(80, dtype=torch.bool)
    second[11:25] = second[57:80] = True
    assert moved[~second].max() < 2e-5 and moved[second].min() > 0.05


@torch.no_grad()
@pytest.mark.parametrize("attention", BACKENDS)
def test_a_pair_is_computed_as_the_two_in_one_text(build: Build, attention: str) -> None:
    # Not the first window alone, whose 40 tokens flex refuses on some CPUs (`check_flex`).
    texts = [document(9, 1) + document(12, 2), document(13, 3), document(15, 4) + document(21, 5)]
    batch = PackedCollator(bos=BOS, pairs="together")(windows())
    del batch["labels"]
    model = build(attention)
    separate = [build("eager")(torch.tensor([ids])).logits[0] for ids in texts]
    torch.testing.assert_close(model(**batch).logits[0], torch.cat(separate), rtol=0, atol=2e-5)
