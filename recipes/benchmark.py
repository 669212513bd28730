"""What `scripts/benchmark_training.py` measures: our engine, and a plain `Trainer` as its peer.

One call of `measure` is one training run in its own process. Tokens are made up, so that nothing
has to be prepared; both sides read the same ones.
"""

import hashlib
import resource
import statistics
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from data_recipes.common.config_files import Strict
from data_recipes.common.files import sha256_file, write_json_atomically
from data_recipes.tokens.manifest import MANIFEST, Manifest, ShardFile
from data_recipes.tokens.mixture import Mixture

from .arguments import training_arguments
from .build import build_model, model_config
from .config import StageConfig
from .engine.flops import flops_per_token
from .engine.metrics import Throughput
from .engine.schedule import plan_steps, split_windows
from .engine.trainer import PretrainTrainer
from .engine.windows_data import PackedCollator, WindowDataset

PEER = "llama + Trainer"
SOURCE = "synthetic"
MEDIAN_DOCUMENT = 600  # tokens
OUT_OF_MEMORY = "out of memory"
_SHARD = "00000_synthetic.ds"


class Request(Strict):
    """One run, as the benchmark hands it to a fresh process.

    Attributes:
        name: `PEER`, or anything else for our engine.
        config: the stage, with `write_tokens`' directory as `data.shards`.
        warmup: optimizer steps before the clock starts, at least one.
        steps: optimizer steps that are measured.
    """

    name: str
    config: StageConfig
    warmup: int
    steps: int


