"""Ways out: `trust_remote_code` directories, the Llama layout and GGUF.

`python -m modeling_kormo.export --as llama MODEL OUT` writes a plain `LlamaForCausalLM` checkpoint
(two norms renamed), which serving engines and other tools read without knowing KORMo; `--as gguf`
writes `OUT/model.gguf` for llama.cpp. `--adapter DIR` merges a LoRA adapter into MODEL first.
"""

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from .adapter import merge_adapter
from .configuration_kormo import KORMoConfig
from .gguf_file import write_gguf
from .modeling_kormo import KORMoForCausalLM, KORMoModel

_NORMS = {
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
    the last bits.
    """
    keys = set(LlamaConfig().to_dict()) - {"model_type", "architectures", "transformers_version"}
    fields = {k: v for k, v in model.config.to_dict().items() if k in keys}
    weights = {}
    for name, tensor in model.state_dict().items():
        for ours, llamas in _NORMS.items():
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


def export(
    model_name: str, out: Path, layout: str, dtype: torch.dtype, adapter: Path | None = None
) -> None:
    """Load a KORMo model and write it in another form.

    Args:
        model_name: directory or Hub id.
        out: directory, empty or absent.
        layout: `llama`, `kormo` or `gguf`.
        dtype: of what is written.
        adapter: LoRA adapter to merge first; its tokenizer is taken if it has one, because that
            has the chat template.

    Raises:
        ValueError, OSError: input that cannot be exported.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} is not empty; choose another directory")
    for package, wanted in (("gguf", layout == "gguf"), ("peft", adapter is not None)):
        if wanted and find_spec(package) is None:
            raise ValueError(f"this needs the package {package}: pip install '.[export]'")
    tuned = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer = AutoTokenizer.from_pretrained(adapter if tuned else model_name)
    model = KORMoForCausalLM.from_pretrained(
        model_name, dtype=dtype if adapter is None else torch.float32
    )
    if adapter is not None:
        model = merge_adapter(model, adapter, dtype)
    if len(tokenizer) > model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {len(tokenizer)} tokens, the model {model.config.vocab_size} rows; "
            "take the tokenizer that it was trained with"
        )
    if layout == "kormo":
        save_portable(model, out)
    elif layout == "llama":
        to_llama(model).save_pretrained(out)
    else:
        out.mkdir(parents=True, exist_ok=True)
        write_gguf(to_llama(model), tokenizer, out / "model.gguf", dtype)
        return  # the tokenizer is in the file
    tokenizer.save_pretrained(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--as", dest="layout", choices=("llama", "kormo", "gguf"), required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="bfloat16")
    parser.add_argument("--adapter", type=Path, metavar="DIR", help="LoRA adapter to merge first")
    parser.add_argument("model", help="model directory or Hub id")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    disable_progress_bar()
    try:
        export(args.model, args.out, args.layout, getattr(torch, args.dtype), args.adapter)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {args.model}: {error}")
    print(f"{args.out}: {args.layout} layout, {args.dtype}")


if __name__ == "__main__":
    main()
