"""Schemas of the recipes about knowledge: vectors of a graph, a model that answers from them."""

from pathlib import Path

from pydantic import Field

from data_recipes.common.config_files import Strict


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
    seed: int = 0