def write_tokens(shards: Path, tokens: int, vocab_size: int) -> None:
    """Write a source of random token ids, in the format of prepared shards.

    Ids are uniform: the cost of a step does not depend on what they are. Document lengths are
    log-normal like those of web text (sigma 1), because they decide what document masking saves.

    Args:
        shards: directory that `data.shards` will name.
        tokens: number of tokens.
        vocab_size: ids are below it.
    """
    directory = shards / SOURCE / "train"
    directory.mkdir(parents=True)
    rng = np.random.default_rng(0)
    dtype = "<u2" if vocab_size <= 2**16 else "<u4"
    rng.integers(vocab_size, size=tokens).astype(dtype).tofile(directory / _SHARD)
    lengths = rng.lognormal(np.log(MEDIAN_DOCUMENT), 1.0, size=2 + tokens // MEDIAN_DOCUMENT)
    ends = np.cumsum(np.maximum(2, lengths.astype(np.int64)))
    ends = np.append(ends[ends < tokens], tokens)
    ends.astype("<u8").tofile(directory / f"{_SHARD}.index")
    shard = ShardFile(
        path=_SHARD,
        tokens=tokens,
        documents=len(ends),
        sha256=sha256_file(directory / _SHARD),
        index_sha256=sha256_file(directory / f"{_SHARD}.index"),
    )
    manifest = Manifest(
        name=SOURCE,
        split="train",
        tokenizer_sha256=hashlib.sha256(b"no tokenizer").hexdigest(),
        dtype=dtype,
        documents=shard.documents,
        tokens=tokens,
        language="none",
        licence="none",
        source="random numbers",
        synthesizer="numpy",
        pipeline={},
        files=[shard],
    )
    write_json_atomically(directory / MANIFEST, manifest.model_dump())


class MeasuredBlock(TrainerCallback):
    """Times a block of steps, waiting for the device at its two ends only.

    Attributes:
        seconds: wall time of the block, once it has been passed.
    """

    def __init__(self, warmup: int, steps: int) -> None:
        self.first, self.last = warmup, warmup + steps
        self.seconds: float | None = None
        self._start = 0.0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step not in (self.first, self.last):
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if state.global_step == self.first:
            if torch.cuda.is_available():
                torch.cuda.reset_peak_memory_stats()
            self._start = time.perf_counter()
        else:
            self.seconds = time.perf_counter() - self._start


def _train_ours(config: StageConfig, block: MeasuredBlock) -> None:
    """What `recipes/stage1.py` runs, less evaluation, checkpoints and log lines."""
    steps = plan_steps(config)
    args = training_arguments(config, steps)
    args.eval_strategy = args.logging_strategy = IntervalStrategy.NO
    args.save_strategy = SaveStrategy.NO
    batch = config.batch
    mixture = Mixture(
        config.data.shards, config.data.mixture, batch.sequence_length, config.data.seed
    )
    no_tokenizer = SimpleNamespace(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    model = build_model(config, no_tokenizer)
    trainer = PretrainTrainer(
        model=model,
        args=args,
        config=config,
        train_dataset=WindowDataset(mixture, steps.total * batch.windows_per_step),
        bits_per_byte=SimpleNamespace(windows=[]),  # never asked for: evaluation is off
        throughput=Throughput(flops_per_token(model.config, batch.sequence_length), None),
        collator=PackedCollator(config.data.document_masking),
    )
    trainer.add_callback(block)
    trainer.run(checkpoint=None, start_step=0)


def _chunks(config: StageConfig, windows: int) -> list[dict[str, torch.Tensor]]:
    """The stream cut into rows, documents running on: what `run_clm.py` calls `group_texts`.

    They lie in memory, which is faster than what a user would read them from.
    """
    directory = config.data.shards / SOURCE / "train"
    manifest = Manifest.model_validate_json((directory / MANIFEST).read_text(encoding="utf-8"))
    length = config.batch.sequence_length
    stream = np.fromfile(directory / _SHARD, dtype=manifest.dtype, count=windows * length)
    rows = torch.from_numpy(stream.astype(np.int64)).view(windows, length)
    return [{"input_ids": row, "labels": row} for row in rows]


def _train_peer(config: StageConfig, block: MeasuredBlock) -> None:
    """The same shape, batch, optimizer and precision with what transformers itself offers."""
    steps = plan_steps(config)
    split = split_windows(config, ranks=1)
    optimizer = config.optimizer
    args = TrainingArguments(
        output_dir=str(config.logging.output_dir),
        use_cpu=not torch.cuda.is_available(),
        bf16=config.parallelism.precision == "bf16",
        per_device_train_batch_size=split.micro_batch,
        gradient_accumulation_steps=split.accumulation,
        max_steps=steps.total,
        learning_rate=optimizer.learning_rate,
        optim="adamw_torch_fused",
        adam_beta1=optimizer.beta1,
        adam_beta2=optimizer.beta2,
        adam_epsilon=optimizer.epsilon,
        weight_decay=optimizer.weight_decay,
        max_grad_norm=optimizer.max_grad_norm,
        gradient_checkpointing=bool(config.model.activation_checkpointing),
        torch_compile=config.model.compile,
        use_liger_kernel=config.model.liger,
        dataloader_num_workers=config.data.workers,
        dataloader_pin_memory=torch.cuda.is_available(),
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        seed=config.data.seed,
        disable_tqdm=True,
    )
    ours = model_config(config, tokenizer=None)
    shape = LlamaConfig(
        **config.model.shape.model_dump(),
        max_position_embeddings=ours.max_position_embeddings,
        rms_norm_eps=ours.rms_norm_eps,
        rope_parameters=ours.rope_parameters,
    )
    model = LlamaForCausalLM._from_config(shape, attn_implementation="sdpa", dtype=torch.float32)
    rows = _chunks(config, steps.total * config.batch.windows_per_step)
    trainer = Trainer(model=model, args=args, train_dataset=rows, callbacks=[block])
    trainer.train()


def _is_out_of_memory(error: Exception) -> bool:
    allocator = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return allocator or "can't allocate memory" in str(error)


def measure(request: Request) -> dict[str, Any]:
    """Train and measure; for a fresh process, because memory and compilation leave traces.

    Returns:
        `seconds` of the measured steps, their `tokens` and `tokens_per_second`, `peak_bytes` (on a
        GPU what tensors held during these steps, on CPU the largest resident set of the process),
        `gpu`, its name or `None`, and the CPU `threads`. If memory does not suffice, only `error`.
    """
    config = request.config
    block = MeasuredBlock(request.warmup, request.steps)
    try:
        (_train_peer if request.name == PEER else _train_ours)(config, block)
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        return {"error": OUT_OF_MEMORY}
    tokens = request.steps * config.batch.tokens_per_step
    gpu = torch.cuda.is_available()
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in KiB
    return {
        "tokens": tokens,
        "seconds": block.seconds,
        "tokens_per_second": tokens / block.seconds,
        "peak_bytes": torch.cuda.max_memory_allocated() if gpu else resident,
        "gpu": torch.cuda.get_device_name() if gpu else None,
        "threads": torch.get_num_threads(),
    }


def summarise(
    runs: list[dict[str, Any]], flops: float, peak: float | None
) -> dict[str, dict[str, Any]]:
    """Figures per name, from all rounds.

    Args:
        runs: results of `measure`, each with its `name` and `round`.
        flops: training FLOPs per token; both sides are credited with attention over the whole
            window, although document masking lets ours leave some of it out.
        peak: of the device in FLOP/s; `None` leaves the MFU out.

    Returns:
        By name: `tokens_per_second` (median, min, max), `mfu_percent` of the median, the largest
        `peak_bytes`, and `ratio_to_peer`: our rate over the peer's of the same round, and the
        median of these. A name that ran out of memory has only `error`.
    """
    peer = {r["round"]: r for r in runs if r["name"] == PEER and "error" not in r}
    summary: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(r["name"] for r in runs):
        own = [r for r in runs if r["name"] == name]
        if any("error" in r for r in own):
            summary[name] = {"error": OUT_OF_MEMORY}
            continue
        rates = [r["tokens_per_second"] for r in own]
        median = statistics.median(rates)
        ratios = [
            r["tokens_per_second"] / peer[r["round"]]["tokens_per_second"]
            for r in own
            if name != PEER and r["round"] in peer
        ]
        summary[name] = {
            "tokens_per_second": {"median": median, "min": min(rates), "max": max(rates)},
            "mfu_percent": 100 * median * flops / peak if peak else None,
            "peak_bytes": max(r["peak_bytes"] for r in own),
            "ratio_to_peer": {"rounds": ratios, "median": statistics.median(ratios)}
            if ratios
            else None,
        }
    return summary
