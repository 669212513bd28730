"""A token window as training sees it: tokens, document boundaries, positions and labels."""

from pathlib import Path

import numpy as np
from rich.text import Text
from transformers import PreTrainedTokenizerFast

from ..common.errors import RecipeError
from ..common.terminal import Terminal, visible
from ..tokenizer.load import load_tokenizer, token_bytes, tokenizer_hash
from ..tokens.best_fit import BestFitSource
from ..tokens.mixture import Packing
from ..tokens.shards import TokenSource, Window

# Neighbouring tokens differ in background, so that their ends show.
_ALTERNATE = ("black on bright_cyan", "black on bright_white")
_SEPARATOR = "|"


def labelled(window: Window) -> np.ndarray:
    """Which tokens are learned: all but the first of each document, and padding. Bool [tokens].

    The first token of a document follows from nothing in it; the last of the window is a label, but
    predicts nothing. The start of a window counts as the start of a document.
    """
    learned = np.ones(len(window.tokens), dtype=bool)
    learned[0] = False
    learned[window.document_ends[:-1]] = False
    learned[len(learned) - window.padding :] = False
    return learned


def _spelled(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> list[bytes | str]:
    """What each id stands for: bytes, or the name of a control token.

    Raises:
        RecipeError: an id that the tokenizer does not have.
    """
    known = dict(enumerate(token_bytes(tokenizer)))
    spelled = [known.get(id_) or tokenizer.convert_ids_to_tokens(id_) for id_ in ids]
    if None in spelled:
        strange = ids[spelled.index(None)]
        raise RecipeError(f"token {strange} is not in the tokenizer of {len(tokenizer):,} tokens")
    return spelled


def spell(data: bytes) -> str:
    """Bytes as text; those that are no whole UTF-8 character as ⟨E2⟩, line ends as ⏎."""
    parts = []
    while data:
        try:
            parts.append(data.decode())
            break
        except UnicodeDecodeError as error:
            parts.append(data[: error.start].decode())
            parts += [f"⟨{byte:02X}⟩" for byte in data[error.start : error.end]]
            data = data[error.end :]
    return visible("".join(parts)).replace("\n", "⏎\n").replace("\t", "→\t")


def _data_set(shards: Path) -> TokenSource:
    below = [p.parent.relative_to(shards) for p in sorted(shards.glob("**/manifest.json"))]
    if below and Path(".") not in below:
        raise RecipeError(
            f"{shards}: not one data set but several; choose {', '.join(map(str, below))} below it"
        )
    return TokenSource(shards)


def _tokenizer_of(source: TokenSource, path: Path | None) -> PreTrainedTokenizerFast:
    """The tokenizer that made a data set: the one named, or that of the recipe around it.

    Raises:
        RecipeError: no tokenizer there, or another one.
    """
    directory = path or source.directory.resolve().parents[2] / "tokenizer"
    if not (directory / "tokenizer.json").is_file():
        raise RecipeError(f"{directory}: no tokenizer; name its directory with --tokenizer")
    if tokenizer_hash(directory) != source.manifest.tokenizer_sha256:
        raise RecipeError(
            f"{directory}: not the tokenizer that made {source.directory} (checksum differs); "
            "name the right one with --tokenizer"
        )
    return load_tokenizer(directory)


def show_window(
    terminal: Terminal,
    shards: Path,
    index: int,
    length: int,
    packing: Packing,
    tokenizer_dir: Path | None,
) -> None:
    """Print a window, document by document.

    Args:
        terminal: where to.
        shards: `<shards>/<source>/<split>`.
        index: number of the window in the data set.
        length: tokens per window.
        packing: how documents become windows.
        tokenizer_dir: the tokenizer, if it does not lie in the recipe's `output_dir`.

    Raises:
        RecipeError: no such data set, window or tokenizer, or no plan for this packing.
    """
    if length < 2:
        raise RecipeError(f"--sequence-length {length}: a window has at least 2 tokens")
    source = _data_set(shards)
    tokenizer = _tokenizer_of(source, tokenizer_dir)
    if packing == "best_fit":
        if tokenizer.pad_token_id is None:
            raise RecipeError("--packing best_fit: the tokenizer has no PAD token")
        source = BestFitSource(shards, length, tokenizer.pad_token_id)
    if not 0 <= index < source.windows(length):
        raise RecipeError(
            f"--window {index}: {shards} has {source.windows(length):,} windows of {length:,} "
            "tokens, counted from 0"
        )
    window = source.window(index, length)
    learned = labelled(window)
    spelled = _spelled(tokenizer, window.tokens.tolist())
    manifest = source.manifest
    terminal.print(
        terminal.marked(f"{manifest.name}/{manifest.split}", "heading"),
        f": window {index:,} of {source.windows(length):,}, {length:,} tokens, "
        f"{len(window.starts):,} documents, {int(learned.sum()):,} labels ({learned.mean():.2%})",
    )
    terminal.print(
        terminal.marked("unlabelled", "unlabelled"),
        ": no label; ",
        terminal.marked("<|control|>", "control"),
        ": control token; ⟨E2⟩: part of a character; the last token of the window predicts "
        f"nothing; {'change of colour' if terminal.colour else _SEPARATOR}: next token",
    )
    names = [f"document {number:,}" for number in source.documents_in(window)]
    if window.padding:
        names.append("padding")
    starts = [0, *window.document_ends[:-1].tolist()]
    for name, start, end in zip(names, starts, window.document_ends.tolist()):
        terminal.print(
            terminal.marked(
                f"── {name} ── tokens {start:,} to {end - 1:,} of the window ── "
                f"positions 0 to {end - start - 1:,} ──",
                "boundary",
            )
        )
        terminal.print(*_line(terminal, spelled[start:end], learned[start:end]))


def _line(terminal: Terminal, spelled: list[bytes | str], learned: np.ndarray) -> list[Text]:
    parts = []
    for place, (token, has_label) in enumerate(zip(spelled, learned)):
        control = isinstance(token, str)
        text = token if control else spell(token)
        part = terminal.marked(
            text, *(["control"] if control else []), *([] if has_label else ["unlabelled"])
        )
        if terminal.colour:
            part.stylize(_ALTERNATE[place % 2])
        elif place:
            part = Text(_SEPARATOR) + part
        parts.append(part)
    return parts
