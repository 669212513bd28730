"""How a step of pretraining is made: HF's `Trainer`, and what it leaves open filled in.

The loop is HF's (`Trainer._inner_training_loop`). One step of it, in order:

1. fetch (`get_batch_samples`): the micro-batches of the step are read, and their scored labels
   counted over all ranks. Windows are taken in the order of the mixture (`_get_train_sampler`).
2. flatten (`PackedCollator` in windows_data.py): the windows of a micro-batch become one row of
   documents that do not see each other.
3. forward (`compute_loss`): cross-entropy *summed* over the scored labels of the micro-batch.
4. divide (`compute_loss`): by the count of the whole step, not of the micro-batch, so that no loss
   and no gradient depends on how the step is split; then backward adds the gradients up.
5. clip (`_clip_grad_norm`): after the last micro-batch, to `optimizer.max_grad_norm`.
6. guard (`_clip_grad_norm`): loss and norm decide, on the device, whether the update is a spike.
7. step: the fused AdamW applies the update or leaves everything alone; the schedule goes on.

Then the loop logs, evaluates and saves, if it is time to.
"""

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from data_recipes.common.errors import RecipeError

from ..config import StageConfig
from .averaging import RunningAverage
from .checkpoints import WholeCheckpoints, clear_staging
from .metrics import LossCurve, Throughput, append_metrics
from .model_setup import gathered, reduce_in_fp32
from .progress import NonFiniteError, ProgressBar, SpikeGuard, train_until_stopped
from .unfreezing import Unfreezing
from .windows_data import BitsPerByte, FromStep, PackedCollator, WindowDataset

_GUARD = "guard.pt"


def decayed_parameters(model: nn.Module) -> list[str]:
    """Names of matrices and the output head; not norms, embeddings or biases (KORMo's code).

    Nor the rows of turn tokens that an adapter trains: unlike its updates they do not start from 0.
    """
    embeddings = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in [m.weight]}
    return [
        name
        for name, p in model.named_parameters()
        if p.ndim >= 2 and id(p) not in embeddings and "trainable_tokens" not in name
    ]


