"""Schemas of the recipes about knowledge: vectors of a graph, a model that answers from them."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict

from .shared_config import Seed


class FitConfig(Strict):
    """How long and how fast.

    Attributes:
        epochs: passes over the facts.
        learning_rate: of Adam.
    """

    epochs: int = Field(gt=0)
    learning_rate: float = Field(gt=0)


class TransEConfig(FitConfig):
    """TransE.

    Attributes:
        margin: by which a fact should score above a corrupted one.
    """

    margin: float = Field(default=1.0, gt=0)


class ConvKBConfig(FitConfig):
    """ConvKB.

    Attributes:
        filters: how many.
        weight_penalty: on the squared weights of the last layer.
    """

    filters: int = Field(default=32, gt=0)
    weight_penalty: float = Field(default=1e-4, ge=0)


class KgeConfig(Strict):
    """Vectors of a graph.

    Attributes:
        size: name of the config's size.
        triples: file of facts, as `kormo data knowledge` writes it.
        output_dir: of the run.
        dim: of the vectors.
        transe: of the first model.
        convkb: of the second; `None` stops after the first.
        batch: facts per step.
        negatives: corrupted facts for each, half of them with another head, half another tail.
        held_out: share of the facts that ranks are measured on; 0 measures none.
        shuffle_tails: permute the tails of each relation first: a control that holds no knowledge.
        seed: of everything.
    """

    size: str
    triples: Path
    output_dir: Path
    dim: int = Field(default=64, gt=0)
    transe: TransEConfig
    convkb: ConvKBConfig | None = None
    batch: int = Field(default=256, gt=0)
    negatives: int = Field(default=8, gt=0)
    held_out: float = Field(default=0.1, ge=0, lt=1)
    shuffle_tails: bool = False
    seed: Seed = 0


class RandomModelConfig(Strict):
    """A model of random weights, to study knowledge where no trained model that sees is at hand.

    Attributes:
        vocabulary: entries of its tokenizer, which is trained on the questions.
        hidden_size: width of language model and tower.
        layers: of the language model; the tower has two.
        heads: of attention.
        picture_size: pixels of a side.
        patch_size: pixels of a patch's side.
    """

    vocabulary: int = Field(default=1200, gt=256)
    hidden_size: int = Field(default=96, gt=0)
    layers: int = Field(default=2, gt=0)
    heads: int = Field(default=4, gt=0)
    picture_size: int = Field(default=32, gt=0)
    patch_size: int = Field(default=8, gt=0)


class KnowledgeVqaConfig(Strict):
    """A model that answers from a graph. The numbers are our choice.

    Attributes:
        size: name of the config's size.
        data: directory that `kormo data knowledge` has written (`.../data`).
        graph: directory of vectors (`.../final` of `kormo train kge`).
        output_dir: of the run.
        init_from: directory of a vision model of kind llava; or
        random: a small one of random weights.
        arm: how knowledge reaches the answer (modeling_kormo/knowledge.py). The control of a
            shuffled graph is `tokens` with vectors of one.
        sees: false names what the picture would show, to look at knowledge apart from sight.
        top: likeliest entities, and paths, that are looked up.
        steps: of training.
        batch: rows of a step.
        naming_share: of them, rows that ask for the name of what is shown.
        vector_share: of them, in arms with soft tokens, rows that ask for the name of a vector of
            any entity: the projector's captions. The other arms see questions in their place.
        learning_rate: peak of AdamW, after a warm-up of 5 % of the steps, before a fall to 0.
        weight_decay: of AdamW.
        save_every: steps between checkpoints.
        log_every: steps between lines of metrics.jsonl.
        seed: of everything.
    """

    size: str
    data: Path
    graph: Path
    output_dir: Path
    init_from: Path | None = None
    random: RandomModelConfig | None = None
    arm: Literal["none", "text", "tokens", "gold", "classifier"] = "tokens"
    sees: bool = True
    top: int = Field(default=3, gt=0)
    steps: int = Field(gt=0)
    batch: int = Field(default=32, ge=4)
    naming_share: float = Field(default=0.15, ge=0, lt=1)
    vector_share: float = Field(default=0.25, ge=0, lt=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    save_every: int = Field(default=200, gt=0)
    log_every: int = Field(default=20, gt=0)
    seed: Seed = 0

    @property
    def stage(self) -> str:
        """Its name, which other recipes have in their YAML."""
        return "knowledge_vqa"

    @model_validator(mode="after")
    def _one_start(self) -> "KnowledgeVqaConfig":
        if (self.init_from is None) == (self.random is None):
            raise ValueError("give `init_from` or `random`, and not both")
        if self.naming_share + self.vector_share >= 1:
            raise ValueError("naming_share and vector_share leave no room for questions")
        return self
