"""Every shipped YAML is valid, and its numbers are the published ones."""

import math
from pathlib import Path

import pytest
import yaml

from data_recipes.common.config_files import load_config
from data_recipes.common.errors import RecipeError
from data_recipes.prepare.config import DataConfig
from data_recipes.tokens.mixture_plan import load_mixture
from recipes.command_line import CONFIGS, parse_command_line
from recipes.config import StageConfig
from recipes.pretrain import plan_steps, split_windows

STAGES = sorted(p for p in CONFIGS.glob("*/stage*.yaml"))


def load(path: Path, *overrides: str) -> StageConfig:
    return load_config(path, StageConfig, list(overrides))


@pytest.mark.parametrize("path", STAGES, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_stage_config_is_consistent(path: Path) -> None:
    config = load(path)
    assert (config.size, config.stage) == (path.parent.name, path.stem)
    steps = plan_steps(config)
    assert 0 < steps.warmup < steps.total and steps.eval_every <= steps.total
    split = split_windows(config, config.parallelism.gpus)
    per_forward = config.parallelism.gpus * split.micro_batch * config.batch.sequence_length
    assert per_forward * split.accumulation == config.batch.tokens_per_step
    recipe = Path(__file__).parents[2] / "data_recipes" / "configs" / config.data.recipe
    data = load_config(recipe, DataConfig, [])
    assert set(config.data.mixture) <= {s.name for s in data.sources}
    assert (data.shards_dir, data.tokenizer_dir) == (config.data.shards, config.data.tokenizer)


def test_all_sizes_and_stages_are_there() -> None:
    assert [f"{p.parent.name}/{p.stem}" for p in STAGES] == [
        f"{size}/{stage}"
        for size in ("10b", "1b", "small", "tiny")
        for stage in ("stage1", "stage2")
    ]


@pytest.mark.parametrize("size", ["tiny", "small", "1b", "10b"])
def test_stage2_starts_from_stage1(size: str) -> None:
    first, second = (load(CONFIGS / size / f"{stage}.yaml") for stage in ("stage1", "stage2"))
    assert first.model.init_from is None
    assert Path(second.model.init_from) == first.logging.output_dir / "final"
    assert first.model.shape == second.model.shape
    assert first.logging.output_dir != second.logging.output_dir


def test_published_numbers_of_the_10b() -> None:
    config = load(CONFIGS / "10b" / "stage2.yaml")
    assert config.schedule.total_tokens == 1_800_000_000_000
    assert config.batch.tokens_per_step == 8_388_608
    split = split_windows(config, 128)
    assert (split.micro_batch, split.accumulation) == (2, 8)
    assert config.optimizer.learning_rate == 7e-4
    assert (config.optimizer.weight_decay, config.optimizer.beta2) == (0.033, 0.95)
    assert config.schedule.warmup_fraction == 0.03 and config.schedule.decay_tokens == 0
    assert plan_steps(config).total == 214_576


def test_override_and_base_are_merged_and_mixture_is_replaced() -> None:
    config = load(
        CONFIGS / "tiny" / "stage1.yaml", "data.mixture={web_en: 1}", "batch.micro_batch=1"
    )
    assert config.data.mixture == {"web_en": 1.0}
    assert config.batch.micro_batch == 1 and config.batch.sequence_length > 1


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("batch.micro_bach=3", "did you mean 'micro_batch'"),
        ("optimiser.learning_rate=1", "did you mean 'optimizer'"),
        ("batch.micro_batch=many", "micro_batch"),
        ("batch.tokens_per_step=1000", "multiple of"),
        ("model.attention=flash", "attention"),
        ("model.shape.num_key_value_heads=2", "model.shape: .* key/value heads evenly"),
        ("model.shape.head_dim=33", "model.shape: .*head_dim 33 is odd"),
    ],
)
def test_bad_values_name_the_key(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(CONFIGS / "tiny" / "stage1.yaml", override)


def test_the_embedding_is_drawn_only_where_it_is_not_loaded_and_not_the_head() -> None:
    path, std = CONFIGS / "tiny" / "stage1.yaml", "model.embedding_std=0.5"
    with pytest.raises(RecipeError, match="init_from loads weights"):
        load(path, std, "model.init_from=runs/x/final")
    with pytest.raises(RecipeError, match="output head"):
        load(path, std, "model.shape.tie_word_embeddings=true")


@pytest.mark.parametrize("size", ["1b", "10b"])
@pytest.mark.parametrize("stage", ["stage1", "stage2"])
def test_a_named_mixture_is_resolved_to_its_shares(size: str, stage: str) -> None:
    config = load(CONFIGS / size / f"{stage}.yaml")
    named = load_mixture(f"{stage}.yaml")
    assert config.data.mixture == named.shares() and len(named.sources) >= 5
    if size == "10b":
        assert config.schedule.total_tokens == named.tokens
    assert config.batch.sequence_length == named.sequence_length
    # The resolved recipe of a run holds the shares, and gives the same run again.
    resolved = config.model_dump(mode="json")
    assert resolved["data"]["mixture"] == named.shares()
    assert StageConfig.model_validate(resolved) == config


def test_a_named_mixture_that_is_not_there_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"data\.mixture: nowhere\.yaml: no such config file"):
        load(CONFIGS / "tiny" / "stage1.yaml", "data.mixture=nowhere.yaml")


