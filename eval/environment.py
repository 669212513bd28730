"""What an evaluation ran on."""

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import torch

from data_recipes.common.commit import git_commit

# Those that decide what a model answers and how it is scored.
_PACKAGES = ("torch", "transformers", "tokenizers", "lm_eval", "datasets", "vllm")


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            names = (line.partition(":")[2].strip() for line in handle if "model name" in line)
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()


def describe_environment(device: str) -> dict[str, str]:
    """Versions, commit and hardware.

    Args:
        device: as torch names it.
    """
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue  # vLLM, where it is not used
    on_gpu = device.startswith("cuda")
    return {
        "commit": git_commit() or "not in git",
        "python": sys.version.split()[0],
        **packages,
        "device": torch.cuda.get_device_name(torch.device(device)) if on_gpu else _cpu(),
        "threads": str(torch.get_num_threads()),
        "system": platform.platform(terse=True),
    }
