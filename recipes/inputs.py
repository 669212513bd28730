"""What a stage reads beside the model that it starts from, and whether it is still what it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from data_recipes.common.files import MANIFEST, read_settings, sha256_file

from .opened_run import LINEAGE

# By path: SHA-256 of a file, or of each weight file of a model.
Digests = dict[str, str | dict[str, str]]


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    return sha256_file(path)


def _file(path: Path) -> str:
    # A plan asks for the same files in every run: they are read again if they have changed.
    stat = path.stat()
    return _hashed(path, stat.st_size, stat.st_mtime_ns)


def hash_weights(directory: Path) -> dict[str, str]:
    """SHA-256 of the weight files of a model, by name."""
    return {path.name: _file(path) for path in sorted(directory.glob("*.safetensors"))}


def digest_of(path: Path) -> str | dict[str, str] | None:
    """Digest a file, or the weights of a model; `None` if there is nothing (any more)."""
    if path.is_dir():
        noted = (read_settings(path / LINEAGE) or {}).get("weights_sha256")
        return noted or hash_weights(path) or None
    if not path.is_file():
        return None
    if path.name != MANIFEST:
        return _file(path)
    # Of which commit a set was made says nothing of what is in it.
    said = {key: value for key, value in (read_settings(path) or {}).items() if key != "commit"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def digests(paths: Iterable[Path]) -> Digests:
    """Digest those of some files and models that are there."""
    found = {str(path): digest_of(path) for path in paths}
    return {path: digest for path, digest in found.items() if digest is not None}
