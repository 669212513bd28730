"""A LoRA adapter merged into its base, so that the result needs no peft."""

from pathlib import Path

import torch
from transformers import PreTrainedModel


def merge_adapter(base: PreTrainedModel, directory: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Add an adapter's updates to the weights.

    Args:
        base: in fp32; in bf16 most of a small update would be rounded away before it is added.
        directory: as peft saves it.
        dtype: of the result.

    Raises:
        ValueError: no adapter there, or one of another model.
    """
    from peft import PeftConfig, get_peft_model, load_peft_weights, set_peft_model_state_dict

    assert base.dtype == torch.float32
    if not (directory / "adapter_config.json").is_file():
        raise ValueError(f"{directory}: no adapter_config.json; name a directory saved by peft")
    config = PeftConfig.from_pretrained(directory)
    config.inference_mode = True
    weights = load_peft_weights(directory, device="cpu")
    other = f"{directory}: made for another model (base {config.base_model_name_or_path}): "
    try:
        wrapped = get_peft_model(base, config)
        result = set_peft_model_state_dict(wrapped, weights)
    except (RuntimeError, ValueError) as error:
        first = next((line for line in str(error).splitlines() if "size mismatch" in line), error)
        raise ValueError(f"{other}{str(first).strip()}; export with that base") from error
    except KeyError as error:
        # So for the rows of single tokens; for all else peft only reports what is absent, below.
        raise ValueError(f"{other}{error.args[0]} has no counterpart") from error
    # peft only warns about layers that one has and the other lacks.
    absent = [k for k in result.missing_keys if "lora_" in k or "modules_to_save" in k]
    strange = absent + list(result.unexpected_keys)
    if strange:
        raise ValueError(f"{other}{strange[0]} has no counterpart; export with that base")
    return wrapped.merge_and_unload().to(dtype)
