"""Reinforcement learning on a tiny random model: runs, resumes, learns, refuses bad input."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_recipes.common.errors import RecipeError
from recipes import grpo
from recipes.command_line import parse_command_line
from recipes.engine.metrics import read_metrics
from recipes.post.grpo_stage import grpo_arguments
from recipes.post.model import load_model, load_rollout_tokenizer
from recipes.post.prompts import load_prompts
from recipes.post.reward_trainer import RewardTrainer
from tests.conftest import Once, Stage, release_outputs
from tests.recipes.post.grpo_hand_made import small_grpo, stage
from tests.recipes.workers import fix_completions

TIMINGS = {"tokens_per_second", "step_time", "data_wait_percent", "cpu_percent"}


def start(monkeypatch: pytest.MonkeyPatch, overrides: list[str], *extra: str) -> None:
    monkeypatch.setattr("sys.argv", ["grpo.py", *overrides, *extra])
    release_outputs()
    grpo.main()


def compare_logs(one: list[dict[str, float]], other: list[dict[str, float]]) -> None:
    assert len({line["completions/mean_length"] for line in one}) > 1 < len(one)
    for a, b in zip(one, other, strict=True):
        for key in ("loss", "grad_norm", "reward", "reward_std", "kl", "entropy"):
            assert b[key] == pytest.approx(a[key], rel=1e-4, abs=1e-6), (a["step"], key)
    assert one[-1]["kl"] > 1e-3 and any(line["reward_std"] > 0 for line in one)


def log_of(output_dir: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in m.items() if k not in TIMINGS} for m in read_metrics(output_dir)]


@pytest.fixture(scope="session")
def trained(chat_model: Path, once: Once) -> Path:
    """A run from start to end."""

    def make(directory: Path) -> None:
        Stage("grpo", small_grpo(chat_model, directory)).main()

    return once("grpo", make) / "run"


def test_runs_and_an_interrupted_run_ends_the_same(
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    trained: Path,
    chat_model: Path,
    tmp_path: Path,
) -> None:
    run = shutil.copytree(trained, tmp_path / "run")
    log = log_of(run)
    assert [line["step"] for line in log] == [1, 2, 3]
    for line in log:
        for reward in ("answer", "language", "format"):
            assert 0 <= line[f"rewards/{reward}_reward/mean"] <= 1
    weights = AutoModelForCausalLM.from_pretrained(run / "final").state_dict()
    before = AutoModelForCausalLM.from_pretrained(chat_model).state_dict()
    assert any(not torch.equal(weights[name], before[name]) for name in before)
    assert AutoTokenizer.from_pretrained(run / "final").eos_token == "<|EOS|>"

    with pytest.raises(RecipeError, match="already finished"):
        start(monkeypatch, overrides)

    # As if killed between the last step and the export, then as if killed in the last step.
    for lost in (["final"], ["final", "checkpoint-3"]):
        for name in lost:
            shutil.rmtree(run / name)
        start(monkeypatch, overrides)
        assert log_of(run) == log
        resumed = AutoModelForCausalLM.from_pretrained(run / "final").state_dict()
        assert all(torch.equal(weights[name], resumed[name]) for name in weights)


def test_evaluated_while_it_trains_it_ends_the_same(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], trained: Path, tmp_path: Path
) -> None:
    evaluated = tmp_path / "evaluated"
    quick = ["logging.quick_eval_every=2", "logging.quick_eval_items=1"]
    start(monkeypatch, overrides, *quick, f"logging.output_dir={evaluated}")
    lines = log_of(evaluated)
    scores = [line for line in lines if any(name.startswith("quick/") for name in line)]
    assert [line["step"] for line in scores] == [2]
    assert [line for line in lines if line not in scores] == log_of(trained)


def test_other_settings_do_not_resume(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path / "run", ignore=shutil.ignore_patterns("final"))
    with pytest.raises(RecipeError, match="optimizer.learning_rate"):
        start(monkeypatch, overrides, "optimizer.learning_rate=1e-3")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("generation.backend=vllm", "vllm"),
        ("parallelism.require_gpu=true", "CUDA GPU"),
        ("batch.micro_batch=3", "micro_batch"),
    ],
)
def test_what_the_machine_cannot_run_is_refused(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], extra: str, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RecipeError, match=message):
        start(monkeypatch, overrides, extra)


def test_fewer_prompts_than_a_step_takes(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    with pytest.raises(RecipeError, match="prompts_per_step"):
        start(monkeypatch, overrides, "batch.prompts_per_step=5")


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("rewards={answer: 0, language: 0, format: 0}", "nothing to learn"),
        ("batch.generations_per_prompt=1", "greater than or equal to 2"),
        ("optimizer.lr=1", "unknown key"),
    ],
)
def test_bad_configs_are_refused(overrides: list[str], extra: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        stage([o for o in overrides if not o.startswith(extra.split("=")[0])], extra)


def test_tokenizers_that_cannot_chat_are_refused(chat_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    template, tokenizer.chat_template = tokenizer.chat_template, None
    tokenizer.save_pretrained(tmp_path / "no_template")
    tokenizer.chat_template = template
    tokenizer.pad_token = "<|EOT|>"
    tokenizer.save_pretrained(tmp_path / "pad_is_end")
    for name, message in (
        ("no_template", "chat template"),
        ("pad_is_end", "padding"),
        ("absent", "no such directory"),
    ):
        with pytest.raises(RecipeError, match=message):
            load_rollout_tokenizer(str(tmp_path / name))

    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template="x")
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(RecipeError, match="</think>"):
        load_rollout_tokenizer(str(tmp_path / "plain"))


def test_advantages_are_those_of_a_group(overrides: list[str]) -> None:
    """Divided by its standard deviation; and the order of prompts is ours."""
    args = grpo_arguments(stage(overrides), end_id=5)
    assert (args.scale_rewards, args.shuffle_dataset) == ("group", False)


def test_rewards_are_weighted_in_their_order(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], tmp_path: Path
) -> None:
    start(monkeypatch, overrides, "rewards={answer: 0.9, language: 0.3, format: 0.1}")
    for line in log_of(tmp_path / "run"):
        parts = [line[f"rewards/{name}_reward/mean"] for name in ("answer", "language", "format")]
        wanted = sum(w * part for w, part in zip((0.9, 0.3, 0.1), parts))
        assert line["reward"] == pytest.approx(wanted, abs=1e-5)
    assert any(line["rewards/language_reward/mean"] for line in log_of(tmp_path / "run"))


@pytest.mark.parametrize("loss_type", ["dapo", "dr_grpo", "grpo"])
def test_nothing_depends_on_how_a_step_is_split(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], tmp_path: Path, loss_type: str
) -> None:
    """Over forward passes and, in the preference stages' test, over ranks."""
    monkeypatch.setattr(RewardTrainer, "_generate_single_turn", None)  # restored at the end
    fix_completions()
    logs = []
    for micro_batch in (8, 2):
        run = tmp_path / str(micro_batch)
        extra = [f"batch.micro_batch={micro_batch}", f"logging.output_dir={run}"]
        extra += ["optimizer.kl_beta=0.1", f"optimizer.loss_type={loss_type}"]
        extra += ["optimizer.learning_rate=1e-2"]
        start(monkeypatch, overrides, *extra)
        logs.append(log_of(run))
    compare_logs(*logs)


