"""Growth of a checkpoint on disk, one tensor at a time.

A checkpoint of any size is grown in the memory of one shard that is written, one that is read, and
one tensor before and after: nothing here builds a model.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tqdm import tqdm

from .growth import CONFIG_SIZES, Growth

_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"
# What goes along as it is: tokenizer, chat template, generation config, modeling code.
_COPIED = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.json")
_COPIED += ("merges.txt", "*.jinja", "generation_config.json", "*.py")


class _Reader:
    """Tensors of a checkpoint by name, with one of its files open at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        if (directory / _INDEX).is_file():
            index = json.loads((directory / _INDEX).read_text(encoding="utf-8"))
            self._file_of: dict[str, str] = index["weight_map"]
        elif (directory / _WEIGHTS).is_file():
            with safe_open(directory / _WEIGHTS, "pt") as file:
                self._file_of = dict.fromkeys(file.keys(), _WEIGHTS)
        else:
            raise ValueError(f"neither {_WEIGHTS} nor {_INDEX}: growth reads safetensors alone")
        self._open: tuple[str, Any] | None = None
        self._stack = ExitStack()

    def names(self) -> list[str]:
        """All parameters; old Llama checkpoints also hold what follows from the config."""
        return sorted(name for name in self._file_of if not name.endswith("rotary_emb.inv_freq"))

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._file_of:
            raise ValueError(f"the checkpoint has no {name}, which its config promises")
        file = self._file_of[name]
        if self._open is None or self._open[0] != file:
            self.close()
            self._open = file, self._stack.enter_context(safe_open(self._directory / file, "pt"))
        return self._open[1].get_tensor(name)

    def close(self) -> None:
        self._stack.close()
        self._open = None


def _grown(reader: _Reader, growth: Growth) -> Iterator[tuple[str, torch.Tensor]]:
    names = list(growth.names(reader.names()))
    for name in tqdm(names, desc="growing", unit="tensor", disable=None):
        yield name, growth.tensor(name, reader[growth.source(name)])


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
        file = f"model-{number:05d}-of-{len(files):05d}.safetensors" if files[1:] else _WEIGHTS
        (out / f"{number}.part").rename(out / file)
        weight_map |= dict.fromkeys(names, file)
    if files[1:]:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (out / _INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


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
    reader = _Reader(directory)
    try:
        _write_shards(_grown(reader, growth), out, shard_bytes)
    finally:
        reader.close()
    # The file is edited and not written anew, so that it stays in its own spelling.
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    for key in CONFIG_SIZES:
        config[key] = getattr(growth.new, key)
    if growth.how == "masks" and growth.wider:
        config["growing"] = True
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    for pattern in _COPIED:
        for path in directory.glob(pattern):
            shutil.copy(path, out / path.name)
