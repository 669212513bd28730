"""What a step of `kormo train knowledge_vqa` reads, and what it is scored by."""

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from data_recipes.knowledge.triples import Graph
from modeling_kormo.knowledge import SLOTS, KnowledgeModel, Looked
from modeling_kormo.knowledge_inputs import Asker, Question

from ..knowledge_config import KnowledgeVqaConfig
from .knowledge_model import NAME, Rows

_SAY_NAME = {"ko": "이름을 말하라.", "en": "Say its name."}


def draw_batch(config: KnowledgeVqaConfig, rows: dict[str, Rows], step: int) -> tuple[Rows, int]:
    """Draw a step's rows, a function of seed and step alone; and how many vectors are named."""
    rng = random.Random(f"{config.seed} {step}")
    vectors = round(config.batch * config.vector_share) if config.arm in ("tokens", "gold") else 0
    # A name in place of the picture would be the answer.
    names = round(config.batch * config.naming_share) if config.sees else 0
    drawn = rng.choices(rows["names"], k=names)
    return drawn + rng.choices(rows["train"], k=config.batch - names - vectors), vectors


def name_vectors(asker: Asker, graph: Graph, count: int, rng: random.Random) -> Tensor:
    """Score the names of vectors: the mean cross-entropy, of any entities of the graph."""
    model, entities = asker.model, graph.entities
    nothing = len(model.vectors) - 1
    questions, slots = [], []
    for _ in range(count):
        entity, language = rng.randrange(len(entities)), rng.choice(tuple(_SAY_NAME))
        name = graph.name(entities[entity], language)
        questions.append(Question(_SAY_NAME[language], language, None, NAME, "", name, ()))
        # In any place that an entity takes.
        place = rng.choice((0, 2, 4))
        slots.append([entity if n == place else nothing for n in range(SLOTS)])
    batch = asker.prompts(questions, [""] * count, 0, answers=True)
    looked = Looked(*[model.vectors] * 3, None)  # nothing is looked at
    facts = model.vectors[torch.tensor(slots)]
    return _answer_loss(model, batch, looked, facts)


def _answer_loss(model: KnowledgeModel, batch: dict, looked: Any, facts: Any) -> Tensor:
    embeds = model.fill(batch["ids"], batch["image"], batch["slot"], looked, facts)
    learned = batch["labels"] != -100
    # The token before predicts.
    logits = model.logits(embeds, batch["mask"], learned.roll(-1, dims=1))
    return cross_entropy(logits, batch["labels"][learned])


def losses(asker: Asker, questions: Sequence[Question], naming: Tensor | None) -> dict[str, Tensor]:
    """Compute the losses of a batch, which are added up: `answer`, `entity`, `path`, `vectors`.

    Args:
        asker: of the model.
        questions: of the batch.
        naming: loss of naming vectors, if the batch has such rows, however few.
    """
    model = asker.model
    looked = asker.look(questions, asker.pixels(questions))
    gold = asker.gold(questions)
    found = {
        "entity": cross_entropy(looked.heads, gold[:, 0]),
        "path": cross_entropy(looked.paths, gold[:, 1]),
    }
    arm = model.known.arm
    if arm == "classifier":
        answers = {name: n for n, name in enumerate(model.known.answers)}
        right = torch.tensor([answers.get(q.tail, -100) for q in questions])
        scores = model.classify(looked, asker.facts(looked, questions))
        found["answer"] = cross_entropy(scores, right)
        return found
    facts = asker.facts(looked, questions) if model.known.as_tokens else None
    told = asker.told(looked, questions) if arm == "text" else [""] * len(questions)
    pictures = 0 if looked.pictures is None else looked.pictures.shape[1]
    batch = asker.prompts(questions, told, pictures, answers=True)
    found["answer"] = _answer_loss(model, batch, looked, facts)
    if naming is not None:
        found["vectors"] = naming
    return found