def test_the_reference_is_loaded_as_the_model_is(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], chat_model: Path, tmp_path: Path
) -> None:
    """A checkpoint without its modeling code has one, too."""
    bare = shutil.copytree(chat_model, tmp_path / "bare")
    config = json.loads((bare / "config.json").read_text())
    del config["auto_map"]
    (bare / "config.json").write_text(json.dumps(config))
    start(monkeypatch, overrides, f"model.init_from={bare}", "optimizer.kl_beta=0.1")
    first, *others = (line["kl"] for line in log_of(tmp_path / "run"))
    assert abs(first) < 1e-7 < others[-1]


def test_dry_run_trains_nothing(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    start(monkeypatch, overrides, "--dry-run")
    shown = capsys.readouterr().out
    assert "generations_per_prompt: 4" in shown and "4 prompts" in shown
    assert not stage(overrides).logging.output_dir.exists()
    # Nor does it with a parent that is missing: at tiny that would train four other stages.
    absent = ["size=tiny", "model.init_from=runs/nowhere/final", "data.paths=[runs/nowhere.jsonl]"]
    monkeypatch.setattr("subprocess.Popen", None)
    start(monkeypatch, [*overrides, *absent], "--dry-run")
    assert "not on this machine: runs/nowhere.jsonl, runs/nowhere/final" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["tiny", "1b"])
