"""The batch contract."""

import numpy as np
import torch

from data_recipes.windows import Window
from recipes.windows_data import FromStep, PackedCollator

WINDOWS = [
    Window(np.arange(10, 18), np.array([3, 4, 8]), 0),
    Window(np.arange(20, 28), np.array([8]), 3),
]


def test_documents_of_two_windows() -> None:
    batch = PackedCollator()(WINDOWS)
    assert batch["input_ids"].tolist() == [[*range(10, 18), *range(20, 28)]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 0, 1, 2, 3, *range(8)]]
    expected = [-100, 11, 12, -100, -100, 15, 16, 17, -100, *range(21, 28)]
    assert batch["labels"].tolist() == [expected]
    # Five bounds, padded to eight by repeating the end.
    assert batch["cu_seq_lens_q"].tolist() == [0, 3, 4, 8, 16, 16, 16, 16]
    assert batch["cu_seq_lens_q"].dtype == torch.int32
    assert torch.equal(batch["cu_seq_lens_k"], batch["cu_seq_lens_q"])
    assert batch["max_length_q"] == batch["max_length_k"] == 8
    assert "attention_mask" not in batch


def test_without_document_masking_only_windows_are_apart() -> None:
    batch = PackedCollator(document_masking=False)(WINDOWS)
    assert batch["position_ids"].tolist() == [[*range(8), *range(8)]]
    assert (batch["labels"] == -100).nonzero()[:, 1].tolist() == [0, 8]


def test_sampler_goes_on_where_a_run_left_off() -> None:
    assert list(FromStep(10, 0)) == list(range(10))
    assert list(FromStep(10, 6)) == [6, 7, 8, 9]
    assert len(FromStep(10, 6)) == 10
