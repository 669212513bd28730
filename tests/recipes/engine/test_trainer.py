"""The loss does not depend on how a batch is split, and means what it says."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from data_recipes.common.config_files import load_config
from data_recipes.tokenizer.load import load_tokenizer
from data_recipes.tokens.shards import TokenSource, Window
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from recipes.command_line import CONFIGS
from recipes.config import StageConfig
from recipes.engine.windows_data import BitsPerByte
from tests import processes
from tests.conftest import ROOT, SMALL

FIXED_BATCH = 8
LENGTH = 64
PADDING = 20
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 0.1
# Above the rounding noise of gradients, of which Adam would otherwise make whole steps.
EPSILON = 1e-6


def fixed_config(output_dir: Path, micro_batch: int) -> StageConfig:
    return load_config(
        CONFIGS / "tiny" / "stage1.yaml",
        StageConfig,
        [
            *SMALL,
            f"batch.sequence_length={LENGTH}",
            f"batch.tokens_per_step={FIXED_BATCH * LENGTH}",
            f"batch.micro_batch={micro_batch}",
            f"schedule.total_tokens={2 * FIXED_BATCH * LENGTH}",
            "schedule.warmup_fraction=0",
            f"optimizer.learning_rate={LEARNING_RATE}",
            f"optimizer.weight_decay={WEIGHT_DECAY}",
            f"optimizer.epsilon={EPSILON}",
            f"logging.output_dir={output_dir}",
        ],
    )


def fixed_windows() -> list[Window]:
    """Windows with one document, many, one whose documents are single tokens, one with padding."""
    rng = np.random.default_rng(0)
    windows = []
    for row in range(FIXED_BATCH):
        cuts = np.unique(rng.integers(1, LENGTH, size=5 * row))
        ends = np.append(cuts, LENGTH)
        starts = np.append(0, cuts)
        windows.append(Window(rng.integers(0, 1280, LENGTH), ends, starts))
    windows[3] = Window(windows[3].tokens, np.arange(1, LENGTH + 1), np.arange(LENGTH))
    text = LENGTH - PADDING
    ends = np.append(windows[2].document_ends[windows[2].document_ends < text], [text, LENGTH])
    windows[2] = Window(windows[2].tokens, ends, np.append(0, ends[:-2]), PADDING)
    return windows


def reference_run() -> tuple[list[float], np.ndarray]:
    """The same two steps in plain PyTorch: one document at a time, one sum, one division."""
    config = fixed_config(Path("unused"), 1)
    torch.manual_seed(0)
    model = KORMoForCausalLM._from_config(
        KORMoConfig(**config.model.shape.model_dump()), attn_implementation="eager"
    ).train()
    decayed = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": rest, "weight_decay": 0.0}],
        lr=LEARNING_RATE,
        betas=(0.9, 0.95),
        eps=EPSILON,
    )
    losses = []
    for _ in range(2):
        total, count = torch.zeros(()), 0
        for window in fixed_windows():
            bounds = [0, *window.document_ends.tolist()]
            if window.padding:
                bounds.pop()
            for start, end in zip(bounds, bounds[1:]):
                if end - start < 2:
                    continue
                ids = torch.from_numpy(window.tokens[start:end])[None]
                logits = model(ids, use_cache=False).logits[0, :-1]
                total = total + cross_entropy(logits, ids[0, 1:], reduction="sum")
                count += end - start - 1
        loss = total / count
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return losses, weights.double().numpy()


@pytest.fixture(scope="module")
def reference() -> tuple[list[float], np.ndarray]:
    return reference_run()


@pytest.mark.parametrize(("ranks", "micro_batches"), [(1, (8, 2, 1)), (2, (4, 1))])
def test_loss_and_update_do_not_depend_on_the_split(
    tmp_path: Path,
    reference: tuple[list[float], np.ndarray],
    ranks: int,
    micro_batches: tuple[int, ...],
) -> None:
    # With micro-batch 1 one forward pass is fully masked; with 2 ranks one rank has it.
    worker = [ROOT / "tests" / "recipes" / "workers.py", "fixed-batch", tmp_path, *micro_batches]
    result = processes.run(worker, ranks)
    assert result.returncode == 0, result.stderr
    losses, weights = reference
    for number in micro_batches:
        found = json.loads((tmp_path / f"{number}.json").read_text())
        assert found == pytest.approx(losses, abs=1e-5), number
        np.testing.assert_allclose(np.load(tmp_path / f"{number}.npy"), weights, atol=1e-5)
    # The first step moves weights by about the learning rate: equality above is not trivial.
    assert losses[1] < losses[0] - 0.01


def test_bits_per_byte_equals_an_independent_computation(data_dir: Path) -> None:
    tokenizer = load_tokenizer(data_dir / "tokenizer")
    torch.manual_seed(0)
    model = KORMoForCausalLM._from_config(
        KORMoConfig(
            vocab_size=1280,
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            initializer_range=0.2,
        ),
        attn_implementation="varlen",
    ).eval()
    names, length = ["web_en", "stories_en", "web_ko"], 128
    measure = BitsPerByte(data_dir / "shards", names, length, 8 * length, tokenizer)
    values, by_source, by_place = measure(model, torch.device("cpu"))
    assert set(values) == {"en", "ko"} and not by_place

    sums, ends = {name: [0.0, 0] for name in names}, 0
    places = {f"{code} {own}": [0.0, 0] for code in values for own in ("0-15", "16-63", "64-127")}
    for name in names:
        source = TokenSource(data_dir / "shards" / name / "heldout")
        for index in range(8):
            window = source.window(index, length)
            bounds = [0, *window.document_ends.tolist()]
            for start, end in zip(bounds, bounds[1:]):
                ids = torch.from_numpy(window.tokens[start:end])[None]
                log_probabilities = model(ids, use_cache=False).logits[0].log_softmax(-1)
                for position in range(1, end - start):
                    token = int(ids[0, position])
                    if token in tokenizer.all_special_ids:
                        ends += token == tokenizer.eos_token_id
                        continue
                    piece = tokenizer.convert_ids_to_tokens(token)
                    size = len(piece.encode()) if piece.startswith("\n") else len(piece)
                    place = "0-15" if position < 16 else "16-63" if position < 64 else "64-127"
                    for pair in (sums[name], places[f"{name[-2:]} {place}"]):
                        pair[0] -= log_probabilities[position - 1, token].item()
                        pair[1] += size
    assert ends > 3  # the loss of an end is not counted: it stands for no bytes
    assert list(by_source) == names
    assert by_source["web_ko"] == values["ko"]
    for name, (nats, size) in sums.items():
        assert size > 100
        assert by_source[name] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    nats, size = (a + b for a, b in zip(sums["web_en"], sums["stories_en"]))
    assert values["en"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)

    # The same over two ranks: each measures its part, the sums are added.
    parts: list[torch.Tensor] = []
    for rank in range(2):
        measure(model, torch.device("cpu"), rank, 2, lambda s: parts.append(s.clone()) or s)
    for ((nats, size),), name in zip((parts[0] + parts[1]).tolist(), names, strict=True):
        assert nats / math.log(2) / size == pytest.approx(by_source[name], rel=1e-6)

    # The same in passes of five windows, of which the last is filled up.
    five = BitsPerByte(data_dir / "shards", names, length, 8 * length, tokenizer, rows=5)
    assert five(model, torch.device("cpu"))[0] == pytest.approx(values, rel=1e-6)
    parts.clear()
    for rank in range(2):
        five(model, torch.device("cpu"), rank, 2, lambda s: parts.append(s.clone()) or s)
    for ((nats, size),), name in zip((parts[0] + parts[1]).tolist(), names, strict=True):
        assert nats / math.log(2) / size == pytest.approx(by_source[name], rel=1e-6)

    # Apart by place in a document, in those passes as well.
    apart = BitsPerByte(
        data_dir / "shards", names, length, 8 * length, tokenizer, rows=5, edges=[16, 64]
    )
    in_all, _, by_place = apart(model, torch.device("cpu"))
    # Passes of another shape: fp32 products add up in another order, as above.
    assert in_all == pytest.approx(values, rel=1e-6)
    assert len({round(value, 4) for value in by_place.values()}) == len(places)
    assert by_place == pytest.approx(
        {place: nats / math.log(2) / size for place, (nats, size) in places.items()}, rel=1e-5
    )