def test_shipped_configs_are_valid(size: str) -> None:
    assert parse_command_line("grpo", "", ["--config", f"{size}/grpo.yaml"]).config.size == size


def test_a_rewarded_token_becomes_more_frequent(overrides: list[str]) -> None:
    config = stage(
        overrides, "schedule.steps=40", "optimizer.learning_rate=1e-2", "logging.save_every=1000"
    )
    tokenizer = load_rollout_tokenizer(config.model.init_from)
    wanted = tokenizer.convert_tokens_to_ids("a")

    def share_of_a(completion_ids: list[list[int]], **_: object) -> list[float]:
        return [ids.count(wanted) / len(ids) for ids in completion_ids]

    args = grpo_arguments(config, tokenizer.eos_token_id)
    args.reward_weights = None
    config.logging.output_dir.mkdir()
    trainer = RewardTrainer(
        model=load_model(config.model.init_from, "sdpa"),
        args=args,
        processing_class=tokenizer,
        train_dataset=load_prompts(config.data, tokenizer).rows,
        reward_funcs=[share_of_a],
    )
    trainer.prepare(config)
    trainer.train()
    rewards = [line["reward"] for line in read_metrics(config.logging.output_dir)]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.2


def test_the_kl_term_pulls_towards_the_reference(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    """Where nothing is rewarded, it alone is learned from."""
    config = stage(
        overrides,
        "schedule={steps: 8, warmup_steps: 0}",
        "optimizer={learning_rate: 1e-2, kl_beta: 1}",
        "logging.save_every=1000",
    )
    tokenizer = load_rollout_tokenizer(config.model.init_from)
    model = load_model(config.model.init_from, "sdpa")
    with torch.no_grad():
        model.lm_head.weight.add_(torch.randn_like(model.lm_head.weight) * 0.1)
    args = grpo_arguments(config, tokenizer.eos_token_id)
    args.reward_weights = None
    config.logging.output_dir.mkdir()
    trainer = RewardTrainer(
        model=model,
        reference=lambda: load_model(config.model.init_from, "sdpa"),
        args=args,
        processing_class=tokenizer,
        train_dataset=load_prompts(config.data, tokenizer).rows,
        reward_funcs=[lambda completion_ids, **_: [0.0] * len(completion_ids)],
    )
    trainer.prepare(config)
    with pytest.raises(RecipeError, match="reference differs from the model"):
        trainer.train()
    monkeypatch.setattr(RewardTrainer, "check_reference", lambda *_: None)
    trainer.train()
    divergences = [line["kl"] for line in read_metrics(config.logging.output_dir)]
    assert 0 < divergences[-1] < 0.8 * divergences[0]


def test_generation_ends_at_the_end_of_a_turn(overrides: list[str]) -> None:
    """A model that only says `<|EOT|>`: completions of one token, which count as ended."""
    config = stage(overrides)
    tokenizer = load_rollout_tokenizer(config.model.init_from)
    model = load_model(config.model.init_from, "sdpa")
    with torch.no_grad():
        model.model.norm.weight.fill_(1.0)
        model.lm_head.weight.zero_()
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(320))
    with torch.no_grad():
        model.lm_head.bias[tokenizer.eos_token_id] = 50.0
    config.logging.output_dir.mkdir()
    seen: list[list[int]] = []

    def record(completion_ids: list[list[int]], **_: object) -> list[float]:
        seen.extend(completion_ids)
        return [0.0] * len(completion_ids)

    args = grpo_arguments(config, tokenizer.eos_token_id)
    args.reward_weights, args.max_steps = None, 1
    trainer = RewardTrainer(
        model=model,
        args=args,
        processing_class=tokenizer,
        train_dataset=load_prompts(config.data, tokenizer).rows,
        reward_funcs=[record],
    )
    trainer.prepare(config)
    trainer.train()
    assert seen and all(ids == [tokenizer.eos_token_id] for ids in seen)
