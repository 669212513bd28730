"""Average checkpoints of a run, or models of several runs, into one model.

    kormo average runs/tiny/stage2 --last 8               # its last 8 checkpoints
    kormo average runs/tiny/stage2 --ema 200_000          # all; a share halves every 200,000 tokens
    kormo average --out soup runs/a/final runs/b/final    # models of one shape and tokenizer

At a constant learning rate, as in stages 1 and 2, the mean of the last checkpoints is better than
each, much as a decay of the rate would have made it, and training goes on as if nothing had been
(PMA, arXiv 2505.12082; WSM, arXiv 2507.17634). The result has the layout of `final/`.

One checkpoint is read at a time, tensor by tensor, into an accumulator. Sums are made in float64,
in the order of the checkpoints' hashes: the bits depend on what is averaged, and not on its order.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.files import git_commit, sha256_file, write_json_atomically
from recipes.command_line import exit_on_error
from recipes.model_files import check_new, find_model, new_model
from recipes.opened_run import FINAL, RECIPE

AVERAGED = "averaged"
# What configs of one architecture may differ in.
_NO_SHAPE = ("auto_map", "dtype", "torch_dtype", "transformers_version", "use_cache")
# What goes along beside the weights.
_COPIED = ("*.json", "*.jinja", "*.py")
_NOT_COPIED = ("model*.json", "trainer_state.json", "files.json", "lineage.json", "reproduce.json")


@dataclass(frozen=True)
class Parent:
    """What is averaged.

    Attributes:
        directory: with safetensors and a config.
        weight: its share; all add up to 1.
        sha256: of each of its weight files.
    """

    directory: Path
    weight: float
    sha256: dict[str, str]


def _tokens(run: Path, checkpoints: list[Path]) -> list[int]:
    """Tokens that a run had seen at each checkpoint."""
    from recipes.engine.checkpoints import checkpoint_step
    from recipes.opened_run import FINGERPRINT

    try:
        settings = json.loads((run / FINGERPRINT).read_text(encoding="utf-8"))
        per_step = settings["batch"]["tokens_per_step"]
    except (OSError, ValueError, KeyError) as error:
        raise RecipeError(f"{run / FINGERPRINT}: does not say the tokens of a step") from error
    return [checkpoint_step(checkpoint) * per_step for checkpoint in checkpoints]


def choose_checkpoints(
    run: Path, last: int | None, half_life: int | None
) -> list[tuple[Path, float]]:
    """Choose checkpoints of a run and their shares.

    Args:
        run: output directory of a stage.
        last: so many, with equal shares.
        half_life: or all, each with half the share of one that is so many tokens younger.

    Raises:
        RecipeError: fewer checkpoints than asked for, or a damaged one.
    """
    from recipes.engine.checkpoints import list_checkpoints
    from recipes.engine.resume import find_damage

    found = list_checkpoints(run)
    wanted = last or 2
    if len(found) < wanted:
        raise RecipeError(
            f"{run}: has {len(found)} checkpoints, {wanted} are needed; train with "
            "logging.keep_checkpoints=0 and a smaller logging.save_every_tokens"
        )
    chosen = found[-last:] if last else found
    for checkpoint in chosen:
        if damage := find_damage(checkpoint):
            raise RecipeError(f"{checkpoint}: is damaged ({damage}); leave it out or delete it")
    if half_life is None:
        return [(path, 1 / len(chosen)) for path in chosen]
    tokens = _tokens(run, chosen)
    shares = [0.5 ** ((tokens[-1] - count) / half_life) for count in tokens]
    return [(path, share / sum(shares)) for path, share in zip(chosen, shares)]


def _read_parents(chosen: list[tuple[Path, float]]) -> list[Parent]:
    """Hash the weights; the order is that of the hashes, whatever was given."""
    from modeling_kormo.checkpoint_files import weight_map
    from recipes.engine.checkpoints import SHARDED

    parents = []
    for path, weight in chosen:
        sharded = _is_sharded(path)
        directory = path if sharded else find_model(str(path), weights=True)
        with errors_about(str(directory)):
            files = sorted(
                [p.relative_to(path).as_posix() for p in (path / SHARDED).iterdir()]
                if sharded
                else set(weight_map(directory).values())
            )
        hashes = {name: sha256_file(directory / name) for name in files}
        parents.append(Parent(directory, weight, hashes))
    digests = [tuple(parent.sha256.values()) for parent in parents]
    if len(set(digests)) < len(digests):
        raise RecipeError("two of the models have the same weights: name each once")
    return sorted(parents, key=lambda parent: tuple(parent.sha256.values()))


def _is_sharded(directory: Path) -> bool:
    """Whether FSDP2 has saved the weights of a checkpoint in shards, without a config."""
    from recipes.engine.checkpoints import SHARDED

    return (directory / SHARDED).is_dir()


def _open(directory: Path) -> Any:
    """Open the tensors of a model, or of a checkpoint in shards."""
    from modeling_kormo.checkpoint_files import TensorReader

    if not _is_sharded(directory):
        return TensorReader(directory)
    from recipes.engine.checkpoint_weights import ShardedReader

    return ShardedReader(directory)


def _read_config(directory: Path) -> dict[str, Any]:
    if not _is_sharded(directory):
        return json.loads((directory / "config.json").read_text(encoding="utf-8"))
    from recipes.engine.checkpoint_weights import saved_config
    from recipes.opened_run import open_run

    return json.loads(saved_config(open_run(directory.parent), directory).to_json_string())


def _files_of(directory: Path, reader: Any) -> dict[str, str]:
    """Choose the file of every tensor of the mean: the parent's, or new ones for its shards."""
    from modeling_kormo.checkpoint_files import weight_map

    if not _is_sharded(directory):
        return weight_map(directory)
    from huggingface_hub import split_torch_state_dict_into_shards

    empty = {name: reader.empty(name, "meta") for name in reader.names()}
    return split_torch_state_dict_into_shards(empty).tensor_to_filename


