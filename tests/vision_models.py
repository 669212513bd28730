"""A small model that sees, of random weights, and pictures drawn for it."""

import json
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from transformers import PreTrainedTokenizerBase, SiglipVisionConfig, SiglipVisionModel

from data_recipes.tokenizer.train import train_tokenizer
from modeling_kormo import CHAT_TEMPLATE
from modeling_kormo.vision import load_vision_tokenizer
from tests.recipes.post.grpo_hand_made import TEXT

COLOURS = {"red": "빨간", "green": "초록", "blue": "파란", "black": "검은"}


def vision_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """A tokenizer of 311 entries with `<image>` and `<video>` after them."""
    tokenizer = train_tokenizer(TEXT, 270)
    tokenizer.chat_template = CHAT_TEMPLATE.read_text(encoding="utf-8")
    tokenizer.save_pretrained(directory)
    return load_vision_tokenizer(str(directory))


def random_tower(seed: int = 0) -> SiglipVisionModel:
    """A tower of 2 layers that makes 16 features of 32 x 32 pixels."""
    torch.manual_seed(seed)
    config = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
    )
    return SiglipVisionModel(config).eval()


def draw(colour: str, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """A disc of one colour on white."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse((4, 4, size[0] - 4, size[1] - 4), fill=colour)
    return picture


def picture_set(directory: Path, copies: int = 8) -> Path:
    """Write a picture set of one-coloured discs with questions in two languages; its rows' file."""
    (directory / "images").mkdir(parents=True)
    rows = []
    for number in range(copies):
        for colour, korean in COLOURS.items():
            name = f"images/{len(rows):06d}.png"
            draw(colour, (40 + number, 30)).save(directory / name)
            asked = {"en": ("Which colour?", colour), "ko": ("무슨 색인가요?", korean)}
            language = "ko" if number % 2 else "en"
            question, answer = asked[language]
            user = [{"type": "image"}, {"type": "text", "text": question}]
            rows.append(
                {
                    "id": f"disc-{len(rows)}",
                    "images": [name],
                    "messages": [
                        {"role": "user", "content": user},
                        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
                    ],
                    "kind": "object",
                    "language": language,
                }
            )
    for split in ("train", "heldout_objects"):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (directory / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return directory / "train.jsonl"
