"""A knowledge model's answers to questions about pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_recipes.common.errors import RecipeError

if TYPE_CHECKING:
    from PIL.Image import Image

    from modeling_kormo.knowledge_inputs import Question

    from ..vision.answers import Given
    from ..vision.items import PictureQuestion

_ANSWER_TOKENS = 24


class KnowingModel:
    """What `kormo train knowledge_vqa` wrote, which answers greedily.

    Args:
        directory: its `final/`.

    Raises:
        RecipeError: it did not write this.
    """

    def __init__(self, directory: Path) -> None:
        from safetensors import SafetensorError

        from data_recipes.knowledge.triples import read_triples
        from data_recipes.knowledge.wordings import teller
        from data_recipes.read.pictures import open_picture
        from modeling_kormo.knowledge import load_knowledge_model
        from modeling_kormo.knowledge_inputs import Asker
        from modeling_kormo.vision import load_processor

        from ..local_model import greedy

        try:
            model = load_knowledge_model(directory)
            processor = load_processor(str(directory))
        except (OSError, ValueError, TypeError, SafetensorError) as error:
            raise RecipeError(
                f"--model {directory}: no knowledge model ({error}); name the `final/` of "
                "`kormo train knowledge_vqa`"
            ) from error
        tell = teller(read_triples(directory / "triples.jsonl"))
        self._asker = Asker(model, processor, tell, open_picture)
        self.known = model.known
        self._generation = greedy(model.model, _ANSWER_TOKENS)
        self._generation.eos_token_id = processor.tokenizer.convert_tokens_to_ids("<|EOT|>")
        self._generation.pad_token_id = processor.tokenizer.pad_token_id

    def answer(self, asked: Sequence[tuple[PictureQuestion, list[Image]]]) -> list[Given]:
        """Answer some questions, and tell whether entity and path were found."""
        import torch

        from modeling_kormo.knowledge_inputs import question_of

        asker = self._asker
        questions = [
            question_of(
                item.fields | {"messages": item.messages, "images": item.pictures},
                Path(),
                self.known.sees,
            )
            for item, _ in asked
        ]
        pixels = None
        if self.known.sees:
            shown = [pictures[0] for _, pictures in asked]
            read = asker.processor.image_processor(shown, return_tensors="pt")
            pixels = read["pixel_values"]
        with torch.no_grad():
            looked = asker.look(questions, pixels)
            answers = self._write(questions, looked)
        told = (looked.heads.argmax(1), looked.paths.argmax(1))
        marks = [
            (own == right).tolist()
            for own, right in zip(told, asker.gold(questions).T, strict=True)
        ]
        return [
            {"answer": answer, "entity": entity, "path": path}
            for answer, entity, path in zip(answers, *marks, strict=True)
        ]

    def _write(self, questions: list[Question], looked: Any) -> list[str]:
        asker, known = self._asker, self.known
        model = asker.model
        if known.arm == "classifier":
            best = model.classify(looked, asker.facts(looked, questions)).argmax(1).tolist()
            return [
                asker.tell(known.answers[n], known.paths[0], question.language)
                for n, question in zip(best, questions, strict=True)
            ]
        facts = asker.facts(looked, questions) if known.as_tokens else None
        told = asker.told(looked, questions) if known.arm == "text" else [""] * len(questions)
        pictures = 0 if looked.pictures is None else looked.pictures.shape[1]
        prompt = asker.prompts(questions, told, pictures, answers=False)
        embeds = model.fill(prompt["ids"], prompt["image"], prompt["slot"], looked, facts)
        ids = model.generate(embeds, prompt["mask"], self._generation)
        return asker.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
