"""Rows for a larger vocabulary, in the embedding and the output head of a checkpoint on disk.

Files are read and written one at a time, and those without either matrix are copied, so that the
model need not fit in memory. Any causal language model of transformers can be expanded.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch.nn.functional import embedding_bag
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from .checkpoint_files import INDEX, edit_json, open_weights, weight_map
from .configuration_kormo import require_pre_norm
from .growth import stream_of

Initialisation = Literal["mean", "random", "default", "eeve"]
# What goes along as it is; tokenizer files are the larger tokenizer's own.
_COPIED = ("generation_config.json", "*.jinja", "*.py")
_ON_DISK = {"lm_head.weight": "embed_out.weight"}  # GPT-NeoX: transformers renames it on loading
# Of the covariance that transformers' `resize_token_embeddings` draws new rows with.
_COVARIANCE = 1e-9


@dataclass(frozen=True)
class NewRows:
    """Which rows are new, and what they stand for.

    Attributes:
        known: rows that the smaller tokenizer fills; they stay bit for bit.
        parts: ids that each new token was before, by its id.
        total: rows of the larger matrices, at least those of the old.
    """

    known: int
    parts: dict[int, list[int]]
    total: int


def sub_tokens(old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast) -> dict[int, list[int]]:
    """Return what every new token was to the smaller tokenizer, by its id."""
    known, added = old.get_vocab(), new.get_added_vocab()
    parts = {}
    for token, index in new.get_vocab().items():
        if token in known:
            continue
        if token in added:
            parts[index] = old(token, add_special_tokens=False)["input_ids"]
        else:  # in the symbols of bytes, and perhaps no whole text
            parts[index] = [piece.id for piece in old.backend_tokenizer.model.tokenize(token)]
    return parts


def expand_matrix(
    matrix: torch.Tensor,
    rows: NewRows,
    init: Initialisation,
    is_head: bool,
    deviation: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Append rows to an embedding or an output head.

    - `mean`: of the rows of the token's parts (Kim et al. 2024, EEVE, for the embedding).
    - `eeve`: the same in the embedding; in the head the row of the first part.
    - `default`: of transformers (Hewitt 2021): the mean of all old rows, with a trace of their
      covariance.
    - `random`: normal, as a model's first weights are.

    Rows that no token has are the mean of all, which adds least to the softmax's denominator
    (Hewitt 2021); those that were there already stay as they are.

    Args:
        matrix: [old rows, hidden], any float dtype.
        rows: what is new.
        init: see above.
        is_head: whether it is the output head.
        deviation: of `random`.
        generator: of `random` and `default`.

    Returns:
        [rows.total, hidden] in the same dtype.
    """
    old = matrix[: rows.known].float()
    mean = old.mean(dim=0)
    new = sorted(rows.parts)
    if init == "random":
        values = deviation * torch.randn(len(new), old.shape[1], generator=generator)
    elif init == "default":
        noise = torch.randn(len(new), old.shape[1], generator=generator)
        # The root of a covariance that need not have full rank.
        variances, directions = torch.linalg.eigh((old - mean).T @ (old - mean) / rows.known)
        root = directions * (_COVARIANCE * variances.clamp(min=0)).sqrt()
        values = mean + noise @ root.T
    else:
        parts = [rows.parts[index] for index in new]
        if init == "eeve" and is_head:
            parts = [ids[:1] for ids in parts]
        sizes = torch.tensor([0, *map(len, parts)]).cumsum(0)[:-1]
        values = embedding_bag(torch.tensor(sum(parts, [])), old, sizes, mode="mean")
    expanded = matrix.new_empty(rows.total, matrix.shape[1])
    expanded[: len(matrix)] = matrix
    expanded[len(matrix) :] = mean.to(matrix.dtype)
    expanded[torch.tensor(new)] = values.to(matrix.dtype)
    return expanded


def vocabulary_matrices(directory: Path) -> tuple[str, str | None, torch.Size]:
    """Return the names of embedding and output head in a model directory, and their shape.

    The head's is `None` if it is the embedding.

    Raises:
        ValueError: a model whose vocabulary cannot be expanded on disk.
    """
    if (directory / "adapter_config.json").is_file():
        raise ValueError(
            "is an adapter; merge it first: kormo export --as kormo --adapter ADAPTER MODEL OUT"
        )
    try:
        config = AutoConfig.from_pretrained(directory)
    except OSError as error:
        raise ValueError(str(error)) from error
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError("is quantized; expand the model that it was made from")
    require_pre_norm(config, "the expansion of a vocabulary")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    if head is None or getattr(head, "bias", None) is not None:
        raise ValueError(f"{type(model).__name__}: no output head, or one with a bias")
    names = {id(p): name for name, p in model.named_parameters()}
    embedding = model.get_input_embeddings().weight
    tied = config.tie_word_embeddings
    return names[id(embedding)], None if tied else names[id(head.weight)], embedding.shape


def expand_files(directory: Path, out: Path, rows: NewRows, init: Initialisation, seed: int) -> int:
    """Write a model directory with a larger vocabulary into another, all but its tokenizer.

    Args:
        directory: model with safetensors.
        out: an empty directory.
        rows: what is new.
        init: of the new rows (see `expand_matrix`).
        seed: of random ones.

    Returns:
        parameters that were added.

    Raises:
        ValueError: a model that cannot be expanded, or weights that are not those of its config.
    """
    embedding, head, (count, width) = vocabulary_matrices(directory)
    file_of = weight_map(directory)
    more = {"total_parameters": 0, "total_size": 0}
    if head not in file_of:
        head = _ON_DISK.get(head, head)
    wanted = {embedding: False} | ({head: True} if head is not None else {})
    if missing := [name for name in wanted if name not in file_of]:
        raise ValueError(f"the checkpoint has no {missing[0]}, which its config promises")
    config = AutoConfig.from_pretrained(directory)
    deviation = getattr(config, "initializer_range", 0.02)
    embedding_deviation = getattr(config, "embedding_std", None) or deviation
    for file in sorted(set(file_of.values())):
        if not any(file_of[name] == file for name in wanted):
            shutil.copyfile(directory / file, out / file)
            continue
        tensors = {}
        with open_weights(directory / file) as opened:
            for name in opened.keys():
                tensors[name] = opened.get_tensor(name)
        for name in (name for name in wanted if name in tensors):
            before = tensors[name]
            if before.shape != (count, width):
                raise ValueError(
                    f"{name}: its shape is {list(before.shape)}, the config says {[count, width]}"
                )
            of_name = deviation if wanted[name] else embedding_deviation
            stream = stream_of(seed, name)
            tensors[name] = expand_matrix(before, rows, init, wanted[name], of_name, stream)
            more["total_parameters"] += tensors[name].numel() - before.numel()
            more["total_size"] += tensors[name].nbytes - before.nbytes
        save_file(tensors, out / file, metadata={"format": "pt"})
    if (directory / INDEX).is_file():
        known = json.loads((directory / INDEX).read_text(encoding="utf-8"))["metadata"]
        metadata = known | {name: known[name] + n for name, n in more.items() if name in known}
        edit_json(directory / INDEX, out / INDEX, {"metadata": metadata})
    edit_json(directory / "config.json", out / "config.json", {"vocab_size": rows.total})
    for pattern in _COPIED:
        for path in directory.glob(pattern):
            shutil.copyfile(path, out / path.name)
    return more["total_parameters"]
