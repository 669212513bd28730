"""A suite of small tasks, evaluated every so many tokens while a stage trains."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from copy import deepcopy
from io import StringIO
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from ..shared_config import RunLoggingConfig
from .metrics import Throughput, append_metrics


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """Leaves every random number generator as it was."""
    python, numpy_, torch_ = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_)
        torch.set_rng_state(torch_)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)


@contextmanager
def untouched(model: PreTrainedModel) -> Iterator[None]:
    """Leaves a model in training, and every random number generator, as they were."""
    modes = {module: module.training for module in model.modules()}
    try:
        with torch.no_grad(), same_random_numbers():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class QuickEval(TrainerCallback):
    """Evaluates a suite and writes `<suite>/<task>` to `metrics.jsonl`.

    Every process asks every question, in step with the others, since a sharded model talks in each
    forward pass; the first one writes. That costs each process the time of one, so keep `items`
    small.

    Args:
        logging: names the suite (of which `proxy` needs no chat template), the items per task and
            the run's directory.
        tokenizer: of the model.
        every_steps: optimizer steps between evaluations.
        tokens_per_step: for the log; `None` where steps differ.
        throughput: its clock is stopped meanwhile.
    """

    def __init__(
        self,
        logging: RunLoggingConfig,
        tokenizer: PreTrainedTokenizerBase,
        every_steps: int,
        tokens_per_step: int | None,
        throughput: Throughput,
    ) -> None:
        # Here: lm-eval takes seconds to import, which a stage without it does not spend.
        from eval.measure import quiet_libraries
        from eval.plan import make_plan

        quiet_libraries()
        with same_random_numbers():
            self.plan = make_plan([logging.quick_eval_suite], [])
        # lm-eval changes its tokenizer's settings.
        self.tokenizer = deepcopy(tokenizer)
        self.suite, self.items = logging.quick_eval_suite, logging.quick_eval_items
        self.output_dir, self.throughput = logging.output_dir, throughput
        self.every_steps, self.tokens_per_step = every_steps, tokens_per_step

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel,
        **_: Any,
    ) -> None:
        """Ask one question of each task, so that what cannot be evaluated is known at the start.

        Raises:
            RecipeError: the tokenizer has no chat template or no `</think>`, or a prompt and its
                answer are longer than the model's context.
        """
        with untouched(model), redirect_stderr(StringIO()):
            self.measure(model, items=1)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: PreTrainedModel,
        **_: Any,
    ) -> None:
        if state.global_step % self.every_steps:
            return
        self.throughput.pause()
        # lm-eval's bars would run through that of the training.
        with untouched(model), redirect_stderr(StringIO()):
            scores = self.measure(model, self.items)
        if state.is_world_process_zero:
            line = {"step": state.global_step}
            if self.tokens_per_step is not None:
                line["tokens"] = state.global_step * self.tokens_per_step
            append_metrics(self.output_dir, line | scores)
            values = "  ".join(f"{name} {value:.3f}" for name, value in scores.items())
            tqdm.write(f"step {state.global_step}: {values}", sys.stderr)
        self.throughput.resume()

    def _wrap(self, model: PreTrainedModel) -> Any:
        from eval.backend import KORMoLM
        from eval.model import rows_in_memory

        rows = rows_in_memory(model.config.vocab_size)
        return KORMoLM(pretrained=model, tokenizer=self.tokenizer, batch_size=rows)

    def measure(self, model: PreTrainedModel, items: int) -> dict[str, float]:
        """Scores on the first `items` questions, by `<suite>/<task>`.

        A thinking model's are `quick/<task>-think`; beside bits per byte stand their floors,
        `proxy/<task> floor`.
        """
        from eval.measure import floor_of, run_unit, score_row

        lm, tasks = self._wrap(model), self.plan.tasks
        saved = {
            unit.key: run_unit(lm, tasks[unit.task], unit, items)[0] for unit in self.plan.units
        }
        scores = {}
        for row in self.plan.rows:
            name = f"{self.suite}/{row.task}{'-think' if row.units[0].think else ''}"
            scores[name] = score_row(row, self.plan, saved).value
            floor = floor_of(row, saved)
            if floor is not None:
                scores[f"{name} floor"] = floor
        return scores
