"""Every key of a stage's YAML reaches what it is for, with a value that is not its default."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel
from torch.nn import attention

from data_recipes.common.errors import RecipeError
from recipes import build
from recipes.arguments import check_machine, training_arguments
from recipes.build import ensure_inputs
from recipes.config import StageConfig
from recipes.engine.dry_run import plan_report
from recipes.engine.metrics import read_metrics
from recipes.engine.reproduce import describe_machine
from recipes.pretrain import plan_steps
from recipes.stage1 import RULES
from tests.conftest import Stage

# Tokens per step are 1024 in windows of 128: 8 windows.
CASES: dict[str, tuple[str, Callable[[Any], Any], Any]] = {
    "model.shape.hidden_size": ("96", lambda t: t.model.config.hidden_size, 96),
    "model.shape.intermediate_size": ("160", lambda t: t.model.config.intermediate_size, 160),
    "model.shape.num_hidden_layers": ("3", lambda t: len(t.model.model.layers), 3),
    "model.shape.num_attention_heads": ("4", lambda t: t.model.config.num_attention_heads, 4),
    "model.shape.num_key_value_heads": ("2", lambda t: t.model.config.num_key_value_heads, 2),
    "model.shape.head_dim": ("16", lambda t: t.model.config.head_dim, 16),
    "model.shape.vocab_size": ("1536", lambda t: t.model.lm_head.weight.shape[0], 1536),
    "model.shape.tie_word_embeddings": (
        "true",
        lambda t: t.model.lm_head.weight is t.model.model.embed_tokens.weight,
        True,
    ),
    "model.rope_theta": ("12345", lambda t: t.model.config.rope_parameters["rope_theta"], 12345),
    "model.rope_scaling": (
        "{rope_type: linear, factor: 2}",
        lambda t: t.model.config.rope_parameters["factor"],
        2,
    ),
    "model.attention": ("sdpa", lambda t: t.model.config._attn_implementation, "sdpa"),
    "model.activation_checkpointing": (
        "2",
        lambda t: [layer.gradient_checkpointing for layer in t.model.model.layers],
        [True, False, True],
    ),
    "model.selective_checkpointing": (
        "true",
        lambda t: t.model.model.layers[0]._gradient_checkpointing_func.keywords.keys(),
        {"use_reentrant", "context_fn"},
    ),
    "data.mixture": (
        "{web_en: 0.25, web_ko: 0.75}",
        lambda t: {row.name: row.share for row in t.train_dataset.mixture.plan(8)},
        {"web_en": 0.25, "web_ko": 0.75},
    ),
    "data.packing": ("best_fit", lambda t: t.train_dataset.mixture.packing, "best_fit"),
    # It changes what is trained, and not the ruler that is held beside it.
    "data.document_masking": (
        "false",
        lambda t: (t.data_collator.document_masking, t.bits_per_byte.collator.document_masking),
        (False, True),
    ),
    # It stands where `data.heldout_shards` says, and nowhere else.
    "data.heldout": ("[other_ko]", lambda t: t.bits_per_byte.languages, {"other_ko": "ko"}),
    "data.heldout_tokens": ("384", lambda t: len(t.bits_per_byte.windows), 6),
    "data.heldout_positions": (
        "[16, 32]",
        lambda t: t.bits_per_byte.stretches,
        ["0-15", "16-31", "32-63"],
    ),
    "data.workers": ("1", lambda t: t.args.dataloader_num_workers, 1),
    "data.seed": ("7", lambda t: (t.args.seed, t.args.data_seed), (7, 7)),
    "batch.sequence_length": ("64", lambda t: len(t.train_dataset[0].tokens), 64),
    "batch.micro_batch": ("4", lambda t: t.args.per_device_train_batch_size, 4),
    "batch.tokens_per_step": ("512", lambda t: t.args.gradient_accumulation_steps, 2),
    "model.views": ("{kind: same}", lambda t: t.model.views.kind, "same"),
    "data.pairs": ("together", lambda t: t.data_collator.pairs, "together"),
    "model.norm_placement": ("mix", lambda t: t.model.config.norm_placement, "mix"),
    "model.mix_ln_alpha": ("0.5", lambda t: t.model.config.post_norm_layers, 1),
    "schedule.total_tokens": ("5120", lambda t: t.args.max_steps, 10),
    # 10 steps x 0.17: rounded, not cut.
    "schedule.warmup_fraction": ("0.17", lambda t: t.args.warmup_steps, 2),
    "schedule.decay_tokens": ("1536", lambda t: t.args.lr_scheduler_kwargs["num_decay_steps"], 3),
    "schedule.decay_type": ("cosine", lambda t: t.args.lr_scheduler_kwargs["decay_type"], "cosine"),
    "schedule.min_lr_ratio": ("0.2", lambda t: t.args.lr_scheduler_kwargs["min_lr_ratio"], 0.2),
    "optimizer.learning_rate": ("0.003", lambda t: t.args.learning_rate, 0.003),
    "optimizer.beta1": ("0.8", lambda t: t.args.adam_beta1, 0.8),
    "optimizer.beta2": ("0.9", lambda t: t.args.adam_beta2, 0.9),
    "optimizer.epsilon": ("1e-6", lambda t: t.args.adam_epsilon, 1e-6),
    "optimizer.weight_decay": ("0.2", lambda t: t.args.weight_decay, 0.2),
    "optimizer.max_grad_norm": ("0.5", lambda t: t.args.max_grad_norm, 0.5),
    "optimizer.skip_sigma": ("4.5", lambda t: t.guard.sigma, 4.5),
    "optimizer.skip_window": ("10", lambda t: t.guard.values.shape[1], 10),
    "parallelism.precision": ("bf16", lambda t: t.args.bf16, True),
    "parallelism.sync_each_microbatch": (
        "true",
        lambda t: t.args.accelerator_config.gradient_accumulation_kwargs["sync_each_batch"],
        True,
    ),
    "parallelism.timeout_minutes": ("45", lambda t: t.args.ddp_timeout, 2700),
    "logging.log_every": ("3", lambda t: t.args.logging_steps, 3),
    "logging.keep_checkpoints": ("5", lambda t: t.keep_checkpoints, 5),
    "logging.keep_every_tokens": ("10240", lambda t: t.keep_every, 20),
    "logging.report_to": ("[tensorboard]", lambda t: t.args.report_to, ["tensorboard"]),
    "logging.average_tokens": ("1024", lambda t: t.average.half_life, 2),
    "logging.eval_every_tokens": ("2048", lambda t: t.args.eval_steps, 4),
    "logging.save_every_tokens": ("4096", lambda t: t.args.save_steps, 8),
}
# What the dry run is told about a machine, and the words it says of it.
PLANNED = {
    "parallelism.gpus": ("4", "= 4 GPUs x"),
    "parallelism.gpu": ("A100", "on A100"),
    "parallelism.planned_mfu": ("0.25", "at 25% MFU"),
    "parallelism.gpu_hour_usd": ("2.5", "cost                  $"),
}
# `data.heldout_shards` is what `data.heldout` is taken from above.
# Each has a test of its own: what a stage starts from, the embedding, its rules, GPUs, z-loss, the
# quick suite.
ELSEWHERE = {"stage", "size", "data.recipe", "data.shards", "data.tokenizer", "logging.output_dir"}
ELSEWHERE |= {
    "model.embedding_std",
    "model.init_from",
    "schedule.branch_from",
    "model.compile",
    "model.liger",
    "growth",
    "unfreezing",
}
ELSEWHERE |= {"data.allow_single_synthesizer", "data.short_document_tokens", "data.min_short_share"}
ELSEWHERE |= {"optimizer.z_loss_weight", "parallelism.require_gpu", "parallelism.shard_gpus"}
ELSEWHERE |= {"data.heldout_shards", "model.flash_kernel", "logging.background_checkpoints"}
ELSEWHERE |= {f"logging.quick_eval_{key}" for key in ("suite", "every_tokens", "items")}


def leaves(schema: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in schema.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from leaves(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def test_every_key_is_looked_at() -> None:
    assert set(leaves(StageConfig)) == CASES.keys() | PLANNED.keys() | ELSEWHERE


@pytest.fixture(scope="module")
def trainer(
    small_stage: Callable[..., Stage], data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    output = tmp_path_factory.mktemp("run")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(data_dir / "shards" / "web_ko", elsewhere / "other_ko")
    changed = [f"{key}={value}" for key, (value, _, _) in CASES.items()]
    changed.append(f"data.heldout_shards={elsewhere}")
    config = small_stage(output, *changed).config()
    ensure_inputs(config, RULES)
    steps = plan_steps(config)
    tokenizer = build.build_tokenizer(config)
    mixture = build.build_mixture(config, steps, tokenizer)
    args = training_arguments(config, steps)
    asked, args.report_to = args.report_to, []  # tensorboard may not be installed
    model = build.build_model(config, tokenizer)
    trainer = build.build_trainer(config, RULES, args, steps, model, tokenizer, mixture)
    args.report_to = asked
    return trainer


@pytest.mark.parametrize("key", CASES)
def test_a_key_reaches_the_trainer(trainer: Any, key: str) -> None:
    _, look, expected = CASES[key]
    assert look(trainer) == expected


def test_the_embedding_is_drawn_as_wide_as_asked(
    small_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    for std in (0.02, 0.5):
        config = small_stage(tmp_path, f"model.embedding_std={std}").config()
        model = build.build_model(config, build.build_tokenizer(config))
        assert model.model.embed_tokens.weight.std().item() == pytest.approx(std, rel=0.05)
        assert model.lm_head.weight.std().item() == pytest.approx(0.02, rel=0.05)
        assert model.config.embedding_std == std  # and so in the checkpoint's config.json


@pytest.mark.parametrize("key", PLANNED)
def test_a_key_reaches_the_plan(
    small_stage: Callable[..., Stage], tmp_path: Path, key: str
) -> None:
    value, words = PLANNED[key]
    plans = []
    for extra in ([], [f"{key}={value}"]):
        config = small_stage(tmp_path, *extra).config()
        plan = plan_report(config, build.model_config(config, None), plan_steps(config))
        plans.append(plan.split("\nparameters ")[1])
    assert words in plans[1] and words not in plans[0]


def test_the_z_loss_is_trained_on_and_logged_apart(
    small_stage: Callable[..., Stage], tmp_path: Path
) -> None:
    short = ["schedule.total_tokens=1024", "logging.eval_every_tokens=1_024_000"]
    for name, weight in (("without", 0), ("with", 1)):
        small_stage(tmp_path / name, *short, f"optimizer.z_loss_weight={weight}").main()
    (without,) = (m for m in read_metrics(tmp_path / "without") if "loss" in m)
    (other,) = (m for m in read_metrics(tmp_path / "with") if "loss" in m)
    assert "z_loss" not in without and other["z_loss"] > 10  # log(1280) squared is 51
    assert other["loss"] == pytest.approx(without["loss"], abs=1e-5)
    assert other["grad_norm"] > 1.5 * without["grad_norm"]


def test_a_launch_that_gave_fewer_ranks_is_refused(
    small_stage: Callable[..., Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small_stage(tmp_path).config()
    # What `accelerate launch --num_processes 2` sets on a CPU, where it starts one process.
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(RecipeError, match="torchrun --nproc_per_node 2"):
        check_machine(config)
    monkeypatch.setenv("WORLD_SIZE", "2")
    check_machine(config)


def test_a_flash_kernel_is_used_and_noted_or_refused(
    small_stage: Callable[..., Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for GPU and kernel: no machine of ours has had them."""
    config, called = small_stage(tmp_path, "model.flash_kernel=FA3").config(), []

    class Kernel:
        def remove(self) -> None:
            called.append("removed")

    def load() -> Kernel:
        called.append("loaded")
        return Kernel()

    def missing() -> Kernel:
        raise ModuleNotFoundError("No module named 'flash_attn_interface'")

    with pytest.raises(RecipeError, match="needs a Hopper GPU"):
        check_machine(config)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    with pytest.raises(RecipeError, match="needs a Hopper GPU"):
        check_machine(config)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    kernels = {"FA4": load}
    monkeypatch.setattr(attention._registry, "_FLASH_ATTENTION_IMPLS", kernels)
    with pytest.raises(RecipeError, match="cannot call it; update torch"):
        check_machine(config)
    kernels["FA3"] = missing
    with pytest.raises(RecipeError, match="flash_attn_interface.*PyPI's is empty"):
        check_machine(config)
    assert describe_machine()["flash_kernel"] is None
    kernels["FA3"] = load
    check_machine(config)
    try:
        assert called == ["loaded"] and describe_machine()["flash_kernel"] == "FA3"
    finally:
        attention.restore_flash_attention_impl()


def test_precision_at_odds_with_the_launcher_is_refused(
    small_stage: Callable[..., Stage], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(RecipeError, match="make them agree"):
        check_machine(small_stage(tmp_path).config())
    check_machine(small_stage(tmp_path, "parallelism.precision=bf16").config())
