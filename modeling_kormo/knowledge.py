"""A model that sees and knows: vectors of a knowledge graph as soft tokens in its prompt.

The model reads a question and then the picture. Causal attention keeps the picture out of the
question's states, so the relation that is asked for is told from the question alone, as in GEL-VQA
(arXiv 2401.06443), and the entity from both. Of the likeliest entities and relations the graph has
facts; their vectors, weighted by a softmax, go through a projector into the prompt. So the loss of
the answer reaches the choice, where GEL-VQA takes an argmax.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import AutoModelForImageTextToText, GenerationConfig

from .checkpoint_files import load_whole
from .vision import VisionModel

# none: no knowledge. text: the likeliest fact in words. tokens: facts as soft tokens. gold: those
# of the right fact. classifier: GEL-VQA's, of closed answers, in place of words.
Arm = Literal["none", "text", "tokens", "gold", "classifier"]
SLOTS = 5  # head, relation, tail, and relation and tail of a second hop
Fact = Sequence[str]  # head, relation, tail
_WEIGHTS, _SETTINGS = "knowledge.safetensors", "knowledge.json"
_DROPOUT = 0.2  # of GEL-VQA's fusion


@dataclass
class Known:
    """What can be asked for, and what the graph says to it.

    Attributes:
        arm: how knowledge reaches the answer.
        sees: questions come with pictures; without, with the name of what they would show.
        top: likeliest entities, and likeliest paths, that are looked up.
        heads: entities that can be shown.
        paths: relations that can be asked for, two joined by `/`; the first, `name`, is none.
        slots: `[heads][paths][SLOTS]`, rows of the table of vectors; empty where the graph has no
            such fact.
        answers: entities that the classifier chooses from.
        entities: names of the table's rows from 0.
        relations: of those after them; the row after all is zero.
    """

    arm: Arm
    sees: bool
    top: int
    heads: list[str]
    paths: list[str]
    slots: list[list[list[int]]]
    answers: list[str]
    entities: list[str]
    relations: list[str]

    @property
    def as_tokens(self) -> bool:
        return self.arm in ("tokens", "gold")


@dataclass
class Looked:
    """What a first look tells.

    Attributes:
        heads: scores of entities, `[batch, heads]`.
        paths: scores of paths, `[batch, paths]`.
        question: mean state of the question, `[batch, hidden]`.
        pictures: features, `[batch, image tokens, hidden]`; `None` without pictures.
    """

    heads: Tensor
    paths: Tensor
    question: Tensor
    pictures: Tensor | None


def slots_of(
    asked: Sequence[tuple[str, Sequence[Fact]]], entities: list[str], relations: list[str]
) -> list[list[int]]:
    """Return the rows of the table for heads and the facts that lead on from each.

    What the table lacks is its last row, which is zero.

    Args:
        asked: heads, with no fact, one or two in a row.
        entities: names of the table's rows from 0.
        relations: of those after them.
    """
    entity = {name: n for n, name in enumerate(entities)}
    relation = {name: len(entities) + n for n, name in enumerate(relations)}
    nothing = len(entities) + len(relations)
    rows = []
    for head, facts in asked:
        row = [entity.get(head, nothing)]
        for _, name, tail in facts:
            row += [relation.get(name, nothing), entity.get(tail, nothing)]
        rows.append(row + [nothing] * (SLOTS - len(row)))
    return rows


def make_slots(
    heads: list[str],
    paths: list[str],
    entities: list[str],
    relations: list[str],
    way: Callable[[str, str], Sequence[Fact]],
) -> list[list[list[int]]]:
    """Look up every path from every head.

    Args:
        heads: entities that can be shown.
        paths: relations, the first of them `name`, which leads nowhere.
        entities: names of the table's rows from 0.
        relations: of those after them.
        way: facts on a path from a head; none if the graph has no such way.
    """
    table = []
    for head in heads:
        ways = [[], *(way(head, path) for path in paths[1:])]
        rows = slots_of([(head, facts) for facts in ways], entities, relations)
        led = (not n or facts for n, facts in enumerate(ways))
        table.append([row if found else [] for row, found in zip(rows, led)])
    return table


class KnowledgeModel(nn.Module):
    """A vision model with heads for what is asked and shown, and a projector of vectors.

    Args:
        model: from `build_vision_model`, of kind `llava`.
        vectors: of entities, then of relations, `[entities + relations, dim]`. They stay as they
            are, but for their length, which becomes 1, as BOK-VQA's do.
        known: what can be asked for.
    """

    def __init__(self, model: VisionModel, vectors: Tensor, known: Known) -> None:
        super().__init__()
        self.model, self.known = model, known
        hidden, dim = model.config.text_config.hidden_size, vectors.shape[1]
        table = torch.cat((normalize(vectors, dim=-1), vectors.new_zeros(1, dim)))
        self.register_buffer("vectors", table)
        nothing = [len(vectors)] * SLOTS
        slots = [[own or nothing for own in row] for row in known.slots]
        self.register_buffer("slots", torch.tensor(slots), persistent=False)
        exists = [[bool(own) for own in row] for row in known.slots]
        self.register_buffer("exists", torch.tensor(exists), persistent=False)
        self.path_head = nn.Linear(hidden, len(known.paths))
        self.entity_head = nn.Linear(hidden, len(known.heads))
        if known.as_tokens:
            self.projector = nn.Sequential(
                nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden)
            )
        if known.arm == "classifier":
            # One layer for question and picture, as theirs; knowledge is multiplied in.
            self.shared = nn.Sequential(
                nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Dropout(_DROPOUT)
            )
            self.known_layer = nn.Linear(SLOTS * dim, hidden)
            self.classifier = nn.Linear(hidden, len(known.answers))

    def _states(self, embeds: Tensor, mask: Tensor) -> Tensor:
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return self.model.model.language_model(
            inputs_embeds=embeds, attention_mask=mask, position_ids=positions
        ).last_hidden_state

    def see(self, pixels: Tensor) -> Tensor:
        """Turn pictures into features, `[batch, image tokens, hidden]`."""
        return torch.stack(list(self.model.get_image_features(pixels).pooler_output))

    def look(self, question: Tensor, mask: Tensor, pixels: Tensor | None) -> Looked:
        """Tell what is shown and what is asked.

        Args:
            question: ids, `[batch, length]`, padded on the left.
            mask: 1 on tokens that are not padding.
            pixels: of one picture each, or none.
        """
        embeds = self.model.get_input_embeddings()(question)
        pictures = None if pixels is None else self.see(pixels)
        whole = mask
        if pictures is not None:
            embeds = torch.cat((embeds, pictures), dim=1)
            whole = torch.cat((mask, mask.new_ones(pictures.shape[:2])), dim=1)
        states = self._states(embeds, whole)
        own = states[:, : question.shape[1]] * mask.unsqueeze(-1)
        mean = own.sum(1) / mask.sum(1, keepdim=True)
        return Looked(self.entity_head(states[:, -1]), self.path_head(mean), mean, pictures)

    def choose(self, looked: Looked) -> tuple[Tensor, Tensor, Tensor]:
        """Choose facts: the likeliest entities by the likeliest paths, as far as the graph goes.

        Returns:
            Weights that sum to 1, or to 0 where the graph has none of them, and indices of head and
            path, `[batch, top * top]` each, the likeliest first.
        """
        top = min(self.known.top, len(self.known.heads)), min(self.known.top, len(self.known.paths))
        heads, paths = looked.heads.topk(top[0]), looked.paths.topk(top[1])
        scores = (heads.values.unsqueeze(2) + paths.values.unsqueeze(1)).flatten(1)
        head = heads.indices.repeat_interleave(top[1], dim=1)
        path = paths.indices.repeat(1, top[0])
        exists = self.exists[head, path]
        scores = scores.masked_fill(~exists, -torch.inf)
        none = ~exists.any(1, keepdim=True)
        weights = scores.masked_fill(none, 0.0).softmax(1) * exists
        order = weights.argsort(1, descending=True)
        return weights.gather(1, order), head.gather(1, order), path.gather(1, order)

    def recall(self, looked: Looked) -> Tensor:
        """Look the chosen facts up; vectors `[batch, SLOTS, dim]`."""
        weights, head, path = self.choose(looked)
        facts = self.vectors[self.slots[head, path]]
        return (weights[..., None, None] * facts).sum(1)

    def fill(self, ids: Tensor, image: Tensor, slot: Tensor, looked: Looked, facts: Tensor | None):
        """Put pictures and facts into the places that a prompt has for them.

        Args:
            ids: `[batch, length]`.
            image: places of image tokens, bool.
            slot: places of facts, bool.
            looked: has the pictures.
            facts: vectors, `[rows with places, SLOTS, dim]`.
        """
        embeds = self.model.get_input_embeddings()(ids)
        if looked.pictures is not None:
            embeds = embeds.masked_scatter(image.unsqueeze(-1), looked.pictures)
        if facts is not None:
            embeds = embeds.masked_scatter(slot.unsqueeze(-1), self.projector(facts))
        return embeds

    def logits(self, embeds: Tensor, mask: Tensor, at: Tensor) -> Tensor:
        """Score the token after each place of `at` (bool), `[places, vocabulary]`."""
        return self.model.lm_head(self._states(embeds, mask)[at])

    def classify(self, looked: Looked, facts: Tensor) -> Tensor:
        """Score closed answers as GEL-VQA does: picture times question times knowledge."""
        fused = self.shared(looked.question)
        if looked.pictures is not None:
            fused = fused * self.shared(looked.pictures.mean(1))
        return self.classifier(fused * self.known_layer(facts.flatten(1)))

    @torch.no_grad()
    def generate(self, embeds: Tensor, mask: Tensor, generation: GenerationConfig) -> Tensor:
        """Write answers; ids without the prompt."""
        return self.model.generate(
            inputs_embeds=embeds, attention_mask=mask, generation_config=generation
        )

    def save(self, directory: Path) -> None:
        """Write what the vision model's own directory lacks."""
        own = {k: v for k, v in self.state_dict().items() if not k.startswith("model.")}
        save_file({k: v.contiguous() for k, v in own.items()}, directory / _WEIGHTS)
        text = json.dumps(asdict(self.known), ensure_ascii=False)
        (directory / _SETTINGS).write_text(text + "\n", encoding="utf-8")


def load_knowledge_model(directory: Path) -> KnowledgeModel:
    """Load a directory that `save` and `save_vision_model` have written.

    Raises:
        OSError: there is none.
    """
    known = Known(**json.loads((directory / _SETTINGS).read_text(encoding="utf-8")))
    weights = load_file(directory / _WEIGHTS)
    settings = {"dtype": torch.float32, "attn_implementation": "sdpa"}
    model = load_whole(AutoModelForImageTextToText, directory, **settings)
    whole = KnowledgeModel(model, weights["vectors"][:-1], known)
    whole.load_state_dict(weights, strict=False)
    return whole.eval()
