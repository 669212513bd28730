"""A Llama-layout model and its tokenizer as one GGUF file, for llama.cpp and what builds on it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

from .chat_config import END_OF_TURN

# KORMo's tokenizer splits text by Qwen2's expression, and llama.cpp knows splits by name only.
_PRE_TOKENIZER = "qwen2"
_GENERATION_TAG = re.compile(r"\{%-?\s*(?:end)?generation\s*-?%\}")


def inference_template(template: str) -> str:
    """A chat template without `{% generation %}` tags.

    They mark what is trained on and are transformers' own: other Jinja engines, among them those
    around llama.cpp, refuse to load a model whose template has an unknown tag.
    """
    return _GENERATION_TAG.sub("", template)


def _check(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase) -> None:
    rope = model.config.rope_parameters
    if rope["rope_type"] != "default":
        raise ValueError(f"rope_type {rope['rope_type']}: the GGUF export knows plain RoPE only")
    pattern = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    if pattern not in tokenizer.backend_tokenizer.to_str().replace("\\\\", "\\"):
        raise ValueError(
            "the tokenizer splits text otherwise than KORMo's does, and llama.cpp would cut it by "
            "KORMo's expression: convert it with llama.cpp's convert_hf_to_gguf.py"
        )


def _interleave(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Rows of a q or k projection, or its bias, in llama.cpp's order.

    transformers rotates dimension i with i + d/2, llama.cpp's Llama rotates neighbours.
    """
    halves = weight.reshape(heads, 2, -1, *weight.shape[1:])
    return halves.transpose(1, 2).reshape(weight.shape)


def _tensors(
    model: LlamaForCausalLM, dtype: torch.dtype
) -> Iterator[tuple[str, torch.Tensor, torch.dtype]]:
    import gguf

    config = model.config
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        projection = name.split(".")[-2]
        if projection in heads:
            tensor = _interleave(tensor, heads[projection])
        # Vectors are norms and biases, which llama.cpp keeps in fp32.
        yield (
            names.get_name(name, try_suffixes=(".weight", ".bias")),
            tensor,
            torch.float32 if tensor.dim() == 1 else dtype,
        )


def _vocabulary(tokenizer: PreTrainedTokenizerBase, rows: int) -> tuple[list[str], list[int]]:
    from gguf import TokenType

    # Rows of the embedding that no token has; llama.cpp wants a token for each.
    tokens = [f"[PAD{i}]" for i in range(rows)]
    types = [TokenType.UNUSED] * rows
    for token, i in tokenizer.get_vocab().items():
        tokens[i], types[i] = token, TokenType.NORMAL
    for i, token in tokenizer.added_tokens_decoder.items():
        types[i] = TokenType.CONTROL if token.special else TokenType.USER_DEFINED
    return tokens, types


def write_gguf(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, path: Path, dtype: torch.dtype
) -> None:
    """Write one GGUF file of architecture `llama`.

    Args:
        model: in the Llama layout, see `to_llama`.
        tokenizer: a KORMo tokenizer, with or without chat template.
        path: the file.
        dtype: of the matrices.

    Raises:
        ValueError: a rotary embedding or tokenizer that GGUF would represent wrongly.
    """
    import gguf

    _check(model, tokenizer)
    config = model.config
    kinds = {
        torch.float32: (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
        torch.float16: (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
        torch.bfloat16: (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    }
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("KORMo")
    writer.add_file_type(kinds[dtype][1])
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)

    bpe = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tokens, types = _vocabulary(tokenizer, config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_PRE_TOKENIZER)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_pad_token_id(tokenizer.pad_token_id)
    # A second token that ends generation: llama.cpp does not know `<|EOT|>` by its name.
    if END_OF_TURN in tokenizer.get_vocab():
        writer.add_eot_token_id(tokenizer.get_vocab()[END_OF_TURN])
    writer.add_add_bos_token(tokenizer("a").input_ids[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(inference_template(tokenizer.chat_template))

    # Announced first, then converted and written one by one: the model need not fit twice.
    for name, tensor, kind in _tensors(model, dtype):
        size = tensor.numel() * kind.itemsize
        writer.add_tensor_info(name, tensor.shape, np.dtype(np.float32), size, kinds[kind][0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, tensor, kind in _tensors(model, dtype):
        cast = tensor.detach().to(kind).contiguous()
        # numpy has no bfloat16; the bytes are what is written.
        writer.write_tensor_data((cast.view(torch.int16) if kind.itemsize == 2 else cast).numpy())
    writer.close()
