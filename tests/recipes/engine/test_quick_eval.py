"""Evaluation while a stage trains: it measures, and the training does not notice."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from modeling_kormo import KORMoForCausalLM
from recipes import stage1
from recipes.engine.metrics import Throughput, read_metrics
from recipes.engine.quick_eval import QuickEval, untouched
from recipes.shared_config import RunLoggingConfig
from tests.conftest import ROOT, Stage
from tests.random_model import random_model

WORKER = ROOT / "tests" / "recipes" / "workers.py"
QUICK = ["logging.quick_eval_every_tokens=2048", "logging.quick_eval_items=1"]
SHORT = ["schedule.total_tokens=3072", "logging.save_every_tokens=3072"]
TIMINGS = {"tokens_per_second", "data_wait_percent", "cpu_percent"}
NAMES = {"kmmlu_mini", "mmlu_mini", "ko_reasoning_mini", "ko_reasoning_mini-think"}
NAMES |= {"reasoning_mini_en", "reasoning_mini_en-think"}
Make = Callable[..., Stage]


def trained(run: Path) -> tuple[dict[str, torch.Tensor], list[dict], list[dict]]:
    """Weights, what the training logged, and what the evaluation did."""
    lines = [{k: v for k, v in m.items() if k not in TIMINGS} for m in read_metrics(run)]
    quick = [m for m in lines if any(k.startswith("quick/") for k in m)]
    weights = load_file(run / "final" / "model.safetensors")
    return weights, [m for m in lines if m not in quick], quick


def test_training_is_the_same_with_and_without(
    small_stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for name, extra in (("without", []), ("with", QUICK)):
        stage = small_stage(tmp_path / name, *SHORT, *extra)
        monkeypatch.setattr("sys.argv", ["stage1.py", *stage.overrides])
        stage1.main()
    torch.set_num_threads(threads)
    weights, log, none = trained(tmp_path / "without")
    same_weights, same_log, quick = trained(tmp_path / "with")
    assert not none and log == same_log and len(log) >= 3
    assert all(torch.equal(weights[name], same_weights[name]) for name in weights)
    [line] = quick  # of three steps of 1,024 tokens, after the second
    assert (line["step"], line["tokens"]) == (2, 2048)
    assert {k.removeprefix("quick/") for k in line if k.startswith("quick/")} == NAMES
    assert all(0 <= v <= 1 for k, v in line.items() if k.startswith("quick/"))


@pytest.fixture(scope="module")
def callback_and_model(
    data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[QuickEval, KORMoForCausalLM]:
    tokenizer = AutoTokenizer.from_pretrained(data_dir / "tokenizer")
    model = random_model(tokenizer, 1280)
    model.set_attn_implementation("varlen")
    out = tmp_path_factory.mktemp("quick")
    logging = RunLoggingConfig(output_dir=out, quick_eval_items=1)
    return QuickEval(logging, tokenizer, 1, 1, Throughput(1.0, None)), model


def test_model_and_random_numbers_are_left_alone(
    callback_and_model: tuple[QuickEval, KORMoForCausalLM],
) -> None:
    callback, model = callback_and_model
    model.train()
    model.model.layers[0].eval()  # as a frozen layer may be
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    generation = model.generation_config.to_dict()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    drawn = random.random(), np.random.random(), torch.rand(())
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    with untouched(model):
        scores = callback.measure(model, 1)
        random.random(), np.random.random(), torch.rand(())
    assert (random.random(), np.random.random(), torch.rand(())) == drawn
    assert len(scores) == len(NAMES)
    assert model.training and not model.model.layers[0].training and model.model.training
    assert model.generation_config.to_dict() == generation
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(torch.equal(p.grad, torch.ones_like(p)) for p in model.parameters())
    assert torch.is_grad_enabled()


def test_sharded_processes_evaluate_together(
    small_stage: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under FSDP2, where a forward pass of one process alone would wait for the others forever."""
    monkeypatch.setenv("TEST_FEW_TASKS", "1")
    result = small_stage(tmp_path, *SHORT, *QUICK).run(ranks=2, worker=WORKER)
    assert result.returncode == 0 and "sharded" in result.stdout, result.stderr
    [line] = trained(tmp_path)[2]
    assert line["step"] == 2 and result.stderr.count("quick/ko_reasoning_mini") == 1


def test_bits_of_right_answers_need_no_chat(small_stage: Make, tmp_path: Path) -> None:
    proxy = ["logging.quick_eval_suite=proxy", "logging.quick_eval_items=2", QUICK[0]]
    small_stage(tmp_path, *SHORT, *proxy).main()
    [line] = [m for m in read_metrics(tmp_path) if any(k.startswith("proxy/") for k in m)]
    names = {k.removeprefix("proxy/") for k in line if k.startswith("proxy/")}
    tasks = {f"{name.removesuffix('-think')}_gold" for name in NAMES}
    assert names == tasks | {f"{name} floor" for name in tasks} and line["step"] == 2
    # A model that knows nothing yet: about log2(1280) bits a token, of a few bytes each.
    assert all(1 < line[f"proxy/{name}"] < 12 for name in names)
