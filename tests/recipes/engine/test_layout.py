"""How GPUs share a model, and what they send."""

import pytest

from data_recipes.common.errors import RecipeError
from recipes.engine.layout import Layout, count_traffic, plan_layout

N = 10_756_624_384


@pytest.mark.parametrize(
    ("gpus", "shard_gpus", "layout"),
    [(1, 8, (1, 1)), (4, 8, (4, 1)), (8, 8, (8, 1)), (128, 8, (8, 16)), (16, 4, (4, 4))],
)
def test_copies_are_sharded(gpus: int, shard_gpus: int, layout: tuple[int, int]) -> None:
    assert plan_layout(gpus, shard_gpus) == Layout(*layout)


def test_copies_are_whole() -> None:
    with pytest.raises(RecipeError, match="parallelism.gpus: 12 GPUs are no whole copies of 8"):
        plan_layout(12, 8)


def test_traffic_of_10b() -> None:
    # Sharded over all, each of 128 would send 86 GB over the network for a reduced forward pass.
    flat = count_traffic(N, Layout(128, 1))
    assert flat.inside == pytest.approx(86.05e9 * 127 / 128, rel=1e-3)
    assert flat.seconds == pytest.approx(flat.inside / 50e9)
    nodes = count_traffic(N, Layout(8, 16))
    assert nodes.inside == pytest.approx(8 * N * 7 / 8)
    assert nodes.seconds == pytest.approx(nodes.inside / 450e9 + nodes.between / 50e9)
    # 16 rings, one for each eighth of the fp32 gradients: reduce-scatter, then all-gather.
    assert nodes.between == pytest.approx(2 * 15 / 16 * 4 * N / 8)
    assert count_traffic(N, Layout(1, 1)).seconds == 0
