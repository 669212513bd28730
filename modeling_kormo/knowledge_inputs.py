"""Prompts of questions about pictures, with places for pictures and for facts of a graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import ProcessorMixin

from .knowledge import SLOTS, Fact, KnowledgeModel, Looked, slots_of

# (head, path, language) -> the facts on that path in words; empty if the graph has none.
Tell = Callable[[str, str, str], str]
Opener = Callable[[Path], Image]


@dataclass(frozen=True)
class Question:
    """A question as the model is asked it.

    Attributes:
        text: in the form that the model takes: about a picture, or with a name.
        language: code.
        picture: file; `None` for a model that does not see.
        path: right path, `name` where only a name is asked for.
        head: right entity.
        answer: what is learned.
        facts: that answer, one or two in a row; none where a name is asked for.
    """

    text: str
    language: str
    picture: Path | None
    path: str
    head: str
    answer: str
    facts: tuple[Fact, ...]

    @property
    def tail(self) -> str:
        """Entity that answers; empty where there is none."""
        return self.facts[-1][2] if self.facts else ""


def question_of(row: dict[str, Any], folder: Path, sees: bool) -> Question:
    """Read a row of `kormo data knowledge`.

    Args:
        row: of a file.
        folder: that its `images` are relative to.
        sees: whether to show the picture, or to name what it shows.
    """
    text = row["messages"][0]["content"][-1]["text"]
    return Question(
        text if sees else row["named_question"],
        row["language"],
        folder / row["images"][0] if sees else None,
        row["relation"],
        row["entity"],
        row["answers"][0],
        # Those of the first way come first (data_recipes/knowledge/questions.py).
        tuple(map(tuple, row["triples"][: row["hops"]])),
    )


@dataclass
class Asker:
    """Turns questions into tensors for one model, and its choice of facts into words.

    Attributes:
        model: asked.
        processor: of the vision model.
        tell: puts facts into words.
        open_picture: reads a file.
    """

    model: KnowledgeModel
    processor: ProcessorMixin
    tell: Tell
    open_picture: Opener
    _pixels: dict[Path, Tensor] = field(default_factory=dict)

    def pixels(self, questions: Sequence[Question]) -> Tensor | None:
        """Read the pictures, each file once; `None` for a model that does not see."""
        if not self.model.known.sees:
            return None
        for question in questions:
            if question.picture not in self._pixels:
                found = self.processor.image_processor(
                    self.open_picture(question.picture), return_tensors="pt"
                )
                self._pixels[question.picture] = found["pixel_values"][0]
        return torch.stack([self._pixels[question.picture] for question in questions])

    def _pad(self, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
        longest = max(map(len, rows))
        pad = self.processor.tokenizer.pad_token_id
        ids = [[pad] * (longest - len(row)) + row for row in rows]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in rows]
        return torch.tensor(ids), torch.tensor(mask)

    def look(self, questions: Sequence[Question], pixels: Tensor | None) -> Looked:
        """Have the model look at pictures and questions."""
        tokenizer = self.processor.tokenizer
        rows = [tokenizer(q.text, add_special_tokens=False)["input_ids"] for q in questions]
        return self.model.look(*self._pad(rows), pixels)

    def gold(self, questions: Sequence[Question]) -> Tensor:
        """Index the right heads and paths, `[batch, 2]`; -100 for what the model does not know."""
        known = self.model.known
        heads = {name: n for n, name in enumerate(known.heads)}
        paths = {name: n for n, name in enumerate(known.paths)}
        rows = [(heads.get(q.head, -100), paths.get(q.path, -100)) for q in questions]
        return torch.tensor(rows)

    def facts(self, looked: Looked, questions: Sequence[Question]) -> Tensor:
        """Look up the facts that go into the prompts: chosen, or the right ones in arm `gold`."""
        known = self.model.known
        if known.arm != "gold":
            return self.model.recall(looked)
        right = [(question.head, question.facts) for question in questions]
        return self.model.vectors[torch.tensor(slots_of(right, known.entities, known.relations))]

    def told(self, looked: Looked, questions: Sequence[Question]) -> list[str]:
        """Put the likeliest fact of each question into words."""
        known = self.model.known
        weights, heads, paths = (x[:, 0].tolist() for x in self.model.choose(looked))
        return [
            self.tell(known.heads[h], known.paths[p], q.language) if w else ""
            for w, h, p, q in zip(weights, heads, paths, questions, strict=True)
        ]

    def prompts(
        self, questions: Sequence[Question], told: Sequence[str], pictures: int, answers: bool
    ) -> dict[str, Tensor]:
        """Lay out chats, padded on the left.

        Args:
            questions: asked.
            told: facts in words, before each question; empty for none.
            pictures: tokens of a picture; 0 without.
            answers: whether the answers follow.

        Returns:
            `ids`, `mask`, `image` and `slot` (places, bool) and `labels` (-100 where nothing is
            learned), `[batch, length]` each.
        """
        tokenizer = self.processor.tokenizer
        image = tokenizer.image_token_id
        slots = SLOTS if self.model.known.as_tokens else 0
        rows, learned = [], []
        for question, facts in zip(questions, told, strict=True):
            parts = [{"type": "image"}] if pictures else []
            parts.append(
                {"type": "text", "text": f"{facts}\n{question.text}" if facts else question.text}
            )
            ids = tokenizer.apply_chat_template(
                [{"role": "user", "content": parts}],
                add_generation_prompt=True, enable_thinking=False, return_dict=False,
            )  # fmt: skip
            # Facts stand after the picture, or at the beginning of the message.
            at = ids.index(image) if pictures else 0
            filled = [image] * pictures + [-1] * slots
            ids = ids[:at] + filled + ids[at + bool(pictures) :]
            answer: list[int] = []
            if answers:
                answer = tokenizer(question.answer, add_special_tokens=False)["input_ids"]
                answer.append(tokenizer.convert_tokens_to_ids("<|EOT|>"))
            rows.append(ids + answer)
            learned.append(len(answer))
        ids, mask = self._pad(rows)
        labels = torch.full_like(ids, -100)
        for number, count in enumerate(learned):
            if count:
                labels[number, -count:] = ids[number, -count:]
        slot = ids == -1
        ids = ids.masked_fill(slot, tokenizer.pad_token_id)
        return {
            "ids": ids, "mask": mask, "image": (ids == image) & mask.bool(), "slot": slot,
            "labels": labels,
        }  # fmt: skip
