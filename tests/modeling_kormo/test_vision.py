"""LLaVA around KORMo: text as without it, a token for each feature, files that load again."""

import json
import random
from pathlib import Path

import pytest
import torch
from jinja2 import TemplateError
from PIL import Image
from tokenizers import Tokenizer
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from data_recipes.common.errors import RecipeError
from modeling_kormo.vision import (
    Kind,
    OnevisionProcessor,
    VisionModel,
    build_processor,
    build_vision_model,
    language_model,
    load_processor,
    load_vision_tokenizer,
    save_vision_model,
)
from recipes.export import export_command
from tests.conftest import ROOT
from tests.random_model import random_model
from tests.recipes.post.chat_cases import CASES
from tests.vision_models import draw, random_tower, vision_tokenizer

KINDS = ("llava", "onevision")
ASKED = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return vision_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def make(
    tokenizer: PreTrainedTokenizerBase, kind: Kind, rows: int = 320
) -> tuple[VisionModel, object]:
    language = random_model(tokenizer, rows, layers=2, initializer_range=0.2).eval()
    tower = random_tower()
    model = build_vision_model(language, tower, tokenizer, kind).eval()
    return model, build_processor(tokenizer, tower.config, kind)


def ask(processor: object, *pictures: Image.Image) -> dict[str, torch.Tensor]:
    content = [{"type": "image", "image": p} for p in pictures] + ASKED[0]["content"][1:]
    return processor.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [320, 311], ids=["free rows", "no free row"])
def test_text_gets_the_language_models_logits(
    tokenizer: PreTrainedTokenizerBase, kind: Kind, rows: int
) -> None:
    language = random_model(tokenizer, rows, layers=2, initializer_range=0.2).eval()
    ids = torch.randint(3, 300, (2, 20))
    expected = language(ids).logits
    model = build_vision_model(language, random_tower(), tokenizer, kind).eval()
    got = model(ids).logits
    assert got.shape[-1] == 320  # of 311, rounded up to a multiple of 64, for 313 tokens
    assert torch.equal(got[..., :rows], expected)
    assert torch.equal(language_model(model)(ids).logits, got)
    if rows == 311:
        for matrix in (model.get_input_embeddings().weight, model.lm_head.weight):
            torch.testing.assert_close(matrix[311:], matrix[:311].mean(0).expand(9, -1))


