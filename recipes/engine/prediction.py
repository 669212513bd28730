"""How a run is laid out over GPUs, what it holds and sends, and how long a token takes.

By arithmetic alone, of which this project has measured nothing: the rates are those that others
reach, the bytes were counted in eager mode and in Inductor's schedule on a CPU. The figure stands
beside the assumed MFU so that the two can be compared, and be told wrong by a run.
"""

from dataclasses import dataclass

from data_recipes.common.errors import RecipeError
from modeling_kormo import KORMoConfig
from modeling_kormo.loss_kormo import MAX_CHUNK_ELEMENTS, compiled_chunk

from ..config import ViewsConfig
from .metrics import count_parameters, count_view_parameters, named, peak_flops

# Bytes per second of a GPU's memory, from the vendors' data sheets.
_BANDWIDTH = {
    "B200": 8.0e12,
    "H200": 4.8e12,
    "H100 NVL": 3.9e12,
    "H100 PCIe": 2.0e12,
    "H100": 3.35e12,
}
# Shares of the peaks that are reached (our choice): products of these shapes on random data, tiles
# of FlashAttention 2 over short documents, copies.
_PRODUCTS, _ATTENTION, _COPIES = 0.66, 0.3, 0.9
# Bytes that a layer moves beside its products, over those that it keeps for the backward pass:
# counted for 1b and 10b, op by op and compiled.
_MOVED = {False: 14.0, True: 3.7}
# Bytes per vocabulary entry and token that the loss moves (modeling_kormo/loss_kormo.py).
_LOSS = {False: 89, True: 16}
# Bytes per parameter that clipping and AdamW move in a step.
_OPTIMIZER = 40
# Bytes per second of one GPU, each way, from the vendors' data sheets: NVLink 4 inside a node of
# eight, one 400 Gb/s adapter a GPU between nodes.
NVLINK = 450e9
NETWORK = 50e9
GPUS_OF_A_NODE = 8
# Only where a name means one size; an A100 may have 40 or 80.
_MEMORY_GB = {"B200": 180, "H100 NVL": 94, "H200": 141, "H100": 80, "L40S": 48, "L4": 24}


@dataclass(frozen=True)
class Layout:
    """FSDP2 over `shards` GPUs, in `replicas` copies (HSDP if there are several).

    Attributes:
        shards: GPUs that share one copy of weights, gradients and optimizer.
        replicas: copies.
    """

    shards: int
    replicas: int

    def __str__(self) -> str:
        if self.replicas == 1:
            return f"sharded over {self.shards} GPUs" if self.shards > 1 else "one GPU"
        return f"{self.replicas} copies, each sharded over {self.shards} GPUs (HSDP)"


def plan_layout(gpus: int, shard_gpus: int) -> Layout:
    """Lay a run out as recipes/configs/accelerate/many_nodes.yaml does.

    Raises:
        RecipeError: copies that are not whole.
    """
    if gpus <= shard_gpus:
        return Layout(gpus, 1)
    if gpus % shard_gpus:
        raise RecipeError(
            f"parallelism.gpus: {gpus} GPUs are no whole copies of {shard_gpus} "
            "(parallelism.shard_gpus)"
        )
    return Layout(shard_gpus, gpus // shard_gpus)


@dataclass(frozen=True)
class Traffic:
    """Bytes that one GPU sends in a forward and backward pass that reduces its gradients.

    Attributes:
        inside: a copy: gathers of the bf16 weights, in forward and in backward, and the
            reduce-scatter of the fp32 gradients.
        between: copies: all-reduce of the GPU's own shard of the gradients, in fp32.
        seconds: both, one after the other, at the rates of the data sheets.
        gathering: of these the gathers alone, which a pass that reduces nothing has, too.
    """

    inside: float
    between: float
    seconds: float
    gathering: float


def count_traffic(parameters: int, layout: Layout) -> Traffic:
    """Count what a ring sends: (n - 1) / n of the bytes to gather or scatter, twice to all-reduce.

    Args:
        parameters: of the model.
        layout: of the run.
    """
    inside = (layout.shards - 1) / layout.shards * parameters * (2 + 2 + 4)
    between = 2 * (layout.replicas - 1) / layout.replicas * 4 * parameters / layout.shards
    rate = NVLINK if layout.shards <= GPUS_OF_A_NODE else NETWORK
    return Traffic(inside, between, inside / rate + between / NETWORK, inside / 2 / rate)


@dataclass(frozen=True)
class Prediction:
    """Seconds of one GPU for one token, by what takes them.

    Attributes:
        products: matrix products, those that are recomputed included.
        attention: scores and values.
        moving: everything between them, and the loss.
        optimizer: clipping and AdamW, its share of the step.
        exchange: what ranks send each other, as far as computing does not hide it.
    """

    products: float
    attention: float
    moving: float
    optimizer: float
    exchange: float

    @property
    def total(self) -> float:
        return self.products + self.attention + self.moving + self.optimizer + self.exchange


def predict(
    config: KORMoConfig,
    gpu: str,
    keys: float,
    compiled: bool,
    recomputed: float,
    selective: bool,
    shards: int,
    tokens_per_step: float,
    exchange: float,
) -> Prediction | None:
    """Predict the time of a token; `None` for a GPU whose memory is not in the table.

    Args:
        config: shape.
        gpu: its name.
        keys: tokens that a token attends to, on average.
        compiled: layers and loss are.
        recomputed: share of the layers that is recomputed in the backward pass.
        selective: of these, attention and half of the products are not.
        shards: GPUs that share a copy.
        tokens_per_step: of one GPU.
        exchange: seconds of a token's share of what is sent.
    """
    peak, bandwidth = peak_flops(gpu), named(_BANDWIDTH, gpu)
    if peak is None or bandwidth is None:
        return None
    parameters, layers = count_parameters(config), config.num_hidden_layers
    head = config.vocab_size * config.hidden_size
    of_layers = parameters - head * (1 if config.tie_word_embeddings else 2)
    width = config.num_attention_heads * config.head_dim
    again = recomputed * (0.5 if selective else 1)
    products = (6 * head + (6 + 2 * again) * of_layers) / (_PRODUCTS * peak)
    again = recomputed * (0 if selective else 1)
    attention = (12 + 4 * again) * layers * width * keys / (_ATTENTION * peak)
    moved = layers * _MOVED[compiled] * kept_bytes(config) * (1 + recomputed / 3)
    moved += _LOSS[compiled] * config.vocab_size
    moving = moved / (_COPIES * bandwidth)
    optimizer = _OPTIMIZER * parameters / shards / tokens_per_step / (_COPIES * bandwidth)
    computing = products + attention + moving
    return Prediction(products, attention, moving, optimizer, max(0.0, exchange - computing))


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
