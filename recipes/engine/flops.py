"""Parameters, FLOPs, memory and GPU peaks: the one place where these are computed."""

from dataclasses import dataclass

from modeling_kormo import KORMoConfig
from modeling_kormo.loss_kormo import MAX_CHUNK_ELEMENTS, compiled_chunk

from ..config import ViewsConfig

# Dense bf16 FLOP/s without sparsity, from the vendors' data sheets. Longer names come first, so
# that "H100 PCIe" is not taken for "H100".
_PEAK_BF16 = {
    "GB200": 2.5e15,
    "B200": 2.25e15,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H200": 989e12,
    "H100": 989e12,
    "GH200": 989e12,
    "A100": 312e12,
    "A800": 312e12,
    "L40S": 362e12,
    "A40": 149.7e12,
    "A10": 125e12,
    "L4": 121e12,
    "RTX 4090": 165.2e12,
    "RTX 3090": 71e12,
}


# Only where a name means one size; an A100 may have 40 or 80.
_MEMORY_GB = {"B200": 180, "H100 NVL": 94, "H200": 141, "H100": 80, "L40S": 48, "L4": 24}


def peak_flops(gpu_name: str) -> float | None:
    """Dense bf16 peak of a GPU in FLOP/s; `None` for one not in the table, never a guess.

    Args:
        gpu_name: as `torch.cuda.get_device_name()` says it, e.g. "NVIDIA H200".
    """
    return named(_PEAK_BF16, gpu_name)


def named(table: dict[str, float], gpu_name: str) -> float | None:
    """Look a GPU up in a table whose longer names come first; `None` if it is not there."""
    words = gpu_name.replace("-", " ").split()
    for name, value in table.items():
        if all(part in words for part in name.split()):
            return value
    return None


def _layer_parameters(config: KORMoConfig) -> int:
    attention = config.hidden_size * config.head_dim
    attention *= 2 * config.num_attention_heads + 2 * config.num_key_value_heads
    mlp = 3 * config.hidden_size * config.intermediate_size
    return attention + mlp + 2 * config.hidden_size


def count_parameters(config: KORMoConfig) -> int:
    """Parameters of the model, from the shape alone."""
    embeddings = config.vocab_size * config.hidden_size * (1 if config.tie_word_embeddings else 2)
    layers = config.num_hidden_layers * _layer_parameters(config)
    return layers + embeddings + config.hidden_size


def count_view_parameters(config: KORMoConfig, views: ViewsConfig | None) -> int:
    """Parameters of multi-token prediction, which are trained and left out of `final/`."""
    if views is None or views.kind == "same":
        return 0
    width = config.hidden_size
    part = _layer_parameters(config)
    if views.kind == "sequential":
        part += 2 * width * width + 3 * width
    return views.count * part


def flops_per_token(config: KORMoConfig, keys: float, views: ViewsConfig | None = None) -> float:
    """Training FLOPs per token: 6 per multiplied weight, plus attention.

    `6 (N - N_embedding) + 12 layers heads head_dim keys`. Recomputation is not counted. Each view
    of multi-token prediction has its own modules and goes through the head once more.

    Args:
        config: shape.
        keys: tokens that a token attends to. With the length of the window it is PaLM's count,
            without the causal discount, by which MFU is compared everywhere (arXiv 2204.02311,
            appendix B); with their mean (`attended_length`) it is what is computed.
        views: of multi-token prediction.
    """
    multiplied = count_parameters(config)
    if not config.tie_word_embeddings:
        multiplied -= config.vocab_size * config.hidden_size
    layers = config.num_hidden_layers
    if views is not None:
        multiplied += count_view_parameters(config, views)
        multiplied += views.count * config.vocab_size * config.hidden_size
        layers += 0 if views.kind == "same" else views.count
    width = config.num_attention_heads * config.head_dim
    return 6 * multiplied + 12 * layers * width * keys


def gpu_memory(gpu_name: str) -> float | None:
    """Memory of a GPU in bytes, from the vendors' data sheets; `None` for one not in the table."""
    gigabytes = named(_MEMORY_GB, gpu_name)
    return None if gigabytes is None else gigabytes * 1e9


def kept_bytes(config: KORMoConfig) -> int:
    """Bytes per token that one layer keeps for the backward pass.

    Outputs in bf16 (norms, q, k, v, attention, gate, up, their product, residuals) and fp32 copies
    inside the two norms.
    """
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    bf16 = 4 * config.hidden_size + 2 * queries + 2 * keys + 4 * config.intermediate_size
    return 2 * bf16 + 4 * 2 * config.hidden_size


def _kept_selectively(config: KORMoConfig) -> int:
    """Bytes per token of attention's output and half of the products' (model_setup.py), in bf16."""
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    products = queries + 2 * keys + 2 * config.hidden_size + 2 * config.intermediate_size
    return 2 * queries + products


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes per GPU of a sharded run."""

    states: float
    gathered: float
    gradients: float
    activations: float
    loss: float

    @property
    def total(self) -> float:
        return self.states + self.gathered + self.gradients + self.activations + self.loss


def estimate_memory(
    config: KORMoConfig,
    tokens_per_forward: int,
    shards: int,
    activation_checkpointing: int,
    selective: bool,
    sync_each_microbatch: bool,
    accumulates: bool,
    compiled: bool,
    views: ViewsConfig | None = None,
    averaged: bool = False,
) -> MemoryEstimate:
    """Estimate of the memory of one GPU under FSDP2 with bf16 compute, before fragmentation.

    States: fp32 weight, gradient shard and two moments, 16 bytes a parameter over the `shards` GPUs
    that share a copy, and 4 for a running average. Gathered: bf16 weights of two layers (one in
    use, one prefetched), the embedding and the head.
    Gradients: what accumulates unsharded in fp32 if gradients are reduced only once a step, and the
    largest piece (a layer, the embedding or the head) as it is reduced, in bf16 and in fp32.
    Activations: `kept_bytes` per token and layer; of each layer that is recomputed (every n-th) its
    input, what is kept selectively, and one layer's worth; the layers of views are as the others.
    Loss: two copies of one chunk of logits, in fp32 or, compiled, in bf16, and the head's fp32
    gradient.
    """
    own = count_parameters(config)
    parameters = own + count_view_parameters(config, views)
    embedding = config.vocab_size * config.hidden_size
    heads = 1 if config.tie_word_embeddings else 2
    layer = (own - heads * embedding) / config.num_hidden_layers
    per_layer = tokens_per_forward * kept_bytes(config)
    more = views.count if views is not None and views.kind != "same" else 0
    layers = config.num_hidden_layers + more
    recomputed = len(range(0, layers, activation_checkpointing)) if activation_checkpointing else 0
    kept = 2 * config.hidden_size + (_kept_selectively(config) if selective else 0)
    activations = (
        recomputed * tokens_per_forward * kept + min(layers, layers - recomputed + 1) * per_layer
    )
    rows = tokens_per_forward * (1 + (views.count if views is not None else 0))
    logits = 8 * min(MAX_CHUNK_ELEMENTS, rows * config.vocab_size)
    if compiled and (chunk := compiled_chunk(rows)):
        logits = 4 * chunk * config.vocab_size
    reduced = 6 * max(layer, embedding)
    return MemoryEstimate(
        states=(16 * parameters + (4 * own if averaged else 0)) / shards,
        gathered=2 * (2 * layer + heads * embedding),
        gradients=reduced + (4 * parameters if accumulates and not sync_each_microbatch else 0),
        activations=activations,
        loss=logits + 4 * embedding,
    )
