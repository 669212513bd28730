"""The words and sentences of a language, as a table in YAML, and scenes put into them.

A language is a file: names, numbers, places, and a sentence for everything that is asked. Where
words depend on their neighbours, marks in the sentences say so and `grammar` names what resolves
them: `ko` (particles after any word: `{x}[이]`), `en` (`[a] {x}`, `{x}[s]`), or `none`.
"""

import itertools
import random
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ..common.config_files import Strict, find_recipe, load_config
from ..common.errors import RecipeError
from ..toy import english, korean
from ..toy.items.types import choose
from .config import CONFIGS
from .questions import SceneQuestion, Word
from .scenes import CELLS, LIGHTS, SEASONS, Group

_GRAMMARS: dict[str, Callable[[str], str]] = {
    "ko": korean.realise,
    "en": english.realise,
    "none": lambda text: text,
}
# What the sentence of a question may be filled with.
_SLOTS = {
    "what": {"things"},
    "count": {"x", "number", "digit"},
    "total": {"number", "digit", "counter"},
    "colour": {"x", "colour"},
    "place": {"x", "place"},
    "beside": {"x", "side"},
    "left_right": {"x", "y", "answer"},
    "above_below": {"x", "y", "answer"},
    "light": {"light"},
    "season": {"season"},
    "mood": {"mood"},
    "exists": {"x"},
    "is_beside": {"x", "side"},
}
_CAPTION = {"things", "light", "season"}
_YES_NO = ("exists", "is_beside")

# The first is written, the others are right as well.
Answers = Annotated[list[str], Field(min_length=1)]
Sentences = Annotated[list[str], Field(min_length=1)]


class ColourWords(Strict):
    """A colour before a noun, and as an answer."""

    before: str
    answer: Answers


class SideWords(Strict):
    """A side of a thing, which stands for `{thing}` in `of`, and the side as an answer."""

    of: str
    answer: Answers


class Phrases(Strict):
    """How words join.

    Attributes:
        described: a thing with its colour, from `{colour}` and `{name}`.
        single: one thing that is named, from `{thing}`.
        one: one thing that is counted, from `{thing}`, `{number}`, `{counter}`.
        many: several.
        plural: several without their number, from `{thing}`.
        between: joins the things of a list.
        last: joins the last of them.
    """

    described: str
    single: str
    one: str
    many: str
    plural: str
    between: str
    last: str


class QuestionWords(Strict):
    """A question in several wordings, and its answer.

    Attributes:
        ask: wordings.
        answer: what is written; none for questions of yes or no.
        accept: what is right as well.
    """

    ask: Sentences
    answer: str | None = None
    accept: list[str] = []


class LanguageTable(Strict):
    """A language.

    Attributes:
        code: ISO 639-1, as rows carry it.
        grammar: what resolves the marks.
        phrases: how words join.
        numbers: one to four, before a noun.
        counter: what is counted with a number, where a language has such words.
        counters: other ones, by thing.
        yes, no: the answers.
        things: names of what the project draws.
        colours, places, sides, lights, seasons, moods: words by key.
        caption_question: what a caption answers.
        captions: wordings of a caption.
        questions: by what is asked.
    """

    code: str = Field(pattern="^[a-z]{2,3}$")
    grammar: Literal["ko", "en", "none"]
    phrases: Phrases
    numbers: list[str] = Field(min_length=4, max_length=4)
    counter: str = ""
    counters: dict[str, str] = {}
    yes: Answers
    no: Answers
    things: dict[str, str]
    colours: dict[str, ColourWords]
    places: dict[str, Answers]
    sides: dict[str, SideWords]
    lights: dict[str, Answers]
    seasons: dict[str, Answers]
    moods: dict[str, Answers]
    caption_question: Sentences
    captions: Sentences
    questions: dict[str, QuestionWords]

    @model_validator(mode="after")
    def _whole(self) -> "LanguageTable":
        moods = [f"{light}_{season}" for light in LIGHTS for season in SEASONS]
        for table, keys in (
            ("places", CELLS),
            ("sides", ("left", "right", "above", "below")),
            ("lights", LIGHTS),
            ("seasons", SEASONS),
            ("moods", moods),
            ("questions", _SLOTS),
        ):
            if absent := [key for key in keys if key not in getattr(self, table)]:
                raise ValueError(f"{table}: lacks {', '.join(absent)}")
        for name, question in self.questions.items():
            if name not in _SLOTS:
                raise ValueError(f"questions.{name}: nothing is asked so; {', '.join(_SLOTS)} are")
            if (question.answer is None) != (name in _YES_NO):
                raise ValueError(f"questions.{name}: an answer belongs to all but {_YES_NO}")
            texts = [*question.ask, *question.accept, question.answer or ""]
            _check_slots(f"questions.{name}", texts, _SLOTS[name])
        _check_slots("captions", self.captions, _CAPTION)
        return self


def _check_slots(where: str, texts: list[str], known: set[str]) -> None:
    for text in texts:
        fields = {name.split(".")[0] for _, name, _, _ in string.Formatter().parse(text) if name}
        if unknown := fields - known:
            raise ValueError(
                f"{where}: {text!r} has {{{sorted(unknown)[0]}}}; known are "
                f"{', '.join(sorted(known))}"
            )


