"""`--dry-run` of SFT and preference tuning: data, parameters and memory, by arithmetic alone."""

from dataclasses import replace
from pathlib import Path

import yaml

from data_recipes.common.errors import RecipeError, errors_about
from modeling_kormo import KORMoConfig

from ..command_line import CONFIGS, load_stage
from ..engine.dry_run import memory_lines
from ..engine.metrics import count_parameters
from ..engine.prediction import GPUS_OF_A_NODE, MemoryEstimate, estimate_memory
from ..parent import ParentModel, read_config
from .chat_config import ChatStageConfig, DPOStageConfig, SFTStageConfig
from .stage import PARENTS, split_windows

# Bytes of a frozen weight: fp32, or 4-bit NormalFloat with its constants quantized, too (QLoRA).
_FROZEN = {None: 4.0, "nf4": 0.516}


def data_plan(config: ChatStageConfig) -> list[str]:
    """The resolved config, what it starts from, its step, and the size of its sources."""
    lines = [yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)]
    batch, gpus = config.batch, config.parallelism.gpus
    split, gpu = split_windows(config, gpus), config.parallelism.gpu
    parent = ParentModel(config.model.init_from, config.size, PARENTS[config.stage])
    lines.append(f"starts from       {parent.describe()}")
    lines.append(
        f"tokens per step   {batch.tokens_per_step:,} at most: {gpus} GPUs ({gpu}) x "
        f"{split.micro_batch} windows x {split.accumulation} forward passes x "
        f"{batch.sequence_length:,}"
    )
    for source in config.data.sources:
        path = Path(source.path)
        if path.is_file() and not path.stat().st_size:
            raise RecipeError(f"data.sources: {path} is empty; name one with conversations")
        size = f"{path.stat().st_size:,} bytes" if path.is_file() else "not on this machine"
        lines.append(f"source            {source.path}: {size}")
    return lines


def shape_of_size(size: str) -> KORMoConfig | None:
    """Shape of a size's language model, as its stage 1 says; `None` for a size without recipes."""
    path = CONFIGS / size / "stage1.yaml"
    if not path.is_file():
        return None
    shape = load_stage(path, "stage1").model.shape
    return KORMoConfig(**shape.model_dump(), bos_token_id=None, eos_token_id=None)


def _shape(config: ChatStageConfig) -> tuple[KORMoConfig | None, str]:
    """Shape of the model that a stage starts from, and where it is known from."""
    path = Path(config.model.init_from)
    if not path.exists():
        return shape_of_size(config.size), f"if it has the shape of {config.size}/stage1.yaml"
    with errors_about(f"model.init_from {path}", OSError):
        found, _ = KORMoConfig.get_config_dict(path)
        if found.get("model_type") in ("kormo", "llama"):
            return read_config(path), "of its config.json"
    return None, f"a {found.get('model_type')}: only KORMo's and Llama's layouts are counted"


def _adapter_parameters(shape: KORMoConfig, rank: int) -> int:
    """Parameters of LoRA on every matrix of the layers, and of the four turn tokens' rows."""
    hidden, inner = shape.hidden_size, shape.intermediate_size
    queries = shape.num_attention_heads * shape.head_dim
    keys = shape.num_key_value_heads * shape.head_dim
    ends = 2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + inner)
    return shape.num_hidden_layers * rank * ends + 2 * 4 * hidden


def chat_memory(config: SFTStageConfig | DPOStageConfig, shape: KORMoConfig) -> MemoryEstimate:
    """Estimate the memory of one GPU, as `estimate_memory` does that of pretraining.

    A pair of preference tuning is two windows, and its reference a second model in fp32, gathered
    as the first is. An adapter is not sharded: each GPU holds all frozen weights, of which autocast
    makes bf16 copies that live as long as their layer's activations (of quantized ones,
    bitsandbytes keeps none, but makes them again), and states of the adapter alone. TRL's
    log-probabilities (DPO, adapters) hold a few tiles of logits, which are not counted, and the
    gradients of states and head in fp32; peft puts the rows that it trains into a copy of the head.
    """
    batch, model = config.batch, config.model
    pairs, adapter = config.stage == "dpo", model.adapter
    tokens = batch.micro_batch * batch.sequence_length * (2 if pairs else 1)
    shards = 1 if adapter else min(config.parallelism.gpus, GPUS_OF_A_NODE)
    memory = estimate_memory(
        shape,
        tokens,
        shards,
        int(model.activation_checkpointing),
        selective=False,
        sync_each_microbatch=config.parallelism.sync_each_microbatch,
        accumulates=split_windows(config, config.parallelism.gpus).accumulation > 1,
        compiled=model.compile,
    )
    own, embedding = count_parameters(shape), shape.vocab_size * shape.hidden_size
    states = 4.0 * tokens * shape.hidden_size  # of the head's input
    if adapter:
        embeddings = embedding * (1 if shape.tie_word_embeddings else 2)
        layers, trained = own - embeddings, _adapter_parameters(shape, adapter.rank)
        one = model.activation_checkpointing or adapter.quantize
        copies = 1 if one else shape.num_hidden_layers
        loaded = 2 if adapter.quantize else 4  # embedding and head stay so, quantized or not
        return replace(
            memory,
            states=_FROZEN[adapter.quantize] * layers + loaded * embeddings + 16 * trained,
            gathered=2 * copies * layers / shape.num_hidden_layers,
            gradients=4 * trained,
            loss=states + (loaded + 4) * embedding,
        )
    if pairs:
        return replace(
            memory,
            states=memory.states + 4 * own / shards,
            gathered=2 * memory.gathered,
            loss=states + 4 * embedding,
        )
    return memory


def chat_plan(config: SFTStageConfig | DPOStageConfig) -> str:
    """Describe a run of SFT or preference tuning: its data, parameters and memory.

    Raises:
        RecipeError: an empty source, windows that cannot be dealt out, or a model that is none.
    """
    lines, (shape, known) = data_plan(config), _shape(config)
    if shape is None:
        return "\n".join([*lines, f"memory per GPU    unknown, {known}"])
    adapter = config.model.adapter
    trained = f", {_adapter_parameters(shape, adapter.rank):,} in the adapter" if adapter else ""
    reference = " and of the reference" if config.stage == "dpo" and not adapter else ""
    return "\n".join(
        [
            *lines,
            f"parameters        {count_parameters(shape):,}{reference}{trained} ({known})",
            *memory_lines(chat_memory(config, shape), config.parallelism.gpu, width=18),
        ]
    )
