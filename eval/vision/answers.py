"""A model's answers to questions about pictures, kept part by part."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from tqdm import tqdm

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import open_staged
from data_recipes.common.line_log import batches
from data_recipes.read.pictures import open_picture

from .blind import swapped
from .items import PictureQuestion

if TYPE_CHECKING:
    from PIL.Image import Image

Sight = Literal["seen", "blank", "swapped"]
SIGHTS: tuple[Sight, ...] = ("seen", "blank", "swapped")
Given = dict[str, Any]  # `answer`, and what else a model tells
_GREY = (128, 128, 128)


class Answerer(Protocol):
    """What answers."""

    def answer(self, asked: Sequence[tuple[PictureQuestion, list[Image]]]) -> list[Given]:
        """Answer some questions, each about its pictures."""


class SeeingModel:
    """A checkpoint that sees, which answers greedily.

    Args:
        name: directory or Hub id.
        max_tokens: longest answer.
        device: as torch names it; the GPU if there is one.

    Raises:
        RecipeError: no such model, one that reads text only, or one without its processor.
    """

    def __init__(self, name: str, max_tokens: int, device: str | None) -> None:
        import torch
        from transformers import AutoModelForImageTextToText

        from data_recipes.common.references import check_model
        from modeling_kormo.checkpoint_files import load_whole  # and makes the classes known
        from modeling_kormo.vision import load_processor

        check_model(name)
        self._device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # Two bytes a number save nothing on a CPU, which computes in four.
        dtype = torch.float32 if self._device == "cpu" else "auto"
        try:
            self._processor = load_processor(name)
            model = load_whole(AutoModelForImageTextToText, name, dtype=dtype)
        except FileNotFoundError as error:
            raise RecipeError(str(error)) from error
        except (ValueError, OSError) as error:
            raise RecipeError(f"{name}: not a model that sees ({error})") from error
        self._model = model.to(self._device).eval()
        self._max_tokens = max_tokens

    def answer(self, asked: Sequence[tuple[PictureQuestion, list[Image]]]) -> list[Given]:
        """Answer some questions together, as each would be answered alone."""
        import torch

        chats = [_with_pictures(item.messages, pictures) for item, pictures in asked]
        inputs = self._processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            enable_thinking=False,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True, "padding_side": "left"},
        ).to(self._device)
        with torch.inference_mode():
            written = self._model.generate(
                **inputs, max_new_tokens=self._max_tokens, do_sample=False
            )
        own = written[:, inputs["input_ids"].shape[1] :]
        texts = self._processor.batch_decode(own, skip_special_tokens=True)
        return [{"answer": text.rpartition("</think>")[2].strip()} for text in texts]


def _with_pictures(messages: list[dict[str, Any]], pictures: list[Image]) -> list[dict[str, Any]]:
    left = iter(pictures)
    return [
        {
            **message,
            "content": [
                {"type": "image", "image": next(left)} if part["type"] == "image" else part
                for part in message["content"]
            ],
        }
        for message in messages
    ]


def _shown(sight: Sight, items: list[PictureQuestion]) -> Callable[[PictureQuestion], list[Image]]:
    from PIL import Image

    others = swapped(items) if sight == "swapped" else {}

    def show(item: PictureQuestion) -> list[Image.Image]:
        pictures = [open_picture(path) for path in others.get(item.id, item.pictures)]
        if sight == "blank":
            return [Image.new("RGB", picture.size, _GREY) for picture in pictures]
        return pictures

    return show


def answers_to(
    items: list[PictureQuestion],
    sight: Sight,
    model: Callable[[], Answerer],
    out: Path,
    batch: int,
) -> dict[str, Given]:
    """Get the answers to the questions of a split, or read them where they were kept.

    Args:
        items: of one split.
        sight: what the model is shown.
        model: loads it, when there is something to ask.
        out: of the run.
        batch: questions at a time.

    Returns:
        What was given, by id.
    """
    path = out / "answers" / f"{items[0].split}-{sight}.jsonl"
    if path.is_file():
        # Bytes: a text also parts at U+2028, which an answer may hold.
        rows = map(json.loads, path.read_bytes().splitlines())
        return {row.pop("id"): row for row in rows}
    show, answers = _shown(sight, items), {}
    # Neighbours in length make little padding.
    ordered = sorted(items, key=lambda item: (len(item.question), item.id))
    with tqdm(total=len(items), desc=f"{items[0].split}, {sight}", unit=" questions") as bar:
        for some in batches(ordered, batch):
            given = model().answer([(item, show(item)) for item in some])
            answers |= {item.id: own for item, own in zip(some, given, strict=True)}
            bar.update(len(some))
    with open_staged(path) as file:
        for item in items:
            row = {"id": item.id, **answers[item.id]}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return answers
