"""The `varlen` attention backend: documents packed into one row, no mask, no wheel to build.

On CUDA, in bf16 or fp16, it calls `torch.nn.attention.varlen.varlen_attn`. Elsewhere it runs SDPA
once per document, which on CPU beats one dense block-diagonal mask.
"""

import inspect

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

# Arguments that transformers hands down to every layer and that do not change its attention.
_NO_EFFECT = frozenset(
    (
        "cache_position",
        "cu_seq_lens_k",
        "is_causal",
        "max_length_k",
        "output_attentions",
        "output_hidden_states",
        "output_router_logits",
        "position_ids",
        "return_dict",
        "seq_idx",  # the same boundaries again, for layers that are no attention
        "use_cache",
    )
)


# torch renamed and added options of varlen_attn between 2.10 and 2.13; ask instead of guessing. Not
# in the call, where a compiler would have to trace the question, nor where there is no such device:
# the module takes a second to load.
if torch.cuda.is_available():
    from torch.nn.attention.varlen import varlen_attn

    _VARLEN_OPTIONS = frozenset(inspect.signature(varlen_attn).parameters)


def _varlen_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    max_length: int,
    scaling: float,
    window: int | None,
) -> torch.Tensor:
    kwargs: dict[str, object] = {}
    if "window_size" in _VARLEN_OPTIONS:
        # Keys to the left of a query, without its own; none to the right: causal.
        kwargs["window_size"] = (-1 if window is None else window - 1, 0)
    elif window is None:
        kwargs["is_causal"] = True
    else:
        raise ValueError(
            f"varlen_attn of torch {torch.__version__} has no sliding windows: update torch, or "
            "set model.attention to sdpa"
        )
    if "scale" in _VARLEN_OPTIONS:
        kwargs["scale"] = scaling
    if query.shape[1] != key.shape[1]:
        if "enable_gqa" in _VARLEN_OPTIONS:
            kwargs["enable_gqa"] = True
        else:
            groups = query.shape[1] // key.shape[1]
            key = key.repeat_interleave(groups, dim=1)
            value = value.repeat_interleave(groups, dim=1)
    return varlen_attn(
        query, key, value, cu_seq_lens, cu_seq_lens, max_length, max_length, **kwargs
    )


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scaling: float,
    mask: torch.Tensor | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    """Compute SDPA, with a sink in the softmax of each head if there are any.

    Args:
        query: [batch, heads, queries, dim].
        key: [batch, kv_heads, keys, dim].
        value: as `key`.
        scaling: softmax scale.
        mask: bool, broadcasts to [batch, heads, queries, keys]; causal without.
        sinks: [heads], logits to which attention may flow without any value; `None` for none.
    """
    grouped = query.shape[1] != key.shape[1]
    if sinks is None:
        return scaled_dot_product_attention(
            query, key, value, mask, is_causal=mask is None, scale=scaling, enable_gqa=grouped
        )
    # A sink is one more key, whose value is zero and whose score is the sink's logit.
    batch, heads, queries, keys = (*query.shape[:3], key.shape[2])
    if mask is None:
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    bias = torch.zeros(batch, heads, queries, keys, dtype=query.dtype, device=query.device)
    bias = bias.masked_fill(~mask, torch.finfo(query.dtype).min)
    columns = sinks.to(query.dtype).view(1, -1, 1, 1).expand(batch, -1, queries, 1)
    key, value = (nn.functional.pad(x, (0, 0, 0, 1)) for x in (key, value))
    return scaled_dot_product_attention(
        query, key, value, torch.cat([bias, columns], -1), scale=scaling, enable_gqa=grouped
    )


def _window_mask(tokens: int, window: int, device: torch.device) -> torch.Tensor:
    """Bool [tokens, tokens]: a token sees itself and the `window - 1` before it."""
    full = torch.ones(tokens, tokens, dtype=torch.bool, device=device)
    return full.tril().triu(1 - window)


