"""Spikes are skipped, without touching anything; what is not a number stops the run."""

import pytest
import torch

from recipes.engine.guard import NonFiniteError, SpikeGuard

WINDOW = 16


def warmed_up() -> SpikeGuard:
    guard = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    for step in range(WINDOW):
        loss, norm = 3 + 0.1 * torch.randn(2, generator=generator)
        assert guard.judge(loss, norm, step) == 0
    return guard


@pytest.mark.parametrize(("loss", "norm"), [(30.0, 3.0), (3.0, 30.0)])
def test_a_spike_of_either_kind_is_skipped(loss: float, norm: float) -> None:
    guard = warmed_up()
    assert guard.judge(torch.tensor(loss), torch.tensor(norm), WINDOW) == 1
    assert guard.skipped == 1
    guard.check()


def test_falling_values_are_no_spike() -> None:
    assert warmed_up().judge(torch.tensor(-30.0), torch.tensor(0.0), WINDOW) == 0


def test_nothing_is_skipped_before_half_the_window() -> None:
    guard = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    for step in range(WINDOW // 2):
        value = torch.tensor(3.0 if step < WINDOW // 2 - 1 else 3000.0)
        assert guard.judge(value, value, step) == 0


def test_spikes_are_skipped_from_half_the_window_on() -> None:
    guard = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    for step in range(WINDOW // 2):
        value = torch.tensor(3.0 + 0.1 * (step % 3))
        assert guard.judge(value, value, step) == 0
    assert guard.judge(torch.tensor(3000.0), torch.tensor(3.0), WINDOW // 2) == 1


def test_a_lasting_change_of_level_is_accepted_in_the_end() -> None:
    guard = warmed_up()
    decisions = [guard.judge(torch.tensor(9.0), torch.tensor(9.0), i) for i in range(WINDOW)]
    assert decisions[0] == 1 and decisions[-1] == 0


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_is_skipped_at_once_and_raised_a_step_later(bad: float) -> None:
    guard = warmed_up()
    assert guard.judge(torch.tensor(bad), torch.tensor(3.0), WINDOW) == 1
    guard.check(keep=1)
    guard.judge(torch.tensor(3.0), torch.tensor(3.0), WINDOW + 1)
    with pytest.raises(NonFiniteError) as caught:
        guard.check(keep=1)
    assert caught.value.step == WINDOW
    # The value must not poison the statistics.
    assert guard.values.isfinite().all()


def test_a_skipped_update_leaves_weights_moments_and_step_count_alone() -> None:
    parameter = torch.nn.Parameter(torch.randn(8))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0.1, fused=True)

    def step(skip: float) -> list[torch.Tensor]:
        parameter.grad = torch.ones(8)
        optimizer.found_inf = torch.tensor(skip)
        optimizer.step()
        state = optimizer.state[parameter]
        return [t.clone() for t in (parameter.data, state["exp_avg"], state["step"])]

    first, skipped, second = step(0.0), step(1.0), step(0.0)
    for before, after in zip(first, skipped):
        assert torch.equal(before, after)
    assert not torch.equal(skipped[0], second[0]) and second[2] == first[2] + 1


def test_state_survives_a_checkpoint() -> None:
    guard = warmed_up()
    guard.judge(torch.tensor(30.0), torch.tensor(3.0), WINDOW)
    copy = SpikeGuard(6.0, WINDOW, torch.device("cpu"))
    copy.load_state_dict(guard.state_dict())
    assert torch.equal(copy.values, guard.values)
    assert (copy.seen, int(copy.skipped)) == (WINDOW + 1, 1)
