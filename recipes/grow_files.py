"""Grow a model on disk: deeper, wider, or both, with its function kept.

    kormo grow runs/tiny/stage2/final grown --layers-every 2 --hidden 256 --ffn 768 --heads 4
    kormo grow meta-llama/Meta-Llama-3-70B grown --layers-every 5 --hidden 9216 --ffn 30720 \\
        --heads 72 --dry-run

For KORMo and Llama checkpoints (safetensors). `--how zeros` writes an ordinary model that every
engine runs; `--how masks` one that only `kormo train grow` can take up, which raises the masks.
Shards are read and written one at a time, so that the model need not fit in memory.
"""

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.files import write_json_atomically
from recipes.command_line import exit_on_error
from recipes.model_files import check_new, find_model, inherited_lineage, new_model

if TYPE_CHECKING:
    from modeling_kormo.growth import Growth

_TEXT = "The capital of Korea is Seoul. 한국의 수도는 서울이다."
# Beyond this share of the logits' standard deviation it is another model (our choice: rescaled
# norms in bf16 move logits by a hundredth of it, a head in the wrong place by more than one).
_TOLERANCE = 0.1
_GIB = 2**30


def _gigabytes(text: str) -> float:
    size = float(text)
    if not 0 < size < math.inf:
        raise ValueError
    return size


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = documented_parser(__doc__)
    parser.add_argument("model", help="model directory or Hub id, with an optional @revision")
    parser.add_argument("out", type=Path)
    parser.add_argument("--layers-every", type=int, metavar="N", help="a new one after every N")
    parser.add_argument(
        "--layers-after", type=int, nargs="+", default=[], metavar="I", help="after these, from 0"
    )
    parser.add_argument("--hidden", type=int, metavar="SIZE")
    parser.add_argument("--ffn", type=int, metavar="SIZE")
    parser.add_argument("--heads", type=int, metavar="N", help="query heads")
    parser.add_argument("--kv-heads", type=int, metavar="N", help="key/value heads")
    parser.add_argument("--how", choices=("zeros", "masks"), default="zeros", help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=42, help="of new weights (%(default)s)")
    parser.add_argument(
        "--shard-gb", type=_gigabytes, default=5.0, help="of the files written (%(default)s)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and exit")
    return parser.parse_args(argv)


def _plan(args: argparse.Namespace, directory: Path) -> "Growth":
    from transformers import AutoConfig

    import modeling_kormo  # noqa: F401  registers KORMo
    from modeling_kormo.growth import plan_growth

    with errors_about(args.model, OSError):
        growth = plan_growth(
            AutoConfig.from_pretrained(directory),
            layers_every=args.layers_every,
            layers_after=args.layers_after,
            how=args.how,
            seed=args.seed,
            hidden_size=args.hidden,
            intermediate_size=args.ffn,
            num_attention_heads=args.heads,
            num_key_value_heads=args.kv_heads,
        )
        if args.how == "masks" and growth.wider and growth.old.model_type == "llama":
            raise ValueError(
                "as Llama's layout cannot say that masks belong to it, anything would load it "
                "without; use --how zeros, or let `kormo train grow` grow it in memory"
            )
    return growth


def _describe(growth: "Growth", shard_bytes: int) -> str:
    """What would come of it, and what it would take."""
    import torch

    from recipes.engine.metrics import count_parameters

    before, after = count_parameters(growth.old), count_parameters(growth.new)
    dtype = growth.old.dtype or torch.float32
    rows = max(growth.new.vocab_size, growth.new.intermediate_size)
    largest = dtype.itemsize * rows * growth.new.hidden_size
    memory = max(shard_bytes, largest) + 2 * largest
    record = growth.record()
    sizes = ", ".join(
        f"{key} {was} -> {record['to'][key]}"
        for key, was in record["from"].items()
        if was != record["to"][key]
    )
    return "\n".join(
        [
            f"grows                 {sizes}",
            f"new layers            {record['new_layers']}",
            f"parameters            {before:,} -> {after:,} ({after / 1e9:.2f}e9)",
            f"weights               {before * dtype.itemsize / _GIB:,.1f} GiB read, "
            f"{after * dtype.itemsize / _GIB:,.1f} GiB written "
            f"({str(dtype).removeprefix('torch.')})",
            f"memory                {memory / _GIB:,.1f} GiB: one shard written, and the largest "
            "tensor before and after",
        ]
    )


