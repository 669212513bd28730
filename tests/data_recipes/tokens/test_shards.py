"""Windows are the stream, cut; their order is a permutation; broken data are refused."""

from pathlib import Path

import numpy as np
import pytest

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import sha256_file
from data_recipes.tokens import shards
from data_recipes.tokens.shards import TokenSource, permute, unpermute

from ..hand_made import write_data_set


def test_permute_is_a_permutation_that_depends_on_its_key() -> None:
    for size in [*range(1, 70), 255, 256, 257, 1000]:
        assert sorted(permute(i, size, "key") for i in range(size)) == list(range(size))
    orders = {tuple(permute(i, 100, key) for i in range(100)) for key in "abcdef"}
    assert len(orders) == 6 and tuple(range(100)) not in orders


def random_files(seed: int, count: int) -> list[list[list[int]]]:
    rng = np.random.default_rng(seed)
    return [
        [rng.integers(0, 1000, rng.integers(1, 30)).tolist() for _ in range(rng.integers(3, 20))]
        for _ in range(count)
    ]


@pytest.mark.parametrize("length", [2, 7, 16, 50])
def test_windows_are_the_stream_with_its_boundaries(tmp_path: Path, length: int) -> None:
    files = random_files(length, 3)
    files[1] = [[1] * length, [2] * (2 * length), [3] * length]  # boundaries on window ends
    write_data_set(tmp_path / "s" / "train", files)
    source = TokenSource(tmp_path / "s" / "train")
    documents = [d for file in files for d in file]
    owner = [n for n, d in enumerate(documents) for _ in d]
    stream = [t for d in documents for t in d]
    assert source.windows(length) == len(stream) // length > 2
    crossed = 0
    for index in range(source.windows(length)):
        window = source.window(index, length)
        part = slice(index * length, (index + 1) * length)
        assert window.tokens.tolist() == stream[part]
        owners = owner[part]
        ends = [i + 1 for i in range(length - 1) if owners[i] != owners[i + 1]] + [length]
        assert window.document_ends.tolist() == ends
        assert list(source.documents_in(window)) == sorted(set(owners))
        crossed += len(ends) > 1
    assert crossed > 1


def test_an_epoch_begins_where_the_last_one_ended(tmp_path: Path) -> None:
    """So that what lies behind the last whole window is seen in the next epoch."""
    files = [[[n] * 11 for n in range(7)], [[100 + n] * 5 for n in range(5)]]
    length = 40
    write_data_set(tmp_path / "s" / "train", files)
    source = TokenSource(tmp_path / "s" / "train")
    documents = [d for file in files for d in file]
    stream = [t for d in documents for t in d]
    assert source.windows(length) == 2 and len(stream) % length == 22
    ring = stream * 3
    owner = [n for n, d in enumerate(documents) for _ in d] * 3
    for epoch in range(3):
        for index in range(2):
            begin = (epoch * 2 + index) * length
            window = source.window(index, length, epoch)
            assert window.tokens.tolist() == ring[begin : begin + length]
            owners = owner[begin : begin + length]
            ends = [i + 1 for i in range(length - 1) if owners[i] != owners[i + 1]] + [length]
            # Where the ring closes, one document ends and another begins.
            assert window.document_ends.tolist() == ends
            assert source.documents_in(window) == list(dict.fromkeys(owners))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_bytes(b"\xff" + p.read_bytes()[1:]), "checksum differs"),
        (lambda p: p.write_bytes(p.read_bytes()[:-2]), "bytes instead of"),
        (lambda p: p.unlink(), "shard missing"),
    ],
)
@pytest.mark.parametrize("file", ["00001.ds", "00001.ds.index"])
def test_damaged_shards_are_refused_by_name(tmp_path: Path, damage, message, file: str) -> None:
    directory = tmp_path / "s" / "train"
    write_data_set(directory, random_files(0, 2))
    damage(directory / file)
    with pytest.raises(RecipeError, match=message) as caught:
        TokenSource(directory)
    assert str(directory / file) in str(caught.value)


def test_tokens_of_a_large_vocabulary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four bytes each, of which so many are hashed whenever the data are opened."""
    files = [[[70_000, 5, 1 << 20], [2]], [[125_183, 9], [3, 4]]]
    directory = tmp_path / "s" / "train"
    write_data_set(directory, files, dtype="<u4")
    source = TokenSource(directory)
    stream = [t for file in files for d in file for t in d]
    assert [source.window(i, 4).tokens.tolist() for i in range(2)] == [stream[:4], stream[4:]]
    assert source.tokens_at(5, 3).tolist() == stream[5:]
    path = directory / "00001.ds"
    path.write_bytes(b"\x00" + path.read_bytes()[1:])
    monkeypatch.setattr(shards, "VERIFY_ON_OPEN_BYTES", 4 * len(stream))
    with pytest.raises(RecipeError, match="checksum differs"):
        TokenSource(directory)
    monkeypatch.setattr(shards, "VERIFY_ON_OPEN_BYTES", 4 * len(stream) - 1)
    TokenSource(directory)


def test_a_fingerprint_is_that_of_tokens_and_their_documents(tmp_path: Path) -> None:
    def written(name: str, files: list[list[list[int]]] | None = None, **more: str) -> str:
        return write_data_set(tmp_path / name, files or [[[1, 2], [3]]], **more).fingerprint

    same = {written("a"), written("b", language="en")}
    others = {
        written("other document ends", [[[1], [2, 3]]]),
        written("other tokens", [[[1, 2], [4]]]),
        written("other files", [[[1, 2]], [[3]]]),
        written("other tokenizer", tokenizer="1" * 64),
        written("other dtype", dtype="<u4"),
    }
    assert len(same) == 1 and len(others) == 5 and not same & others


def test_an_index_that_ends_elsewhere_is_refused(tmp_path: Path) -> None:
    """Whole by its checksum, as a writer with a fault would leave it."""
    directory = tmp_path / "s" / "train"
    manifest = write_data_set(directory, [[[1, 2], [3]]])
    index = directory / "00000.ds.index"
    for ends in ([2, 4], [3, 3]):
        np.array(ends, "<u8").tofile(index)
        file = manifest.files[0].model_copy(update={"index_sha256": sha256_file(index)})
        record = manifest.model_copy(update={"files": [file]})
        (directory / "manifest.json").write_text(record.model_dump_json())
        with pytest.raises(RecipeError, match=r"00000\.ds\.index: corrupt document index"):
            TokenSource(directory)


def test_unfinished_data_are_refused(tmp_path: Path) -> None:
    write_data_set(tmp_path / "s" / "train", random_files(0, 1))
    (tmp_path / "s" / "train" / "manifest.json").unlink()
    with pytest.raises(RecipeError, match="python -m data_recipes prepare"):
        TokenSource(tmp_path / "s" / "train")


def test_a_permutation_is_undone() -> None:
    for size in (1, 2, 3, 100, 257, 5000):
        for index in range(0, size, max(1, size // 97)):
            assert unpermute(permute(index, size, "key"), size, "key") == index
