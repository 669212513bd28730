"""How a run is laid out over GPUs, and what it sends: for `--dry-run`, by arithmetic alone."""

from dataclasses import dataclass

from data_recipes.common.errors import RecipeError

# Bytes per second of one GPU, each way, from the vendors' data sheets: NVLink 4 inside a node, one
# 400 Gb/s adapter a GPU between nodes.
NVLINK = 450e9
NETWORK = 50e9


@dataclass(frozen=True)
class Layout:
    """FSDP2 over `shards` GPUs, in `replicas` copies (HSDP if there are several).

    Attributes:
        shards: GPUs that share one copy of weights, gradients and optimizer: those of a node, as
            in recipes/configs/accelerate/many_nodes.yaml.
        replicas: nodes.
    """

    shards: int
    replicas: int

    def __str__(self) -> str:
        if self.replicas == 1:
            return f"sharded over {self.shards} GPUs" if self.shards > 1 else "one GPU"
        return f"{self.replicas} nodes, sharded over the {self.shards} GPUs of each (HSDP)"


def plan_layout(gpus: int, gpus_per_node: int) -> Layout:
    """Lay a run out: sharded inside a node, replicated between nodes.

    Raises:
        RecipeError: nodes that are not full.
    """
    if gpus <= gpus_per_node:
        return Layout(gpus, 1)
    if gpus % gpus_per_node:
        raise RecipeError(
            f"parallelism.gpus: {gpus} GPUs are no whole nodes of {gpus_per_node} "
            "(parallelism.gpus_per_node)"
        )
    return Layout(gpus_per_node, gpus // gpus_per_node)


@dataclass(frozen=True)
class Traffic:
    """Bytes that one GPU sends in a forward and backward pass that reduces its gradients.

    Attributes:
        inside: gathers of the bf16 weights, in forward and in backward, and the reduce-scatter of
            the fp32 gradients.
        between: all-reduce of the gradients' own shard over the replicas, in fp32.
    """

    inside: float
    between: float

    @property
    def seconds(self) -> float:
        """At the rates of the data sheets, one after the other."""
        return self.inside / NVLINK + self.between / NETWORK


def count_traffic(parameters: int, layout: Layout) -> Traffic:
    """Count what a ring sends: (n - 1) / n of the bytes to gather or scatter, twice to all-reduce.

    Args:
        parameters: of the model.
        layout: of the run.
    """
    inside = (layout.shards - 1) / layout.shards * parameters * (2 + 2 + 4)
    between = 2 * (layout.replicas - 1) / layout.replicas * 4 * parameters / layout.shards
    return Traffic(inside, between)
