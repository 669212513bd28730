"""Reinforcement learning on a tiny random model: runs, resumes, learns, refuses bad input."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from data_recipes.errors import RecipeError
from data_recipes.strict_yaml import load_config
from data_recipes.tokenizer import train_tokenizer
from modeling_kormo import KORMoConfig, KORMoForCausalLM
from recipes import grpo
from recipes.grpo_build import (
    build_model,
    build_tokenizer,
    check_machine,
    grpo_arguments,
    parse_command_line,
)
from recipes.grpo_config import GRPOStageConfig
from recipes.grpo_data import load_prompts
from recipes.grpo_trainer import RewardTrainer
from recipes.metrics import read_metrics
from tests.conftest import ROOT

TIMINGS = {"tokens_per_second", "step_time"}
TEXT = [
    "The answer is 17. How many apples are there? 답은 열일곱 개입니다. 사과는 몇 개인가요? "
] * 20
ROWS = [
    {"id": "a", "language": "en", "question": "8 + 9?", "answer": "It is 17.", "value": "17"},
    {"language": "ko", "question": "사과는 몇 개인가요?", "value": 12},
    {
        "language": "ko",
        "question": "1 + 1?",
        "value": "2",
        "chat_template_kwargs": {"enable_thinking": False},
    },
    {
        "language": "en",
        "messages": [
            {"role": "system", "content": "Be short."},
            {"role": "user", "content": "5 + 5?"},
        ],
        "value": "10",
    },
]


def write_rows(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model with the tokenizer and chat template of a trained one."""
    directory = tmp_path_factory.mktemp("chat")
    tokenizer = train_tokenizer(TEXT, 270)
    torch.manual_seed(0)
    config = KORMoConfig(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    KORMoForCausalLM(config).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


@pytest.fixture
def overrides(chat_model: Path, tmp_path: Path) -> list[str]:
    return [
        f"model.init_from={chat_model}",
        f"data.paths=[{write_rows(tmp_path / 'rows.jsonl', ROWS)}]",
        f"logging.output_dir={tmp_path / 'run'}",
        "batch.prompts_per_step=2",
        "batch.generations_per_prompt=4",
        "batch.micro_batch=4",
        "batch.max_completion_tokens=12",
        "schedule.steps=3",
        "schedule.warmup_steps=1",
        "logging.save_every=2",
    ]


def stage(overrides: list[str], *extra: str) -> GRPOStageConfig:
    return load_config(
        ROOT / "recipes" / "configs" / "tiny" / "grpo.yaml", GRPOStageConfig, [*overrides, *extra]
    )


def start(monkeypatch: pytest.MonkeyPatch, overrides: list[str], *extra: str) -> None:
    monkeypatch.setattr("sys.argv", ["grpo.py", *overrides, *extra])
    grpo.main()


def log_of(output_dir: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in m.items() if k not in TIMINGS} for m in read_metrics(output_dir)]


def test_runs_and_an_interrupted_run_ends_the_same(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], chat_model: Path, tmp_path: Path
) -> None:
    start(monkeypatch, overrides)
    run = tmp_path / "run"
    log = log_of(run)
    assert [line["step"] for line in log] == [1, 2, 3]
    for line in log:
        for reward in ("answer", "language", "format"):
            assert 0 <= line[f"rewards/{reward}_reward/mean"] <= 1
    trained = AutoModelForCausalLM.from_pretrained(run / "final").state_dict()
    before = AutoModelForCausalLM.from_pretrained(chat_model).state_dict()
    assert any(not torch.equal(trained[name], before[name]) for name in before)
    assert AutoTokenizer.from_pretrained(run / "final").eos_token == "<|EOT|>"

    with pytest.raises(RecipeError, match="already finished"):
        start(monkeypatch, overrides)

    # As if killed between the last step and the export, then as if killed in the last step.
    for lost in (["final"], ["final", "checkpoint-3"]):
        for name in lost:
            shutil.rmtree(run / name)
        start(monkeypatch, overrides)
        assert log_of(run) == log
        resumed = AutoModelForCausalLM.from_pretrained(run / "final").state_dict()
        assert all(torch.equal(trained[name], resumed[name]) for name in trained)


def test_other_settings_do_not_resume(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str]
) -> None:
    config = stage(overrides)
    start(monkeypatch, overrides)
    final = config.logging.output_dir / "final"
    final.rename(final.with_name("elsewhere"))
    with pytest.raises(RecipeError, match="optimizer.learning_rate"):
        start(monkeypatch, overrides, "optimizer.learning_rate=1e-3")


def test_prompts_are_rendered_row_by_row(overrides: list[str]) -> None:
    config = stage(overrides)
    tokenizer = build_tokenizer(config)
    prompts = load_prompts(config.data, tokenizer)
    rows = prompts.rows.to_list()
    assert [row["thinking"] for row in rows] == [True, True, False, True]
    assert [row["answer"] for row in rows] == ["17", "12", "2", "10"]
    assert rows[0]["prompt"].endswith("<|BOT|>assistant\n<think>\n")
    assert rows[2]["prompt"].endswith("<think>\n\n</think>\n\n")
    assert "Be short." in rows[3]["prompt"]
    assert "1 ko without thinking" in prompts.counts()
    # The ids that are generated from are those of the chat template: no BOS before them.
    trainer = object.__new__(RewardTrainer)
    trainer.processing_class = tokenizer
    ids, _, _ = trainer._tokenize_prompts([rows[0]["prompt"]])
    messages = [{"role": "user", "content": ROWS[0]["question"]}]
    wanted = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    assert ids[0] == wanted["input_ids"]


