"""The stages that learn to see: what is learned, what stays as it was, what comes out."""

import json
import re
import shutil
import sys
import time
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText
from trl.data_utils import prepare_multimodal_messages

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import Conversation
from data_recipes.read.pictures import open_picture
from modeling_kormo.export import save_portable
from modeling_kormo.vision import Kind, build_processor, load_processor, load_vision_tokenizer
from recipes import inspect_masks
from recipes.command_line import load_stage, parse_command_line
from recipes.engine.metrics import read_metrics
from recipes.post.masks import MaskAudit, Tokens
from recipes.post.model import load_model
from recipes.post.pictures import build_pictures, chat_samples, picture_rows
from recipes.post.seeing import load_seeing
from recipes.post.vision_config import PictureDataConfig
from tests.conftest import ROOT, Once, Stage
from tests.random_model import random_model
from tests.vision_models import draw, picture_set, random_tower, vision_tokenizer

_SHAPE = (
    "{hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2, "
    "image_size: 32, patch_size: 8}"
)

ADAPTERS = {"whole": "model.adapter=null", "adapter": "model.adapter={rank: 4, alpha: 8}"}


@pytest.fixture(scope="session")
def inputs(once: Once) -> Path:
    """A language model, a tower and a picture set."""

    def make(root: Path) -> None:
        tokenizer = vision_tokenizer(root / "text")
        language = random_model(tokenizer, 311, layers=2, max_position_embeddings=512)
        save_portable(language, root / "text")
        random_tower().save_pretrained(root / "tower")
        picture_set(root / "pictures")

    return once("inputs-of-seeing", make)


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


@pytest.fixture(scope="session")
def aligned(inputs: Path, once: Once) -> Path:
    return once("aligned", lambda directory: align(inputs, directory / "run").main()) / "run"


def instruct(inputs: Path, aligned: Path, output: Path, *more: str) -> Stage:
    own = f"model.init_from={aligned}/final"
    return Stage("vision_sft", overrides(inputs, output, own, *more))


@pytest.fixture(scope="session")
def instructed(inputs: Path, aligned: Path, once: Once) -> dict[str, Path]:
    """Runs on from the aligned model, whole and of an adapter, and what they said."""

    def make(directory: Path) -> None:
        for name, adapter in ADAPTERS.items():
            with redirect_stdout(StringIO()) as said:
                instruct(inputs, aligned, directory / name, adapter).main()
            (directory / name / "said").write_text(said.getvalue(), encoding="utf-8")

    directory = once("instructed", make)
    return {name: directory / name for name in ADAPTERS}


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


def test_instructing_leaves_the_tower_as_it_was(aligned: Path, instructed: dict[str, Path]) -> None:
    final = instructed["whole"] / "final"
    changed = _changed(_weights(aligned / "final"), _weights(final))
    assert {_part(name) for name in changed} == {
        "multi_modal_projector",
        "language_model",
        "lm_head",
    }
    # 28 rows of 16 image tokens, none of them learned.
    table = (instructed["whole"] / "said").read_text(encoding="utf-8")
    assert re.search(r"of pictures +448\n +learned +0\n", table)
    processor = load_processor(str(final))
    model = AutoModelForImageTextToText.from_pretrained(final)
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


def test_an_adapter_is_merged_and_the_tower_left(
    aligned: Path, instructed: dict[str, Path]
) -> None:
    run = instructed["adapter"]
    changed = _changed(_weights(aligned / "final"), _weights(run / "final"))
    assert {_part(name) for name in changed} == {"multi_modal_projector", "language_model"}
    assert all("layers" in n for n in changed if "language_model" in n)
    assert (run / "adapter" / "adapter_config.json").is_file()


def _losses(run: Path) -> list[float]:
    return [m["loss"] for m in read_metrics(run) if "loss" in m]


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_killed_run_goes_on_to_the_same_end(
    inputs: Path, aligned: Path, instructed: dict[str, Path], tmp_path: Path, name: str
) -> None:
    stage = instruct(inputs, aligned, tmp_path / "run", ADAPTERS[name])
    run = stage.start()
    while run.poll() is None and not (tmp_path / "run" / "checkpoint-3").is_dir():
        time.sleep(0.02)
    run.kill()
    stage.main()
    assert _losses(tmp_path / "run") == _losses(instructed[name])
    assert not _changed(_weights(tmp_path / "run" / "final"), _weights(instructed[name] / "final"))


