"""How long the stages of a run are: its budget in tokens, FLOPs, or bytes of text."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from data_recipes.common.errors import RecipeError

from ..config import StageConfig
from .config import BudgetConfig

# Bytes per token are counted over this many: a tenth of a per cent of what they are (our choice).
_COUNTED_TOKENS = 2**20
_DIGITS = 6  # of a share


@cache
def _bytes_per_token(
    shards: Path, tokenizer: Path, weights: tuple[tuple[str, float], ...], length: int, packing: str
) -> float:
    from data_recipes.tokenizer.load import load_tokenizer, token_byte_lengths
    from data_recipes.tokens.mixture import Mixture

    known = load_tokenizer(tokenizer)
    # One order of windows for all seeds, so that they train equally long.
    mixture = Mixture(shards, dict(weights), length, 0, packing, known.pad_token_id)
    sizes = np.array(token_byte_lengths(known))
    windows = [mixture.window(i).tokens for i in range(-(-_COUNTED_TOKENS // length))]
    return float(np.mean([sizes[np.asarray(tokens)].mean() for tokens in windows]))


def bytes_per_token(config: StageConfig, source: str | None = None) -> float:
    """UTF-8 bytes that a token of a stage's mixture stands for on average, padding included.

    Args:
        config: of the stage.
        source: of the mixture, if of one alone.

    Raises:
        RecipeError: the shards are not there: bytes are known of what was tokenised.
    """
    data = config.data
    weights = tuple(data.mixture.items()) if source is None else ((source, 1.0),)
    length = config.batch.sequence_length
    try:
        return _bytes_per_token(data.shards, data.tokenizer, weights, length, data.packing)
    except RecipeError as error:
        what = error if data.shards.is_dir() else f"data.shards {data.shards}: not there"
        raise RecipeError(
            f"{what}; bytes are counted in shards, so make them first: kormo data prepare "
            f"--config {data.recipe}"
        ) from error


def mixture_of(sizes: dict[str, int], config: StageConfig) -> dict[str, float]:
    """Turn bytes of each source into shares of tokens.

    Args:
        sizes: bytes by source.
        config: of the stage, with its shards and tokenizer.
    """
    tokens = {name: size / bytes_per_token(config, name) for name, size in sizes.items()}
    total = sum(tokens.values())
    return {name: round(count / total, _DIGITS) for name, count in tokens.items()}


def cost_of_tokens(budget: BudgetConfig, config: StageConfig) -> float:
    """What a token of a stage costs, in what the budget counts."""
    if budget.tokens is not None:
        return 1.0
    if budget.flops is None:
        return bytes_per_token(config)
    from ..build import trained_shape  # loads torch
    from ..engine.metrics import flops_per_token

    length, views = config.batch.sequence_length, config.model.views
    return flops_per_token(trained_shape(config), length, views)


def stage_lengths(budget: BudgetConfig, limit: float, configs: list[StageConfig]) -> list[int]:
    """Share a budget out to stages in their recipes' proportions, in whole steps.

    Args:
        budget: says what is counted.
        limit: how much of it there is.
        configs: of the stages.

    Returns:
        Tokens of each stage.
    """
    own = [config.schedule.total_tokens for config in configs]
    scale = limit / sum(cost_of_tokens(budget, c) * tokens for c, tokens in zip(configs, own))
    steps = [c.batch.tokens_per_step for c in configs]
    return [int(tokens * scale + 0.5) // step * step for tokens, step in zip(own, steps)]
