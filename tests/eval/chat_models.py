"""A random chat model, and how the suite `quick` is run on it."""

from pathlib import Path

import torch

from data_recipes.tokenizer import train_tokenizer
from modeling_kormo import KORMoConfig, KORMoForCausalLM

TEXT = ["사과 세 개와 배 네 개를 더하면 모두 몇 개입니까? 정답은 일곱 개입니다."] * 8
TEXT += ["Three apples and four pears are how many in all? The answer is seven."] * 8
LIMIT = 2


def save_model(directory: Path, seed: int) -> Path:
    """A random model with the tokenizer and chat template of a trained one."""
    tokenizer = train_tokenizer(TEXT, 270)
    torch.manual_seed(seed)
    ids = {k: getattr(tokenizer, k) for k in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = KORMoConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        **ids,
    )
    KORMoForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def quick(model: Path, out: Path) -> list[str]:
    """Arguments of `python -m eval`."""
    return [f"--model={model}", "--suite=quick", f"--out={out}", f"--limit={LIMIT}"]
