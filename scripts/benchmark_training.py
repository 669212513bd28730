"""Training speed and memory on one device, beside transformers' Llama with a plain `Trainer`.

    python scripts/benchmark_training.py                                    # tiny, on a laptop
    python scripts/benchmark_training.py --config 10b/stage1.yaml --attention varlen,sdpa \\
        model.shape.num_hidden_layers=8

Shape, batch and switches are the config's, with what is given in place of it. Tokens are random
numbers in documents of log-normal length, so no data has to be prepared; both sides read the same
ones. The peer packs by concatenating and chunking, has no document mask and uses SDPA; compilation
and Liger's kernels apply to it as well. Each run is a process of its own; sides take turns.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
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
from transformers.utils import is_liger_kernel_available

from data_recipes.common.config_files import (
    add_overrides,
    documented_parser,
    find_config,
    load_config,
    positive,
    refuse_options,
)
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import git_commit, processor, sha256_file, write_json_atomically
from data_recipes.common.terminal import align
from data_recipes.tokens.mixture import Mixture
from data_recipes.tokens.shards import MANIFEST, Manifest, ShardFile
from recipes.arguments import shared_arguments, training_arguments
from recipes.build import build_model, model_config
from recipes.command_line import CONFIGS, exit_on_error
from recipes.config import StageConfig
from recipes.engine.metrics import Throughput, count_parameters, flops_per_token, peak_flops
from recipes.engine.model_setup import recompute_layers
from recipes.engine.trainer import PretrainTrainer
from recipes.engine.windows_data import PackedCollator, WindowDataset
from recipes.pretrain import plan_steps, split_windows

PEER = "llama + Trainer"
SOURCE = "synthetic"
MEDIAN_DOCUMENT = 600  # tokens
OUT_OF_MEMORY = "out of memory"
GIB = 2**30
_SHARD = "00000_synthetic.ds"


@dataclass(frozen=True)
class BenchmarkRun:
    """One run, as it is handed to a fresh process.

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


def parse_command_line(argv: list[str] | None = None) -> argparse.Namespace:
    parser = documented_parser(__doc__)
    cuda = torch.cuda.is_available()
    add = parser.add_argument
    add("--config", default="tiny/stage1.yaml", help="as for a stage (default: %(default)s)")
    add("--accumulation", type=positive, help="forward passes per step (default: the config's)")
    add("--attention", help="backends of ours, separated by commas (default: the config's)")
    add("--steps", type=positive, default=8, help="measured steps of a run (default: %(default)s)")
    add("--warmup", type=positive, default=3, help="steps before them (default: %(default)s)")
    add("--rounds", type=positive, default=3, help="runs of each kind (default: %(default)s)")
    add("--device", choices=("cuda", "cpu"), default="cuda" if cuda else "cpu")
    add("--no-peer", action="store_true", help="measure ours alone")
    add("--out", type=Path, default=Path("runs/benchmark_training.json"), help="%(default)s")
    add_overrides(parser, "model.compile=false")
    args, unknown = parser.parse_known_intermixed_args(argv)
    refuse_options(StageConfig, unknown, argv)
    return args


