"""Rows of accepted and rejected answers, and the files that they go to."""

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import orjson

from ..ask import Answer, Request, request_id
from ..common.files import disk_full_is_an_error
from ..read.templates import trace_text
from .config import SynthesizeConfig
from .validation import Verdict

KEPT, REJECTED = "kept", "rejected"


def make_row(
    config: SynthesizeConfig, request: Request, answer: Answer, verdict: Verdict
) -> dict[str, Any]:
    """A row with everything that its text came from.

    `text` comes first and is what readers take; with `form: reasoning` it is the whole document,
    and its parts stand beside it. Rejected rows say why, and have the server's words as they came.
    """
    seed, endpoint = request.data, config.synthesizers[request.endpoint]
    text, parts = verdict.text, {}
    if config.form == "reasoning":
        parts = {"question": seed.text, "reasoning": verdict.reasoning, "answer": verdict.text}
        text = trace_text(**parts)
    row = {
        "text": text,
        **parts,
        "language": config.validation.language,
        "seed_id": seed.id,
        "seed_cut": seed.cut,
        "style": seed.style,
        "prompt_sha256": config.styles[seed.style].sha256,
        "synthesizer": request.endpoint,
        "model": answer.model or endpoint.identity,
        "sampling": endpoint.sampling.fields(),
        "finish_reason": answer.finish_reason,
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
        },
        "request_id": request_id(endpoint, request).hex(),
    }
    if verdict.reason is None:
        return row
    given = {"text": answer.text, "reasoning": answer.reasoning}
    return {"reason": verdict.reason, "detail": verdict.detail, **row, **given}


def file_of(folder: Path, outcome: str, synthesizer: str, shard: str) -> Path:
    """Where the rows of a shard of seeds go that one synthesizer wrote."""
    return folder / outcome / synthesizer / f"{shard}.jsonl"


class RowFiles:
    """Files of one shard of seeds, two per synthesizer, that appear under their names when whole.

    Args:
        folder: `<output_dir>/text`.
        shard: names them.
        synthesizers: all of the recipe, so that one without rows has its (empty) files too.

    Raises:
        RecipeError: the disk is full.
    """

    def __init__(self, folder: Path, shard: str, synthesizers: list[str]) -> None:
        self._paths = {
            (outcome, name): file_of(folder, outcome, name, shard)
            for outcome in (KEPT, REJECTED)
            for name in synthesizers
        }
        self._files: dict[tuple[str, str], BinaryIO] = {}
        self._open = ExitStack()

    def write(self, outcome: str, row: dict[str, Any]) -> None:
        """Add a row to the file of its synthesizer."""
        key = outcome, row["synthesizer"]
        with disk_full_is_an_error(self._paths[key]):
            self._files[key].write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))

    def __enter__(self) -> "RowFiles":
        for key, path in self._paths.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._files[key] = self._open.enter_context(_temporary(path).open("wb"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Last, since closing writes what is still held.
        with self._open:
            for key, file in self._files.items() if kind is None else ():
                with disk_full_is_an_error(self._paths[key]):
                    file.flush()
                    os.fsync(file.fileno())
        for path in self._paths.values():
            if kind is None:
                os.replace(_temporary(path), path)
            else:
                _temporary(path).unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(path.name + ".tmp")
