"""Schema of a data recipe: sources, cleaning steps, tokenizer, shards."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..common.config_files import Strict
from ..decontaminate.config import DecontaminateConfig
from ..deduplicate.config import DedupConfig
from ..deduplicate.exact import ExactConfig
from ..deduplicate.minhash import MinhashConfig
from ..engine.executor_config import ExecutorConfig
from ..filter.config import FilterConfig
from ..quality.config import QualityConfig
from ..read.form import Form
from ..read.read_config import ReadConfig
from ..read.templates import form_of

CONFIGS = Path(__file__).parents[1] / "configs"
HUB = "hub://"
# Folders and files that steps have beside those of their sources.
RESERVED = ("filters", "index", "logs", "model", "progress")


class CorpusConfig(Strict):
    """The embedded corpus, generated into `<output_dir>/text`.

    Attributes:
        megabytes: UTF-8 text over all genres and both languages, in 1e6 bytes.
        seed: another seed gives other documents.
        extra: further genres (reasoning traces, long documents with facts to recall), each with
            its megabytes over both languages, beside the others' `megabytes`.
        chats: conversations per language, in `chats_<language>.jsonl`.
        preferences: preference pairs per language, in `preferences_<language>.jsonl`.
        questions: questions with the value of their answer, per language, in
            `questions_<language>.jsonl`.
    """

    megabytes: float = Field(gt=0)
    seed: int = 0
    extra: dict[Literal["traces", "long"], Annotated[float, Field(gt=0)]] = {}
    chats: int = Field(default=0, ge=0)
    preferences: int = Field(default=0, ge=0)
    questions: int = Field(default=0, ge=0)

    def record(self) -> str:
        """What identifies the text. Without extras it is what it was before there were any."""
        extras = ("extra", "chats", "preferences", "questions")
        unused = {name for name in extras if not getattr(self, name)}
        return self.model_dump_json(exclude=unused)


class TokenizerConfig(Strict):
    """What the tokenizer is trained on.

    Attributes:
        path: use this tokenizer (directory or Hub id) instead of training one.
        bpe_entries: size of the BPE part; 41 tokens come on top.
        megabytes: training text, in 1e6 UTF-8 bytes.
        weights: share of the training text per source name.
    """

    path: str | None = None
    bpe_entries: int = Field(default=125_000, gt=0)
    megabytes: float = Field(default=20_000, gt=0)
    weights: dict[str, float] = {}

    @model_validator(mode="after")
    def _one_way(self) -> "TokenizerConfig":
        if (self.path is None) == (not self.weights):
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


class SourceConfig(Strict):
    """One text source.

    Attributes:
        name: its name in mixtures, and its folder.
        path: file, directory, glob, or `hub://owner/name[@revision][:config[:split]]`;
            `{output_dir}` stands for the recipe's own.
        text_column: column with the text.
        template: the text made of several columns, such as "{question}\\n\\n{answer}"; or `traces`,
            for chats, which become question, reasoning and answer.
        language: language code; bits per byte are reported per language.
        licence: licence of the text.
        synthesizer: the model or program that wrote it; leave out for text by people.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    path: str
    text_column: str = "text"
    template: str | None = None
    language: str
    licence: str
    synthesizer: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "SourceConfig":
        if self.template is not None and "text_column" in self.model_fields_set:
            raise ValueError("give either `text_column` or `template`")
        _ = self.form  # a template that is none is refused here
        return self

    @property
    def form(self) -> Form:
        """How the text is made of a row."""
        return form_of(self.text_column, self.template)

    @property
    def on_hub(self) -> bool:
        """Whether it is streamed from the Hub."""
        return self.path.startswith(HUB)


class DataConfig(Strict):
    """A data recipe. Everything it makes lies under `output_dir`.

    Attributes:
        output_dir: one folder per step.
        corpus: generate the embedded corpus first.
        sources: the text, in the order in which deduplication sees it: of copies, the first stays.
        executor: where steps run.
        read: how raw text is read.
        filter: heuristic filters.
        deduplicate: `method` bff (the default), minhash or exact.
        quality: the fastText classifier.
        decontaminate: overlap with evaluation sets.
        tokenizer: what it is trained on.
        shards: how tokens are written.

    Without `filter`, `deduplicate`, `quality` and `decontaminate`, what was read is tokenised as it
    is.
    """

    output_dir: Path
    corpus: CorpusConfig | None = None
    sources: list[SourceConfig] = Field(min_length=1)
    executor: ExecutorConfig = ExecutorConfig()
    read: ReadConfig = ReadConfig()
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
        return [
            s.model_copy(update={"path": s.path.replace("{output_dir}", str(self.output_dir))})
            for s in self.sources
        ]
