"""Asks a model the questions of a grid, cell by cell; a cell that is done is not asked again."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data_recipes.answers.text import language_of
from data_recipes.common.errors import RecipeError
from data_recipes.common.files import SETTINGS, bind_settings, read_settings, write_json_atomically
from modeling_kormo.chat_config import END_OF_THINKING, token_id

from ..local_model import generate, greedy
from .cases import Case, build_case, chat_form, completion_form
from .haystack import Haystack, embedded_text, make_haystack
from .styles import STYLES

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_CELLS = "cells"
# With or without commas between thousands.
_NUMBER = re.compile(r"\d{1,3}(?:,\d{3})+(?!\d)|\d+")


@dataclass(frozen=True)
class NeedleScore:
    """One answer, judged.

    Attributes:
        right: all values, in the order asked for, before any other number.
        found: values that stand at their place among the first numbers.
        language: by the letters, because models of languages need longer texts; `None` without.
    """

    right: bool
    found: int
    language: str | None


def score_answer(answer: str, values: list[str]) -> NeedleScore:
    """Judge an answer by its first numbers: as many as were asked for."""
    numbers = [match.replace(",", "") for match in _NUMBER.findall(answer)][: len(values)]
    found = sum(given == value for given, value in zip(numbers, values))
    return NeedleScore(found == len(values), found, language_of(answer))


@dataclass(frozen=True)
class Grid:
    """What is asked.

    Attributes:
        languages: codes.
        lengths: tokens of a prompt, the question included.
        depths: shares of the text before the first fact that is asked for.
        trials: prompts per cell.
        style: name in `STYLES`.
        needles: facts asked for.
        distractors: near-identical facts that are not.
        chat: by the chat template, not as text to continue.
        thinking: with chat, whether to think first.
        max_tokens: of an answer.
        batch: prompts at a time.
        seed: another one writes other facts and takes other stretches of text.
        texts: own text by language; the embedded corpus where there is none.
    """

    languages: list[str]
    lengths: list[int]
    depths: list[float]
    trials: int
    style: str
    needles: int
    distractors: int
    chat: bool
    thinking: bool
    max_tokens: int
    batch: int
    seed: int
    texts: dict[str, str]

    def cells(self) -> Iterator[tuple[str, int, float]]:
        """Language, length and depth of each cell, short ones first."""
        for length in sorted(self.lengths):
            for language in self.languages:
                for depth in self.depths:
                    yield language, length, depth


def bind(out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Tie a directory to the settings that its cells are asked with.

    Lengths, depths and languages are not among them: a grid can grow.

    Returns:
        What is known of its cells: all, or without the template of a chat.

    Raises:
        RecipeError: it holds cells asked with others.
    """
    if "template" not in (read_settings(out / SETTINGS) or settings):
        # Of a run that began when nobody looked at it.
        settings = {name: value for name, value in settings.items() if name != "template"}
    bind_settings(
        out,
        settings,
        "choose another --out, or delete it",
        finished=[f"{_CELLS}/*.json"],
        what="holds answers given with other settings",
    )
    (out / _CELLS).mkdir(parents=True, exist_ok=True)
    return settings


def check_length(config: Any, lengths: list[int], max_tokens: int) -> None:
    """Refuse prompts that are longer than the model's positions.

    Raises:
        RecipeError: naming the length, and the longest that fits.
    """
    # Models without positions (state spaces, relative ones) name no number, and have no limit.
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and max(lengths) + max_tokens > positions:
        raise RecipeError(
            f"--lengths {max(lengths)}: with {max_tokens} tokens of answer more than the "
            f"{positions:,} positions of the model (max_position_embeddings); at most "
            f"{positions - max_tokens:,}"
        )


class Needles:
    """Measures one model.

    Args:
        model: generates; `config`, `generation_config` and `device` are read.
        tokenizer: its tokenizer.
        grid: what to ask.
        out: directory of the cells.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, grid: Grid, out: Path
    ) -> None:
        self.model, self.tokenizer, self.grid, self.out = model, tokenizer, grid, out
        self._generation = greedy(model, grid.max_tokens)
        self._end_of_thinking = token_id(tokenizer, END_OF_THINKING) if grid.thinking else None
        self._haystacks: dict[tuple[str, int], Haystack] = {}

    def _haystack(self, language: str, length: int) -> Haystack:
        own = self.grid.texts.get(language)
        key = (language, 0 if own else length)
        if key not in self._haystacks:
            text = own or embedded_text(language, length, self.grid.seed)
            self._haystacks.clear()  # one at a time: a long one is large
            separator = STYLES[self.grid.style].separator
            self._haystacks[key] = make_haystack(text, self.tokenizer, separator)
        return self._haystacks[key]

    def cases(self, language: str, length: int, depth: float) -> list[Case]:
        """The prompts of a cell; the same whatever other cells there are."""
        grid, style = self.grid, STYLES[self.grid.style]
        if grid.chat:
            form = chat_form(self.tokenizer, language, grid.thinking)
        else:
            form = completion_form(self.tokenizer, style, language)
        build = partial(
            build_case,
            self.tokenizer,
            self._haystack(language, length),
            form,
            style,
            language,
            length,
            depth,
            grid.needles,
            grid.distractors,
        )
        name = f"{grid.seed}/{language}/{length}/{depth:.4f}"
        return [build(random.Random(f"{name}/{n}")) for n in range(grid.trials)]

    def _answer(self, generated: list[int]) -> str:
        if (end := self._end_of_thinking) is not None:
            # An answer that is still being thought about when its tokens run out is none.
            generated = generated[generated.index(end) + 1 :] if end in generated else []
        text = self.tokenizer.decode(generated, skip_special_tokens=True).strip()
        # A base model goes on to write something else.
        return text if self.grid.chat else text.partition("\n")[0]

    def _ask(self, cases: list[Case]) -> Iterator[str]:
        import torch

        for start in range(0, len(cases), self.grid.batch):
            ids = [case.ids for case in cases[start : start + self.grid.batch]]
            batch = torch.tensor(ids, device=self.model.device)  # all of one length: no padding
            inputs = {"input_ids": batch, "attention_mask": torch.ones_like(batch)}
            yield from map(self._answer, generate(self.model, self._generation, inputs))

    def measure(self) -> list[dict[str, Any]]:
        """Ask what is not asked yet; all cells of the grid, in order."""
        cells = [(self._path(*cell), cell) for cell in self.grid.cells()]
        finished = {path: json.loads(path.read_text("utf-8")) for path, _ in cells if path.exists()}
        work = [cell for path, cell in cells if path not in finished]
        unit = self.grid.trials
        with tqdm(
            total=sum(length * unit for _, (_, length, _) in cells),
            initial=sum(length * unit for path, (_, length, _) in cells if path in finished),
            unit="tok",
            unit_scale=True,
            desc="needle",
            file=sys.stderr,
        ) as bar:
            for language, length, depth in work:
                cases = self.cases(language, length, depth)
                trials = []
                for case, answer in zip(cases, self._ask(cases), strict=True):
                    score = score_answer(answer, case.values)
                    facts = {"values": case.values, "places": case.places, "depths": case.depths}
                    trials.append({**asdict(score), "answer": answer, **facts})
                    bar.update(length)
                cell = {"language": language, "length": length, "depth": depth, "trials": trials}
                path = self._path(language, length, depth)
                write_json_atomically(path, cell)
                finished[path] = cell
        return [finished[path] for path, _ in cells]

    def _path(self, language: str, length: int, depth: float) -> Path:
        return self.out / _CELLS / f"{language}-{length}-{depth:.4f}.json"
