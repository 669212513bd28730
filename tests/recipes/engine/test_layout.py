"""How GPUs share a model, and what they send."""

import pytest

from data_recipes.common.errors import RecipeError
from recipes.engine.layout import Layout, count_traffic, plan_layout

N = 10_756_624_384


@pytest.mark.parametrize(
    ("gpus", "per_node", "layout"),
    [(1, 8, (1, 1)), (4, 8, (4, 1)), (8, 8, (8, 1)), (128, 8, (8, 16)), (16, 4, (4, 4))],
)
def test_weights_are_sharded_inside_a_node(
    gpus: int, per_node: int, layout: tuple[int, int]
) -> None:
    assert plan_layout(gpus, per_node) == Layout(*layout)


def test_nodes_are_full() -> None:
    with pytest.raises(RecipeError, match="parallelism.gpus: 12 GPUs are no whole nodes of 8"):
        plan_layout(12, 8)


def test_traffic_of_10b() -> None:
    # Sharded over all, each of 128 would send 86 GB over the network for a reduced forward pass.
    assert count_traffic(N, Layout(128, 1)).inside == pytest.approx(86.05e9 * 127 / 128, rel=1e-3)
    nodes = count_traffic(N, Layout(8, 16))
    assert nodes.inside == pytest.approx(8 * N * 7 / 8)
    # 16 rings, one for each eighth of the fp32 gradients: reduce-scatter, then all-gather.
    assert nodes.between == pytest.approx(2 * 15 / 16 * 4 * N / 8)
    assert count_traffic(N, Layout(1, 1)).seconds == 0
