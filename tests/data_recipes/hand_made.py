"""Data written by hand, so that what reads them is tested against something else."""

import json
from pathlib import Path

import numpy as np

from data_recipes.corpus import documents
from data_recipes.manifest import MANIFEST, Manifest, ShardFile, sha256_file, write_json_atomically

TOKENIZER = "0" * 64


def jsonl(texts: list[str], column: str = "text") -> bytes:
    """The texts as JSON lines."""
    return "".join(json.dumps({column: t}, ensure_ascii=False) + "\n" for t in texts).encode()


def some_texts(count: int, seed: int = 11) -> list[str]:
    """Documents of the embedded corpus, Korean and English in turn."""
    ko, en = (documents("web", language, seed) for language in ("ko", "en"))
    return [next(ko if i % 2 else en) for i in range(count)]


def write_data_set(
    directory: Path,
    files: list[list[list[int]]],
    language: str = "ko",
    synthesizer: str | None = None,
    tokenizer: str = TOKENIZER,
) -> Manifest:
    """Write `files`, each a list of documents, each a list of token ids."""
    directory.mkdir(parents=True)
    shards = []
    for number, own in enumerate(files):
        path = directory / f"{number:05d}.ds"
        np.array([t for d in own for t in d], "<u2").tofile(path)
        np.cumsum([len(d) for d in own]).astype("<u8").tofile(f"{path}.index")
        shards.append(
            ShardFile(
                path=path.name,
                tokens=sum(map(len, own)),
                documents=len(own),
                sha256=sha256_file(path),
                index_sha256=sha256_file(Path(f"{path}.index")),
            )
        )
    manifest = Manifest(
        name=directory.parent.name,
        split=directory.name,
        tokenizer_sha256=tokenizer,
        dtype="<u2",
        documents=sum(s.documents for s in shards),
        tokens=sum(s.tokens for s in shards),
        language=language,
        licence="none",
        source="by hand",
        synthesizer=synthesizer,
        pipeline={},
        files=shards,
    )
    write_json_atomically(directory / MANIFEST, manifest.model_dump())
    return manifest