def _check(directory: Path, grown: Path, growth: "Growth") -> str:
    """Compare the logits of both models on a sample text.

    Raises:
        RecipeError: the grown one computes something else.
    """
    import psutil
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    from modeling_kormo.growth_masks import put_on_masks
    from recipes.engine.metrics import count_parameters

    needed = 4 * (count_parameters(growth.old) + count_parameters(growth.new))
    if needed > 0.8 * psutil.virtual_memory().available:
        return f"not checked: both models in fp32 are {needed / _GIB:,.1f} GiB, more than is free"
    if (directory / "tokenizer.json").is_file():
        ids = AutoTokenizer.from_pretrained(directory)(_TEXT, return_tensors="pt").input_ids
    else:
        ids = torch.arange(min(64, growth.old.vocab_size))[None]
    settings: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(directory, **settings)(ids).logits
        shape = AutoConfig.from_pretrained(grown)
        shape.growing = False
        model = AutoModelForCausalLM.from_pretrained(grown, config=shape, **settings)
        put_on_masks(model, growth)
        found = model(ids).logits
    difference, deviation = (found - expected).abs().max().item(), expected.std().item()
    if not difference <= _TOLERANCE * deviation:
        raise RecipeError(
            f"{grown}: its logits differ by up to {difference:.3g} (standard deviation "
            f"{deviation:.3g}): the growth did not keep the function; nothing was written"
        )
    return (
        f"logits on a sample text differ by up to {difference:.1e} in fp32 (standard deviation "
        f"{deviation:.2f})"
    )


def _lineage(args: argparse.Namespace, directory: Path, out: Path, growth: "Growth") -> dict:
    from data_recipes.common.files import git_commit
    from recipes.engine.metrics import count_parameters
    from recipes.inputs import hash_weights

    return inherited_lineage(directory, args.model, "growth") | {
        "parameters": count_parameters(growth.new),
        "growth": {"of": args.model, "commit": git_commit(), **growth.record()},
        "weights_sha256": hash_weights(out),
    }


def grow_command(argv: list[str] | None = None) -> None:
    """Read the arguments, then grow into a folder that appears under its name when whole.

    Raises:
        RecipeError: a model that cannot grow, or not so; a folder that is not empty or that another
            run is writing; a full disk.
    """
    args = _arguments(argv)
    out: Path = args.out
    check_new(out)

    # torch and transformers take seconds to load: a mistake above is told without them.
    from transformers.utils.logging import disable_progress_bar

    from modeling_kormo.growth_files import grow_files
    from recipes.opened_run import LINEAGE, RECIPE

    disable_progress_bar()
    directory = find_model(args.model, weights=not args.dry_run)
    growth = _plan(args, directory)
    shard_bytes = int(args.shard_gb * 1e9)
    print(_describe(growth, shard_bytes), flush=True)
    if args.dry_run:
        return
    with new_model(out, "OUT") as staging:
        with errors_about(args.model):
            grow_files(directory, staging, growth, shard_bytes)
        print(_check(directory, staging, growth))
        write_json_atomically(staging / LINEAGE, _lineage(args, directory, staging, growth))
        if (directory / RECIPE).is_file():
            (staging / RECIPE).write_bytes((directory / RECIPE).read_bytes())
    print(f"{out}: {json.dumps(growth.record()['to'])}")


if __name__ == "__main__":
    exit_on_error(grow_command)