def test_every_pass_has_all_prompts_in_another_order(overrides: list[str]) -> None:
    config = stage(overrides)
    prompts = load_prompts(config.data, build_tokenizer(config))
    answers = prompts.in_order(42, seed=1)["answer"]
    passes = [tuple(answers[i : i + 4]) for i in range(0, 40, 4)]
    assert all(sorted(one) == ["10", "12", "17", "2"] for one in passes)
    assert len(set(passes)) > 3
    assert prompts.in_order(8, seed=1)["answer"][:] == answers[:8]


def test_long_prompts_are_dropped_and_counted(overrides: list[str], tmp_path: Path) -> None:
    long = {"language": "en", "question": "many words " * 100, "value": "1"}
    path = write_rows(tmp_path / "long.jsonl", [*ROWS, long])
    config = stage(overrides, f"data.paths=[{path}]")
    prompts = load_prompts(config.data, build_tokenizer(config))
    assert (len(prompts.rows), prompts.too_long) == (4, 1)
    config = stage(overrides, "data.max_prompt_tokens=3")
    with pytest.raises(RecipeError, match="max_prompt_tokens"):
        load_prompts(config.data, build_tokenizer(config))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": None}, "no answer in 'value'"),
        ({"value": " "}, "no answer in 'value'"),
        ({"value": True}, "no answer in 'value'"),
        ({"language": "de"}, "language 'de'"),
        ({"language": None}, "known: ko, en"),
        ({"question": ""}, "question_column"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "ends with the user"),
        ({"messages": []}, "ends with the user"),
        ({"chat_template_kwargs": {"enable_thinking": "no"}}, "enable_thinking"),
        ({"chat_template_kwargs": {"thinking": True}}, "enable_thinking"),
    ],
)
def test_bad_rows_are_named(
    overrides: list[str], tmp_path: Path, change: dict, message: str
) -> None:
    path = write_rows(tmp_path / "bad.jsonl", [ROWS[0], {**ROWS[0], **change}])
    config = stage(overrides, f"data.paths=[{path}]")
    with pytest.raises(RecipeError, match=message) as error:
        load_prompts(config.data, build_tokenizer(config))
    assert f"{path}:2" in str(error.value)


def test_broken_and_missing_files_are_named(overrides: list[str], tmp_path: Path) -> None:
    tokenizer = build_tokenizer(stage(overrides))
    (tmp_path / "broken.jsonl").write_text('{"a": 1}\n{"a"\n'.replace('{"a": 1}\n', "\n"))
    for name, message in (("broken.jsonl", ":2: not JSON"), ("absent.jsonl", "cannot be read")):
        config = stage(overrides, f"data.paths=[{tmp_path / name}]")
        with pytest.raises(RecipeError, match=message):
            load_prompts(config.data, tokenizer)


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
        check_machine(stage(overrides, extra))


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


def test_tokenizers_that_cannot_chat_are_refused(
    overrides: list[str], chat_model: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    template, tokenizer.chat_template = tokenizer.chat_template, None
    tokenizer.save_pretrained(tmp_path / "no_template")
    tokenizer.chat_template = template
    tokenizer.pad_token = "<|EOT|>"
    tokenizer.save_pretrained(tmp_path / "pad_is_end")
    for name, message in (
        ("no_template", "chat template"),
        ("pad_is_end", "padding"),
        ("absent", "tokenizer"),
    ):
        with pytest.raises(RecipeError, match=message):
            build_tokenizer(stage(overrides, f"model.init_from={tmp_path / name}"))

    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    plain = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), chat_template="x")
    plain.save_pretrained(tmp_path / "plain")
    with pytest.raises(RecipeError, match="</think>"):
        build_tokenizer(stage(overrides, f"model.init_from={tmp_path / 'plain'}"))


def test_dry_run_trains_nothing(
    monkeypatch: pytest.MonkeyPatch, overrides: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    start(monkeypatch, overrides, "--dry-run")
    shown = capsys.readouterr().out
    assert "generations_per_prompt: 4" in shown and "4 prompts" in shown
    assert not stage(overrides).logging.output_dir.exists()


@pytest.mark.parametrize("size", ["tiny", "1b"])
def test_shipped_configs_are_valid(size: str) -> None:
    assert parse_command_line("", ["--config", f"{size}/grpo.yaml"]).config.size == size


def test_a_rewarded_token_becomes_more_frequent(overrides: list[str]) -> None:
    config = stage(
        overrides, "schedule.steps=40", "optimizer.learning_rate=1e-2", "logging.save_every=1000"
    )
    tokenizer = build_tokenizer(config)
    wanted = tokenizer.convert_tokens_to_ids("a")

    def share_of_a(completion_ids: list[list[int]], **_: object) -> list[float]:
        return [ids.count(wanted) / len(ids) for ids in completion_ids]

    args = grpo_arguments(config, tokenizer.eos_token_id)
    args.reward_weights = None
    config.logging.output_dir.mkdir()
    trainer = RewardTrainer(
        model=build_model(config),
        args=args,
        processing_class=tokenizer,
        train_dataset=load_prompts(config.data, tokenizer).rows,
        reward_funcs=[share_of_a],
        keep_checkpoints=1,
    )
    trainer.train()
    rewards = [line["reward"] for line in read_metrics(config.logging.output_dir)]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.2


def test_generation_ends_at_the_end_of_a_turn(overrides: list[str]) -> None:
    """A model that only says `<|EOT|>`: completions of one token, which count as ended."""
    config = stage(overrides)
    tokenizer = build_tokenizer(config)
    model = build_model(config)
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
        keep_checkpoints=1,
    )
    trainer.train()
    assert seen and all(ids == [tokenizer.eos_token_id] for ids in seen)
