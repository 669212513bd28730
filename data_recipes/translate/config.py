"""Schema of a translation recipe."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..ask import Endpoint, EndpointName, check_cap
from ..common.config_files import Strict
from ..filter.profiles import KOREAN, FilterConfig
from ..synthesize.config import Synthesizer

CONFIGS = Path(__file__).parents[1] / "configs" / "translate"
Policy = Literal["translate", "keep"]
BACK = "back_translation"  # the endpoint's name among the others
COPIED = "copied"  # instead of a translator's name, where there was nothing to translate
REASONING = "reasoning"  # the field whose policy goes for think blocks in other fields, too


class CheckConfig(Strict):
    """What a translation has to be like, beyond its invariants. Of prose alone: code, mathematics
    and names are taken out first. The defaults are our choice.

    Attributes:
        filter: profiles by language, for language, repetition and damage; Korean's is used.
        judged_from: characters of prose from which on a profile is asked; shorter texts have no
            language that can be told and no statistics.
        min_hangul: least share of Hangul in the letters.
        max_foreign_script: largest share of Han and of kana, likewise.
        ratio_from: characters of English prose from which on lengths are compared.
        min_ratio: shortest translation, in characters per character of English.
        max_ratio: longest. Korean takes about half the characters of English.
    """

    filter: FilterConfig
    judged_from: int = Field(default=80, ge=1)
    min_hangul: float = Field(default=0.5, ge=0, le=1)
    max_foreign_script: float = Field(default=0.01, ge=0, le=1)
    ratio_from: int = Field(default=40, ge=1)
    min_ratio: float = Field(default=0.25, gt=0)
    max_ratio: float = Field(default=1.2, gt=0)

    @model_validator(mode="after")
    def _consistent(self) -> "CheckConfig":
        if self.min_ratio >= self.max_ratio:
            raise ValueError(f"min_ratio {self.min_ratio:g} is not below {self.max_ratio:g}")
        if KOREAN not in self.filter.profiles:
            raise ValueError(f"filter.profiles: none for {KOREAN!r}; give `{KOREAN}: ko_answer`")
        return self


class BackTranslation(Strict):
    """A second opinion: back into English, and compared with the source.

    Attributes:
        endpoint: the model; another than the translators, so that it does not know their ways.
        prompt: template with `{{ text }}`.
        min_chrf: least chrF, 0 to 100. Nobody gives a number: measure it on pairs that you trust.
    """

    endpoint: Endpoint
    prompt: Path = Path("prompts/back.jinja")
    min_chrf: float = Field(gt=0, le=100)


class TranslateConfig(Strict):
    """A translation recipe. Everything it makes lies under `output_dir`.

    Attributes:
        output_dir: `answers`, `outcomes`, `kept`, `set_aside.jsonl`, `report.json`.
        items: JSONL with an `id` and the fields below, such as `kept.jsonl` of the difficulty
            filter.
        fields: which are translated and which kept as they are; others are kept, too. A field is a
            text or a list of texts, and may be missing from a row.
        translators: models by name. Which goes first follows from the row's id and their weights; a
            row with a flaw goes to the next, until none is left.
        prompt: template with `{{ text }}`, as given or below `data_recipes/configs/translate`.
        checks: what is accepted.
        back_translation: if given.
        cap: spending at which the run stops, in the currency of the endpoints' prices.
    """

    output_dir: Path
    items: Path
    fields: dict[str, Policy] = {"question": "translate", REASONING: "keep", "answer": "translate"}
    translators: Annotated[dict[EndpointName, Synthesizer], Field(min_length=1)]
    prompt: Path = Path("prompts/translate.jinja")
    checks: CheckConfig
    back_translation: BackTranslation | None = None
    cap: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "TranslateConfig":
        if "translate" not in self.fields.values():
            raise ValueError("fields: none is translated")
        if taken := sorted({BACK, COPIED} & self.translators.keys()):
            raise ValueError(f"translators: {taken[0]} has another meaning here; choose a name")
        if self.back_translation is not None:
            model = self.back_translation.endpoint.identity
            if model in {t.identity for t in self.translators.values()}:
                raise ValueError(f"back_translation: {model} is a translator, too")
        check_cap(self.endpoints, self.cap)
        return self

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """All of them, by name."""
        back = self.back_translation
        return dict(self.translators) | ({BACK: back.endpoint} if back else {})

    @property
    def outcomes_dir(self) -> Path:
        return self.output_dir / "outcomes"
