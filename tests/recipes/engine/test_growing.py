"""What a growing run takes along is its parent's, by name, and its masks rise with its steps."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from modeling_kormo.growth import Growth, grow_model
from modeling_kormo.growth_masks import Mask
from recipes.command_line import CONFIGS, load_stage
from recipes.config import StageConfig
from recipes.engine.checkpoints import FILES
from recipes.engine.growing import GrowthRamp, grow, plan_stage, put_on_masks, read_moments
from recipes.engine.trainer import decayed_parameters

SHAPE = KORMoConfig(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=2, head_dim=8,
)  # fmt: skip


class _Trainer(Trainer):
    def get_decay_parameter_names(self, model: torch.nn.Module) -> list[str]:
        return decayed_parameters(model)


def moments_of_a_run(run: Path) -> tuple[KORMoForCausalLM, dict[str, dict[str, torch.Tensor]]]:
    """Make one step of random gradients, and write `checkpoint-1` with the optimizer."""
    torch.manual_seed(0)
    model = KORMoForCausalLM(SHAPE)
    args = TrainingArguments(output_dir=str(run), weight_decay=0.1, report_to=[], use_cpu=True)
    optimizer = _Trainer(model, args).create_optimizer()
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    checkpoint = run / "checkpoint-1"
    checkpoint.mkdir(parents=True)
    saved = checkpoint / "optimizer.pt"
    torch.save(optimizer.state_dict(), saved)
    facts = {"bytes": saved.stat().st_size, "sha256": sha256_file(saved)}
    (checkpoint / FILES).write_text(json.dumps({saved.name: facts}))
    return model, {name: optimizer.state[p] for name, p in model.named_parameters()}


def config_of(tmp_path: Path, *more: str) -> StageConfig:
    wider = "hidden_size: 48, intermediate_size: 64, num_attention_heads: 6"
    return load_stage(
        CONFIGS / "tiny" / "grow.yaml",
        "grow",
        [
            f"logging.output_dir={tmp_path / 'grown'}",
            f"model.init_from={tmp_path / 'run' / 'final'}",
            "growth.optimizer=carried",
            f"growth.steps=[{{layers_after: [1]}}, {{{wider}, ramp_tokens: 8192}}]",
            "batch.tokens_per_step=2048",
            *more,
        ],
    )


def test_moments_are_read_by_the_name_of_their_parameter(tmp_path: Path) -> None:
    _, expected = moments_of_a_run(tmp_path)
    found = read_moments(tmp_path / "checkpoint-1", SHAPE, tmp_path)
    assert found.keys() == expected.keys()
    for name, state in expected.items():
        for key in ("exp_avg", "exp_avg_sq", "step"):
            assert torch.equal(found[name][key], state[key]), (name, key)
    wider = KORMoConfig(**{**SHAPE.to_dict(), "intermediate_size": 64})
    with pytest.raises(RecipeError, match="set growth.optimizer=fresh"):
        read_moments(tmp_path / "checkpoint-1", wider, tmp_path)


@pytest.fixture
def ramp(tmp_path: Path) -> tuple[GrowthRamp, Growth, dict[str, dict[str, torch.Tensor]]]:
    parent, expected = moments_of_a_run(tmp_path / "run")
    config = config_of(tmp_path)
    config.logging.output_dir.mkdir()
    growth = plan_stage(config, SHAPE)
    model = grow_model(parent, growth)
    put_on_masks(model, growth)
    return GrowthRamp(config, model, growth), growth, expected


def test_moments_reach_the_optimizer(ramp: tuple, tmp_path: Path) -> None:
    callback, growth, expected = ramp
    optimizer = torch.optim.AdamW(callback.model.parameters())
    args, state = TrainingArguments(output_dir=str(tmp_path), use_cpu=True), TrainerState()
    callback.on_train_begin(args, state, TrainerControl(), optimizer=optimizer)
    for name, parameter in callback.model.named_parameters():
        own, old = optimizer.state[parameter], expected[growth.source(name)]
        assert own["step"] == (0 if growth.is_new(name) else 1), name
        for key in ("exp_avg", "exp_avg_sq"):
            assert own[key].shape == parameter.shape
            # Nothing is lost, and nothing but the parent's is there.
            total = 0 if growth.is_new(name) else old[key].double().sum()
            assert torch.allclose(own[key].double().sum(), torch.as_tensor(total).double()), name
    # A run that goes on has moments of its own.
    resumed = torch.optim.AdamW(callback.model.parameters())
    state.global_step = 1
    callback.on_train_begin(args, state, TrainerControl(), optimizer=resumed)
    assert not resumed.state


def test_masks_are_those_of_the_step_that_is_being_made(ramp: tuple, tmp_path: Path) -> None:
    callback, _, _ = ramp
    masks = [module for module in callback.model.modules() if isinstance(module, Mask)]
    args, state = TrainingArguments(output_dir=str(tmp_path), use_cpu=True), TrainerState()
    for step, value in enumerate((0.25, 0.5, 0.75, 1.0, 1.0)):
        state.global_step = step
        callback.on_step_begin(args, state, TrainerControl())
        assert masks and all(mask.value == value for mask in masks), step
        assert callback.model.config.growing == (value < 1)


@pytest.mark.parametrize(("steps", "value"), [(0, 0), (2, 0.5), (5, 1)])
def test_a_run_that_goes_on_has_the_masks_of_its_last_step(
    ramp: tuple, tmp_path: Path, steps: int, value: float
) -> None:
    """Stopped between its last checkpoint and `final/`, it makes no step that would raise them."""
    callback, _, _ = ramp
    callback.parent = None
    args, state = TrainingArguments(output_dir=str(tmp_path), use_cpu=True), TrainerState()
    state.global_step = steps
    callback.on_train_begin(args, state, TrainerControl())
    assert all(m.value == value for m in callback.model.modules() if isinstance(m, Mask))
    assert callback.model.config.growing == (value < 1)


def test_a_model_that_was_grown_on_disk_does_not_grow_again(tmp_path: Path) -> None:
    """Whatever of its config the recipe's shape does not say, as Llama 1's epsilon."""
    config = config_of(tmp_path)
    shape = KORMoConfig(**{**SHAPE.to_dict(), "rms_norm_eps": 1e-6})
    on_disk = grow_model(KORMoForCausalLM(shape), plan_stage(config, shape))
    growth = plan_stage(config, SHAPE)
    taken_up = grow(config, on_disk, growth)
    assert taken_up.config.num_hidden_layers == growth.new.num_hidden_layers == 4
    assert any(isinstance(module, Mask) for module in taken_up.modules())


def test_a_checkpoint_that_a_stage_starts_from_has_moments_of_its_own(tmp_path: Path) -> None:
    parent, _ = moments_of_a_run(tmp_path / "run")
    shutil.copytree(tmp_path / "run" / "checkpoint-1", tmp_path / "run" / "checkpoint-2")
    for start, expected in (("final", "checkpoint-2"), ("checkpoint-1", "checkpoint-1")):
        config = config_of(tmp_path, f"model.init_from={tmp_path / 'run' / start}")
        growth = plan_stage(config, SHAPE)
        callback = GrowthRamp(config, grow_model(parent, growth), growth)
        assert callback.parent == tmp_path / "run" / expected
    # A run that has a checkpoint needs its parent's no more.
    (tmp_path / "grown" / "checkpoint-3").mkdir(parents=True)
    shutil.rmtree(tmp_path / "run")
    assert GrowthRamp(config, callback.model, growth).parent is None
