"""Data sets written by hand, so that what reads them is tested against something else."""

from pathlib import Path

import numpy as np

from data_recipes.manifest import MANIFEST, Manifest, ShardFile, sha256_file, write_json_atomically

TOKENIZER = "0" * 64


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
    for number, documents in enumerate(files):
        path = directory / f"{number:05d}.ds"
        np.array([t for d in documents for t in d], "<u2").tofile(path)
        np.cumsum([len(d) for d in documents]).astype("<u8").tofile(f"{path}.index")
        shards.append(
            ShardFile(
                path=path.name,
                tokens=sum(map(len, documents)),
                documents=len(documents),
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
