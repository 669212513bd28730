"""Schema of the embedded corpus."""

from typing import Annotated, Literal

from pydantic import Field

from ..common.config_files import Strict


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
        parallel: rows that say the same in both languages, in `parallel.jsonl`.
    """

    megabytes: float = Field(gt=0)
    seed: int = 0
    extra: dict[Literal["traces", "long"], Annotated[float, Field(gt=0)]] = {}
    chats: int = Field(default=0, ge=0)
    preferences: int = Field(default=0, ge=0)
    questions: int = Field(default=0, ge=0)
    parallel: int = Field(default=0, ge=0)

    def record(self) -> str:
        """What identifies the text. Without extras it is what it was before there were any."""
        extras = ("extra", "chats", "preferences", "questions", "parallel")
        unused = {name for name in extras if not getattr(self, name)}
        return self.model_dump_json(exclude=unused)
