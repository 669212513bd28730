"""The stages that learn to see: what is learned, what stays as it was, what comes out."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from modeling_kormo.export import save_portable
from modeling_kormo.vision import load_processor
from recipes.engine.metrics import read_metrics
from tests.conftest import Stage
from tests.random_model import random_model
from tests.vision_models import draw, picture_set, random_tower, vision_tokenizer

_SHAPE = (
    "{hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, "
    "image_size: 32, patch_size: 8}"
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model, a tower and a picture set."""
    root = tmp_path_factory.mktemp("inputs")
    tokenizer = vision_tokenizer(root / "text")
    # As a stage before pictures left it.
    tokenizer.init_kwargs.pop("image_token", None)
    language = random_model(tokenizer, 311, layers=2, max_position_embeddings=512)
    save_portable(language, root / "text")
    random_tower().save_pretrained(root / "tower")
    picture_set(root / "pictures")
    return root


def overrides(inputs: Path, output: Path, *more: str) -> list[str]:
    source = f"path: {inputs}/pictures/train.jsonl, languages: [en, ko], licence: CC0"
    return [
        f"data.sources=[{{{source}}}]",
        "data.heldout_rows=4",
        f"logging.output_dir={output}",
        "batch.sequence_length=128",
        "batch.micro_batch=2",
        "batch.rows_per_step=4",
        "schedule.epochs=1",
        "logging.log_every=1",
        "logging.eval_every=4",
        "logging.save_every=3",
        *more,
    ]


def align(inputs: Path, output: Path, *more: str) -> Stage:
    own = [
        f"model.init_from={inputs}/text",
        f"model.tower={inputs}/tower",
        f"model.tower_shape={_SHAPE}",
    ]
    return Stage("vision_align", overrides(inputs, output, *own, *more))


@pytest.fixture(scope="module")
def aligned(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("aligned") / "run"
    align(inputs, output).main()
    return output


def _changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name, tensor in before.items() if not torch.equal(tensor, after[name])}


def _part(name: str) -> str:
    parts = ("vision_tower", "multi_modal_projector", "language_model", "lm_head")
    return next(part for part in parts if part in name)


def _weights(directory: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForImageTextToText.from_pretrained(directory).state_dict())


def test_alignment_trains_the_projector_alone(inputs: Path, aligned: Path) -> None:
    trained = _weights(aligned / "final")
    text = load_file(inputs / "text" / "model.safetensors")
    rows = 311
    for name, tensor in text.items():
        own = trained[name.replace("model.", "model.language_model.", 1)]
        assert torch.equal(own[:rows] if len(own) > len(tensor) else own, tensor), name
    tower = load_file(inputs / "tower" / "model.safetensors")
    seen = {k.rpartition("vision_tower.")[2]: v for k, v in trained.items() if "vision_tower" in k}
    for name, tensor in seen.items():
        matches = [v for k, v in tower.items() if k.endswith(name)]
        assert matches and torch.equal(tensor, matches[0]), name
    losses = [m["heldout_loss"] for m in read_metrics(aligned) if "heldout_loss" in m]
    assert len(losses) > 1 and losses[-1] < losses[0]


def test_instructing_leaves_the_tower_as_it_was(
    inputs: Path, aligned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage(
        "vision_sft", overrides(inputs, tmp_path / "run", f"model.init_from={aligned}/final")
    )
    stage.main()
    changed = _changed(_weights(aligned / "final"), _weights(tmp_path / "run" / "final"))
    assert {_part(name) for name in changed} == {
        "multi_modal_projector",
        "language_model",
        "lm_head",
    }
    # 28 rows of 16 image tokens, none of them learned.
    table = capsys.readouterr().out
    assert re.search(r"of pictures +448\n +learned +0\n", table)
    processor = load_processor(str(tmp_path / "run" / "final"))
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "run" / "final")
    content = [{"type": "image", "image": draw("red")}, {"type": "text", "text": "Which colour?"}]
    asked = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        enable_thinking=False,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    answer = model.generate(**asked, max_new_tokens=8)
    assert answer.shape[1] > asked["input_ids"].shape[1]


def test_a_tower_learns_from_captions(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    kept = ("data.", "logging.")
    shared = [o for o in overrides(inputs, output) if o.startswith(kept)]
    own = [f"model.init_from={inputs}/text", f"model.shape={_SHAPE}", "batch.rows_per_step=8"]
    stage = Stage("vision_tower", [*shared, *own, "schedule.epochs=40", "logging.eval_every=60"])
    stage.main()
    found = [m for m in read_metrics(output) if "heldout_found_en" in m]
    assert found[-1]["heldout_found_en"] > 0.9 and found[-1]["heldout_found_ko"] > 0.9
    # `final/` is what the next stage takes.
    aligned = tmp_path / "aligned"
    align(inputs, aligned, f"model.tower={output}/final", "logging.save_every=100").main()
    assert (aligned / "final" / "processor_config.json").is_file()
