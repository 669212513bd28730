"""What is recomputed changes time and memory, and no number."""

from collections import Counter
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from modeling_kormo import KORMoConfig, KORMoForCausalLM
from recipes.engine.recompute import recompute_layers

LENGTH = 24


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