@pytest.mark.parametrize("stage", ["vision_align", "vision_sft"])
def test_the_loss_does_not_depend_on_how_a_step_is_split(
    inputs: Path, aligned: Path, instructed: dict[str, Path], tmp_path: Path, stage: str
) -> None:
    """Two passes of two rows, as in the other tests, are one of four."""
    out, more = tmp_path / "whole", "batch.micro_batch=4"
    if stage == "vision_align":
        align(inputs, out, more).main()
    else:
        instruct(inputs, aligned, out, more).main()
    split = {"vision_align": aligned, "vision_sft": instructed["whole"]}[stage]
    whole, split = ([m for m in read_metrics(run) if "loss" in m] for run in (out, split))
    assert len(whole) == 7
    for key in ("masked_label_percent", "tokens"):
        assert [m[key] for m in split] == [m[key] for m in whole], key
    for key in ("loss", "grad_norm"):  # fp32 sums in another order
        assert [m[key] for m in split] == pytest.approx([m[key] for m in whole], rel=2e-6), key


def test_what_is_refused(inputs: Path, aligned: Path, tmp_path: Path) -> None:
    run = align(inputs, tmp_path / "run")
    with pytest.raises(RecipeError, match="packing: TRL packs no rows with pictures"):
        run.main("batch.packing=true")
    assert "tower_shape.patch_size is 16, that of" in run.refusal("model.tower_shape.patch_size=16")
    assert "a kormo; a tower is a SigLIP" in run.refusal(f"model.tower={inputs}/text")
    languages = f"{{path: {inputs}/pictures/train.jsonl, languages: [fr], licence: CC0}}"
    assert "has no row of languages fr" in run.refusal(f"data.sources=[{languages}]")
    assert "no row is left (too_long 32)" in run.refusal("batch.sequence_length=20")
    assert "only 32 different pictures" in run.refusal("data.heldout_rows=32")
    broken = shutil.copytree(inputs / "pictures", tmp_path / "broken")
    (broken / "images" / "000007.png").write_bytes(b"")
    source = f"{{path: {broken}/train.jsonl, languages: [en, ko], licence: CC0}}"
    message = run.refusal(f"data.sources=[{source}]")
    assert message.startswith(f"{broken}/images/000007.png: no picture")
    assert not (tmp_path / "run" / "final").exists()


def test_the_stream_is_in_the_compute_dtype(inputs: Path, tmp_path: Path) -> None:
    """Under autocast, with pictures and without, as FSDP2 has it."""
    config = parse_command_line("vision_align", "", align(inputs, tmp_path).overrides).config
    model, processor = load_seeing(config)
    content = [{"type": "image", "image": draw("red")}, {"type": "text", "text": "?"}]
    asked = processor.apply_chat_template(
        [{"role": "user", "content": content}],
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    text = load_model(f"{inputs}/text", "sdpa")
    seen = []
    for layer in (model.model.language_model.layers[0], text.model.layers[0]):
        layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].dtype))
    for dtype in (torch.bfloat16, torch.float32):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            model(**asked)
            text(torch.tensor([[5, 6, 7]]))
        assert seen == [dtype, dtype]
        seen.clear()


def test_the_audit_sees_a_learned_picture(inputs: Path) -> None:
    tokenizer = load_vision_tokenizer(str(inputs / "text"))
    ids = tokenizer("<|BOT|>user\n<image>\n?<|EOT|>\n<|BOT|>assistant\na<|EOT|>\n")["input_ids"]
    audit = MaskAudit(tokenizer)([Tokens(ids, ids, "here")], Counter())
    assert "here: 1 tokens of pictures are learned" in audit.violations


