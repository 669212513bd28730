"""A small random model, and packed batches for it."""

from collections.abc import Callable, Iterator

import pytest
import torch

from modeling_kormo import KORMoConfig, KORMoForCausalLM


@pytest.fixture
def tiny_config() -> KORMoConfig:
    return KORMoConfig(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.2,  # large enough that attention matters to the logits
    )


@pytest.fixture
def inductor() -> Iterator[None]:
    """Compile in this process: for a kernel or two, workers cost more than they do."""
    from torch._inductor import config

    with config.patch(compile_threads=1):
        yield


@pytest.fixture
def build(tiny_config: KORMoConfig) -> Callable[..., KORMoForCausalLM]:
    def make(attention: str = "eager", **changes: object) -> KORMoForCausalLM:
        torch.manual_seed(0)
        config = KORMoConfig(**{**tiny_config.to_dict(), **changes})
        return KORMoForCausalLM._from_config(config, attn_implementation=attention).eval()

    return make
