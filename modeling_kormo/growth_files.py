"""Growth of a checkpoint on disk, one tensor at a time.

A checkpoint of any size is grown in the memory of one shard that is written, one that is read, and
one tensor before and after: nothing here builds a model.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from .checkpoint_files import INDEX, WEIGHTS, TensorReader, edit_json
from .growth import CONFIG_SIZES, Growth

# What goes along as it is: tokenizer, chat template, generation config, modeling code.
_COPIED = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json")
_COPIED += ("merges.txt", "*.jinja", "generation_config.json", "*.py")


def _grown(reader: TensorReader, growth: Growth) -> Iterator[tuple[str, torch.Tensor]]:
    names = list(growth.names(reader.names()))
    for name in tqdm(names, desc="growing", unit="tensor", disable=None):
        tensor = growth.tensor(name, reader[growth.source(name)])
        # Files are mapped: a layer and its copy would be one memory, which safetensors refuses.
        yield name, tensor.clone() if growth.is_new(name) else tensor


def _write_shards(tensors: Iterator[tuple[str, torch.Tensor]], out: Path, limit: int) -> None:
    """Write `model-N.safetensors` of at most `limit` bytes (or one tensor), and their index."""
    files: list[list[str]] = []
    held: dict[str, torch.Tensor] = {}
    total = size = 0

    def flush() -> None:
        files.append(list(held))
        save_file(held, out / f"{len(files)}.part", metadata={"format": "pt"})
        held.clear()

    for name, tensor in tensors:
        if held and size + tensor.nbytes > limit:
            flush()
            size = 0
        held[name] = tensor.contiguous()
        size += tensor.nbytes
        total += tensor.nbytes
        del tensor
    flush()
    weight_map = {}
    for number, names in enumerate(files, start=1):
        file = f"model-{number:05d}-of-{len(files):05d}.safetensors" if files[1:] else WEIGHTS
        (out / f"{number}.part").rename(out / file)
        weight_map |= dict.fromkeys(names, file)
    if files[1:]:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (out / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def grow_files(directory: Path, out: Path, growth: Growth, shard_bytes: int) -> None:
    """Write the grown model of a directory into another, without loading it.

    With `how="masks"` its config says `growing`: only the run that grows it can take it up.

    Args:
        directory: a model directory with safetensors.
        out: an empty directory.
        growth: planned from its config.
        shard_bytes: size of the files written, at most, unless a tensor is larger.

    Raises:
        ValueError: weights that are not there, or not those of the config.
    """
    reader = TensorReader(directory)
    try:
        _write_shards(_grown(reader, growth), out, shard_bytes)
    finally:
        reader.close()
    changes = {key: getattr(growth.new, key) for key in CONFIG_SIZES}
    if growth.how == "masks" and growth.wider:
        changes["growing"] = True
    edit_json(directory / "config.json", out / "config.json", changes)
    for pattern in _COPIED:
        for path in directory.glob(pattern):
            shutil.copy(path, out / path.name)
