"""Who holds a model, and what of it is recomputed, changes time and memory, and no number."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.export import save_portable
from recipes.build import build_tokenizer, model_config
from recipes.engine.metrics import read_metrics
from recipes.engine.model_setup import recompute_layers
from tests import processes
from tests.conftest import ROOT, Stage

LENGTH = 24
WORKER = ROOT / "tests" / "recipes" / "workers.py"


class Counted(TorchDispatchMode):
    """Counts the operations that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls[func.name().split(".")[0].removeprefix("aten::")] += 1
        return func(*args, **(kwargs or {}))


def train(every: int, selective: bool, autocast: bool) -> tuple[torch.Tensor, Counter[str]]:
    torch.manual_seed(0)
    config = KORMoConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    model = KORMoForCausalLM._from_config(config, attn_implementation="varlen")
    if every:
        recompute_layers(model, every, selective)
    ids = torch.randint(64, (1, LENGTH))
    ends = torch.tensor([0, 10, LENGTH], dtype=torch.int32)
    packed = {"cu_seq_lens_q": ends, "cu_seq_lens_k": ends, "max_length_q": 14, "max_length_k": 14}
    positions = torch.cat([torch.arange(10), torch.arange(14)])[None]
    with Counted() as counted, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model(ids, labels=ids, position_ids=positions, sum_loss=True, **packed)
        output.loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()]), counted.calls


@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_are_the_same_and_less_is_computed_again(autocast: bool) -> None:
    plain, once = train(0, False, autocast)
    whole, all_again = train(1, False, autocast)
    kept, some_again = train(1, True, autocast)
    half, half_again = train(2, False, autocast)
    for gradient in (whole, kept, half):
        assert torch.equal(gradient, plain)
    # Three layers of seven products, the last of which nothing needs; every second is kept.
    assert all_again["mm"] - once["mm"] == 18 and half_again["mm"] - once["mm"] == 12
    assert some_again["mm"] - once["mm"] == 9
    attention = "_scaled_dot_product_flash_attention_for_cpu"
    assert all_again[attention] == 2 * once[attention] == 12
    assert some_again[attention] == once[attention]


def test_memory_of_a_parent_on_two_ranks(small_stage: Callable[..., Stage], tmp_path: Path) -> None:
    wide = ["model.shape.hidden_size=512", "model.shape.intermediate_size=4096"]
    wide += ["model.shape.num_hidden_layers=4"]  # 110 MB
    parent = tmp_path / "parent"
    config = small_stage(tmp_path / "run", *wide).config()
    model = KORMoForCausalLM(model_config(config, build_tokenizer(config)))
    # As those on the Hub. Of fp32 weights only those that are read would ever be resident.
    save_portable(model.bfloat16(), parent)
    stage = small_stage(tmp_path / "run", *wide, f"model.init_from={parent}")
    result = processes.run([WORKER, "load-parents", *stage.overrides], ranks=2)
    assert result.returncode == 0, result.stderr[-3000:]
    said = re.findall(r"(stage|chat) rank (\d): (-?[\d.]+)", result.stdout)
    grown = {(name, int(rank)): float(share) for name, rank, share in said}
    assert len(grown) == 4
    for name in ("stage", "chat"):
        assert grown[name, 0] > 0.9 and grown[name, 1] < 0.3, grown


def test_a_stage_from_weights_under_fsdp2_equals_one_process(
    small_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    parent = tmp_path / "parent"
    config = small_stage(tmp_path).config()
    save_portable(KORMoForCausalLM(model_config(config, build_tokenizer(config))), parent)
    losses = {}
    for ranks in (1, 2):
        run = tmp_path / str(ranks)
        short = [f"model.init_from={parent}", "schedule.total_tokens=3072"]
        worker = {"worker": WORKER, "ranks": ranks} if ranks > 1 else {}
        result = small_stage(run, *short).run(**worker)
        assert result.returncode == 0, result.stderr[-3000:]
        lines = read_metrics(run)
        losses[ranks] = [line["loss"] for line in lines if "loss" in line]
        losses[ranks] += [line["bits_per_byte/en"] for line in lines if "bits_per_byte/en" in line]
    assert len(losses[1]) >= 5
    assert losses[2] == pytest.approx(losses[1], abs=1e-5)