def image_tokens(model: VisionModel, inputs: dict[str, torch.Tensor]) -> int:
    """Features that the model makes of the pictures in a batch."""
    wanted = ("pixel_values", "image_sizes", "batch_num_images")
    given = {name: inputs[name] for name in wanted if name in inputs}
    return sum(map(len, model.get_image_features(**given).pooler_output))


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_every_shape_has_as_many_tokens_as_features(
    tokenizer: PreTrainedTokenizerBase, kind: Kind
) -> None:
    model, processor = make(tokenizer, kind)
    draws = random.Random(0)
    counts = set()
    for _ in range(50):
        width, height = (round(2 ** draws.uniform(1, 9)) for _ in range(2))
        inputs = ask(processor, Image.new("RGB", (width, height)))
        tokens = (inputs["input_ids"] == tokenizer.image_token_id).sum().item()
        assert tokens == image_tokens(model, inputs), (width, height)
        counts.add(tokens)
    assert counts == {16} if kind == "llava" else len(counts) > 10


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_seen_in_their_order(tokenizer: PreTrainedTokenizerBase, kind: Kind) -> None:
    model, processor = make(tokenizer, kind)
    red, blue = draw("red"), draw("blue")
    last = [
        model(**ask(processor, *shown)).logits[0, -1]
        for shown in ((red, blue), (blue, red), (red, blue))
    ]
    assert torch.equal(last[0], last[2]) and not torch.allclose(last[0], last[1])


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_rows_with_other_numbers_of_pictures_are_read_as_alone(
    tokenizer: PreTrainedTokenizerBase, kind: Kind
) -> None:
    """As they are padded together for training: none, one and two pictures."""
    model, processor = make(tokenizer, kind)
    model.set_attn_implementation("sdpa")
    red, blue, wide = draw("red"), draw("blue"), draw("green", (90, 30))

    def read(*rows: list[Image.Image]) -> torch.Tensor:
        chats = [
            [{"role": "user", "content": [{"type": "image", "image": p} for p in shown]
              + [{"type": "text", "text": "Which colour?"}]}]
            for shown in rows
        ]  # fmt: skip
        inputs = processor.apply_chat_template(
            chats, tokenize=True, return_dict=True, return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "right"},
        )  # fmt: skip
        last = inputs["attention_mask"].sum(1) - 1
        return model(**inputs).logits[torch.arange(len(rows)), last]

    rows = [[], [wide], [red, blue], [blue], [], [blue, wide]]
    together = read(*rows)
    for row, own in zip(rows, together):
        torch.testing.assert_close(own, read(row)[0], atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_saved_files_load_through_the_auto_classes(
    tokenizer: PreTrainedTokenizerBase, kind: Kind, tmp_path: Path
) -> None:
    model, processor = make(tokenizer, kind)
    save_vision_model(model, processor, tmp_path)
    again = AutoModelForImageTextToText.from_pretrained(tmp_path).eval()
    inputs = ask(processor, draw("red"))
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)
    # Whole again, its own loss included, which no Linear of LLaVA's has.
    ids = torch.randint(3, 300, (1, 9))
    losses = [language_model(m)(ids, labels=ids, sum_loss=True).loss for m in (again, model)]
    assert torch.equal(*losses)
    for loaded in (AutoProcessor.from_pretrained(tmp_path), load_processor(str(tmp_path))):
        assert type(loaded) is type(processor)
        assert all(torch.equal(v, inputs[k]) for k, v in ask(loaded, draw("red")).items())
    answer = again.generate(**inputs, max_new_tokens=3, eos_token_id=None, do_sample=False)
    assert answer.shape[1] == inputs["input_ids"].shape[1] + 3


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_the_projector_reads_pixels_of_minus_one_to_one_by_the_towers_last_layer(
    tokenizer: PreTrainedTokenizerBase, kind: Kind
) -> None:
    model, processor = make(tokenizer, kind)
    for colour, value in (("black", -1.0), ("white", 1.0)):
        pixels = ask(processor, Image.new("RGB", (32, 32), colour))["pixel_values"]
        torch.testing.assert_close(pixels, torch.full_like(pixels, value))
    read = []
    model.model.multi_modal_projector.register_forward_pre_hook(lambda _, x: read.append(x[0]))
    tower = model.model.vision_tower
    tower.encoder.layers[-1].register_forward_hook(lambda *call: read.insert(0, call[2]))
    model(**ask(processor, draw("red")))
    assert torch.equal(*read)


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_prepared_with_pillow_beside_torchvision(
    tokenizer: PreTrainedTokenizerBase, kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, processor = make(tokenizer, kind)
    save_vision_model(model, processor, tmp_path)
    pillow = type(processor.image_processor)

    class Torchvision(pillow):
        pass

    def load(name: object, backend: str | None = None, **_: object) -> object:
        return (pillow if backend == "pil" else Torchvision).from_pretrained(name)

    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", load)
    assert type(AutoProcessor.from_pretrained(tmp_path).image_processor) is Torchvision
    assert type(load_processor(str(tmp_path)).image_processor) is pillow


def test_numbers_of_pictures_must_agree(tokenizer: PreTrainedTokenizerBase) -> None:
    for kind in KINDS:
        _, processor = make(tokenizer, kind)
        for text, pictures in (("<image>", [draw("red")] * 2), ("none", [draw("red")])):
            with pytest.raises(ValueError, match="number of images"):
                processor(text=text, images=pictures)
        with pytest.raises(ValueError, match="no images"):
            processor(text="<image>\n")


def test_text_is_rendered_as_before_pictures(tokenizer: PreTrainedTokenizerBase) -> None:
    """To the byte, by the template of a text model and of one that sees."""
    before = (ROOT / "tests/fixtures/chat_template_text.jinja").read_text(encoding="utf-8")
    now = tokenizer.chat_template
    more = [
        ([{"role": "system", "content": "Be brief."}, *case.messages], case.tools)
        for case, _ in CASES.values()
        if case.messages[0]["role"] != "system"
    ]
    cases = [(case.messages, case.tools) for case, _ in CASES.values()] + more
    cases.append(([{"role": "user", "content": "  a\n\n"}], None))
    plain = [c for c in cases if all(isinstance(m.get("content"), str) for m in c[0])]
    for messages, tools in plain:
        parts = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]
        cases.append((parts, tools))
    assert len(cases) > 30
    for messages, tools in cases:
        for thinking in (None, True, False):
            given = {} if thinking is None else {"enable_thinking": thinking}
            for prompt in (False, True):
                old, new = (
                    tokenizer.apply_chat_template(
                        messages,
                        tools=tools,
                        chat_template=template,
                        tokenize=False,
                        add_generation_prompt=prompt,
                        **given,
                    )
                    for template in (before, now)
                )
                assert old == new


