"""Schema of one text source."""

from pydantic import Field, model_validator

from ..common.config_files import Licence, Strict
from .rows import Form
from .templates import form_of

HUB = "hub://"


class SourceConfig(Strict):
    """One text source.

    Attributes:
        name: its name in mixtures, and its folder.
        path: file, directory, glob, or `hub://owner/name[@revision][:config[:split]]`;
            `{output_dir}` stands for the recipe's own.
        text_column: column with the text.
        template: the text made of several columns, such as "{question}\\n\\n{answer}"; or `traces`,
            for chats, which become question, reasoning and answer.
        pair: two columns, as a rule one text in two languages, that become one segment of two
            documents (`data.pairs` of a stage); which stands first changes from row to row.
        language: language code; bits per byte are reported per language.
        licence: licence of the text.
        synthesizer: the model or program that wrote it; leave out for text by people.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")
    path: str
    text_column: str = "text"
    template: str | None = None
    pair: tuple[str, str] | None = None
    language: str
    licence: Licence
    synthesizer: str | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "SourceConfig":
        if self.template is not None and "text_column" in self.model_fields_set:
            raise ValueError("give either `text_column` or `template`")
        if self.pair is not None:
            if self.template is not None or "text_column" in self.model_fields_set:
                raise ValueError("give either `pair` or one text, by `text_column` or `template`")
            if self.pair[0] == self.pair[1]:
                raise ValueError("`pair` names one column twice")
        _ = self.form  # a template that is none is refused here
        return self

    @property
    def form(self) -> Form:
        """How the text is made of a row."""
        return form_of(self.text_column, self.template, self.pair)

    @property
    def on_hub(self) -> bool:
        """Whether it is streamed from the Hub."""
        return self.path.startswith(HUB)


class ReadConfig(Strict):
    """How raw text is read. The numbers are our choice.

    Attributes:
        shard_megabytes: text in a shard, in 1e6 UTF-8 bytes. A shard is the unit of work of every
            step after this one: it is what a killed run repeats at most.
        max_document_megabytes: longer documents are set aside, in 1e6 bytes; longer lines are never
            held in memory.
        max_set_aside: largest share of a source's rows that may be set aside (empty documents do
            not count); more is an error, because it is more likely a wrong setting than bad text.
        normalise: give every text "\\n" as the end of a line, no blanks before it, no zero-width
            characters and composed (NFC) Hangul. What that changed is counted in the report.
        hub_parts: parts that a Hub data set is read in, each resumable on its own.
    """

    shard_megabytes: float = Field(default=64, gt=0)
    max_document_megabytes: float = Field(default=50, gt=0)
    max_set_aside: float = Field(default=0.05, ge=0, le=1, exclude=True)
    normalise: bool = True
    hub_parts: int = Field(default=16, gt=0)
