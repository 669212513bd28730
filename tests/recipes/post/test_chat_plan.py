"""What a plan of SFT and preference tuning says of memory, against arithmetic by hand."""

import json
from pathlib import Path

import pytest

from modeling_kormo import KORMoConfig
from recipes.command_line import CONFIGS, load_stage
from recipes.engine.prediction import kept_bytes
from recipes.post.chat_plan import chat_memory, chat_plan, shape_of_size

N = 1_318_127_616
EMBEDDING, HEAD_INPUT = 125_184 * 2048, 4 * 2048  # entries; bytes of fp32 a token
ADAPTER = "model.adapter={rank: 16, alpha: 32}"


def memory(stage: str, *changed: str):
    config = load_stage(CONFIGS / "1b" / f"{stage}.yaml", stage, list(changed))
    return chat_memory(config, shape_of_size("1b"))


def test_sft_holds_what_pretraining_does() -> None:
    # Eight GPUs share the states; one window of 20,480 tokens, of whose layers the inputs are kept.
    found, shape = memory("sft"), shape_of_size("1b")
    assert found.states == 16 * N / 8
    assert found.activations == 20_480 * (16 * 2 * 2048 + kept_bytes(shape))
    # Four passes a step: gradients are added up unsharded.
    assert found.gradients == 6 * EMBEDDING + 4 * N


def test_preference_tuning_holds_a_reference_and_two_windows_a_pair() -> None:
    found, sft = memory("dpo"), memory("sft")
    assert found.states == 20 * N / 8
    assert found.gathered == 2 * sft.gathered
    assert found.activations == 2 * 4096 * (16 * 2 * 2048 + kept_bytes(shape_of_size("1b")))
    assert found.loss == 2 * 4096 * HEAD_INPUT + 4 * EMBEDDING
    assert memory("dpo", "parallelism.gpus=64").states == found.states  # shared in a node alone


def test_an_adapter_is_its_own_reference_over_frozen_weights() -> None:
    # Rank 16 of each matrix's two sides, and embedding and head of four tokens.
    sides = 2 * (2048 + 2048) + 2 * (2048 + 1024) + 3 * (2048 + 6144)
    own = 16 * 16 * sides + 8 * 2048
    for stage in ("sft", "dpo"):
        found = memory(stage, ADAPTER)
        assert found.states == 4 * N + 16 * own and found.gradients == 4 * own
    quantized = memory("sft", "model.adapter={rank: 16, alpha: 32, quantize: nf4}")
    layers = N - 2 * EMBEDDING
    assert quantized.states == pytest.approx(0.516 * layers + 2 * 2 * EMBEDDING + 16 * own)


def test_an_adapter_copies_the_head_and_frozen_weights_that_are_not_quantized() -> None:
    layers, whole = N - 2 * EMBEDDING, "model.activation_checkpointing=false"
    four_bits = "model.adapter={rank: 16, alpha: 32, quantize: nf4}"
    # Of every layer until its backward pass; bitsandbytes makes a layer's anew there.
    assert memory("sft", ADAPTER, whole).gathered == 2 * layers
    assert memory("sft", four_bits, whole).gathered == 2 * layers / 16
    assert memory("sft", ADAPTER).gathered == 2 * layers / 16
    # The turn tokens' rows stand in a copy of the head, whose gradient is fp32 and as large.
    assert memory("sft", ADAPTER).loss == 20_480 * HEAD_INPUT + (4 + 4) * EMBEDDING
    assert memory("sft", four_bits).loss == 20_480 * HEAD_INPUT + (2 + 4) * EMBEDDING


def test_a_plan_says_whose_shape_it_counts(tmp_path: Path) -> None:
    config = load_stage(CONFIGS / "10b" / "dpo.yaml", "dpo")
    plan = chat_plan(config)
    assert "10,756,624,384 and of the reference (if it has the shape of 10b/stage1.yaml)" in plan
    assert "memory per GPU    " in plan and "H200              131.3 GiB, 90% of it usable" in plan
    KORMoConfig(hidden_size=64, num_hidden_layers=1).save_pretrained(tmp_path)
    here = load_stage(CONFIGS / "10b" / "sft.yaml", "sft", [f"model.init_from={tmp_path}"])
    assert "(of its config.json)" in chat_plan(here) and "10,756" not in chat_plan(here)
    other = json.loads((tmp_path / "config.json").read_text()) | {"model_type": "qwen3_moe"}
    (tmp_path / "config.json").write_text(json.dumps(other))
    assert "memory per GPU    unknown, a qwen3_moe" in chat_plan(here)
