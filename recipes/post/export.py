"""The end of a chat stage: `final/`, with adapters merged."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from data_recipes.common.files import staged_folder
from data_recipes.common.references import split_revision
from modeling_kormo import KORMoConfig
from modeling_kormo.adapter import merge_adapter
from modeling_kormo.checkpoint_files import load_whole
from modeling_kormo.export import name_for_transformers_4

from ..engine.handover import (
    CHAT_USAGE,
    DataFacts,
    Trained,
    leave,
    save_kormo,
    write_final,
)


def _saver(
    model: PreTrainedModel, generation: GenerationConfig, state: dict[str, torch.Tensor]
) -> Callable[[Path], None]:
    if isinstance(model.config, KORMoConfig):
        return partial(save_kormo, model.config, generation, state)

    def save(directory: Path) -> None:
        model.config.get_text_config().use_cache = True
        model.save_pretrained(directory, state_dict=state)
        name_for_transformers_4(directory)

    return save


def _merged(
    config: Any, kind: type[PreTrainedModel], generation: GenerationConfig, adapter: Path
) -> PreTrainedModel:
    """The base in fp32, whatever the adapter was trained on, with the adapter added."""
    name, revision = split_revision(config.model.init_from)
    base = load_whole(kind, name, revision=revision, dtype=torch.float32)
    merged = merge_adapter(base, adapter, torch.float32)
    merged.generation_config = generation
    return merged


def export_chat(
    trainer: Any,
    config: Any,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
    data: DataFacts,
    usage: str = CHAT_USAGE,
) -> None:
    """Write `final/` (an adapter merged into its base, and apart in `adapter/`), say where it is.

    Args:
        trainer: after training.
        config: the stage, any whose model is a chat model.
        tokenizer: or processor; goes along.
        data: what it was trained on.
        usage: for the model card.
    """
    output_dir = config.logging.output_dir
    model = trainer.accelerator.unwrap_model(trainer.model_wrapped)
    adapter = isinstance(model, PeftModel)
    state = None if adapter else trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if trainer.is_world_process_zero():
        if adapter:
            with staged_folder(output_dir / "adapter") as staging:
                model.save_pretrained(staging)
            kind = type(model.get_base_model())
            model = _merged(config, kind, model.generation_config, output_dir / "adapter")
            state = model.state_dict()
        own = getattr(tokenizer, "tokenizer", tokenizer)
        trained = Trained(
            parent=config.model.init_from,
            parameters=sum(p.numel() for p in state.values()),
            tokens=int(trainer.state.num_input_tokens_seen),
            data=data,
            tokenizer_sha256=hashlib.sha256(
                own.backend_tokenizer.to_str(pretty=True).encode()
            ).hexdigest(),
            usage=usage,
        )
        save = _saver(model, model.generation_config, state)
        write_final(config, save, tokenizer, trained)
    leave(trainer.accelerator)
