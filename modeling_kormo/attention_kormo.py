"""The `varlen` attention backend: documents packed into one row, no mask, no wheel to build.

On CUDA, in bf16 or fp16, it calls `torch.nn.attention.varlen.varlen_attn`. Elsewhere it runs SDPA
once per document, which on CPU beats one dense block-diagonal mask.
"""

import inspect
from functools import lru_cache

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask


@lru_cache(maxsize=1)
def _varlen_options() -> frozenset[str]:
    # torch renamed and added options of varlen_attn between 2.10 and 2.13; ask instead of guessing.
    from torch.nn.attention.varlen import varlen_attn

    return frozenset(inspect.signature(varlen_attn).parameters)


def _varlen_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    max_length: int,
    scaling: float,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    options = _varlen_options()
    kwargs: dict[str, object] = {}
    if "is_causal" in options:
        kwargs["is_causal"] = True
    else:
        kwargs["window_size"] = (-1, 0)
    if "scale" in options:
        kwargs["scale"] = scaling
    if query.shape[1] != key.shape[1]:
        if "enable_gqa" in options:
            kwargs["enable_gqa"] = True
        else:
            groups = query.shape[1] // key.shape[1]
            key = key.repeat_interleave(groups, dim=1)
            value = value.repeat_interleave(groups, dim=1)
    return varlen_attn(
        query, key, value, cu_seq_lens, cu_seq_lens, max_length, max_length, **kwargs
    )


def _varlen_by_document(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    # [tokens, heads, dim] -> [1, heads, tokens, dim]
    query, key, value = (x.transpose(0, 1).unsqueeze(0) for x in (query, key, value))
    bounds = cu_seq_lens.tolist()
    documents = [
        scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end],
            value[:, :, start:end],
            is_causal=True,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for start, end in zip(bounds, bounds[1:])
        if end > start
    ]
    return torch.cat(documents, dim=2).squeeze(0).transpose(0, 1)


def varlen_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **kwargs: object,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each document of a flattened batch.

    Without `cu_seq_lens_q` (generation, padded batches) it is plain SDPA with the given mask.

    Args:
        module: the attention module, for `num_key_value_groups` and `is_causal`.
        query: [1, heads, tokens, head_dim].
        key: [1, kv_heads, tokens, head_dim].
        value: [1, kv_heads, tokens, head_dim].
        attention_mask: only without `cu_seq_lens_q`.
        scaling: softmax scale.
        dropout: must be 0 for packed batches.
        cu_seq_lens_q: int32 [documents + 1], cumulative lengths; repeated ends are empty documents.
        max_length_q: an upper bound of the document lengths.

    Returns:
        Output [1, tokens, heads, head_dim] and `None` (no attention weights).

    Raises:
        ValueError: a packed batch with more than one row, or attention dropout.
    """
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if query.shape[0] != 1:
        raise ValueError(
            f"varlen attention needs rows flattened to [1, tokens], got batch {query.shape[0]}"
        )
    if dropout:
        raise ValueError("varlen attention has no dropout: set attention_dropout to 0")
    # [1, heads, tokens, dim] -> [tokens, heads, dim]
    query, key, value = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
    if query.is_cuda and query.dtype != torch.float32:
        if max_length_q is None:
            raise ValueError("varlen attention on CUDA needs max_length_q (an int)")
        query, key, value = (x.contiguous() for x in (query, key, value))
        output = _varlen_cuda(query, key, value, cu_seq_lens_q, max_length_q, scaling)
    else:
        output = _varlen_by_document(query, key, value, cu_seq_lens_q, scaling)
    return output.unsqueeze(0), None


def register_varlen() -> None:
    """Make `attn_implementation="varlen"` known to transformers."""
    AttentionInterface.register("varlen", varlen_attention_forward)
    # Only padded and cached calls ask for a mask; packed ones carry their boundaries themselves.
    AttentionMaskInterface.register("varlen", sdpa_mask)
