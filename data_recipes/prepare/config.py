"""Schema of a data recipe: sources, cleaning steps, tokenizer, shards."""

import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from ..common.config_files import Strict
from ..decontaminate.config import DecontaminateConfig
from ..deduplicate.config import DedupConfig, ExactConfig, MinhashConfig
from ..engine.executor_config import ExecutorConfig
from ..filter.profiles import FilterConfig
from ..personal import PersonalConfig
from ..quality.config import QualityConfig
from ..read.source import ReadConfig, SourceConfig
from ..tokenizer.shards import ShardConfig
from ..toy import CorpusConfig

# Folders and files that steps have beside those of their sources.
RESERVED = ("filters", "index", "logs", "model", "progress")


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


class DataConfig(Strict):
    """A data recipe. Everything it makes lies under `output_dir`.

    Attributes:
        output_dir: one folder per step.
        corpus: generate the embedded corpus first.
        sources: the text, in the order in which deduplication sees it: of copies, the first stays.
        executor: where steps run.
        read: how raw text is read.
        personal: personal data are masked; `{}` masks all kinds.
        filter: heuristic filters.
        deduplicate: `method` bff (the default), minhash or exact.
        quality: the fastText classifier.
        decontaminate: overlap with evaluation sets.
        tokenizer: what it is trained on.
        shards: how tokens are written.

    Without `personal`, `filter`, `deduplicate`, `quality` and `decontaminate`, what was read is
    tokenised as it is.
    """

    output_dir: Path
    corpus: CorpusConfig | None = None
    sources: list[SourceConfig] = Field(min_length=1)
    executor: ExecutorConfig = ExecutorConfig()
    read: ReadConfig = ReadConfig()
    personal: PersonalConfig | None = None
    filter: FilterConfig | None = None
    deduplicate: (
        Annotated[DedupConfig | MinhashConfig | ExactConfig, Field(discriminator="method")] | None
    ) = None
    quality: QualityConfig | None = None
    decontaminate: DecontaminateConfig | None = None
    tokenizer: TokenizerConfig
    shards: ShardConfig

    @model_validator(mode="before")
    @classmethod
    def _default_method(cls, values: Any) -> Any:
        section = values.get("deduplicate") if isinstance(values, dict) else None
        if isinstance(section, dict) and "method" not in section:
            return values | {"deduplicate": {"method": "bff", **section}}
        return values

    @model_validator(mode="after")
    def _names(self) -> "DataConfig":
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources share a name")
        if taken := sorted(set(names) & set(RESERVED)):
            raise ValueError(
                f"{', '.join(taken)}: the steps use that name; call the source another"
            )
        if missing := set(self.tokenizer.weights) - set(names):
            raise ValueError(f"tokenizer.weights names unknown sources: {', '.join(missing)}")
        pairs = {source.name for source in self.sources if source.pair}
        steps = [s for s in ("filter", "deduplicate", "quality") if getattr(self, s) is not None]
        if pairs and steps:
            raise ValueError(
                f"{', '.join(sorted(pairs))}: {', '.join(steps)} would judge and cut two languages "
                "as one text; prepare sources with `pair` by a recipe without these steps"
            )
        if asked := pairs & set(self.tokenizer.weights):
            raise ValueError(
                f"tokenizer.weights: {', '.join(sorted(asked))} has pairs; name sources of one text"
            )
        return self

    @property
    def languages(self) -> dict[str, str]:
        """Language code by source name."""
        return {source.name: source.language for source in self.sources}

    @property
    def text_dir(self) -> Path:
        return self.output_dir / "text"

    @property
    def tokenizer_dir(self) -> Path:
        return self.output_dir / "tokenizer"

    @property
    def shards_dir(self) -> Path:
        return self.output_dir / "shards"

    def resolved_sources(self) -> list[SourceConfig]:
        """Sources with `{output_dir}` filled in."""
        return [source.below(self.output_dir) for source in self.sources]