@dataclass(frozen=True)
class _Things:
    """A group in words; in a sentence `{x}` is the thing with its colour."""

    described: str
    name: str
    single: str
    plural: str
    counted: str
    counter: str

    def __format__(self, spec: str) -> str:
        return self.described


class Language:
    """Puts scenes and questions into words.

    Args:
        table: of the language.
        names: of the things, by key.
        repeats: whether things are counted, or only named.
        captions: what people wrote under a thing's picture, by key.

    Attributes:
        code: of the language.
        yes, no: what is right for either.
    """

    def __init__(
        self,
        table: LanguageTable,
        names: dict[str, str],
        repeats: bool,
        captions: dict[str, str] | None = None,
    ) -> None:
        self.code, self.yes, self.no = table.code, table.yes, table.no
        self._table = table
        self._names = names
        self._repeats = repeats
        self._captions = captions or {}
        self._realise = _GRAMMARS[table.grammar]

    def describe(self, group: Group) -> str | None:
        """Name a thing and its colour; `None` for one that has a caption alone."""
        if group.name not in self._names:
            return None
        return self._realise(self._things(group).described)

    def caption(self, rng: random.Random, item: SceneQuestion) -> tuple[str, str]:
        """Write the question for a caption, and the caption: a person's, if one thing has it."""
        ask = choose(rng, self._table.caption_question)
        first, *others = item.slots["things"]
        if not others and first.name in self._captions:
            return ask, self._captions[first.name]
        return ask, self._fill(choose(rng, self._table.captions), self._slots(item))

    def question(self, rng: random.Random, item: SceneQuestion) -> tuple[str, list[str]]:
        """Write a question and its answers, of which the first is the one to give."""
        entry, slots = self._table.questions[item.ask], self._slots(item)
        ask = self._fill(choose(rng, entry.ask), slots)
        if item.truth is not None:
            return ask, self.yes if item.truth else self.no
        several = [slots]
        words = [value for value in item.slots.values() if isinstance(value, Word)]
        if words:
            name = next(n for n, value in item.slots.items() if value is words[0])
            several = [slots | {name: text} for text in self._word(words[0])]
        if item.ask == "what":
            several = [slots | {"things": text} for text in self._orders(item.slots["things"])]
        texts = [entry.answer, *entry.accept]
        answers = [self._fill(text, own) for text in texts for own in several]
        return ask, list(dict.fromkeys(answers))

    def _fill(self, template: str, slots: dict[str, Any]) -> str:
        return self._realise(template.format(**slots).strip())

    def _slots(self, item: SceneQuestion) -> dict[str, Any]:
        slots: dict[str, Any] = {}
        for name, value in item.slots.items():
            if isinstance(value, Group):
                slots[name] = self._things(value)
            elif isinstance(value, Word):
                slots[name] = self._word(value)[0]
            elif name == "things":
                slots[name] = self._join(value)
            elif name == "side":
                side, group = value
                thing = self._things(group).described
                slots[name] = self._table.sides[side].of.format(thing=thing)
            else:
                slots |= {"number": self._table.numbers[value - 1], "digit": str(value)}
                slots["counter"] = self._table.counter
        return slots

    def _word(self, word: Word) -> list[str]:
        entry = getattr(self._table, word.table)[word.key]
        return entry if isinstance(entry, list) else entry.answer

    def _things(self, group: Group) -> _Things:
        table, phrases = self._table, self._table.phrases
        name = described = self._names[group.name]
        if group.colour is not None:
            colour = table.colours[group.colour].before
            described = phrases.described.format(colour=colour, name=name)
        counter = table.counters.get(group.name, table.counter)
        number = len(group.cells)
        words = {"thing": described, "number": table.numbers[number - 1], "counter": counter}
        counted = phrases.one if number == 1 else phrases.many
        return _Things(
            described,
            name,
            phrases.single.format(**words),
            phrases.plural.format(**words),
            (counted if self._repeats else phrases.single).format(**words),
            counter,
        )

    def _join(self, groups: tuple[Group, ...]) -> str:
        *front, last = [self._things(group).counted for group in groups]
        return (
            f"{self._table.phrases.between.join(front)}{self._table.phrases.last}{last}"
            if (front)
            else last
        )

    def _orders(self, groups: tuple[Group, ...]) -> list[str]:
        """Write the things in every order, that of the picture first."""
        return [self._join(order) for order in itertools.permutations(groups)]


def load_table(name: str) -> LanguageTable:
    """Load a table by its file, or by the name of one that is shipped.

    Raises:
        RecipeError: no such file, or a key or sentence that is missing, unknown or wrong.
    """
    shipped = CONFIGS / "languages"
    return load_config(find_recipe(name, shipped, "languages"), LanguageTable, [])


def check_names(table: LanguageTable, path: str, things: list[str], colours: list[str]) -> None:
    """Refuse a table that has no name for something that is to be drawn.

    Raises:
        RecipeError: says what.
    """
    for what, keys, known in (
        ("things", things, table.things),
        ("colours", colours, table.colours),
    ):
        if absent := [key for key in keys if key not in known]:
            raise RecipeError(f"languages {path}: {what} lacks {', '.join(absent)}")
