"""What each step leaves of gradients and weight decay, to the step."""

import torch

from modeling_kormo import KORMoConfig, KORMoForCausalLM
from recipes.engine.unfreezing import Unfreezing


def test_gradients_and_decay_by_step() -> None:
    shape = KORMoConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16,
    )  # fmt: skip
    model = KORMoForCausalLM(shape)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.1)
    unfreezing = Unfreezing(40, new_rows_steps=2, matrices_steps=3)
    unfreezing.split_groups(optimizer, model)
    head, other = model.lm_head.weight, model.model.layers[0].mlp.up_proj.weight
    for step, turn in enumerate((0, 0, 1, 1, 1, 2, 2)):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        unfreezing.hold(optimizer, step)
        assert head.grad[40:].all() and bool(head.grad[:40].any()) == (turn > 0), step
        assert bool(other.grad.any()) == (turn == 2), step
        for group in optimizer.param_groups:
            trained = turn == 2 or (turn == 1 and any(p is head for p in group["params"]))
            assert group["weight_decay"] == (0.1 if trained else 0.0), step
    # There the guard forgets what norms were.
    assert [step for step in range(9) if unfreezing.begins(step)] == [2, 5]
    at_once = Unfreezing(40, new_rows_steps=0, matrices_steps=0)
    assert not any(at_once.begins(step) for step in range(9))