def test_pictures_are_rendered_for_models_that_see_only(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    rendered = tokenizer.apply_chat_template(ASKED, tokenize=False)
    assert rendered == "<|BOT|>user\n<image>\nWhat?<|EOT|>\n"
    picture = [{"type": "image"}]
    with pytest.raises(TemplateError, match="only users send pictures, not the assistant"):
        tokenizer.apply_chat_template(
            [*ASKED, {"role": "assistant", "content": picture}], tokenize=False
        )
    from data_recipes.tokenizer.train import train_tokenizer
    from tests.recipes.post.grpo_hand_made import TEXT

    with pytest.raises(TemplateError, match="reads text only, not image"):
        train_tokenizer(TEXT, 270).apply_chat_template(ASKED, tokenize=False)


def padded_tokenizer(tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Write a tokenizer whose ids are KORMo's: 125,000 BPE entries, then the 41 added ones."""
    text = json.loads(tokenizer.backend_tokenizer.to_str())
    entries = text["model"]["vocab"]
    bpe = {k: v for k, v in entries.items() if v < 270}
    text["model"]["vocab"] = bpe | {f"unused{n}": n for n in range(len(bpe), 125_000)}
    added = [t for t in text["added_tokens"] if t["content"] not in ("<image>", "<video>")]
    for token in added:
        token["id"] += 125_000 - 270
    text["added_tokens"] = added
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(text)),
        bos_token="<|BOS|>",
        eos_token="<|EOS|>",
        pad_token="<|PAD|>",
        chat_template=tokenizer.chat_template,
    ).save_pretrained(directory)


@torch.no_grad()
def test_the_published_layout_loads(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """KORMo-VL's: ids 125,041 and 125,042 inside 125,184 rows, transformers 4's file names."""
    padded_tokenizer(tokenizer, tmp_path / "text")
    full = load_vision_tokenizer(str(tmp_path / "text"))
    assert (full.image_token_id, full.video_token_id) == (125_041, 125_042)
    language = random_model(full, 125_184)
    before = language.get_input_embeddings().weight
    model = build_vision_model(language, random_tower(), full, "onevision").eval()
    assert model.get_input_embeddings().weight is before and model.lm_head.out_features == 125_184
    processor = build_processor(full, model.config.vision_config, "onevision")
    inputs = ask(processor, draw("red"))

    published = tmp_path / "published"
    model.save_pretrained(published)
    full.save_pretrained(published)
    images = processor.image_processor.to_dict()
    images["image_processor_type"] = "LlavaOnevisionImageProcessor"
    images["processor_class"] = "LlavaOnevisionProcessor"
    (published / "preprocessor_config.json").write_text(json.dumps(images), encoding="utf-8")
    config = {
        "processor_class": "LlavaOnevisionProcessor",
        "num_image_tokens": 16,
        "vision_feature_select_strategy": "full",
    }
    (published / "processor_config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = load_processor(str(published))
    assert isinstance(loaded, OnevisionProcessor)
    assert all(torch.equal(v, inputs[k]) for k, v in ask(loaded, draw("red")).items())
    again = AutoModelForImageTextToText.from_pretrained(published).eval()
    assert again.config.text_config.model_type == "kormo"
    assert torch.equal(again(**inputs).logits, model(**inputs).logits)


def test_a_picture_of_coco_has_as_many_tokens_as_kormo_vl_gives_it(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """2,929, with SigLIP-so400m's 729 a tile (KORMo-VL's tt-forge loader)."""
    from transformers import SiglipVisionConfig

    tower = SiglipVisionConfig(image_size=384, patch_size=14)
    processor = build_processor(tokenizer, tower, "onevision")
    inputs = ask(processor, Image.new("RGB", (640, 480)))
    assert (inputs["input_ids"] == tokenizer.image_token_id).sum() == 2929


def test_a_layout_that_does_not_fit_is_refused(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    model, processor = make(tokenizer, "llava")
    save_vision_model(model, processor, tmp_path / "sees")
    for layout in ("llama", "kormo", "gguf"):
        with pytest.raises(RecipeError, match="only --as llava"):
            export_command(["--as", layout, str(tmp_path / "sees"), str(tmp_path / layout)])
    random_model(tokenizer, 320).save_pretrained(tmp_path / "reads")
    tokenizer.save_pretrained(tmp_path / "reads")
    with pytest.raises(RecipeError, match="reads text only: --as llama"):
        export_command(["--as", "llava", str(tmp_path / "reads"), str(tmp_path / "llava")])
