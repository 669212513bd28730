"""The model under evaluation: what identifies it, how it is loaded, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from lm_eval.api.task import Task
from transformers import AutoConfig

import modeling_kormo  # noqa: F401  (registers the model)
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file
from data_recipes.common.references import split_revision

from .backend import MAX_THINK_TOKENS, KORMoLM, ThinkingMixin
from .local_model import check_has_tokenizer, load_language_model, load_tokenizer, sees
from .plan import Unit

Backend = Literal["hf", "vllm"]
# What decides a model's answers, besides the code.
_IDENTITY = ("*.safetensors", "*.bin", "*.json", "*.jinja")
# Records of a training run that lie in the same directory and decide nothing.
_RECORDS = ("lineage.json", "trainer_state.json")
# On a CPU: logits of a batch of prompts this long stay below a gibibyte.
_PROMPT, _LOGIT_BYTES = 512, 2**30
_MOST_ROWS = 64


@dataclass(frozen=True)
class ModelOptions:
    """How a model is to be loaded.

    Attributes:
        model: directory, or Hub id with optional `@revision`.
        backend: `hf` is transformers; `vllm` is faster on GPUs, where it is installed.
        batch_size: rows at a time, or `auto`.
        device: as torch names it; `None` is the GPU if there is one.
        dtype: of weights and computation; `None` is bfloat16 on a GPU and float32 elsewhere.
        gpus: that vLLM splits each layer over.
    """

    model: str
    backend: Backend = "hf"
    batch_size: str = "auto"
    device: str | None = None
    dtype: str | None = None
    gpus: int = 1

    @property
    def resolved_device(self) -> str:
        return self.device or ("cuda" if torch.cuda.is_available() else "cpu")

    @property
    def resolved_dtype(self) -> str:
        on_gpu = self.resolved_device.startswith("cuda")
        return self.dtype or ("bfloat16" if on_gpu else "float32")

    @property
    def name(self) -> str:
        """Short name: the last part of the path that says something."""
        parts = [part for part in Path(self.model).parts if part != "final"]
        return parts[-1] if parts else self.model


def model_settings(options: ModelOptions) -> dict[str, str]:
    """What must not change between a run and its resumption: the model itself, and its precision.

    Raises:
        RecipeError: no such model, or options that cannot work here.
    """
    _check(options)
    settings = {
        "model": options.model,
        "backend": options.backend,
        "dtype": options.resolved_dtype,
    }
    directory = Path(options.model)
    if not directory.is_dir():
        name, revision = split_revision(options.model)
        try:
            config = AutoConfig.from_pretrained(name, revision=revision)
        except (OSError, ValueError) as error:
            raise RecipeError(
                f"--model {options.model}: neither a directory nor a model that can be reached on "
                f"the Hub ({_first_line(error)})"
            ) from error
        return settings | {"commit": str(config._commit_hash)}
    if not (directory / "config.json").is_file():
        final = " (its final/ is)" if (directory / "final").is_dir() else ""
        raise RecipeError(f"--model {directory}: no config.json, so it is no model{final}")
    check_has_tokenizer(directory)
    files = {p for pattern in _IDENTITY for p in directory.glob(pattern)}
    return settings | {
        f"sha256 of {path.name}": sha256_file(path)
        for path in sorted(files)
        if path.name not in _RECORDS
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _check(options: ModelOptions) -> None:
    if options.resolved_device.startswith("cuda") and not torch.cuda.is_available():
        raise RecipeError("--device cuda: torch sees no CUDA GPU here; use --device cpu")
    if options.backend == "vllm" and not options.resolved_device.startswith("cuda"):
        raise RecipeError("--backend vllm needs a CUDA GPU; use --backend hf")
    if options.backend == "hf" and options.gpus > 1:
        raise RecipeError("--gpus splits a model with --backend vllm only")
    if options.batch_size != "auto":
        if not options.batch_size.isdigit() or int(options.batch_size) < 1:
            raise RecipeError(f"--batch-size {options.batch_size}: a number of rows, or auto")


def load_backend(name: str) -> type[ThinkingMixin]:
    """The class of a backend, by name.

    Raises:
        RecipeError: unknown, or not installed.
    """
    if name == "hf":
        return KORMoLM
    if name == "vllm":
        try:
            from .backend_vllm import KORMoVLLM
        except ImportError as error:
            raise RecipeError(
                f"the vllm backend cannot be imported ({error}); install it on a GPU machine with "
                '`pip install "lm-eval[vllm]"`, or use the hf backend'
            ) from error
        return KORMoVLLM
    raise RecipeError(f"backend {name!r}: choose hf or vllm")


def rows_in_memory(vocab_size: int) -> int:
    """Rows at a time that a CPU's memory surely holds, by the logits of that many prompts."""
    return max(1, min(_MOST_ROWS, _LOGIT_BYTES // (4 * _PROMPT * vocab_size)))


def _batch_size(options: ModelOptions, name: str, revision: str) -> str | int:
    if options.batch_size != "auto":
        return int(options.batch_size)
    if options.resolved_device.startswith("cuda"):
        return "auto"
    config = AutoConfig.from_pretrained(name, revision=revision)
    return rows_in_memory(config.get_text_config().vocab_size)


def load_model(options: ModelOptions, *, chat: bool, think: bool) -> ThinkingMixin:
    """Load the model for lm-eval.

    Args:
        options: which one, and how.
        chat: some tasks are asked through its chat template.
        think: some tasks ask it to think.

    Raises:
        RecipeError: it cannot be loaded, or cannot do what is asked.
    """
    backend = load_backend(options.backend)
    name, revision = split_revision(options.model)
    arguments: dict[str, Any] = {
        "pretrained": name,
        "revision": revision,
        "dtype": options.resolved_dtype,
        "batch_size": _batch_size(options, name, revision),
    }
    if options.backend == "vllm":
        arguments["tensor_parallel_size"] = options.gpus
    else:
        arguments |= {"device": options.resolved_device, "attn_implementation": "sdpa"}
    try:
        if options.backend == "hf" and sees(name, revision):
            # lm-eval's own class for such models asks with pictures, and all tasks here are text.
            del arguments["attn_implementation"]
            language = load_language_model(name, options.resolved_dtype, revision=revision)
            arguments["pretrained"] = language.to(options.resolved_device)
            arguments["tokenizer"] = load_tokenizer(name, revision)
        lm = backend(**arguments)
    except (OSError, ValueError) as error:
        raise RecipeError(f"--model {options.model}: {_first_line(error)}") from error
    # Refused now rather than after hours of other tasks.
    if chat:
        lm.thinking = False
    if think:
        lm.thinking = True
    return lm


def set_thinking(lm: ThinkingMixin, unit: Unit, task: Task) -> None:
    """Make the model read and answer as a unit and its task ask for."""
    lm.thinking = unit.think if unit.chat else None
    metadata = task.config.metadata or {}
    lm.keep_thinking = metadata.get("keep_thinking", False)
    lm.max_think_toks = metadata.get("max_think_toks", MAX_THINK_TOKENS)
