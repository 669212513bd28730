"""The manifest of a token data set: what it holds, where it came from, and its checksums."""

import hashlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..common.config_files import Strict
from ..common.errors import RecipeError
from ..common.files import sha256_file

MANIFEST = "manifest.json"
# Data sets up to this size are hashed whole whenever they are opened; larger ones by `verify`.
VERIFY_ON_OPEN_BYTES = 2 * 2**30


class ShardFile(Strict):
    """One `.ds` file and its `.index`."""

    path: str
    tokens: int
    documents: int
    sha256: str
    index_sha256: str


class Manifest(Strict):
    """One token data set.

    Attributes:
        name: name of the source in mixtures.
        split: "train" or "heldout".
        tokenizer_sha256: hash of the `tokenizer.json` that made the tokens.
        dtype: "<u2" or "<u4", little-endian.
        documents: number of documents.
        tokens: number of tokens, BOS and EOS included.
        language: language code, e.g. "ko".
        licence: licence of the text.
        source: where the text was read from.
        synthesizer: the model or program that wrote the text; `None` for text by people.
        files: the shard files, in reading order.
    """

    name: str
    split: str
    tokenizer_sha256: str
    dtype: str
    documents: int
    tokens: int
    language: str
    licence: str
    source: str
    synthesizer: str | None
    pipeline: dict[str, Any]
    files: list[ShardFile]

    @property
    def fingerprint(self) -> str:
        """Hash of the token data; equal exactly when the tokens and their order are equal."""
        parts = [self.tokenizer_sha256, self.dtype]
        parts += [f"{f.sha256}{f.index_sha256}" for f in self.files]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def read_manifest(directory: Path) -> Manifest:
    """Read and check the manifest of a data set directory.

    Raises:
        RecipeError: no manifest (the data set was never finished), or not a valid one.
    """
    path = directory / MANIFEST
    if not path.is_file():
        raise RecipeError(
            f"{directory}: no {MANIFEST}; make the data set with "
            "`python -m data_recipes prepare --config …`"
        )
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not a valid manifest ({error})") from error


def verify_files(directory: Path, manifest: Manifest, checksums: bool) -> None:
    """Compare the shard files with the manifest: sizes always, contents if `checksums`.

    Raises:
        RecipeError: a file is missing, has another size or other contents.
    """
    remedy = "delete the directory and make the data set again"
    token_bytes = int(manifest.dtype[-1])
    for shard in manifest.files:
        for path, size, digest in (
            (directory / shard.path, shard.tokens * token_bytes, shard.sha256),
            (directory / f"{shard.path}.index", shard.documents * 8, shard.index_sha256),
        ):
            if not path.is_file():
                raise RecipeError(f"{path}: shard missing; {remedy}")
            if path.stat().st_size != size:
                raise RecipeError(
                    f"{path}: corrupt shard, {path.stat().st_size:,} bytes instead of {size:,}; "
                    f"{remedy}"
                )
            if checksums and sha256_file(path) != digest:
                raise RecipeError(f"{path}: corrupt shard, checksum differs; {remedy}")
