"""Loss of each document of some training windows, with the weights nearest to their step."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path

import torch

from ..build import build_collator
from ..opened_run import OpenedRun
from .checkpoint_weights import load_weights, nearest_weights


@torch.no_grad()
def document_losses(
    run: OpenedRun, windows: Iterable[int]
) -> tuple[dict[int, list[tuple[float, int]]], Path]:
    """Measure documents as training scores them.

    Args:
        run: that read them.
        windows: of one step.

    Returns:
        By window, mean cross-entropy in nats and number of scored tokens of each document in it;
        and the directory whose weights were taken.

    Raises:
        RecipeError: no weights, or damaged ones.
    """
    step = run.step_of(next(iter(windows)))
    directory = nearest_weights(run, step)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_weights(run, directory, step).to(device)
    rules = import_module(f"recipes.{run.config.stage}").RULES
    collator = build_collator(run.config, rules, run.tokenizer)
    losses = {}
    for index in windows:
        window = run.mixture.window(index)
        batch = {
            key: value.to(device) if isinstance(value, torch.Tensor) else value
            for key, value in collator([window]).items()
        }
        nll = model(**batch, sum_loss=True, use_cache=False).token_nll[0].double()
        scored = batch["labels"][0] >= 0
        own, begin = [], 0
        for end in window.document_ends.tolist()[: len(window.starts)]:
            count = int(scored[begin:end].sum())
            own.append((float(nll[begin:end].sum()) / max(1, count), count))
            begin = end
        losses[index] = own
    return losses, directory
