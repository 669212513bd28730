"""Schema of the decontamination step."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from ..common.config_files import Strict, find_config, list_mistakes, read_yaml
from ..common.errors import RecipeError

SHIPPED = Path(__file__).parents[1] / "configs"


class EvaluationSet(Strict):
    """The texts of one task, or of a part of it.

    Attributes:
        task: name in the report; several sets may share it.
        path: file, directory, glob (JSONL or Parquet), or
            `hub://owner/name[@revision][:config[:split]]`; or a list of them.
        columns: columns with text, the question first; a list in a column gives one text per
            element, and a dot leads into a nested column (`choices.text`). Each text is searched
            for on its own, and all of an item as one, with and without letters or numbers before
            those behind the first.
        max_items: an n-gram in more items of the task than this is boilerplate, such as an
            instruction that they share, and is left out. 10 is what NeMo Curator's decontamination
            takes for its own "too common". Raise it where many items share a passage.
    """

    task: str = Field(min_length=1)
    path: str | list[str]
    columns: list[str] = Field(min_length=1)
    max_items: int = Field(default=10, gt=0)

    @property
    def paths(self) -> list[str]:
        return [self.path] if isinstance(self.path, str) else self.path


class _EvaluationSets(Strict):
    """A file that lists evaluation sets."""

    evaluation_sets: list[EvaluationSet] = Field(min_length=1)


class DecontaminateConfig(Strict):
    """The decontamination step.

    Attributes:
        evaluation_sets: the sets, or a YAML file with a list of that name: a path, or the name of a
            shipped one (`evaluation_sets.yaml`: the suites of KORMo's model card).
        ngram_size: words that a document and an evaluation text must have in common, in a row.
            GPT-3 takes 13.
        min_words: an evaluation text with fewer words than `ngram_size` is searched for as a
            whole, unless it has fewer than this. GPT-3 lowers its n to 8 for tasks of short items;
            with less, everyday phrases match.
        ngram_characters: the same for Korean, in letters and digits, spaces aside. Measured on 396
            Korean examination questions and 6,843 documents of Debian's Korean text, which holds
            none of them. With 16, nothing is found in the documents, and 392 questions are with
            their choices behind them and a particle changed; without choices 204 of 386. 20 finds
            146 of those; 13 finds 261, and names in 15 of the documents.
        min_characters: the shortest Korean text. With 12, names of laws and devices among the
            choices would be searched for on their own.
        min_matches: different n-grams of a task that a document must hold to count. One, as in
            GPT-3, is the most cautious choice, and boilerplate aside it costs few documents; more
            lets quotations of a passage's single sentence through.
        action: `remove` the documents, or `flag` them in the column `contaminated_by`.
    """

    evaluation_sets: list[EvaluationSet] | str
    ngram_size: int = Field(default=13, gt=1, le=64)
    min_words: int = Field(default=8, gt=1)
    ngram_characters: int = Field(default=16, gt=1, le=256)
    min_characters: int = Field(default=16, gt=1)
    min_matches: int = Field(default=1, gt=0)
    action: Literal["remove", "flag"] = "remove"

    @model_validator(mode="after")
    def _shorter(self) -> "DecontaminateConfig":
        if self.min_words > self.ngram_size:
            raise ValueError(f"min_words is at most ngram_size, {self.ngram_size}")
        if self.min_characters > self.ngram_characters:
            raise ValueError(f"min_characters is at most ngram_characters, {self.ngram_characters}")
        return self

    def sizes(self) -> dict[str, list[int]]:
        """Longest and shortest n-grams, by what they are of."""
        return {
            "words": [self.ngram_size, self.min_words],
            "characters": [self.ngram_characters, self.min_characters],
        }

    def sets(self) -> list[EvaluationSet]:
        """The evaluation sets, read from their file if need be.

        Raises:
            RecipeError: there is no such file, it is not valid, or it lists none.
        """
        if not isinstance(self.evaluation_sets, str):
            if not self.evaluation_sets:
                raise RecipeError("decontaminate.evaluation_sets: the list is empty")
            return self.evaluation_sets
        path = find_config(self.evaluation_sets, SHIPPED)
        try:
            return _EvaluationSets.model_validate(read_yaml(path)).evaluation_sets
        except ValidationError as error:
            told = "; ".join(list_mistakes(error))
            raise RecipeError(f"{path}: not a list of evaluation sets ({told})") from error