def _varlen_by_document(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    cu_seq_lens: torch.Tensor,
    scaling: float,
    window: int | None,
    sinks: torch.Tensor | None,
) -> torch.Tensor:
    # [tokens, heads, dim] -> [1, heads, tokens, dim]
    query, key, value = (x.transpose(0, 1).unsqueeze(0) for x in (query, key, value))
    lengths = [length for length in cu_seq_lens.diff().tolist() if length]
    documents = []
    # Split, not sliced: the gradient of a slice is as long as all documents together.
    for length, *own in zip(lengths, *(x.split(lengths, dim=2) for x in (query, key, value))):
        # A document that the window holds is causal, which needs no mask in memory.
        narrow = window is not None and window < length
        mask = _window_mask(length, window, query.device) if narrow else None
        documents.append(_attend(*own, scaling, mask, sinks))
    return torch.cat(documents, dim=2).squeeze(0).transpose(0, 1)


def _refuse_unknown(arguments: dict[str, object]) -> None:
    """Refuse what would change attention and is not computed here.

    Raises:
        ValueError: names the arguments.
    """
    asked = sorted(n for n, v in arguments.items() if n not in _NO_EFFECT and v is not None)
    if asked:
        raise ValueError(
            f"varlen attention does not know {', '.join(asked)}, which this model asks for; set "
            "model.attention to eager or flex_attention"
        )


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
    sliding_window: int | None = None,
    s_aux: torch.Tensor | None = None,
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
        sliding_window: a token sees itself and so many less one before it; the mask has it already
            where there is one.
        s_aux: attention sinks, [heads]; computed document by document on every device.

    Returns:
        Output [1, tokens, heads, head_dim] and `None` (no attention weights).

    Raises:
        ValueError: a packed batch with more than one row, attention dropout, attention that is not
            causal, or an argument that is not known here and not `None`.
    """
    _refuse_unknown(kwargs)
    if cu_seq_lens_q is None:
        if s_aux is not None:
            if dropout:
                raise ValueError("varlen attention has no dropout beside attention sinks")
            mask = attention_mask
            if mask is not None and mask.dtype != torch.bool:
                mask = mask == 0
            output = _attend(query, key, value, scaling, mask, s_aux)
            return output.transpose(1, 2).contiguous(), None
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if query.shape[0] != 1:
        raise ValueError(
            f"varlen attention needs rows flattened to [1, tokens], got batch {query.shape[0]}"
        )
    if dropout:
        raise ValueError("varlen attention has no dropout: set attention_dropout to 0")
    if kwargs.get("is_causal") is False or not getattr(module, "is_causal", True):
        raise ValueError("varlen attention is causal; this module's is not: use sdpa or eager")
    # [1, heads, tokens, dim] -> [tokens, heads, dim]
    query, key, value = (x.squeeze(0).transpose(0, 1) for x in (query, key, value))
    if query.is_cuda and query.dtype != torch.float32 and s_aux is None:
        if max_length_q is None:
            raise ValueError("varlen attention on CUDA needs max_length_q (an int)")
        query, key, value = (x.contiguous() for x in (query, key, value))
        output = _varlen_cuda(
            query, key, value, cu_seq_lens_q, max_length_q, scaling, sliding_window
        )
    else:
        output = _varlen_by_document(
            query, key, value, cu_seq_lens_q, scaling, sliding_window, s_aux
        )
    return output.unsqueeze(0), None


def check_flex(queries: int, keys: int, head_dim: int, device: torch.device) -> None:
    """Refuse what torch's flex kernel computes wrongly on a CPU.

    Where vectors hold eight floats, a tail of eight scores is written as sixteen, over the running
    maxima of the first eight rows: NaN or plausible numbers, whatever the mask (torch 2.13,
    `tail_n` in torch/_inductor/codegen/cpp_micro_gemm.py). It needs one block of keys, and heads so
    narrow that torch multiplies in this way.

    Args:
        queries: of the call; one alone is decoded by another kernel.
        keys: of the call.
        head_dim: of the model.
        device: of the call.

    Raises:
        ValueError: the result would be wrong.
    """
    if device.type != "cpu" or queries == 1 or keys >= 128 or keys % 16 != 8:
        return
    if head_dim in (8, 16) and torch.backends.cpu.get_cpu_capability() == "AVX2":
        raise ValueError(
            f"flex_attention: torch computes rows of {keys} tokens wrongly on this CPU for heads "
            f"of {head_dim} numbers; set model.attention to varlen, sdpa or eager"
        )


def register_varlen() -> None:
    """Make `attn_implementation="varlen"` known to transformers."""
    AttentionInterface.register("varlen", varlen_attention_forward)
    # Only padded and cached calls ask for a mask; packed ones carry their boundaries themselves.
    AttentionMaskInterface.register("varlen", sdpa_mask)
