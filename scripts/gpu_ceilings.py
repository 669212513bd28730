"""What a GPU can do at this project's shapes: copies, products, and the loss in its two bodies.

    python -m scripts.gpu_ceilings --out runs/gpu/ceilings.json

Figures of a step are read against these. Numbers are random: zeros multiply faster.
"""

import argparse
import inspect
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import git_commit, write_json_atomically
from modeling_kormo.loss_kormo import linear_cross_entropy
from recipes.command_line import exit_on_error

_PACKAGES = ("torch", "triton", "transformers", "accelerate", "trl", "liger_kernel", "flash_attn_3")
# rows, inner, columns: projections, MLP and head of 1b; an MLP of 10b; and a large square.
PRODUCTS = (
    (16_384, 2048, 2048),
    (16_384, 2048, 6144),
    (16_384, 6144, 2048),
    (2048, 16_384, 6144),
    (4096, 2048, 125_184),
    (125_184, 4096, 2048),
    (8192, 4096, 16_384),
    (8192, 8192, 8192),
)


def check_gpu() -> str:
    """Return the name of the GPU.

    Raises:
        RecipeError: there is none, or not one that the plan was made for.
    """
    if not torch.cuda.is_available():
        raise RecipeError("torch sees no CUDA GPU: run this on a machine with an H100 or H200")
    name = torch.cuda.get_device_name()
    if not any(known in name for known in ("H100", "H200")):
        raise RecipeError(f"{name}: the figures are for an H100 or H200")
    return name


def milliseconds(work: Callable[[], object], rounds: int = 20) -> float:
    """Time something on the GPU, after a warm-up."""
    for _ in range(5):
        work()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(rounds):
        work()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end) / rounds


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {"python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def _copies() -> float:
    """Terabytes per second that a copy reads and writes."""
    source = torch.randn(2**30, device="cuda", dtype=torch.bfloat16)
    target = torch.empty_like(source)
    return 4 * source.numel() / milliseconds(lambda: target.copy_(source)) / 1e9


def _losses() -> dict[str, float]:
    """Microseconds of a token's loss, forward and backward, at 1b."""
    hidden = torch.randn(16_384, 2048, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(125_184, 2048, device="cuda").mul_(0.02).requires_grad_()
    labels = torch.randint(125_184, (16_384,), device="cuda")

    def step(compiled: bool) -> None:
        linear_cross_entropy(hidden, weight, labels, compiled=compiled)[0].backward()
        hidden.grad = weight.grad = None

    names = {"op by op": False, "compiled": True}
    return {
        name: 1000 * milliseconds(lambda c=compiled: step(c), 5) / 16_384
        for name, compiled in names.items()
    }


def measure() -> dict[str, Any]:
    """Measure all of it on the GPU that torch sees first."""
    from torch.nn import attention
    from torch.nn.attention.varlen import varlen_attn

    listed = getattr(attention, "list_flash_attention_impls", lambda: [])
    half = {"device": "cuda", "dtype": torch.bfloat16}
    products = {}
    for rows, inner, columns in PRODUCTS:
        left, right = torch.randn(rows, inner, **half), torch.randn(inner, columns, **half)
        took = milliseconds(lambda a=left, b=right: a @ b)
        products[f"{rows}x{inner}x{columns}"] = 2 * rows * inner * columns / took / 1e9
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": git_commit(),
        "gpu": torch.cuda.get_device_name(),
        "versions": _versions(),
        "varlen_attn": str(inspect.signature(varlen_attn)),
        "flash_attention_implementations": list(listed()),
        "copy_tb_per_second": _copies(),
        "product_tflop_per_second": products,
        "loss_microseconds_per_token": _losses(),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="JSON; without it, only the GPU is checked")
    args = parser.parse_args(argv)
    print(check_gpu())
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json_atomically(args.out, measure())


if __name__ == "__main__":
    exit_on_error(main)
