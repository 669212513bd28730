"""Ways out: `trust_remote_code` directories, the Llama layout, LLaVA around it, and GGUF.

`kormo export --as llama MODEL OUT` writes a plain `LlamaForCausalLM` checkpoint
(two norms renamed), which serving engines and other tools read without knowing KORMo; `--as llava`
does the same to the language model of one that sees; `--as gguf` writes `OUT/model.gguf` for
llama.cpp. `--adapter DIR` merges a LoRA adapter into MODEL first.
"""

import json
import runpy
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    ProcessorMixin,
)

from .adapter import merge_adapter
from .checkpoint_files import load_whole
from .configuration_kormo import KORMoConfig, require_pre_norm
from .gguf_file import write_gguf
from .modeling_kormo import KORMoForCausalLM, KORMoModel

# Our names of the norms and Llama's; all other names are the same.
LLAMA_NORMS = {
    "pre_attention_layernorm": "input_layernorm",
    "pre_mlp_layernorm": "post_attention_layernorm",
}


def save_portable(
    model: PreTrainedModel, directory: Path, state_dict: dict[str, torch.Tensor] | None = None
) -> None:
    """`save_pretrained` plus the modeling code, so that `trust_remote_code` loads it anywhere.

    Args:
        model: a `KORMoForCausalLM`.
        directory: written to.
        state_dict: weights to write instead of the model's own, e.g. gathered ones.
    """
    KORMoConfig.register_for_auto_class()
    KORMoModel.register_for_auto_class("AutoModel")
    KORMoForCausalLM.register_for_auto_class("AutoModelForCausalLM")
    # transformers writes only the saved class; vLLM also asks for AutoModel.
    model.config.auto_map = {"AutoModel": "modeling_kormo.KORMoModel"}
    model.save_pretrained(directory, state_dict=state_dict)


def to_llama(model: KORMoForCausalLM) -> LlamaForCausalLM:
    """The same weights as a Llama model; the tensors are shared.

    In fp32 the two give the same logits. In bf16 Llama rounds at other places, so logits differ in
    the last bits; and it keeps its rotary frequencies in fp32. A model that rounds them
    (`rope_frequencies_in_model_dtype`, as the published ones do) turns by other angles, the more so
    the further apart two tokens are.

    Raises:
        ValueError: masks of a growth are below 1, or norms stand elsewhere, which Llama has not.
    """
    require_pre_norm(model.config, "the Llama layout, on which GGUF and LLaVA rest,")
    if model.config.growing:
        raise ValueError("the model is in the middle of a growth: end its ramp first")
    keys = set(LlamaConfig().to_dict()) - {"model_type", "architectures", "transformers_version"}
    fields = {k: v for k, v in model.config.to_dict().items() if k in keys}
    weights = {}
    for name, tensor in model.state_dict().items():
        for ours, llamas in LLAMA_NORMS.items():
            name = name.replace(f".{ours}.", f".{llamas}.")
        weights[name] = tensor
    config = LlamaConfig(**fields)
    with torch.device("meta"):
        llama = LlamaForCausalLM(config)
    llama.load_state_dict(weights, assign=True)
    # What is not in the weights (rotary frequencies) is still on the meta device.
    llama.model.rotary_emb = type(llama.model.rotary_emb)(config)
    llama.generation_config = model.generation_config
    return llama


def save_llama(model: KORMoForCausalLM, directory: Path) -> None:
    """Write a Llama checkpoint that engines on transformers 4 read as those on 5 do.

    Args:
        model: its generation config, which names the tokens that end a turn, goes along.
        directory: written to.
    """
    to_llama(model).save_pretrained(directory)
    name_for_transformers_4(directory)


