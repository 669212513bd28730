"""Schemas of the tokenizer and of how text becomes token shards."""

import math

from pydantic import Field, model_validator

from ..common.config_files import Strict


class ExpandConfig(Strict):
    """How a tokenizer goes on learning (docs/vocabulary.md).

    Attributes:
        scripts: of the new language, by Unicode's property `Script` (Hangul, Thai, Cyrillic, …).
        entries: new ones.
    """

    scripts: list[str] = Field(min_length=1)
    entries: int = Field(gt=0)


class TokenizerConfig(Strict):
    """What the tokenizer is trained on.

    Attributes:
        path: use this tokenizer (directory or Hub id) instead of training one.
        expand: continue the tokenizer of `path` on the text of `weights`.
        bpe_entries: size of the BPE part; 41 tokens come on top.
        megabytes: training text, in 1e6 UTF-8 bytes.
        weights: share of the training text per source name.
    """

    path: str | None = None
    expand: ExpandConfig | None = None
    bpe_entries: int = Field(default=125_000, gt=0)
    megabytes: float = Field(default=20_000, gt=0)
    weights: dict[str, float] = {}

    @model_validator(mode="after")
    def _one_way(self) -> "TokenizerConfig":
        if self.expand is not None:
            if self.path is None or not self.weights:
                raise ValueError("`expand` needs `path` (what to continue) and `weights` (on what)")
        elif (self.path is None) == (not self.weights):
            raise ValueError("give either `path` (use that tokenizer) or `weights` (train one)")
        if not all(0 < weight < math.inf for weight in self.weights.values()):
            raise ValueError("weights must be positive numbers")
        return self


class ShardConfig(Strict):
    """How sources become shards.

    Attributes:
        heldout_fraction: share of documents kept out of training, to measure bits per byte on.
        tasks: parts of a source, each resumable on its own and with shards of its own.
        seed: order of the documents inside each shard.
    """

    heldout_fraction: float = Field(gt=0, lt=1)
    tasks: int = Field(default=1, gt=0)
    seed: int = 42
