"""Rows of picture sets that a run learns from: read, fitted, split; pictures opened when due."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from datasets import Dataset, Features, Json, List, Value, disable_progress_bars

from data_recipes.common.errors import RecipeError
from data_recipes.read.conversations import Conversation
from data_recipes.read.pictures import open_picture, picture_size, read_picture_rows
from modeling_kormo.loss_kormo import IGNORE_INDEX
from modeling_kormo.vision import Processor, tokens_of_picture

from .chat_files import (
    SPLITS,
    Chats,
    generate,
    read_chats,
    split,
    split_key,
    take_fitting,
    write_record,
)
from .masks import ChatTokenizer, Tokens
from .vision_config import PictureDataConfig, PictureSource

# Messages as JSON: Arrow's own columns would give text parts the keys of pictures.
_FEATURES = Features(
    {
        "messages": List(Json()),
        "images": List(Value("string")),
        "language": Value("string"),
        "left_out": Value("string"),
        "keys": List(Value("int64")),
    }
)
# A row as what is learned of it: messages and pictures; or why it is left out.
Samples = Callable[[Conversation, list[Path]], list[int] | str]


def opened(rows: Dataset) -> Dataset:
    """Give the rows with their pictures opened, each when it is asked for."""

    def open_all(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        pictures = [[open_picture(Path(p)) for p in paths] for paths in batch["images"]]
        return batch | {"images": pictures}

    return rows.with_transform(open_all)


def pictures_in(messages: list[dict[str, Any]]) -> int:
    """Count the pictures that messages show."""
    return sum(part["type"] == "image" for message in messages for part in message["content"])


class _PictureChats(ChatTokenizer):
    """Chats whose pictures, by `fields["sizes"]`, leave less room for text.

    A row that is cut shows fewer pictures, and LLaVA-OneVision gives a lone one more tokens.
    """

    def __init__(self, processor: Processor, max_length: int) -> None:
        super().__init__(processor.tokenizer, max_length)
        self._processor = processor

    def room(self, conversation: Conversation, messages: int) -> int:
        shown = pictures_in(conversation.messages[:messages])
        tokens = sum(
            tokens_of_picture(self._processor, height, width, shown)
            for width, height in conversation.fields["sizes"][:shown]
        )
        return self.max_length - tokens + shown  # of each, one stands in the text

    def samples(self, conversation: Conversation) -> list[int] | str:
        found = super().samples(conversation)
        # Where a part of the row is longer than the whole, not all that is shorter in words fits.
        if isinstance(found, str):
            return found
        return [end for end in found if self._fits(conversation, end)]


def chat_samples(processor: Processor, length: int) -> Samples:
    """Make what says which answers of a row are learned, as in SFT.

    Args:
        processor: of the model.
        length: longest row, in tokens.
    """
    chats = _PictureChats(processor, length)

    def samples(conversation: Conversation, pictures: list[Path]) -> list[int] | str:
        sizes = [picture_size(path) for path in pictures]
        return chats.samples(replace(conversation, fields={"sizes": sizes}))

    return samples


def build_pictures(
    config: PictureDataConfig, samples: Samples, settings: str, directory: Path
) -> Chats:
    """Choose the rows of a run. The first process does, the others read its choice.

    Args:
        config: its section.
        samples: says what of a row is learned.
        settings: what else the choice depends on.
        directory: for the Arrow files; made anew, because sources may have changed.

    Raises:
        RecipeError: a set that cannot be read, a picture that is none, or too few of them.
    """
    disable_progress_bars()
    state = PartialState()
    with state.main_process_first():
        if state.is_main_process:
            shutil.rmtree(directory, ignore_errors=True)
            _write(config, samples, settings, directory)
    return read_chats(directory)


def _write(config: PictureDataConfig, samples: Samples, settings: str, directory: Path) -> None:
    everything = generate(
        partial(picture_rows, samples=samples, seed=config.seed),
        config.sources,
        features=_FEATURES,
        cache_dir=str(directory / "rows"),
        fingerprint=hashlib.sha256(settings.encode()).hexdigest()[:16],
    )
    rows, left_out = take_fitting(everything, "row")
    together = np.array(_together(rows["keys"][:]), dtype=np.int64)
    rows = rows.remove_columns("keys").add_column("key", together)
    digest = hashlib.sha256(f"{settings}/{config.seed}".encode())
    for name, part in zip(SPLITS, split(rows, config.heldout_rows, "pictures")):
        digest.update(np.array(part["key"], dtype=np.int64).tobytes())
        for messages in part["messages"]:
            digest.update(json.dumps(messages, sort_keys=True).encode())
        kept = part.select_columns(["messages", "images", "language"])
        kept.shuffle(config.seed).save_to_disk(directory / name)
    write_record(directory, {"fingerprint": digest.hexdigest(), "left_out": left_out})


def _together(rows: list[list[int]]) -> list[int]:
    """Give rows that share a picture, or are linked by others that do, one key: their largest.

    The smallest keys are held out, so the many that are linked are trained on.
    """
    above: dict[int, int] = {}

    def top(key: int) -> int:
        while (next_above := above.get(key, key)) != key:
            above[key] = above.get(next_above, next_above)
            key = next_above
        return key

    for keys in rows:
        tops = [top(key) for key in keys]
        above.update(dict.fromkeys(tops, max(tops)))
    return [top(keys[0]) for keys in rows]


def picture_rows(
    sources: list[dict[str, Any]], samples: Samples, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield rows as they are learned, or with why they are left out.

    Args:
        sources: each a `PictureSource`.
        samples: says what of a row is learned.
        seed: of the split, which `keys` decide.

    Raises:
        RecipeError: a set that cannot be read, or has none of the rows that are asked for.
    """
    for source in map(PictureSource.model_validate, sources):
        taken = 0
        for row in read_picture_rows(Path(source.path)):
            kind, language = row.fields.get("kind"), row.fields.get("language")
            if language not in source.languages or kind not in (source.kinds or [kind]):
                continue
            if taken == source.max_rows:
                break
            taken += 1
            found = samples(Conversation(row.messages, row.where, None, {}), row.pictures)
            # Pictures decide over held out or not, by what they are and not where: all that is
            # said of one lands on the same side.
            known = [[f"{path.name}/{path.stat().st_size}"] for path in row.pictures]
            keys = [split_key(f"{seed}/{own}".encode()) for own in known or [row.messages]]
            shared = {"language": language, "keys": keys}
            if isinstance(found, str):
                yield {"messages": [], "images": [], "left_out": found, **shared}
                continue
            for end in found:
                messages = row.messages[:end]
                images = [str(path) for path in row.pictures[: pictures_in(messages)]]
                yield {"messages": messages, "images": images, "left_out": None, **shared}
        if not taken:
            raise RecipeError(
                f"data.sources: {source.path} has no row of languages "
                f"{', '.join(source.languages)} and kinds {', '.join(source.kinds or ['any'])}"
            )


def collated(rows: Dataset, collator: Callable[[list[Any]], Any], number: int) -> Iterator[Tokens]:
    """Tokenise the first rows as they are trained on, for the audit of masks.

    Args:
        rows: opened.
        collator: of the trainer.
        number: of rows, at most.
    """
    for place in range(min(number, len(rows))):
        yield collate_row(collator, rows[place], f"row {place}")


def collate_row(collator: Callable[[list[Any]], Any], row: dict[str, Any], where: str) -> Tokens:
    """Tokenise a row, its pictures opened, as it is trained on."""
    batch = collator([row])
    ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
    assert all(x in (i, IGNORE_INDEX) for i, x in zip(ids, labels))
    return Tokens(ids, labels, where)