def name_for_transformers_4(directory: Path) -> None:
    """Say in a saved config what transformers 4 looks for under other names, as well.

    5 writes the rotary embedding as `rope_parameters` alone; 4 looks for `rope_theta` and
    `rope_scaling`, and without them takes the base of the family, or 10,000, and no scaling,
    without a word.
    """
    path = directory / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for part in (config, config.get("text_config", {})):
        if "dtype" in part:
            part["torch_dtype"] = part["dtype"]
        rope = dict(part.get("rope_parameters") or {})
        if part.get("model_type", "").startswith("gemma3") and "sliding_attention" in rope:
            part["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
            rope = dict(rope["full_attention"])
        if "rope_theta" in rope:  # by kind of layer, other families have names of their own
            part["rope_theta"] = rope.pop("rope_theta")
            part["rope_scaling"] = rope if rope["rope_type"] != "default" else None
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def to_plain_llava(model: PreTrainedModel) -> PreTrainedModel:
    """The same model with a Llama inside; the tensors are shared, fp32 logits are equal.

    transformers looks a nested `kormo` up before any code that lies beside the weights, so a model
    with one loads nowhere but beside this package.
    """
    from .vision import language_model

    llama = to_llama(language_model(model))
    fields = model.config.to_dict()
    for name in ("text_config", "vision_config", "model_type", "architectures"):
        fields.pop(name, None)
    config = type(model.config)(
        **fields, text_config=llama.config, vision_config=model.config.vision_config
    )
    with torch.device("meta"):
        plain = type(model)(config)
    inner = plain.model
    inner.language_model, plain.lm_head = llama.model, llama.lm_head
    for name in ("vision_tower", "multi_modal_projector", "image_newline"):
        if hasattr(inner, name):
            setattr(inner, name, getattr(model.model, name))
    plain.generation_config = model.generation_config
    return plain


def save_llava(model: PreTrainedModel, processor: ProcessorMixin, directory: Path) -> None:
    """Write a LLaVA checkpoint that needs no code of ours.

    Args:
        model: from `vision.build_vision_model`.
        processor: of the model.
        directory: written to.
    """
    from .vision import name_classes_of_transformers

    to_plain_llava(model).save_pretrained(directory)
    save_tokenizer(processor, directory)
    name_classes_of_transformers(directory)
    name_for_transformers_4(directory)


def save_tokenizer(tokenizer: PreTrainedTokenizerBase | ProcessorMixin, directory: Path) -> None:
    """Write a tokenizer, or what has one, in files that transformers 4 and 5 load.

    5 names the class `TokenizersBackend` and has a list of extra special tokens under a name that
    means something else to 4, which knows it as `additional_special_tokens`.
    """
    tokenizer.save_pretrained(directory)
    path = directory / "tokenizer_config.json"
    if not path.is_file():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(config.get("extra_special_tokens"), list):
        config["additional_special_tokens"] = config.pop("extra_special_tokens")
    text = json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def export(
    model_name: str, out: Path, layout: str, dtype: torch.dtype, adapter: Path | None = None
) -> None:
    """Load a KORMo model and write it in another form.

    Args:
        model_name: directory or Hub id.
        out: an empty directory, or a new one.
        layout: `llama`, `llava`, `kormo` or `gguf`.
        dtype: of what is written.
        adapter: LoRA adapter to merge first; its tokenizer is taken if it has one, because that
            has the chat template.

    Raises:
        ValueError, OSError: input that cannot be exported.
    """
    for package, wanted in (("gguf", layout == "gguf"), ("peft", adapter is not None)):
        if wanted and find_spec(package) is None:
            raise ValueError(f"this needs the package {package}: pip install '.[export]'")
    sees = AutoConfig.from_pretrained(model_name).model_type in ("llava", "llava_onevision")
    if sees != (layout == "llava"):
        said = "sees, which only --as llava can say" if sees else "reads text only: --as llama"
        raise ValueError(f"this model {said}")
    if sees:
        _export_llava(model_name, out, dtype, adapter)
        return
    tuned = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(adapter if tuned else model_name)
    loaded = dtype if adapter is None else torch.float32
    model = load_whole(KORMoForCausalLM, model_name, dtype=loaded)
    if adapter is not None:
        model = merge_adapter(model, adapter, dtype)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size} rows; "
            "take the tokenizer that it was trained with"
        )
    if layout == "gguf":  # the tokenizer is in the file
        out.mkdir(parents=True, exist_ok=True)
        write_gguf(to_llama(model), tokenizer, out / "model.gguf", dtype)
        return
    if layout == "kormo":
        save_portable(model, out)
    else:
        save_llama(model, out)
    save_tokenizer(tokenizer, out)


def _export_llava(model_name: str, out: Path, dtype: torch.dtype, adapter: Path | None) -> None:
    from .vision import load_processor

    if adapter is not None:
        raise ValueError("an adapter of one that sees is merged where it is trained: take final/")
    model = load_whole(AutoModelForImageTextToText, model_name, dtype=dtype)
    if not isinstance(model.config.text_config, KORMoConfig):
        raise ValueError("its language model is no KORMo, so it loads anywhere as it is")
    save_llava(model, load_processor(model_name), out)


if __name__ == "__main__":
    # The command `kormo export` under its old name. It lives above this package, with the locks and
    # staged folders of the other commands, and where the package stands alone there is none.
    runpy.run_module("recipes.export", run_name="__main__")