def resolve(args: argparse.Namespace, work: Path) -> list[BenchmarkRun]:
    """The runs of one round: each attention backend, then the peer.

    Raises:
        RecipeError: a bad config or attention name, or what the device cannot do.
    """
    path = find_config(args.config, CONFIGS)
    base = load_config(path, StageConfig, args.overrides)
    # A config deals its step out over many GPUs; here one device does the share of one of them.
    split = split_windows(base, base.parallelism.gpus)
    windows = split.micro_batch * (args.accumulation or split.accumulation)
    step = windows * base.batch.sequence_length
    own = {
        "model.init_from": None,
        "data.shards": str(work / "shards"),
        "data.mixture": {SOURCE: 1.0},
        "data.packing": "concat",
        "batch.micro_batch": split.micro_batch,
        "batch.tokens_per_step": step,
        "schedule.total_tokens": step * (args.warmup + args.steps),
        "schedule.decay_tokens": 0,
        "schedule.branch_from": None,
        "parallelism.require_gpu": False,
        "logging.output_dir": str(work / "output"),
    }
    requests = []
    for attention in dict.fromkeys((args.attention or base.model.attention).split(",")):
        values = own | {"model.attention": attention.strip()}
        given = [*args.overrides, *(f"{k}={json.dumps(v)}" for k, v in values.items())]
        config = load_config(path, StageConfig, given)
        check_device(config, args.device)
        name = f"kormo {config.model.attention}"
        requests.append(BenchmarkRun(name, config, args.warmup, args.steps))
    if not args.no_peer:
        requests.append(replace(requests[0], name=PEER))
    return requests


def check_device(config: StageConfig, device: str) -> None:
    """Say before the first run what would fail, or measure something else, in it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError("this measures one device: start it with plain `python`")
    if device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("--device cuda: torch sees no CUDA GPU; use --device cpu")
    if config.model.liger and device == "cpu":
        raise RecipeError("model.liger: Liger's kernels need a CUDA GPU; set model.liger=false")
    if config.model.liger and not is_liger_kernel_available():
        raise RecipeError("model.liger: not installed; pip install 'kormo-recipes[gpu]'")
    fp32 = config.parallelism.precision == "fp32"
    if device == "cuda" and config.model.attention == "varlen" and fp32:
        raise RecipeError(
            "model.attention varlen on a GPU needs parallelism.precision=bf16: its kernel has no "
            "fp32, and the fallback calls SDPA once per document"
        )


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
    hashes = [sha256_file(directory / f"{_SHARD}{end}") for end in ("", ".index")]
    count = {"tokens": tokens, "documents": len(ends)}
    shard = ShardFile(path=_SHARD, sha256=hashes[0], index_sha256=hashes[1], **count)
    manifest = Manifest(
        name=SOURCE, split="train", tokenizer_sha256=hashlib.sha256(b"no tokenizer").hexdigest(),
        dtype=dtype, language="none", licence="none", source="random numbers", synthesizer="numpy",
        pipeline={}, files=[shard], **count,
    )  # fmt: skip
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


def _silence(args: TrainingArguments) -> TrainingArguments:
    """Leave evaluation, checkpoints and log lines out of what is measured."""
    args.eval_strategy = args.logging_strategy = IntervalStrategy.NO
    args.save_strategy = SaveStrategy.NO
    return args


def _train_ours(config: StageConfig, block: MeasuredBlock) -> None:
    """Train as `recipes/stage1.py` does."""
    steps = plan_steps(config)
    batch = config.batch
    mixture = Mixture(
        config.data.shards, config.data.mixture, batch.sequence_length, config.data.seed
    )
    no_tokenizer = SimpleNamespace(bos_token_id=None, eos_token_id=None, pad_token_id=None)
    model = build_model(config, no_tokenizer)
    trainer = PretrainTrainer(
        model=model,
        args=_silence(training_arguments(config, steps)),
        config=config,
        train_dataset=WindowDataset(mixture, steps.total * batch.windows_per_step),
        bits_per_byte=SimpleNamespace(windows=[]),  # never asked for: evaluation is off
        throughput=Throughput(flops_per_token(model.config, batch.sequence_length), None),
        collator=PackedCollator(config.data.document_masking),
    )
    trainer.add_callback(block)
    trainer.run(checkpoint=None, start_step=0)


def _chunks(config: StageConfig, windows: int) -> list[dict[str, torch.Tensor]]:
    """Cut the stream into rows, documents running on: what `run_clm.py` calls `group_texts`.

    They lie in memory, which is faster than what a user would read them from.
    """
    directory = config.data.shards / SOURCE / "train"
    manifest = Manifest.model_validate_json((directory / MANIFEST).read_text(encoding="utf-8"))
    length = config.batch.sequence_length
    stream = np.fromfile(directory / _SHARD, dtype=manifest.dtype, count=windows * length)
    rows = torch.from_numpy(stream.astype(np.int64)).view(windows, length)
    return [{"input_ids": row, "labels": row} for row in rows]


def _train_peer(config: StageConfig, block: MeasuredBlock) -> None:
    """Train the same shape, batch, optimizer and precision with what transformers itself offers."""
    steps = plan_steps(config)
    args = TrainingArguments(
        **shared_arguments(config, split_windows(config, ranks=1), 1, config.data.seed),
        max_steps=steps.total,
        torch_compile=config.model.compile,
        use_liger_kernel=config.model.liger,
        dataloader_num_workers=config.data.workers,
    )
    ours = model_config(config, tokenizer=None)
    shape = LlamaConfig(
        **config.model.shape.model_dump(),
        max_position_embeddings=ours.max_position_embeddings,
        rms_norm_eps=ours.rms_norm_eps,
        rope_parameters=ours.rope_parameters,
    )
    model = LlamaForCausalLM._from_config(shape, attn_implementation="sdpa", dtype=torch.float32)
    if every := config.model.activation_checkpointing:
        recompute_layers(model, every, selective=False)
    rows = _chunks(config, steps.total * config.batch.windows_per_step)
    trainer = Trainer(model=model, args=_silence(args), train_dataset=rows, callbacks=[block])
    trainer.train()


def _is_out_of_memory(error: Exception) -> bool:
    allocator = isinstance(error, torch.OutOfMemoryError | MemoryError)
    return allocator or "can't allocate memory" in str(error)


def measure(request: BenchmarkRun) -> dict[str, Any]:
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


def _begin(gpu: str) -> None:
    """Settle what a fresh process sees, and keep its progress off the terminal."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1), os.dup2(nowhere, 2)


