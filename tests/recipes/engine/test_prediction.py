"""How GPUs share a model, what they send, and how long a token takes."""

import pytest

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig
from recipes.engine.prediction import Layout, count_traffic, estimate_memory, plan_layout, predict
from tests.recipes.engine.test_metrics import SHAPE_1B

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
    # bf16 weights twice; the other half are fp32 gradients.
    assert flat.gathering == pytest.approx(4 * N * 127 / 128 / 50e9)
    nodes = count_traffic(N, Layout(8, 16))
    assert nodes.inside == pytest.approx(8 * N * 7 / 8)
    assert nodes.seconds == pytest.approx(nodes.inside / 450e9 + nodes.between / 50e9)
    # 16 rings, one for each eighth of the fp32 gradients: reduce-scatter, then all-gather.
    assert nodes.between == pytest.approx(2 * 15 / 16 * 4 * N / 8)
    assert count_traffic(N, Layout(1, 1)).seconds == 0


@pytest.mark.parametrize(
    ("gpu", "compiled", "microseconds"),
    # Added up by hand for windows of 4,096 tokens in which a token sees 938 (in tiles of 128).
    [("H200", True, 13.1), ("H200", False, 19.1), ("H100", True, 14.1), ("H100", False, 22.5)],
)
def test_predicted_time_of_a_token_at_1b(gpu: str, compiled: bool, microseconds: float) -> None:
    found = predict(SHAPE_1B, gpu, 938, compiled, 0.0, False, 1, 524_288, 0.0)
    assert found.total * 1e6 == pytest.approx(microseconds, rel=0.07)
    again = predict(SHAPE_1B, gpu, 938, compiled, 1.0, False, 1, 524_288, 0.0)
    assert 1.15 < again.total / found.total < 1.35
    selective = predict(SHAPE_1B, gpu, 938, compiled, 1.0, True, 1, 524_288, 0.0)
    assert found.total < selective.total < again.total
    slow = predict(SHAPE_1B, gpu, 938, compiled, 0.0, False, 1, 524_288, 1e-4)
    assert slow.total == pytest.approx(1e-4 + found.optimizer)
    # A card whose memory is slower by two fifths.
    card, module = (
        predict(SHAPE_1B, f"H100{of}", 938, compiled, 0.0, False, 1, 524_288, 0.0)
        for of in (" PCIe", "")
    )
    assert card.moving / module.moving == pytest.approx(3.35 / 2.0)
    assert predict(SHAPE_1B, "A10", 938, compiled, 0.0, False, 1, 524_288, 0.0) is None


def test_memory_of_10b_on_128_gpus() -> None:
    def estimate(**changes: object):
        return estimate_memory(
            KORMoConfig(),
            **{
                "tokens_per_forward": 8192,
                "shards": 128,
                "activation_checkpointing": 0,
                "selective": False,
                "sync_each_microbatch": True,
                "accumulates": True,
                "compiled": False,
                **changes,
            },
        )

    plain = estimate()
    assert plain.states == pytest.approx(16 * 10_756_624_384 / 128)
    assert plain.total < 141e9, "must fit an H200"
    recomputed = estimate(activation_checkpointing=1).activations
    assert recomputed < plain.activations / 8
    # Beside attention's 4,096, half of 6,144 + 2 x 4,096 + 2 x 16,384 numbers in bf16, 40 times.
    selective = estimate(activation_checkpointing=1, selective=True).activations
    assert selective - recomputed == 40 * 8192 * (2 * 4096 + 6144 + 2 * 4096 + 2 * 16_384)
    # Unsharded fp32 gradients: 43 GB. The embedding, the largest piece, in bf16 and fp32: 3.1 GB.
    reduced = 6 * 125_184 * 4096
    assert plain.gradients == reduced
    assert estimate(sync_each_microbatch=False).gradients == reduced + 4 * 10_756_624_384
    # Two chunks of fp32 logits, or of bf16 ones of 4,096 tokens, beside the head's fp32 gradient.
    assert plain.loss == 8 * 2**27 + 4 * 125_184 * 4096
    assert estimate(compiled=True).loss == 4 * 4096 * 125_184 + 4 * 125_184 * 4096