def _companion(directory: Path) -> tuple[Path, Path | None]:
    """Find the files beside the weights, and the tokenizer: a checkpoint has neither code nor that.

    Returns:
        The directory itself, or the `final/` of its run; and the tokenizer's directory.
    """
    final = directory.parent / FINAL
    for place in (directory, final):
        if (place / "tokenizer.json").is_file():
            return place, place
    recipe = directory.parent / RECIPE
    if recipe.is_file():
        named = yaml.safe_load(recipe.read_text(encoding="utf-8")).get("data", {}).get("tokenizer")
        if named and (Path(named) / "tokenizer.json").is_file():
            return directory, Path(named)
    return directory, None


def check_alike(parents: list[Parent]) -> None:
    """Refuse models whose mean would be none.

    Raises:
        RecipeError: names two that differ, and in what.
    """
    first = parents[0]
    shapes = []
    for parent in parents:
        config = _read_config(parent.directory)
        if config.get("growing"):
            raise RecipeError(f"{parent.directory}: is in the middle of a growth; end it first")
        if config.get("quantization_config"):
            raise RecipeError(f"{parent.directory}: is quantized; average the full weights")
        shapes.append({k: v for k, v in config.items() if k not in _NO_SHAPE})
    for parent, shape in zip(parents, shapes):
        differing = [k for k in {**shapes[0], **shape} if shapes[0].get(k) != shape.get(k)]
        if differing:
            key = sorted(differing)[0]
            raise RecipeError(
                f"{parent.directory}: {key} is {shape.get(key)}, and {shapes[0].get(key)} in "
                f"{first.directory}; only models of one architecture have a mean"
            )
    hashes = {}
    for parent in parents:
        _, tokenizer = _companion(parent.directory)
        if tokenizer is None:
            raise RecipeError(
                f"{parent.directory}: no tokenizer there, in the run's final/ or where its "
                "recipe.yaml says; copy tokenizer.json and tokenizer_config.json into it"
            )
        hashes[parent.directory] = sha256_file(tokenizer / "tokenizer.json")
    for directory, digest in hashes.items():
        if digest != hashes[first.directory]:
            raise RecipeError(
                f"{directory}: has another tokenizer than {first.directory}, so that rows of the "
                "same number mean different tokens; only models of one tokenizer have a mean"
            )


def average_files(parents: list[Parent], out: Path) -> int:
    """Write the weighted mean of all weights into `out`, in the first parent's files and dtypes.

    Args:
        parents: in the order in which they are added.
        out: an existing directory.

    Returns:
        parameters of the mean.

    Raises:
        RecipeError: tensors that one has and another lacks, or in other shapes or dtypes.
    """
    import torch
    from safetensors.torch import save_file
    from tqdm import tqdm

    from modeling_kormo.checkpoint_files import INDEX, WEIGHTS
    from modeling_kormo.views_kormo import PREFIX

    readers = [_open(parent.directory) for parent in parents]
    file_of = {
        name: file
        for name, file in _files_of(parents[0].directory, readers[0]).items()
        if not name.startswith(PREFIX)  # of multi-token prediction, which end with their run
    }
    for parent, reader in zip(parents, readers):
        names = {name for name in reader.names() if not name.startswith(PREFIX)}
        if odd := sorted(names ^ file_of.keys()):
            raise RecipeError(
                f"{parent.directory} and {parents[0].directory} do not have the same weights: "
                f"{odd[0]} is in one of them only"
            )
    parameters = 0
    with tqdm(total=len(file_of), desc="averaging", unit="tensor", mininterval=1) as bar:
        for file in sorted(set(file_of.values())):
            means = {}
            for name in sorted(n for n, f in file_of.items() if f == file):
                total, kind = None, None
                for parent, reader in zip(parents, readers):
                    tensor = reader[name]
                    if total is None:
                        total, kind = torch.zeros(tensor.shape, dtype=torch.float64), tensor.dtype
                    if tensor.shape != total.shape or tensor.dtype != kind:
                        raise RecipeError(
                            f"{parent.directory}: {name} is {list(tensor.shape)} in {tensor.dtype},"
                            f" and {list(total.shape)} in {kind} in {parents[0].directory}"
                        )
                    total.add_(tensor.double(), alpha=parent.weight)
                means[name] = total.to(kind)
                parameters += total.numel()
                bar.update()
            save_file(means, out / file, metadata={"format": "pt"})
    for reader in readers:
        reader.close()
    if set(file_of.values()) != {WEIGHTS}:
        write_json_atomically(out / INDEX, {"metadata": {}, "weight_map": file_of})
    return parameters