def run_alone(request: BenchmarkRun, device: str) -> dict[str, Any]:
    """`measure` in a fresh process that sees one GPU, or none.

    Raises:
        RecipeError: it failed, other than for want of memory.
    """
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] if device == "cuda" else ""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_begin, initargs=(gpu,)) as pool:
        try:
            return pool.submit(measure, request).result()
        except BrokenProcessPool:  # how the kernel ends a process that takes too much memory
            return {"error": OUT_OF_MEMORY}
        except Exception as error:
            raise RecipeError(f"{request.name}: the run failed\n  {error!r}") from error


def run_rounds(requests: list[BenchmarkRun], rounds: int, device: str) -> list[dict[str, Any]]:
    """Do all runs. Every second round goes backwards, so that none always comes first."""
    runs: list[dict[str, Any]] = []
    failed: set[str] = set()
    for number in range(rounds):
        for request in requests[:: -1 if number % 2 else 1]:
            if request.name in failed:
                continue  # it would not fit the next time either
            run = {"round": number, "name": request.name} | run_alone(request, device)
            runs.append(run)
            if "error" in run:
                failed.add(request.name)
            shown = run.get("error") or f"{run['tokens_per_second']:,.0f} tokens/s"
            print(f"round {number + 1}/{rounds}  {request.name}: {shown}", file=sys.stderr)
    return runs


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
    rates: dict[str, dict[int, float]] = defaultdict(dict)
    for run in runs:
        rates[run["name"]][run["round"]] = run.get("tokens_per_second", 0.0)
    summary: dict[str, dict[str, Any]] = {}
    for name, own in rates.items():
        if not all(own.values()):
            summary[name] = {"error": OUT_OF_MEMORY}
            continue
        median = statistics.median(own.values())
        peers = rates[PEER] if name != PEER and PEER in rates else {}
        ratios = [rate / peers[n] for n, rate in own.items() if peers.get(n)]
        summary[name] = {
            "tokens_per_second": {
                "median": median, "min": min(own.values()), "max": max(own.values())
            },
            "mfu_percent": 100 * median * flops / peak if peak else None,
            "peak_bytes": max(r["peak_bytes"] for r in runs if r["name"] == name),
            "ratio_to_peer": {"rounds": ratios, "median": statistics.median(ratios)}
            if ratios
            else None,
        }  # fmt: skip
    return summary


