"""Ways out: `trust_remote_code` directories and the Llama layout.

`python -m modeling_kormo.export --as llama MODEL OUT` writes a plain `LlamaForCausalLM` checkpoint
(two norms renamed), which serving engines and other tools read without knowing KORMo.
"""

import argparse
import sys
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from .configuration_kormo import KORMoConfig
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--as", dest="layout", choices=("llama", "kormo"), required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("model", help="model directory or Hub id")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        sys.exit(f"error: {args.out} is not empty; choose another directory")
    try:
        model = KORMoForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype))
        tokenizer = AutoTokenizer.from_pretrained(args.model)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {args.model}: {error}")
    if args.layout == "llama":
        to_llama(model).save_pretrained(args.out)
    else:
        save_portable(model, args.out)
    tokenizer.save_pretrained(args.out)
    print(f"{args.out}: {args.layout} layout, {args.dtype}")


if __name__ == "__main__":
    main()
