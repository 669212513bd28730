"""A KORMo model of random weights, small enough to make in a test."""

import torch
from transformers import PreTrainedTokenizerBase

from modeling_kormo import KORMoConfig, KORMoForCausalLM


def random_model(
    tokenizer: PreTrainedTokenizerBase,
    vocab_size: int,
    *,
    seed: int = 0,
    layers: int = 1,
    **more: int,
) -> KORMoForCausalLM:
    """The model, with a tokenizer's special tokens.

    Args:
        tokenizer: of the model.
        vocab_size: rows of the embedding, at least the tokenizer's.
        seed: of the weights.
        layers: how many.
        **more: of the config, in place of its defaults.
    """
    torch.manual_seed(seed)
    config = KORMoConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **more,
    )
    return KORMoForCausalLM(config)
