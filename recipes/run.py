"""What the pretraining stages share: start, resume, trainer, and the end."""

import fcntl
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch
from accelerate import PartialState
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from data_recipes.common.errors import RecipeError
from data_recipes.tokens.mixture import Mixture, format_plan

from .build import think_ids
from .config import StageConfig
from .engine.bits_per_byte import BitsPerByte
from .engine.checkpoints import check_fingerprint, checkpoint_step, find_newest, record_fingerprint
from .engine.flops import count_parameters, flops_per_token, peak_flops
from .engine.handover import BASE_USAGE, FINAL, Trained, read_lineage, save_kormo, write_final
from .engine.metrics import CURVE, Throughput
from .engine.quick_eval import add_quick_eval
from .engine.schedule import Steps
from .engine.trainer import PretrainTrainer
from .engine.windows_data import PackedCollator, WindowDataset

_lock: IO[str] | None = None


def claim_output(output_dir: Path) -> None:
    """Make sure that the run can write where it should, alone, and has not ended there already.

    Raises:
        RecipeError: output that is finished, cannot be written, or is another run's.
    """
    if (output_dir / FINAL).is_dir():
        raise RecipeError(
            f"{output_dir / FINAL}: this run is already finished. Use it, delete {output_dir} to "
            "train again, or choose another logging.output_dir"
        )
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output_dir):
            pass
        if PartialState().is_main_process:
            # Held until the process ends, however it ends; a module global keeps it open.
            global _lock
            _lock = (output_dir / ".lock").open("w")
            fcntl.flock(_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RecipeError(
            f"logging.output_dir {output_dir}: another run is writing there; wait for it, stop it, "
            "or choose another directory"
        ) from error
    except OSError as error:
        raise RecipeError(
            f"logging.output_dir {output_dir}: cannot be written to ({error.strerror}); choose "
            "another directory or free space"
        ) from error


def run_fingerprint(config: StageConfig, mixture: Mixture) -> dict[str, dict[str, Any]]:
    """What must not change between a run and its resumption, by section."""
    parent = config.model.init_from
    lineage = read_lineage(parent) if parent else None
    return {
        "data": {
            "fingerprint": mixture.fingerprint,
            "packing": config.data.packing,
            "document_masking": config.data.document_masking,
        },
        "model": {
            **config.model.shape.model_dump(),
            **({"rope_theta": config.model.rope_theta} if config.model.rope_theta else {}),
            "init_from": parent,
            "init_weights": lineage["weights_sha256"] if lineage else None,
        },
        "batch": {"tokens_per_step": config.batch.tokens_per_step},
        "schedule": config.schedule.model_dump(mode="json"),
        "optimizer": config.optimizer.model_dump(mode="json"),
    }


def find_checkpoint(config: StageConfig, mixture: Mixture, steps: Steps) -> tuple[Path | None, int]:
    """Checkpoint to go on from and its step: the newest of this run, or the branching point.

    Raises:
        RecipeError: the run was started with other settings or data, or the branching point lies
            beyond the end of this run.
    """
    output_dir, branch = config.logging.output_dir, config.schedule.branch_from
    fingerprint = run_fingerprint(config, mixture)
    newest, step = find_newest(output_dir, fingerprint, steps.total)
    if newest:
        return newest, step
    first = PartialState().is_main_process
    if branch is None:
        if first:
            record_fingerprint(output_dir, fingerprint)
        return None, 0
    check_fingerprint(branch.parent, fingerprint, ignore=("schedule",))
    step = checkpoint_step(branch)
    if step >= steps.total:
        raise RecipeError(
            f"schedule.branch_from {branch} is at step {step:,}, this run ends at {steps.total:,}: "
            "raise schedule.total_tokens"
        )
    if first:
        record_fingerprint(output_dir, fingerprint)
        print(f"branching from {branch} (step {step:,} of {steps.total:,})", flush=True)
    return branch, step


def build_trainer(
    config: StageConfig,
    args: TrainingArguments,
    steps: Steps,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    mixture: Mixture,
) -> PretrainTrainer:
    """Put data, measurements and model into the trainer."""
    batch = config.batch
    device_peak = None
    if torch.cuda.is_available():
        device_peak = peak_flops(torch.cuda.get_device_name())
    # In raw text, what opens the reasoning is not learned: SFT teaches it as the trigger (KORMo,
    # section 4).
    reasoning = config.stage == "midtrain_reasoning"
    unscored = think_ids(tokenizer)[:1] if reasoning else ()
    collator = PackedCollator(config.data.document_masking, unscored)
    trainer = PretrainTrainer(
        model=model,
        args=args,
        config=config,
        train_dataset=WindowDataset(mixture, steps.total * batch.windows_per_step),
        bits_per_byte=BitsPerByte(
            config.data.shards,
            config.data.heldout or list(config.data.mixture),
            batch.sequence_length,
            config.data.heldout_tokens,
            tokenizer,
            collator,
        ),
        throughput=Throughput(
            flops_per_token(model.config, batch.sequence_length),
            device_peak * args.world_size if device_peak else None,
        ),
        collator=collator,
    )
    add_quick_eval(trainer, config, tokenizer)
    return trainer


def train(trainer: PretrainTrainer, config: StageConfig, mixture: Mixture, steps: Steps) -> None:
    """Train from the start or from where the last attempt was stopped."""
    checkpoint, step = find_checkpoint(config, mixture, steps)
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        print(
            f"writing to {config.logging.output_dir}; if the run is interrupted, start the same "
            "command again to resume it",
            flush=True,
        )
    # The measurement before the first step is the "before" of the model card.
    trainer.args.eval_on_start = checkpoint is None
    trainer.run(checkpoint, step)


def export(
    trainer: PretrainTrainer,
    config: StageConfig,
    tokenizer: PreTrainedTokenizerBase,
    mixture: Mixture,
    steps: Steps,
) -> None:
    """Gather the trained weights and write `final/`; say where everything is."""
    state_dict = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
        rows = mixture.plan(steps.total * config.batch.windows_per_step)
        trained = Trained(
            parent=config.model.init_from,
            parameters=count_parameters(model.config),
            tokens=steps.total * config.batch.tokens_per_step,
            data_fingerprint=mixture.fingerprint,
            tokenizer_sha256=mixture.tokenizer_sha256,
            languages=sorted({r.language for r in rows}),
            licences=sorted({r.licence for r in rows}),
            table=format_plan(rows, config.batch.sequence_length),
            usage=BASE_USAGE,
        )
        save = partial(save_kormo, model.config, model.generation_config, state_dict)
        final = write_final(config, config.logging.output_dir, save, tokenizer, trained)
        print(f"model       {final}")
        print(f"loss curve  {config.logging.output_dir / CURVE}", flush=True)
    trainer.accelerator.wait_for_everyone()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        torch.distributed.destroy_process_group()
