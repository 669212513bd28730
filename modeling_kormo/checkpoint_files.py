"""A model directory: loaded whole, or as files: where tensors lie, and settings edited in place."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def load_whole(kind: Any, name: str | Path | None, **settings: Any) -> Any:
    """Load a checkpoint by the `from_pretrained` of `kind`, and refuse one that lacks a weight.

    Raises:
        ValueError: it does; transformers would draw that weight at random.
    """
    model, report = kind.from_pretrained(name, output_loading_info=True, **settings)
    if missing := sorted(report["missing_keys"]):
        raise ValueError(f"the checkpoint has no {missing[0]}, which its config promises")
    return model


def weight_map(directory: Path) -> dict[str, str]:
    """Return the file of every tensor.

    Raises:
        ValueError: the directory has no safetensors, or damaged ones.
    """
    if (directory / INDEX).is_file():
        return json.loads((directory / INDEX).read_text(encoding="utf-8"))["weight_map"]
    if (directory / WEIGHTS).is_file():
        with open_weights(directory / WEIGHTS) as file:
            return dict.fromkeys(file.keys(), WEIGHTS)
    raise ValueError(f"neither {WEIGHTS} nor {INDEX}: only safetensors can be read")


def open_weights(path: Path) -> Any:
    """Open a safetensors file, a context manager.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        return safe_open(path, "pt")
    except (FileNotFoundError, SafetensorError) as error:
        raise ValueError(
            f"{path.name} is missing or damaged ({error}); fetch or write it again"
        ) from error


def edit_json(source: Path, target: Path, changes: Mapping[str, Any]) -> None:
    """Write a JSON object with some keys changed.

    Edited and not written anew by transformers, so that the file stays in its own spelling.
    """
    content = json.loads(source.read_text(encoding="utf-8")) | dict(changes)
    text = json.dumps(content, indent=2, ensure_ascii=False)
    target.write_text(text + "\n", encoding="utf-8")


class TensorReader:
    """Tensors of a model directory by name, with one of its files open at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._file_of = weight_map(directory)
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
            self._open = file, self._stack.enter_context(open_weights(self._directory / file))
        return self._open[1].get_tensor(name)

    def close(self) -> None:
        """Let go of the open file."""
        self._stack.close()
        self._open = None
