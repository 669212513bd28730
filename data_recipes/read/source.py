"""Schema of one text source."""

from pydantic import Field, model_validator

from ..common.config_files import Strict
from .form import Form
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
