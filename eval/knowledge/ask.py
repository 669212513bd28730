"""Has a knowledge model answer rows: as they are, with a grey picture, with another one's."""

from __future__ import annotations

import random
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_recipes.answers.text import clean
from data_recipes.common.errors import RecipeError

if TYPE_CHECKING:
    from modeling_kormo.knowledge_inputs import Asker, Question

CONDITIONS = ("as it is", "picture blanked", "picture swapped")
_ANSWER_TOKENS = 24
_ARTICLE = re.compile(r"^(?:the|an?)\s+")


def plain(text: str) -> str:
    """Write an answer so that equal ones are equal: no case, article, ending or punctuation."""
    text = unicodedata.normalize("NFKC", clean(text)).casefold().replace("’", "'").strip(" .!。")
    return _ARTICLE.sub("", " ".join(text.split()))


def is_right(answer: str, accepted: list[str]) -> bool:
    """Tell whether an answer is one of those accepted, as a whole."""
    return plain(answer) in {plain(own) for own in accepted}


def load_asker(directory: Path) -> Asker:
    """Load what `kormo train knowledge_vqa` wrote.

    Raises:
        RecipeError: it did not write this.
    """
    from safetensors import SafetensorError

    from data_recipes.knowledge.triples import read_triples
    from data_recipes.knowledge.wordings import teller
    from data_recipes.read.pictures import open_picture
    from modeling_kormo.knowledge import load_knowledge_model
    from modeling_kormo.knowledge_inputs import Asker
    from modeling_kormo.vision import load_processor

    try:
        model = load_knowledge_model(directory)
        processor = load_processor(str(directory))
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise RecipeError(
            f"--model {directory}: no knowledge model ({error}); name the `final/` of "
            "`kormo train knowledge_vqa`"
        ) from error
    return Asker(model, processor, teller(read_triples(directory / "triples.jsonl")), open_picture)


def _questions(asker: Asker, rows: list[dict[str, Any]], folder: Path, how: str) -> list[Question]:
    from dataclasses import replace

    from modeling_kormo.knowledge_inputs import question_of

    questions = [question_of(row, folder, asker.model.known.sees) for row in rows]
    if how != "picture swapped":
        return questions
    # Of another entity; both languages of an item get the same one.
    pictures = {row["entity"]: q.picture for row, q in zip(rows, questions, strict=True)}
    entities = sorted(pictures)
    swapped = []
    for row, question in zip(rows, questions, strict=True):
        others = [entity for entity in entities if entity != row["entity"]]
        if not others:
            raise RecipeError("picture swapped: all rows show the same thing")
        other = random.Random(row["item"]).choice(others)
        swapped.append(replace(question, picture=pictures[other]))
    return swapped


def ask_rows(
    asker: Asker, rows: list[dict[str, Any]], folder: Path, how: str, batch: int
) -> list[dict[str, Any]]:
    """Answer rows.

    Args:
        asker: of the model.
        rows: of `kormo data knowledge`.
        folder: that their pictures are relative to.
        how: one of `CONDITIONS`.
        batch: rows at a time.

    Returns:
        For each `answer`, `right`, and whether entity and path were told (`entity`, `path`).
    """
    import torch

    from ..local_model import greedy

    model, tokenizer = asker.model, asker.processor.tokenizer
    generation = greedy(model.model, _ANSWER_TOKENS)
    generation.eos_token_id = tokenizer.convert_tokens_to_ids("<|EOT|>")
    generation.pad_token_id = tokenizer.pad_token_id
    questions = _questions(asker, rows, folder, how)
    found = []
    with torch.no_grad():
        for start in tqdm(range(0, len(rows), batch), desc=how):
            own = questions[start : start + batch]
            pixels = asker.pixels(own)
            if how == "picture blanked":
                pixels = torch.zeros_like(pixels)  # grey, as pixels run from -1 to 1
            looked = asker.look(own, pixels)
            answers = _answers(asker, own, looked, generation)
            told = (looked.heads.argmax(1), looked.paths.argmax(1))
            right = asker.gold(own).T
            marks = [(a == b).tolist() for a, b in zip(told, right, strict=True)]
            for row, answer, entity, path in zip(rows[start:], answers, *marks):
                found.append(
                    {
                        "answer": answer,
                        "right": is_right(answer, row["answers"]),
                        "entity": entity,
                        "path": path,
                    }
                )
    return found


def _answers(asker: Asker, questions: list[Question], looked: Any, generation: Any) -> list[str]:
    model, known = asker.model, asker.model.known
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
    ids = model.generate(embeds, prompt["mask"], generation)
    return asker.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
