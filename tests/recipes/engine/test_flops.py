"""FLOPs, peaks and memory against independent arithmetic."""

import pytest

from modeling_kormo import KORMoConfig
from recipes.engine.flops import count_parameters, estimate_memory, flops_per_token, peak_flops

SHAPE_1B = KORMoConfig(
    hidden_size=2048,
    intermediate_size=6144,
    num_hidden_layers=16,
    num_attention_heads=16,
    num_key_value_heads=8,
    head_dim=128,
)


def test_flops_per_token_by_hand() -> None:
    # 10b at 4,096: 6 x (10,756,624,384 - 512,753,664) + 12 x 40 x 4,096 x 4,096
    assert flops_per_token(KORMoConfig(), 4096) == 61_463_224_320 + 8_053_063_680
    assert flops_per_token(SHAPE_1B, 4096) == pytest.approx(7.98e9, rel=1e-3)


def test_tied_head_multiplies_once() -> None:
    untied = KORMoConfig()
    tied = KORMoConfig(tie_word_embeddings=True)
    assert count_parameters(untied) - count_parameters(tied) == 125_184 * 4096
    assert flops_per_token(tied, 4096) == flops_per_token(untied, 4096)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA GB200", 2.5e15),
        ("NVIDIA A10G", None),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("Some Future GPU", None),
    ],
)
def test_peak_of_a_gpu_is_known_or_nothing(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak


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