def report(args: argparse.Namespace, config: StageConfig, runs: list[dict]) -> dict[str, Any]:
    """Everything that the JSON holds."""
    shape = model_config(config, tokenizer=None)
    flops = flops_per_token(shape, config.batch.sequence_length)
    first = next((run for run in runs if "error" not in run), {})
    gpu = first.get("gpu")
    bf16 = config.parallelism.precision == "bf16"  # the only precision whose peak is known
    packages = ["torch", "transformers", "accelerate"] + ["liger_kernel"] * config.model.liger
    threads = first.get("threads")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "machine": {"cpu": processor(), "cores": os.cpu_count(), "threads": threads, "gpu": gpu},
        "versions": {"python": platform.python_version()} | {p: version(p) for p in packages},
        "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "config": config.model_dump(mode="json"),
        "parameters": count_parameters(shape),
        "data": f"random ids in documents of log-normal length, median {MEDIAN_DOCUMENT} tokens",
        "flops_per_token": flops,
        "runs": runs,
        "summary": summarise(runs, flops, peak_flops(gpu) if gpu and bf16 else None),
    }


def format_table(results: dict[str, Any]) -> str:
    config, machine = StageConfig.model_validate(results["config"]), results["machine"]
    split, model = split_windows(config, ranks=1), config.model
    switches = [s for s in ("compile", "liger", "activation_checkpointing") if getattr(model, s)]
    peak = "GiB on the GPU" if machine["gpu"] else "GiB resident"
    rows = [("run", "tokens/s", "min - max", "MFU", peak, "ratio to peer", "rounds")]
    for name, row in results["summary"].items():
        if "error" in row:
            rows.append((name, row["error"], *[""] * 5))
            continue
        rate, ratio, mfu = row["tokens_per_second"], row["ratio_to_peer"], row["mfu_percent"]
        paired = ("-", "")
        if ratio:
            paired = (f"{ratio['median']:.2f}", " ".join(f"{r:.2f}" for r in ratio["rounds"]))
        rows.append(
            (
                name,
                f"{rate['median']:,.0f}",
                f"{rate['min']:,.0f} - {rate['max']:,.0f}",
                "-" if mfu is None else f"{mfu:.1f}%",
                f"{row['peak_bytes'] / GIB:.2f}",
                *paired,
            )
        )
    failed = any("error" in row for row in results["summary"].values())
    return "\n".join(
        [
            f"device   {machine['gpu'] or machine['cpu']}, {machine['cores']} CPU cores, "
            f"{machine['threads']} threads",
            f"model    {model.shape.num_hidden_layers} layers, {results['parameters']:,} "
            f"parameters, {', '.join([config.parallelism.precision, *switches])}",
            f"step     {config.batch.tokens_per_step:,} tokens = {split.micro_batch} windows x "
            f"{split.accumulation} forward passes x {config.batch.sequence_length:,}",
            f"data     {results['data']}; nothing was prepared\n",
            align(rows),
            *(["\nout of memory: try fewer layers or a smaller batch.micro_batch"] * failed),
        ]
    )


def main(argv: list[str] | None = None) -> None:
    args = parse_command_line(argv)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "output").mkdir()
        requests = resolve(args, work)
        config = requests[0].config
        tokens = config.schedule.total_tokens
        write_tokens(config.data.shards, tokens, config.model.shape.vocab_size)
        runs = run_rounds(requests, args.rounds, args.device)
    results = report(args, config, runs)
    print(format_table(results), end="\n\n")
    write_json_atomically(args.out, results)
    print(f"written to {args.out}")


if __name__ == "__main__":
    exit_on_error(main)