@pytest.mark.parametrize("places", ["[0]", "[64, 64]", "[128, 64]", "[64, 256]", "[-1]"])
def test_places_that_part_no_window_are_refused(places: str) -> None:
    with pytest.raises(RecipeError, match=r"data\.heldout_positions: .* do not ascend from 1 on"):
        load(CONFIGS / "tiny" / "stage1.yaml", f"data.heldout_positions={places}")


def test_warmup_and_decay_beyond_the_stage_are_refused() -> None:
    config = load(
        CONFIGS / "tiny" / "stage1.yaml",
        "schedule.warmup_fraction=0.6",
        "schedule.decay_tokens=204_800",
    )
    with pytest.raises(RecipeError, match="exceed the stage"):
        plan_steps(config)


def test_windows_are_dealt_over_any_number_of_ranks_that_divides_them() -> None:
    config = load(CONFIGS / "tiny" / "stage1.yaml", "batch.micro_batch=3")
    for ranks in (1, 2, 4, 8):
        split = split_windows(config, ranks)
        assert ranks * split.micro_batch * split.accumulation == config.batch.windows_per_step
        assert split.micro_batch <= 3
    with pytest.raises(RecipeError, match="3 ranks"):
        split_windows(config, 3)


def test_a_config_of_another_stage_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"recipes/stage2\.py"):
        parse_command_line("stage1", "", ["--config", "tiny/stage2.yaml"])
    invocation = parse_command_line("stage2", "", ["batch.micro_batch=1", "--dry-run"])
    assert invocation.dry_run and invocation.config.batch.micro_batch == 1


def test_sections_come_in_the_reading_order() -> None:
    order = list(StageConfig.model_fields)
    for path in sorted(CONFIGS.glob("**/*.yaml")):
        if path.parent.name == "accelerate":
            continue
        keys = [k for k in yaml.safe_load(path.read_text()) if k in order[2:]]
        assert keys == sorted(keys, key=order.index), path


@pytest.mark.parametrize(
    ("name", "processes", "distributed"),
    [
        ("cpu", 1, "NO"),
        ("one_gpu", 1, "NO"),
        ("one_node", 8, "FSDP"),
        ("many_nodes", 128, "FSDP"),
    ],
)
def test_accelerate_configs_load(name: str, processes: int, distributed: str) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(CONFIGS / "accelerate" / f"{name}.yaml"))
    assert config.num_processes == processes
    assert config.distributed_type.value == distributed
    if distributed == "FSDP":
        assert config.fsdp_config["fsdp_version"] == 2
    if name == "many_nodes":
        sizes = config.parallelism_config
        assert sizes["parallelism_config_dp_replicate_size"] == config.num_machines
        assert math.prod(sizes.values()) == processes
        assert config.fsdp_config["fsdp_state_dict_type"] == "SHARDED_STATE_DICT"
        assert config.mixed_precision == "bf16"
