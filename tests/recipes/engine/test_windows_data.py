"""The batch contract."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from data_recipes.tokenizer.load import load_tokenizer
from data_recipes.tokens.best_fit import make_plan
from data_recipes.tokens.mixture import Mixture
from data_recipes.tokens.shards import TokenSource, Window
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from recipes.engine.windows_data import FromStep, PackedCollator, attended_length

WINDOWS = [
    Window(np.arange(10, 18), np.array([3, 4, 8]), np.array([0, 3, 4])),
    Window(np.arange(20, 28), np.array([8]), np.array([8])),
]
PADDED = [Window(np.arange(30, 38), np.array([2, 5, 8]), np.array([0, 2]), 3), WINDOWS[1]]


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


def test_padding_is_a_document_without_labels() -> None:
    batch = PackedCollator()(PADDED)
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2, 0, 1, 2, *range(8)]]
    expected = [-100, 31, -100, 33, 34, -100, -100, -100, -100, *range(21, 28)]
    assert batch["labels"].tolist() == [expected]
    assert batch["cu_seq_lens_q"].tolist() == [0, 2, 5, 8, 16, 16, 16, 16]
    batch = PackedCollator(document_masking=False)(PADDED)
    assert batch["position_ids"].tolist() == [[*range(8), *range(8)]]
    expected = [-100, 31, 32, 33, 34, -100, -100, -100, -100, *range(21, 28)]
    assert batch["labels"].tolist() == [expected]


def test_documents_are_numbered_whatever_attention_sees() -> None:
    # 15 is BOS: inside a segment, 14 to 17, it begins the second document.
    for masking in (True, False):
        batch = PackedCollator(masking, bos=15, documents=True)(WINDOWS)
        numbers = [1, 1, 1, 2, 3, 4, 4, 4, *[5] * 8]
        assert batch["documents"].tolist() == [numbers]
    assert "documents" not in PackedCollator()(WINDOWS)


PAIR = [Window(np.array([1, 20, 2, 1, 30, 31, 2, 1, 40, 2]), np.array([7, 10]), np.array([0, 7]))]


def test_a_pair_is_one_segment_of_two_documents() -> None:
    # BOS is 1, EOS 2: a pair of documents of 3 and 4 tokens, then one alone.
    together = PackedCollator(bos=1, pairs="together")(PAIR)
    apart = PackedCollator(bos=1, pairs="apart")(PAIR)
    assert together["position_ids"].tolist() == [[*range(7), *range(3)]]  # they run on
    assert apart["position_ids"].tolist() == [[*range(3), *range(4), *range(3)]]
    assert together["cu_seq_lens_q"].tolist() == [0, 7, 10, 10]
    assert apart["cu_seq_lens_q"].tolist() == [0, 3, 7, 10]
    scored = [[-100, 20, 2, -100, 30, 31, 2, -100, 40, 2]]
    causal = PackedCollator(False, bos=1, pairs="together")(PAIR)
    for batch in (together, apart, causal):
        assert batch["labels"].tolist() == scored
    # Unless it is said that segments are pairs, the second BOS would be asked for.
    assert PackedCollator(bos=1)(PAIR)["labels"][0, 3] == 1
    numbered = PackedCollator(bos=1, pairs="together", documents=True)(PAIR)
    assert numbered["documents"].tolist() == [[1, 1, 1, 2, 2, 2, 2, 3, 3, 3]]


def test_packed_loss_is_the_mean_over_separate_documents(data_dir: Path, tmp_path: Path) -> None:
    length, names = 512, ["web_en", "web_ko"]
    for name in names:
        shutil.copytree(data_dir / "shards" / name / "train", tmp_path / name / "train")
        make_plan(TokenSource(tmp_path / name / "train"), length)
    pad = load_tokenizer(data_dir / "tokenizer").pad_token_id
    mixture = Mixture(tmp_path, dict.fromkeys(names, 1.0), length, 0, "best_fit", pad)
    # Windows with padding in them are rare, which is the point of best fit; here they are sought.
    plenty = [mixture.window(i) for i in range(2000)]
    windows = sorted(plenty, key=lambda window: -window.padding)[:4] + plenty[:2]
    assert windows[0].padding > 10 and windows[3].padding > 0
    assert windows[0].tokens[-1] == pad and (np.concatenate([w.tokens for w in plenty]) != 0).any()

    torch.manual_seed(0)
    config = KORMoConfig(
        vocab_size=1280,
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.2,
    )
    model = KORMoForCausalLM._from_config(config, attn_implementation="varlen")
    batch = PackedCollator()(windows)
    labels = int((batch["labels"] >= 0).sum())
    loss = model(**batch, sum_loss=True, use_cache=False).loss / labels
    loss.backward()
    packed = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()

    total, count = torch.zeros(()), 0
    for window in windows:
        bounds = [0, *window.document_ends.tolist()][: len(window.starts) + 1]
        assert bounds[-1] == length - window.padding
        for start, end in zip(bounds, bounds[1:]):
            ids = torch.from_numpy(window.tokens[start:end])[None]
            logits = model(ids, use_cache=False).logits[0, :-1]
            total = total + cross_entropy(logits, ids[0, 1:], reduction="sum")
            count += end - start - 1
    (total / count).backward()
    assert count == labels > 1000
    assert loss.item() == pytest.approx((total / count).item(), abs=1e-5)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(packed[name], parameter.grad, rtol=0, atol=1e-5)


def test_sampler_goes_on_where_a_run_left_off() -> None:
    assert list(FromStep(10, 0)) == list(range(10))
    assert list(FromStep(10, 6)) == [6, 7, 8, 9]
    assert len(FromStep(10, 6)) == 10


def test_attended_length_is_counted_over_documents(data_dir: Path) -> None:
    mixture = Mixture(data_dir / "shards", {"web_en": 1.0, "web_ko": 1.0}, 128, 7)
    seen = []
    for index in range(1024):
        positions = PackedCollator()([mixture.window(index)])["position_ids"][0]
        seen.append((positions + 1).double().mean().item())  # of each token, those up to itself
    assert attended_length(mixture, document_masking=True) == pytest.approx(np.mean(seen))
    assert attended_length(mixture, document_masking=False) == 129 / 2
