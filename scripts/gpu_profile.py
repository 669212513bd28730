"""One step of training on a GPU, by class of kernel.

    python -m scripts.gpu_profile --out runs/gpu/profile.json --config 1b/stage1.yaml

Options are those of scripts/benchmark_training.py. The step comes after the warm-up.
"""

import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState

from data_recipes.common.files import write_json_atomically
from recipes.command_line import exit_on_error

from .benchmark_training import (
    MeasuredBlock,
    _train_ours,
    parse_command_line,
    resolve,
    write_tokens,
)
from .gpu_ceilings import check_gpu

# The first that matches a kernel's name has it.
_CLASSES = {
    "attention": r"flash|fmha|attn",
    "products": r"gemm|cutlass|nvjet|xmma",
    "optimizer": r"multi_tensor|adam|foreach",
    "copies": r"memcpy|memset",
    "embedding": r"embedding|index|sort|scatter|gather",
    "fused": r"triton",
    "elementwise": r"elementwise|vectorized|reduce|cat|softmax|norm",
}


def kernel_class(name: str) -> str:
    """Tell the class of a kernel by its name."""
    matching = (kind for kind, names in _CLASSES.items() if re.search(names, name, re.IGNORECASE))
    return next(matching, "other")


def summarise(kernels: Iterable[tuple[str, float, float]]) -> dict[str, Any]:
    """Add kernels up.

    Args:
        kernels: name, begin and end of each, in microseconds.

    Returns:
        Milliseconds of the step, its share without a kernel in percent, milliseconds and number of
        kernels by class, and the 25 names that took longest.
    """
    times, numbers, names = Counter(), Counter(), Counter()
    begins, ends = [], []
    for name, begin, end in kernels:
        kind = kernel_class(name)
        times[kind] += (end - begin) / 1000
        numbers[kind] += 1
        names[name] += (end - begin) / 1000
        begins.append(begin)
        ends.append(end)
    step = (max(ends) - min(begins)) / 1000
    return {
        "step_ms": step,
        "idle_percent": 100 * (1 - sum(times.values()) / step),
        "classes": {k: {"ms": ms, "kernels": numbers[k]} for k, ms in times.most_common()},
        "longest": dict(names.most_common(25)),
    }


class ProfiledStep(MeasuredBlock):
    """Profiles the first step after the warm-up.

    Attributes:
        summary: of its kernels, once it has been passed.
    """

    summary: dict[str, Any] | None = None

    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if state.global_step == self.first:
            torch.cuda.synchronize()
            activity = torch.profiler.ProfilerActivity.CUDA
            self._profiler = torch.profiler.profile(activities=[activity])
            self._profiler.start()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
        if state.global_step == self.first + 1:
            torch.cuda.synchronize()
            self._profiler.stop()
            self.summary = summarise(
                (event.name, event.time_range.start, event.time_range.end)
                for event in self._profiler.events()
                if event.device_type.name == "CUDA"
            )


def main(argv: list[str] | None = None) -> None:
    check_gpu()
    args = parse_command_line(argv)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "output").mkdir()
        config = resolve(args, work)[0].config
        write_tokens(
            config.data.shards, config.schedule.total_tokens, config.model.shape.vocab_size
        )
        block = ProfiledStep(args.warmup, args.steps)
        _train_ours(config, block)
    write_json_atomically(args.out, {"arguments": sys.argv[1:], **block.summary})
    for kind, found in block.summary["classes"].items():
        print(f"{kind:<12}{found['ms']:>9.1f} ms  {found['kernels']} kernels")
    print(f"idle {block.summary['idle_percent']:.1f} % of {block.summary['step_ms']:.1f} ms")


if __name__ == "__main__":
    exit_on_error(main)
