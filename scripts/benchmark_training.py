"""Training speed and memory on one device, beside transformers' Llama with a plain `Trainer`.

    python scripts/benchmark_training.py                                    # tiny, on a laptop
    python scripts/benchmark_training.py --config 10b/stage1.yaml --layers 8 --attention varlen,sdpa

Shape, batch and switches are the config's unless given. Tokens are random numbers in documents of
log-normal length, so no data has to be prepared. The peer packs by concatenating and chunking, has
no document mask and uses SDPA; `--compile` and `--liger` apply to it as well, in the way that
`TrainingArguments` offers. Each run is a process of its own, and the two sides take turns.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers.utils import is_liger_kernel_available

from data_recipes.common.commit import git_commit
from data_recipes.common.config_files import find_config, load_config
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import write_json_atomically
from data_recipes.common.machine import processor
from recipes.benchmark import (
    MEDIAN_DOCUMENT,
    OUT_OF_MEMORY,
    PEER,
    SOURCE,
    Request,
    measure,
    summarise,
    write_tokens,
)
from recipes.build import model_config
from recipes.command_line import CONFIGS, exit_on_error
from recipes.config import StageConfig
from recipes.engine.flops import count_parameters, flops_per_token, peak_flops
from recipes.engine.schedule import split_windows

GIB = 2**30


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return value


def parse_command_line(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    config, switch = "(default: the config's)", argparse.BooleanOptionalAction
    cuda = torch.cuda.is_available()
    add = parser.add_argument
    add("--config", default="tiny/stage1.yaml", help="as for a stage (default: %(default)s)")
    add("--layers", type=positive, help=f"as many as fit {config}")
    add("--sequence-length", type=positive, help=f"tokens per window {config}")
    add("--micro-batch", type=positive, help=f"windows per forward pass {config}")
    add("--accumulation", type=positive, help=f"forward passes per step {config}")
    add("--steps", type=positive, default=8, help="measured steps of a run (default: %(default)s)")
    add("--warmup", type=positive, default=3, help="steps before them (default: %(default)s)")
    add("--rounds", type=positive, default=3, help="runs of each kind (default: %(default)s)")
    add("--attention", help=f"backends of ours, separated by commas {config}")
    add("--compile", action=switch, help=config)
    add("--liger", action=switch, help=config)
    add("--precision", choices=("bf16", "fp32"), help=config)
    add("--device", choices=("cuda", "cpu"), default="cuda" if cuda else "cpu")
    add("--no-peer", action="store_true", help="measure ours alone")
    add("--out", type=Path, default=Path("runs/benchmark_training.json"), help="%(default)s")
    add("--worker", type=Path, help=argparse.SUPPRESS)  # the file of a `Request`
    return parser.parse_args(argv)


def resolve(args: argparse.Namespace, work: Path) -> list[Request]:
    """The runs of one round: each attention backend, then the peer.

    Raises:
        RecipeError: a bad config or attention name, or what the device cannot do.
    """
    path = find_config(args.config, CONFIGS)
    base = load_config(path, StageConfig, [])
    # A config deals its step out over many GPUs; here one device does the share of one of them.
    split = split_windows(base, base.parallelism.gpus)
    length = args.sequence_length or base.batch.sequence_length
    micro_batch = args.micro_batch or split.micro_batch
    step = length * micro_batch * (args.accumulation or split.accumulation)
    overrides = {
        "model.shape.num_hidden_layers": args.layers or base.model.shape.num_hidden_layers,
        "model.init_from": None,
        "model.compile": base.model.compile if args.compile is None else args.compile,
        "model.liger": base.model.liger if args.liger is None else args.liger,
        "data.shards": str(work / "shards"),
        "data.mixture": {SOURCE: 1.0},
        "data.packing": "concat",
        "batch.sequence_length": length,
        "batch.micro_batch": micro_batch,
        "batch.tokens_per_step": step,
        "schedule.total_tokens": step * (args.warmup + args.steps),
        "schedule.decay_tokens": 0,
        "schedule.branch_from": None,
        "parallelism.precision": args.precision or base.parallelism.precision,
        "parallelism.require_gpu": False,
        "logging.output_dir": str(work / "output"),
    }
    requests = []
    for attention in dict.fromkeys((args.attention or base.model.attention).split(",")):
        values = overrides | {"model.attention": attention.strip()}
        config = load_config(path, StageConfig, [f"{k}={json.dumps(v)}" for k, v in values.items()])
        check_device(config, args.device)
        name = f"kormo {config.model.attention}"
        requests.append(Request(name=name, config=config, warmup=args.warmup, steps=args.steps))
    if not args.no_peer:
        requests.append(requests[0].model_copy(update={"name": PEER}))
    return requests


def check_device(config: StageConfig, device: str) -> None:
    """Say before the first run what would fail, or measure something else, in it."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise RecipeError("this measures one device: start it with plain `python`")
    if device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("--device cuda: torch sees no CUDA GPU; use --device cpu")
    if config.model.liger and device == "cpu":
        raise RecipeError("--liger: Liger's kernels need a CUDA GPU; use --no-liger")
    if config.model.liger and not is_liger_kernel_available():
        raise RecipeError("--liger: not installed; pip install 'kormo-recipes[gpu]'")
    fp32 = config.parallelism.precision == "fp32"
    if device == "cuda" and config.model.attention == "varlen" and fp32:
        raise RecipeError(
            "--attention varlen on a GPU needs --precision bf16: its kernel has no fp32, and the "
            "fallback calls SDPA once per document"
        )