class PretrainTrainer(WholeCheckpoints, Trainer):
    """`Trainer` with a global-token loss, fused cross-entropy, a spike guard and whole checkpoints.

    Args:
        model: a `KORMoForCausalLM` with fp32 weights.
        args: from `recipes.arguments.training_arguments`.
        config: the stage.
        train_dataset: the windows of the whole run.
        bits_per_byte: the held-out measurement.
        throughput: meter for tokens per second.
        collator: makes the batches.
        unfreezing: what is trained first, if it is not everything.
    """

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        config: StageConfig,
        train_dataset: WindowDataset,
        bits_per_byte: BitsPerByte,
        throughput: Throughput,
        collator: PackedCollator,
        unfreezing: Unfreezing | None = None,
    ) -> None:
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=train_dataset,
            # `evaluate` below measures bits per byte; the base class only asks for its presence.
            eval_dataset=bits_per_byte.windows,
            callbacks=[ProgressBar()],
        )
        self.remove_callback(ProgressCallback)
        self.remove_callback(PrinterCallback)
        # The count of scored labels is passed in, whatever the signature of a wrapped forward says.
        self.model_accepts_loss_kwargs = True
        self.config = config
        self.output_dir = Path(args.output_dir)
        self.curve = LossCurve(self.output_dir, f"{config.size} {config.stage}")
        self.bits_per_byte = bits_per_byte
        self.throughput = throughput
        self.keep_checkpoints = config.logging.keep_checkpoints
        if config.logging.keep_every_tokens:
            every = config.logging.keep_every_tokens // config.batch.tokens_per_step
            self.keep_every = max(1, every)  # 0 would keep none
        self.start_step = 0
        # Of the weights before the first step, if they were drawn; goes into the lineage.
        self.initial_weights: dict[str, str] | None = None
        self.unfreezing = unfreezing
        self.average: RunningAverage | None = None
        if config.logging.average_tokens:
            tokens = config.logging.average_tokens
            self.average = RunningAverage(tokens / config.batch.tokens_per_step)
            self.add_callback(self.average)
        optimizer = config.optimizer
        self.guard = SpikeGuard(optimizer.skip_sigma, optimizer.skip_window, args.device)
        # Sums over the micro-batches of one step, in nats: cross-entropy of the next token, z-loss,
        # and views of multi-token prediction, which have a column of their own and no other effect.
        self._step_sums = torch.zeros(3, dtype=torch.float32, device=args.device)
        # The same over the steps since the last log line, each divided by its own token count.
        self._log_sums = torch.zeros(3, dtype=torch.float64, device=args.device)
        self._log_labels = torch.zeros((), dtype=torch.float64, device=args.device)
        self._log_steps = 0
        # Loss and gradient norm of the last step, on the device.
        self.last_step = torch.zeros(2, device=args.device)
        if self.is_fsdp_enabled:
            reduce_in_fp32(self)
        if config.logging.background_checkpoints:
            self.save_in_background()

    # Data

    def _get_train_sampler(self, train_dataset: WindowDataset | None = None) -> FromStep:
        # Overridden because HF would shuffle, and on resuming read and throw away what was seen.
        start = self.start_step * self.config.batch.windows_per_step
        return FromStep(len(self.train_dataset), start)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        # Overridden to time the wait for data, and to keep the count of scored labels for the log.
        self.throughput.resume()
        before = time.perf_counter()
        result = super().get_batch_samples(*args, **kwargs)
        self.throughput.waiting += time.perf_counter() - before
        self._labels = result[1]
        return result

    # Loss and update

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        # Overridden because HF decays embeddings, and KORMo does not.
        return decayed_parameters(model)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        # Overridden to look at what will be updated: bf16 master weights lose small updates.
        optimizer = super().create_optimizer(model)
        if self.unfreezing:
            self.unfreezing.split_groups(optimizer, model or self.model)
        dtypes = {p.dtype for group in optimizer.param_groups for p in group["params"]}
        if dtypes != {torch.float32}:
            raise RuntimeError(f"master weights must be fp32, the optimizer holds {dtypes}")
        return optimizer

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Summed loss over the scored labels of all ranks and micro-batches of this step.

        The division happens here and not in the model: FSDP2 would cast a count that is passed to
        `forward` to bf16 and round it.
        """
        outputs = model(
            **inputs,
            sum_loss=True,
            z_loss_weight=self.config.optimizer.z_loss_weight,
            use_cache=False,
        )
        loss, z_loss = outputs.loss.float(), outputs.z_loss.float()
        nll, views_loss = loss.detach() - z_loss, torch.zeros_like(z_loss)
        if outputs.views_loss is not None:
            nll, views_loss = outputs.token_nll.sum(), outputs.views_loss.float()
        self._step_sums += torch.stack([nll, z_loss, views_loss])
        # Gradients are averaged over ranks, so the sum over ranks needs their number back.
        return loss * (self.args.world_size / num_items_in_batch.clamp(min=1))

    def _clip_grad_norm(self, model: nn.Module) -> torch.Tensor:
        # Overridden because it is the one place of HF's loop that is passed once a step, after all
        # gradients are there and before the optimizer steps: only here can the step's loss and norm
        # be known and the update still be skipped. `found_inf` is how a gradient scaler tells the
        # fused optimizer to; it needs no answer from the device.
        step = self.state.global_step
        if self.unfreezing:
            self.unfreezing.hold(self.optimizer, step)
            if self.unfreezing.begins(step):  # gradients of other weights have another norm
                self.guard.forget()
        grad_norm = gathered(super()._clip_grad_norm(model))
        sums = self.accelerator.reduce(self._step_sums, reduction="sum")
        losses = sums / self._labels.clamp(min=1)
        self._step_sums.zero_()
        self.guard.check(keep=1)
        skip = self.guard.judge(losses[:2].sum(), grad_norm, step)
        self.optimizer.optimizer.found_inf = skip
        self.last_step = torch.stack([losses[0], grad_norm.to(losses)])
        self._log_sums += losses
        self._log_labels += self._labels
        self._log_steps += 1
        self.throughput.tokens += self.config.batch.tokens_per_step
        return grad_norm

    def nonfinite_report(self, error: NonFiniteError) -> str:
        """What the step that stopped the run had read."""
        per_step = self.config.batch.windows_per_step
        first = error.step * per_step
        mixture = self.train_dataset.mixture
        documents = [mixture.describe(i) for i in range(first, first + per_step)]
        path = self.output_dir / f"nonfinite_step_{error.step + 1}.txt"
        path.write_text("\n".join(documents) + "\n", encoding="utf-8")
        shown = "\n  ".join(documents[:8])
        return (
            f"{error}: the update was not applied and the run stopped. The step had read\n  {shown}"
            f"\n({per_step} windows, all in {path}). Look at these documents. Removing them from "
            "the data, or lowering optimizer.learning_rate, makes another run: give it another "
            "logging.output_dir"
        )

    # Measurements

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Measure held-out bits per byte by language, logged as `bits_per_byte/<language>`.

        By source they are `source_bits/<source>`, by place in a document `position_bits/<language>
        <places>`; those of the running average are `average_bits_per_byte/<language>`.
        """
        self.throughput.pause()
        by_language, by_source, by_place = self._measure()
        metrics = {f"bits_per_byte/{language}": own for language, own in by_language.items()}
        metrics |= {f"source_bits/{source}": own for source, own in by_source.items()}
        metrics |= {f"position_bits/{place}": own for place, own in by_place.items()}
        if self.average and self.average.steps:
            with self.average.in_place(self.model_wrapped):
                averaged = self._measure()[0]
            metrics |= {f"average_bits_per_byte/{code}": own for code, own in averaged.items()}
        self.log(dict(metrics))
        # Clears the request for an evaluation, which would otherwise be answered again.
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        self.throughput.resume()
        return metrics

    def _measure(self) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
        return self.bits_per_byte(
            self.model_wrapped,
            self.args.device,
            self.args.process_index,
            self.args.world_size,
            lambda sums: self.accelerator.reduce(sums, reduction="sum"),
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Complete a line and write it to `metrics.jsonl` and the trackers."""
        if "train_runtime" in logs:
            return
        tokens_per_step = self.config.batch.tokens_per_step
        line: dict[str, Any] = {
            "step": self.state.global_step,
            "tokens": self.state.global_step * tokens_per_step,
        }
        if "loss" in logs:
            nll, z_loss, views_loss = (self._log_sums / self._log_steps).tolist()
            line["loss"] = nll
            if self.config.optimizer.z_loss_weight:
                line["z_loss"] = z_loss
            if self.config.model.views:
                line["views_loss"] = views_loss
            line["grad_norm"] = logs["grad_norm"]
            line["learning_rate"] = logs["learning_rate"]
            labels = self._log_labels.item() / self._log_steps
            line["masked_label_percent"] = 100 * (1 - labels / tokens_per_step)
            line["skipped_updates"] = int(self.guard.skipped)
            line |= self.throughput.drain()
            self._log_sums.zero_()
            self._log_labels.zero_()
            self._log_steps = 0
        else:
            line |= logs
        self.state.log_history.append(line)
        if self.is_world_process_zero():
            append_metrics(self.output_dir, line)
        extra = {k: v for k, v in line.items() if k != "step"}
        self.control = self.callback_handler.on_log(self.args, self.state, self.control, extra)

    # Checkpoints

    def complete_checkpoint(self, staged: Path) -> None:
        if self.args.should_save:
            torch.save(self.guard.state_dict(), staged / _GUARD)
        if self.average:
            self.average.save(staged)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        # Overridden so that a step that was not finite is found before it would be saved.
        self.throughput.pause()
        self.guard.check()
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            self.curve.refresh(self.state.global_step >= self.state.max_steps)
        self.throughput.resume()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        # Overridden to load the guard too, and because HF takes the rate of the first resumed step
        # from the checkpoint: a branch must have its own.
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            path = Path(checkpoint) / _GUARD
            if not path.is_file():  # of a checkpoint without a list of its files
                raise RecipeError(f"{path}: is missing; move {checkpoint} away to go on without")
            self.guard.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            scheduler = self.lr_scheduler
            rates = [
                base * shape(scheduler.last_epoch)
                for base, shape in zip(scheduler.base_lrs, scheduler.lr_lambdas)
            ]
            for group, rate in zip(self.optimizer.param_groups, rates):
                group["lr"] = rate
            scheduler._last_lr = rates

    def run(self, checkpoint: Path | None, start_step: int) -> None:
        """Train to the end.

        Args:
            checkpoint: where to go on from.
            start_step: its step.

        Raises:
            RecipeError: a non-finite step, or a checkpoint that could not be written.
            Stopped: a signal asked for it.
        """
        if self.is_world_process_zero():
            clear_staging(self.output_dir)
            print(
                f"writing to {self.output_dir}; if the run is interrupted, start the same command "
                "again to resume it",
                flush=True,
            )
            if self.args.use_cpu:
                print(f"training on the CPU with {torch.get_num_threads()} threads", flush=True)
        self.accelerator.wait_for_everyone()
        self.start_step = start_step
        if self.average:
            self.average.checkpoint = checkpoint
        # The measurement before the first step is the "before" of the model card.
        self.args.eval_on_start = checkpoint is None and self.args.eval_strategy != "no"
        try:
            train_until_stopped(self, checkpoint)
            self.guard.check()
        except NonFiniteError as error:
            raise RecipeError(self.nonfinite_report(error)) from error
