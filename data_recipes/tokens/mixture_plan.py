"""What a stage's shares mean in tokens, epochs and synthesizers.

A mixture file is a stage's table of sources: where each is on the Hub, how many tokens it has, and
its share of the stage. What cannot be met is refused before anything is downloaded; with shards at
hand the counts are theirs and not the file's.
"""

import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, model_validator

from ..common.config_files import CONFIGS, Strict, find_config, load_config
from ..common.errors import RecipeError
from .mixture import check_synthesizers, cycle_counts
from .shards import read_manifest

MIXTURES = CONFIGS / "mixtures"
KOREAN = "ko"
_SHARE_ERROR = 1e-6


class MixtureSource(Strict):
    """One source of a mixture file.

    Attributes:
        name: its name in the data recipe, and its folder below the shards.
        hub: where it is on the Hub, `owner/name[@revision][:config[:split]]`; `None` for text that
            is elsewhere.
        language: language code.
        synthesizer: the model or program that wrote it; `None` for text by people.
        tokens: tokens that there are, under the recipe's tokenizer.
        share: share of the stage's tokens.
        long_documents: chosen for its long documents, in a stage that extends the context.
    """

    name: str
    hub: str | None = None
    language: str
    synthesizer: str | None = None
    tokens: int = Field(ge=0)
    share: float = Field(gt=0, le=1)
    long_documents: bool = False


class MixtureConfig(Strict):
    """A mixture file.

    Attributes:
        stage: name of the stage.
        tokens: length of the stage.
        sequence_length: tokens per window, where the mixture was made for one.
        max_epochs: a source that would be seen more often is refused.
        min_short_share: least share of the sources without long documents; wanted as soon as there
            are some with.
        sources: what is mixed.
    """

    stage: str
    tokens: int = Field(gt=0)
    sequence_length: int | None = Field(default=None, gt=1)
    max_epochs: float = Field(gt=0)
    min_short_share: float | None = Field(default=None, gt=0, le=1)
    sources: list[MixtureSource] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> "MixtureConfig":
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources share a name")
        total = math.fsum(source.share for source in self.sources)
        if abs(total - 1) > _SHARE_ERROR:
            raise ValueError(f"the shares add up to {total:.6f}, not to 1")
        if self.min_short_share is None and any(s.long_documents for s in self.sources):
            raise ValueError("with long_documents, say min_short_share: short text must be kept")
        return self

    def shares(self) -> dict[str, float]:
        """Share of tokens per source."""
        return {source.name: source.share for source in self.sources}


def load_mixture(path: str | Path, overrides: list[str] | None = None) -> MixtureConfig:
    """Read a mixture file, as given or by its name among those that are shipped.

    Raises:
        RecipeError: no such file, or a bad one.
    """
    return load_config(find_config(path, MIXTURES), MixtureConfig, overrides or [])


@dataclass(frozen=True)
class PlannedSource:
    """What a stage takes from one source.

    Attributes:
        name: of the source.
        hub: where it is on the Hub.
        language: language code.
        synthesizer: who wrote it; `None` for people.
        share: of the stage's tokens.
        tokens: that the stage takes.
        available: tokens that there are.
        epochs: how often the source is seen.
        long_documents: chosen for its long documents.
    """

    name: str
    hub: str | None
    language: str
    synthesizer: str | None
    share: float
    tokens: float
    available: int
    epochs: float
    long_documents: bool


@dataclass(frozen=True)
class MixtureTotals:
    """Shares over a whole mixture.

    Attributes:
        tokens: of the mixture.
        korean: Korean share of all tokens.
        synthetic: synthetic share of all tokens.
        korean_synthetic: synthetic share of the Korean tokens; 0 without any.
        synthesizers: share of the Korean synthetic tokens by synthesizer, largest first.
    """

    tokens: float
    korean: float
    synthetic: float
    korean_synthetic: float
    synthesizers: dict[str, float]


def _measured(source: MixtureSource, shards: Path) -> MixtureSource:
    manifest = read_manifest(shards / source.name / "train")
    for field in ("language", "synthesizer"):
        planned, made = getattr(source, field), getattr(manifest, field)
        if planned != made:
            raise RecipeError(
                f"source {source.name!r}: the mixture says {field} {planned!r}, the shards in "
                f"{shards / source.name} say {made!r}; correct the one that is wrong"
            )
    return source.model_copy(update={"tokens": manifest.tokens})


def plan_sources(config: MixtureConfig, shards: Path | None = None) -> list[PlannedSource]:
    """What each source gives to the stage.

    Args:
        config: the mixture.
        shards: count the tokens of these shards instead of believing the file.

    Raises:
        RecipeError: shards that are missing, or differ from the file in language or synthesizer.
    """
    sources = [_measured(s, shards) for s in config.sources] if shards else config.sources
    return [
        PlannedSource(
            name=s.name,
            hub=s.hub,
            language=s.language,
            synthesizer=s.synthesizer,
            share=s.share,
            tokens=s.share * config.tokens,
            available=s.tokens,
            epochs=s.share * config.tokens / s.tokens if s.tokens else math.inf,
            long_documents=s.long_documents,
        )
        for s in sources
    ]


def total_shares(rows: list[PlannedSource]) -> MixtureTotals:
    """Korean and synthetic shares of planned sources, of one stage or of several together."""
    tokens = math.fsum(r.tokens for r in rows)
    korean = math.fsum(r.tokens for r in rows if r.language == KOREAN)
    by_synthesizer: dict[str, float] = defaultdict(float)
    for r in rows:
        if r.language == KOREAN and r.synthesizer:
            by_synthesizer[r.synthesizer] += r.tokens
    korean_synthetic = math.fsum(by_synthesizer.values())
    largest_first = sorted(by_synthesizer.items(), key=lambda item: (-item[1], item[0]))
    return MixtureTotals(
        tokens=tokens,
        korean=korean / tokens,
        synthetic=math.fsum(r.tokens for r in rows if r.synthesizer) / tokens,
        korean_synthetic=korean_synthetic / korean if korean else 0.0,
        synthesizers={name: n / korean_synthetic for name, n in largest_first},
    )


def short_share(rows: list[PlannedSource]) -> float:
    """Share of the sources that were not chosen for long documents."""
    return math.fsum(r.share for r in rows if not r.long_documents)


def check_plan(config: MixtureConfig, rows: list[PlannedSource], force_single: bool) -> None:
    """Refuse a mixture that cannot be met.

    Raises:
        RecipeError: lists everything that is wrong with it.
    """
    problems = []
    for r in rows:
        if r.available == 0:
            problems.append(f"{r.name}: a share of {r.share:.2%}, but it has no tokens")
        elif r.epochs > config.max_epochs:
            problems.append(
                f"{r.name}: {r.tokens:,.0f} tokens are {r.epochs:.1f} epochs of the "
                f"{r.available:,} that there are, beyond max_epochs {config.max_epochs:g}: lower "
                "its share, or find more text"
            )
    short = short_share(rows)
    if config.min_short_share is not None and short < config.min_short_share - _SHARE_ERROR:
        problems.append(
            f"short text has a share of {short:.2%}, below min_short_share "
            f"{config.min_short_share:.2%}: without it, skills of the earlier stages degrade"
        )
    try:
        cycle_counts(config.shares())
        if config.stage == "stage2" and not force_single:
            check_synthesizers(rows, KOREAN, force="give --force-single-synthesizer")
    except RecipeError as error:
        problems.append(str(error))
    if problems:
        raise RecipeError("\n  ".join([f"the mixture of {config.stage} cannot be met:", *problems]))
