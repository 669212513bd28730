"""Samples of bounded size from streams of any size, the same on every run."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from ..common.sample import LowestHashes
from ..engine.documents import damaged_shard_is_an_error
from ..engine.steps import StepFolder
from ..read.files import read_texts
from .classifier import line_of
from .config import TextSource

# Documents read for each one that is sampled: a sample of a web crawl must not read all of it.
# Beyond this many, files and Hub data sets are read from their start and shards in a drawn order.
OVERSAMPLING = 10


def keyed_hash(key: str, seed: int, purpose: bytes) -> int:
    """64 bits that are independent for different seeds and purposes (of at most 16 bytes)."""
    digest = hashlib.blake2b(
        key.encode(), digest_size=8, salt=seed.to_bytes(16, "little"), person=purpose
    )
    return int.from_bytes(digest.digest(), "little")


class LineSample(AbstractContextManager):
    """The `size` keys of a stream with the lowest hashes: a uniform sample, in a random order.

    Which ones those are does not depend on the order of the stream. Copies of a key count once. The
    lines lie in a file, so memory is some 300 bytes per sampled key; the file holds about
    `size * (1 + ln(keys / size))` lines.

    Args:
        path: that file.
        size: at most this many.
        seed: of the hashes.
    """

    def __init__(self, path: Path, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._path = path
        self._file = path.open("w+b")
        self._places: LowestHashes[int] = LowestHashes(size)

    def add(self, key: str, line: str) -> None:
        """Offer a key with its line (without line end) to the sample."""
        if self._places.add(keyed_hash(key, self.seed, b"sample"), self._file.tell()):
            self._file.write(line.encode() + b"\n")

    def __len__(self) -> int:
        return len(self._places.held)

    def hashes(self) -> list[int]:
        """Return the hashes of the keys, ascending: the order of `lines`."""
        return sorted(self._places.held)

    def lines(self, hashes: Iterable[int]) -> Iterator[str]:
        """Yield the lines of these keys."""
        self._file.flush()
        with self._path.open("rb") as file:
            for value in hashes:
                place, _ = self._places.held[value]
                file.seek(place)
                yield file.readline().decode()[:-1]

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._path.unlink()


class Incoming(NamedTuple):
    """A document that comes into the filter."""

    id: str
    text: str


def read_incoming(folders: list[Path], language: str, seed: int) -> Iterator[Incoming]:
    """Documents of one language from shards, row groups (of some 4 MB) in a drawn order.

    Args:
        folders: `<step>/<source>` of the step before.
        language: rows in other languages are passed over.
        seed: of the order.

    Raises:
        RecipeError: a damaged shard.
    """
    groups = []
    for folder in folders:
        for shard in StepFolder(folder).shards():
            path = StepFolder(folder).kept(shard)
            with damaged_shard_is_an_error(path):
                count = pq.read_metadata(path).num_row_groups
            groups += [(path, group) for group in range(count)]

    def order(group: tuple[Path, int]) -> int:
        path, number = group
        return keyed_hash(f"{path.parent.parent.name}/{path.name}/{number}", seed, b"row groups")

    for path, group in sorted(groups, key=order):
        with damaged_shard_is_an_error(path), pq.ParquetFile(path) as file:
            table = file.read_row_group(group, columns=["id", "text", "language"])
        for row in table.to_pylist():
            if row["language"] == language:
                yield Incoming(row["id"], row["text"])


def sample_class(
    sample: LineSample, sources: list[TextSource], inputs: dict[str, Path], language: str
) -> list[int]:
    """Offer the documents of all sources of a class to its sample, as lines; equal ones count once.

    Args:
        sample: of the class.
        sources: of the class.
        inputs: folder of the step before, by source name.
        language: of the classifier.

    Returns:
        how many documents were read from each source.

    Raises:
        RecipeError: a source that cannot be read.
    """
    read = []
    for source in sources:
        if source.path is not None:
            texts = read_texts(source.path, source.text_column)
        else:
            folders = list(source.folders(inputs).values())
            texts = (d.text for d in read_incoming(folders, language, sample.seed))
        documents = 0
        for text in islice(texts, OVERSAMPLING * sample.size):
            line = line_of(text)
            sample.add(line, line)
            documents += 1
        read.append(documents)
    return read