def _lineage(parents: list[Parent], parameters: int, out: Path) -> dict[str, Any]:
    from recipes.engine.handover import lineage_so_far
    from recipes.inputs import hash_weights

    known = [lineage_so_far(str(parent.directory)) or {} for parent in parents]
    first = max(known, key=lambda lineage: lineage.get("tokens_in_all", 0))
    return {
        "stage": "average",
        "parent": None,
        "parent_lineage": None,
        "parents": [
            {
                "model": str(parent.directory),
                "share": parent.weight,
                "weights_sha256": parent.sha256,
                "lineage": lineage or None,
            }
            for parent, lineage in zip(parents, known)
        ],
        "parameters": parameters,
        "tokens": 0,
        "tokens_in_all": first.get("tokens_in_all", 0),
        "data_fingerprint": first.get("data_fingerprint"),
        "tokenizer_sha256": sha256_file(out / "tokenizer.json"),
        "languages": first.get("languages", []),
        "licences": sorted({name for lineage in known for name in lineage.get("licences", [])}),
        "commit": git_commit(),
        "weights_sha256": hash_weights(out),
    }


def average(chosen: list[tuple[Path, float]], out: Path) -> None:
    """Write the mean of some models, whole or not at all.

    Args:
        chosen: model directories or Hub ids, and their shares.
        out: a new directory.

    Raises:
        RecipeError: models that have no mean, or a directory that is not empty.
    """
    from recipes.opened_run import LINEAGE

    check_new(out)
    parents = _read_parents(chosen)
    check_alike(parents)
    with new_model(out, "--out") as staging:
        parameters = average_files(parents, staging)
        beside, tokenizer = _companion(parents[0].directory)
        for place in {beside, tokenizer}:
            for path in (p for pattern in _COPIED for p in sorted(place.glob(pattern))):
                if not any(path.match(pattern) for pattern in _NOT_COPIED):
                    if place == beside or path.name.startswith(("tokenizer", "chat_template")):
                        shutil.copyfile(path, staging / path.name)
        if not (staging / "config.json").is_file():
            write_json_atomically(staging / "config.json", _read_config(parents[0].directory))
        write_json_atomically(staging / LINEAGE, _lineage(parents, parameters, staging))
    print(f"{out}: the mean of {len(parents)} models, {parameters:,} parameters")


def average_command(argv: list[str] | None = None) -> None:
    """Read the arguments, then average.

    Raises:
        RecipeError: models that cannot be averaged, or cannot be found.
    """
    parser = documented_parser(__doc__)
    parser.add_argument("models", nargs="+", metavar="RUN | MODEL …")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--last", type=int, metavar="N", help="the last N checkpoints of RUN")
    which.add_argument(
        "--ema", type=int, metavar="TOKENS", help="all of RUN; a share halves in so many tokens"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"new directory (RUN/{AVERAGED}, of models needed)"
    )
    args = parser.parse_args(argv)
    out: Path | None = args.out
    if args.last is not None or args.ema is not None:
        value, option = (args.last, "--last") if args.ema is None else (args.ema, "--ema")
        if len(args.models) != 1:
            raise RecipeError(f"{option} takes one run; without it, models of several are averaged")
        if value < (2 if args.ema is None else 1):
            why = "a mean needs two checkpoints" if args.ema is None else "a share halves in tokens"
            raise RecipeError(f"{option} {value}: too few; {why}")
        run = Path(args.models[0])
        if not run.is_dir():
            raise RecipeError(f"{run}: no such run")
        average(choose_checkpoints(run, args.last, args.ema), out or run / AVERAGED)
        return
    if len(args.models) < 2:
        raise RecipeError("one model has no mean: name two or more, or a run with --last or --ema")
    if out is None:
        raise RecipeError("--out DIR is needed: models of several runs have no place in common")
    average([(Path(name), 1 / len(args.models)) for name in args.models], out)


if __name__ == "__main__":
    exit_on_error(average_command)
