"""How a run is laid out over GPUs, and what it sends: for `--dry-run`, by arithmetic alone."""

from dataclasses import dataclass

from data_recipes.common.errors import RecipeError

# Bytes per second of one GPU, each way, from the vendors' data sheets: NVLink 4 inside a node of
# eight, one 400 Gb/s adapter a GPU between nodes.
NVLINK = 450e9
NETWORK = 50e9
_GPUS_OF_A_NODE = 8


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
    """

    inside: float
    between: float
    seconds: float


def count_traffic(parameters: int, layout: Layout) -> Traffic:
    """Count what a ring sends: (n - 1) / n of the bytes to gather or scatter, twice to all-reduce.

    Args:
        parameters: of the model.
        layout: of the run.
    """
    inside = (layout.shards - 1) / layout.shards * parameters * (2 + 2 + 4)
    between = 2 * (layout.replicas - 1) / layout.replicas * 4 * parameters / layout.shards
    rate = NVLINK if layout.shards <= _GPUS_OF_A_NODE else NETWORK
    return Traffic(inside, between, inside / rate + between / NETWORK)
