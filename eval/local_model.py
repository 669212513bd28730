"""A model and its tokenizer from a directory or the Hub, ready to generate."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.errors import RecipeError

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase


# Files of tokenizers, of this project (the first) and of others.
_TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*tekken*")


def check_has_tokenizer(directory: Path) -> None:
    """Refuse a model directory without a tokenizer, as the checkpoints of a training run are.

    Raises:
        RecipeError: it has none.
    """
    if not any(path for pattern in _TOKENIZERS for path in directory.glob(pattern)):
        raise RecipeError(
            f"{directory}: no tokenizer, as in a checkpoint of a training run; name the run's "
            f"final/, or make a whole model of it: kormo export --as kormo {directory} OUT"
        )


def load_tokenizer(name: str, revision: str = "main") -> PreTrainedTokenizerBase:
    """The tokenizer of a model.

    Raises:
        RecipeError: there is none.
    """
    from transformers import AutoTokenizer

    import modeling_kormo  # noqa: F401  (registers the model)

    if (Path(name) / "config.json").is_file():
        check_has_tokenizer(Path(name))
    try:
        return AutoTokenizer.from_pretrained(name, revision=revision, padding_side="left")
    except (OSError, ValueError) as error:
        raise RecipeError(f"{name}: no tokenizer to be had ({error})") from error


def sees(name: str, revision: str = "main") -> bool:
    """Whether the model of a directory or of the Hub has eyes, by its config."""
    from transformers import AutoConfig

    return hasattr(AutoConfig.from_pretrained(name, revision=revision), "vision_config")


def load_language_model(
    name: str, dtype: str | torch.dtype, attention: str = "sdpa", revision: str = "main"
) -> PreTrainedModel:
    """Load what reads text: a language model, or that of a model that sees.

    Raises:
        OSError, ValueError: as from transformers.
    """
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    from modeling_kormo.checkpoint_files import load_whole  # and registers the model

    settings = {"revision": revision, "dtype": dtype}
    if not sees(name, revision):
        return load_whole(AutoModelForCausalLM, name, attn_implementation=attention, **settings)
    from modeling_kormo.vision import language_model  # needs Pillow

    model = load_whole(AutoModelForImageTextToText, name, **settings)
    model.set_attn_implementation({"text_config": attention})
    return language_model(model)


def load_model(name: str) -> PreTrainedModel:
    """The model, in the type it was saved in, on the GPU if there is one.

    Raises:
        RecipeError: there is none.
    """
    import torch
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    try:
        model = load_language_model(name, "auto")
    except (OSError, ValueError) as error:
        raise RecipeError(f"{name}: no model to be had ({error})") from error
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def check_chat_template(tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse a tokenizer that cannot lay out a conversation.

    Raises:
        RecipeError: it has no chat template.
    """
    if not tokenizer.chat_template:
        raise RecipeError(
            f"{name}: its tokenizer has no chat template, so it is a base model; measure it "
            "without chat, or name the `final/` of a chat stage (sft, dpo)"
        )


def model_identity(name: str) -> dict[str, Any]:
    """What tells one model from another, to be compared when a run goes on.

    A directory by its config and the names, sizes and times of its weights, which costs nothing at
    any size; a Hub id by its name.
    """
    directory = Path(name)
    if not directory.is_dir():
        return {"name": name}
    weights = sorted(p for p in directory.iterdir() if p.suffix in (".safetensors", ".bin"))
    parts = [f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in weights]
    parts += [
        (directory / file).read_text(encoding="utf-8")
        for file in ("config.json", "tokenizer_config.json")
        if (directory / file).is_file()
    ]
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return {"name": name, "files": digest[:16]}


def template_identity(name: str) -> str | None:
    """Hash of the file with the chat template of a directory, which lies beside what
    `model_identity` looks at; `None` if there is none."""
    file = Path(name) / "chat_template.jinja"
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else None


def greedy(model: PreTrainedModel, max_tokens: int) -> GenerationConfig:
    """The model's generation config without sampling: the same answer every time.

    Args:
        model: gives the ids that end an answer.
        max_tokens: of an answer.
    """
    from transformers import GenerationConfig

    own = model.generation_config
    return GenerationConfig(
        do_sample=False,
        # Left out, the model's own would be taken, and complained about.
        temperature=1.0,
        top_p=1.0,
        max_new_tokens=max_tokens,
        bos_token_id=own.bos_token_id,
        eos_token_id=own.eos_token_id,
        pad_token_id=own.pad_token_id,
    )


def generate(
    model: PreTrainedModel, generation: GenerationConfig, inputs: Mapping[str, Any]
) -> list[list[int]]:
    """Answer some prompts; gives the tokens of each answer, without the one that ends it.

    Args:
        model: answers.
        generation: of `greedy`.
        inputs: `input_ids` and `attention_mask` [prompts, tokens], padded on the left.
    """
    import torch

    ends = generation.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    with torch.inference_mode():
        output = model.generate(**inputs, generation_config=generation)
    rows = output[:, inputs["input_ids"].shape[1] :].tolist()
    return [row[: next((n for n, i in enumerate(row) if i in ends), len(row))] for row in rows]