def run_worker(request: Request, device: str, work: Path) -> dict[str, Any]:
    """One `measure` in a fresh process that sees one GPU, or none.

    Raises:
        RecipeError: it failed, other than for want of memory.
    """
    file, result = work / "request.json", work / "result.json"
    file.write_text(request.model_dump_json(), encoding="utf-8")
    result.unlink(missing_ok=True)
    (work / "output").mkdir(exist_ok=True)
    gpu = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] if device == "cuda" else ""
    worker = subprocess.run(
        [sys.executable, __file__, "--worker", file],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": gpu},
        capture_output=True,
        text=True,
    )
    if worker.returncode == -signal.SIGKILL:  # the kernel's answer to a process that takes too much
        return {"error": OUT_OF_MEMORY}
    if worker.returncode:
        tail = "\n  ".join(worker.stderr.strip().splitlines()[-5:])
        raise RecipeError(f"{request.name}: the run failed\n  {tail}")
    return json.loads(result.read_text(encoding="utf-8"))


def run_rounds(requests: list[Request], rounds: int, device: str, work: Path) -> list[dict]:
    """All runs. Every second round goes backwards, so that none always comes first."""
    runs: list[dict[str, Any]] = []
    failed: set[str] = set()
    for number in range(rounds):
        for request in requests[:: -1 if number % 2 else 1]:
            if request.name in failed:
                continue  # it would not fit the next time either
            run = {"round": number, "name": request.name} | run_worker(request, device, work)
            runs.append(run)
            if "error" in run:
                failed.add(request.name)
            shown = run.get("error") or f"{run['tokens_per_second']:,.0f} tokens/s"
            print(f"round {number + 1}/{rounds}  {request.name}: {shown}", file=sys.stderr)
    return runs


def report(args: argparse.Namespace, config: StageConfig, runs: list[dict]) -> dict[str, Any]:
    """Everything that the JSON holds."""
    shape = model_config(config, tokenizer=None)
    flops = flops_per_token(shape, config.batch.sequence_length)
    gpu = next((r["gpu"] for r in runs if r.get("gpu")), None)
    bf16 = config.parallelism.precision == "bf16"  # the only precision whose peak is known
    packages = ["torch", "transformers", "accelerate"]
    split = split_windows(config, ranks=1)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "machine": {
            "cpu": processor(),
            "cores": os.cpu_count(),
            "threads": next((r["threads"] for r in runs if "threads" in r), None),
            "gpu": gpu,
        },
        "versions": {"python": platform.python_version()}
        | {p: version(p) for p in packages + ["liger_kernel"] * config.model.liger},
        "arguments": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()},
        "shape": config.model.shape.model_dump() | {"parameters": count_parameters(shape)},
        "batch": {
            "sequence_length": config.batch.sequence_length,
            "micro_batch": split.micro_batch,
            "accumulation": split.accumulation,
            "tokens_per_step": config.batch.tokens_per_step,
        },
        "precision": config.parallelism.precision,
        "compile": config.model.compile,
        "liger": config.model.liger,
        "activation_checkpointing": config.model.activation_checkpointing,
        "data": f"random ids in documents of log-normal length, median {MEDIAN_DOCUMENT} tokens",
        "flops_per_token": flops,
        "runs": runs,
        "summary": summarise(runs, flops, peak_flops(gpu) if gpu and bf16 else None),
    }


def format_table(results: dict[str, Any]) -> str:
    shape, batch, machine = results["shape"], results["batch"], results["machine"]
    switches = [s for s in ("compile", "liger", "activation_checkpointing") if results[s]]
    peak = "GiB on the GPU" if machine["gpu"] else "GiB resident"
    lines = [
        f"device   {machine['gpu'] or machine['cpu']}, {machine['cores']} CPU cores, "
        f"{machine['threads']} threads",
        f"model    {shape['num_hidden_layers']} layers, {shape['parameters']:,} parameters, "
        + ", ".join([results["precision"], *switches]),
        f"step     {batch['tokens_per_step']:,} tokens = {batch['micro_batch']} windows x "
        f"{batch['accumulation']} forward passes x {batch['sequence_length']:,}",
        f"data     {results['data']}; nothing was prepared",
        "",
        f"{'run':<22}{'tokens/s':>10}{'min - max':>20}{'MFU':>7}{peak:>16}   ratio to peer",
    ]
    for name, row in results["summary"].items():
        if "error" in row:
            lines.append(f"{name:<22}{row['error']:>13}")
            continue
        rate, ratio, mfu = row["tokens_per_second"], row["ratio_to_peer"], row["mfu_percent"]
        spread = f"{rate['min']:,.0f} - {rate['max']:,.0f}"
        shown = "-" if mfu is None else f"{mfu:.1f}%"
        paired = "-"
        if ratio:
            paired = (
                f"{ratio['median']:.2f}  (rounds {' '.join(f'{r:.2f}' for r in ratio['rounds'])})"
            )
        lines.append(
            f"{name:<22}{rate['median']:>10,.0f}{spread:>20}{shown:>7}"
            f"{row['peak_bytes'] / GIB:>16.2f}   {paired}"
        )
    if any("error" in row for row in results["summary"].values()):
        lines += ["", "out of memory: try a smaller --layers or --micro-batch"]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> None:
    args = parse_command_line(argv)
    if args.worker:
        request = Request.model_validate_json(args.worker.read_text(encoding="utf-8"))
        write_json_atomically(args.worker.with_name("result.json"), measure(request))
        return
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        requests = resolve(args, work)
        config = requests[0].config
        tokens = config.schedule.total_tokens
        write_tokens(config.data.shards, tokens, config.model.shape.vocab_size)
        runs = run_rounds(requests, args.rounds, args.device, work)
    results = report(args, config, runs)
    print(format_table(results), end="\n\n")
    write_json_atomically(args.out, results)
    print(f"written to {args.out}")


if __name__ == "__main__":
    exit_on_error(main)
