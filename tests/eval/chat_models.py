"""A random chat model, and how the suite `quick` is run on it."""

from pathlib import Path

from data_recipes.tokenizer.train import train_tokenizer
from tests.random_model import random_model

TEXT = ["사과 세 개와 배 네 개를 더하면 모두 몇 개입니까? 정답은 일곱 개입니다."] * 8
TEXT += ["Three apples and four pears are how many in all? The answer is seven."] * 8
LIMIT = 2


def save_model(directory: Path, seed: int) -> Path:
    """A random model with the tokenizer and chat template of a trained one."""
    tokenizer = train_tokenizer(TEXT, 270)
    random_model(tokenizer, 320, seed=seed).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def quick(model: Path, out: Path) -> list[str]:
    """Arguments of `python -m eval`."""
    return [f"--model={model}", "--suite=quick", f"--out={out}", f"--limit={LIMIT}"]