def test_rows_of_the_kinds_and_languages_that_are_asked_for_are_taken(
    inputs: Path, tmp_path: Path
) -> None:
    shutil.copytree(inputs / "pictures" / "images", tmp_path / "images")
    lines = (inputs / "pictures" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    kinds = ("caption", "object", "location")
    for number, row in enumerate(rows):
        row["kind"] = kinds[number % 3]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def taken(**more: object) -> list[str]:
        source = {"path": str(path), "languages": ["en"], "licence": "CC0", **more}
        found = picture_rows([source], lambda row, _: [len(row.messages)], 0)
        return [Path(row["images"][0]).name for row in found]

    english = [row for row in rows if row["language"] == "en"]
    named = [row for row in english if row["kind"] in kinds[:2]]
    for found, expected in (
        (taken(), english),
        (taken(kinds=list(kinds[:2])), named),
        (taken(kinds=list(kinds[:2]), max_rows=3), named[:3]),
    ):
        assert found == [Path(row["images"][0]).name for row in expected]


@pytest.mark.parametrize("stage", ["vision_tower", "vision_align", "vision_sft"])
def test_what_sees_is_asked_nothing_in_text(stage: str) -> None:
    path = ROOT / "recipes" / "configs" / "tiny" / f"{stage}.yaml"
    with pytest.raises(RecipeError, match="quick_eval_every_tokens: the suite asks in text alone"):
        load_stage(path, stage, ["logging.quick_eval_every_tokens=1000"])


@pytest.mark.parametrize("kind", ["llava", "onevision"])
def test_rows_fit_as_they_are_tokenised_after_they_were_cut(
    inputs: Path, tmp_path: Path, kind: Kind
) -> None:
    """Of two turns with a picture each, the first alone has a lone picture, and so tiles."""
    tokenizer = load_vision_tokenizer(str(inputs / "text"))
    processor = build_processor(tokenizer, random_tower().config, kind)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, colour in zip(paths, ("red", "blue")):
        draw(colour, (90, 60)).save(path)
    user = [{"type": "image"}, {"type": "text", "text": "?"}]
    turns = [("user", user), ("assistant", [{"type": "text", "text": "red"}])] * 2
    messages = [{"role": role, "content": content} for role, content in turns]
    conversation = Conversation(messages, "here", None, {})
    lengths = {
        end: len(
            processor.apply_chat_template(
                prepare_multimodal_messages(
                    messages[:end], images=[open_picture(p) for p in paths[: end // 2]]
                ),
                tokenize=True, return_dict=True, return_tensors="pt",
                processor_kwargs={"add_special_tokens": False},
            )["input_ids"][0]
        )
        for end in (2, 4)
    }  # fmt: skip
    assert (lengths[2] > lengths[4]) == (kind == "onevision")
    for length in range(min(lengths.values()) - 2, max(lengths.values()) + 3):
        found = chat_samples(processor, length)(conversation, paths)
        fitting = [end for end in (2, 4) if lengths[end] <= length]
        assert found == (fitting or "too_long"), length


def test_rows_that_share_a_picture_are_held_out_together(inputs: Path, tmp_path: Path) -> None:
    names = [f"images/{number:06d}.png" for number in range(24)]
    shutil.copytree(inputs / "pictures" / "images", tmp_path / "images")
    # Each alone, and 0 to 5 also beside another: 0, 2, 4 are linked, and 1, 3, 5.
    shown = [[n] for n in names] + [[names[n], names[n + 2]] for n in range(4)]
    answer = {"role": "assistant", "content": [{"type": "text", "text": "red"}]}
    rows = [
        {
            "images": own,
            "messages": [{"role": "user", "content": [{"type": "image"}] * len(own)}, answer],
            "kind": "object",
            "language": "en",
        }
        for own in shown
    ]
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    source = {"path": str(path), "languages": ["en"], "licence": "CC0"}
    for seed in range(6):
        config = PictureDataConfig(sources=[source], heldout_rows=8, seed=seed)
        every = build_pictures(config, lambda row, _: [len(row.messages)], "", tmp_path / "data")
        train, heldout = (
            {p for own in part["images"] for p in own} for part in (every.train, every.heldout)
        )
        assert not train & heldout and len(train | heldout) == 24
        assert 8 <= len(heldout) <= 12


def test_masks_show_which_tokens_are_of_pictures_and_which_are_learned(
    inputs: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = align(inputs, tmp_path).overrides
    config = str(ROOT / "recipes" / "configs" / "tiny" / "vision_align.yaml")
    monkeypatch.setattr(sys, "argv", ["masks", "--config", config, "-n", "32", *own])
    inspect_masks.main()
    out = capsys.readouterr().out
    for asked, answer in (("Which colour?", "red"), ("무슨 색인가요?", "빨간")):
        turn = f"<|BOT|>user\n(<image> x 16)\n{asked}<|EOT|>\n<|BOT|>assistant\n"
        assert f"{turn}<think>\n\n</think>\n\n{{{answer}<|EOT|>}}" in out
    assert f"{inputs}/pictures/images/000000.png" in out
    assert re.search(r"of pictures +512\n +learned +0\n", out)


def test_a_tower_learns_from_captions(inputs: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    kept = ("data.", "logging.")
    shared = [o for o in overrides(inputs, output) if o.startswith(kept)]
    own = [f"model.init_from={inputs}/text", f"model.shape={_SHAPE}", "batch.rows_per_step=8"]
    stage = Stage("vision_tower", [*shared, *own, "schedule.epochs=20", "logging.eval_every=30"])
    stage.main()
    found = [m for m in read_metrics(output) if "heldout_found_en" in m]
    assert found[-1]["heldout_found_en"] > 0.9 and found[-1]["heldout_found_ko"] > 0.9
    # `final/` is what the next stage takes.
    aligned = tmp_path / "aligned"
    align(inputs, aligned, f"model.tower={output}/final", "logging.save_every=100").main()
    assert (aligned / "final" / "processor_config.json").is_file()
