"""Best-fit windows hold every token once and cut only what cannot fit; bad plans are refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from data_recipes.__main__ import parse_arguments
from data_recipes.common.errors import RecipeError
from data_recipes.look import packing_report as packing
from data_recipes.look.packing_report import measure_truncation
from data_recipes.tokens import best_fit as packing_plan
from data_recipes.tokens.best_fit import BestFitSource, make_plan, plan_dir, read_record
from data_recipes.tokens.mixture import Mixture
from data_recipes.tokens.packing import pack
from data_recipes.tokens.shards import TokenSource

from ..hand_made import write_data_set

PAD = 999


def slow_best_fit(lengths: list[int], length: int) -> list[list[tuple[int, int, int]]]:
    """Windows of (document, offset, tokens), by looking at every window for every document."""
    windows = [[(d, k * length, length)] for d, n in enumerate(lengths) for k in range(n // length)]
    rests = [(d, n % length) for d, n in enumerate(lengths) if n % length]
    packed: list[list[tuple[int, int, int]]] = []
    rooms: list[int] = []
    touched: list[int] = []
    for clock, (d, rest) in enumerate(sorted(rests, key=lambda item: -item[1])):
        # Least room; among equals, the window that was filled last.
        fitting = [(rooms[w], -touched[w], w) for w in range(len(packed)) if rooms[w] >= rest]
        if fitting:
            window = min(fitting)[2]
        else:
            window = len(packed)
            packed.append([])
            rooms.append(length)
            touched.append(clock)
        packed[window].append((d, lengths[d] // length * length, rest))
        rooms[window] -= rest
        touched[window] = clock
    return windows + packed


@pytest.mark.parametrize("length", [2, 3, 8, 31, 64])
def test_packing_is_best_fit_decreasing(length: int) -> None:
    rng = np.random.default_rng(length)
    for lengths in (
        rng.integers(1, 3 * length, 300),
        rng.geometric(4 / length if length > 8 else 0.5, 300),
        np.full(7, length),
        np.array([1]),
    ):
        starts = np.cumsum(lengths) - lengths
        piece_starts, piece_lengths, counts = pack(starts, lengths, length)
        expected = slow_best_fit(lengths.tolist(), length)
        flat = [piece for window in expected for piece in window]
        assert counts.tolist() == [len(window) for window in expected]
        assert piece_lengths.tolist() == [n for _, _, n in flat]
        assert piece_starts.tolist() == [starts[d] + offset for d, offset, _ in flat]


def random_files(seed: int, count: int, longest: int) -> list[list[list[int]]]:
    """Files of documents; the token at each place tells the document from its neighbours."""
    rng = np.random.default_rng(seed)
    return [
        [
            rng.integers(0, 900, rng.integers(1, longest)).tolist()
            for _ in range(rng.integers(5, 40))
        ]
        for _ in range(count)
    ]


def make_source(directory: Path, seed: int = 3, longest: int = 60) -> list[list[int]]:
    """Write a data set; returns its documents."""
    files = random_files(seed, 3, longest)
    write_data_set(directory, files)
    return [document for file in files for document in file]


@pytest.mark.parametrize("block", [7, 10**6])
def test_windows_hold_every_token_once_and_pad_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(packing_plan, "BLOCK_DOCUMENTS", block)
    length = 32
    documents = make_source(tmp_path / "s" / "train")
    make_plan(TokenSource(tmp_path / "s" / "train"), length)
    source = BestFitSource(tmp_path / "s" / "train", length, PAD)
    seen: list[list[tuple[int, list[int]]]] = [[] for _ in documents]
    padded = shared = 0
    for index in range(source.windows(length)):
        window = source.window(index, length)
        numbers = source.documents_in(window)
        bounds = [0, *window.document_ends.tolist()]
        assert bounds[-1] == len(window.tokens) == length
        assert len(numbers) == len(window.starts) == len(bounds) - 1 - (window.padding > 0)
        assert window.tokens[length - window.padding :].tolist() == [PAD] * window.padding
        for number, start, low, high in zip(numbers, window.starts, bounds, bounds[1:]):
            seen[number].append((int(start), window.tokens[low:high].tolist()))
        padded += window.padding > 0
        shared += len(numbers) > 1
    assert padded > 2 and shared > 5
    cut = 0
    for document, parts in zip(documents, seen):
        assert [t for _, tokens in sorted(parts) for t in tokens] == document
        # Cut only if it does not fit, and then into as few parts as can be.
        assert len(parts) == -(-len(document) // length)
        cut += len(parts) > 1
    assert 5 < cut < len(documents)
    with pytest.raises(ValueError, match="packed for 32"):
        source.window(0, 64)


def test_a_plan_is_made_once_and_is_the_same_every_time(tmp_path: Path) -> None:
    directory, copy = tmp_path / "s" / "train", tmp_path / "copy" / "train"
    make_source(directory)
    shutil.copytree(directory, copy)
    record = make_plan(TokenSource(directory), 32)
    stamp = (plan_dir(directory, 32) / "starts.bin").stat().st_mtime_ns
    assert make_plan(TokenSource(directory), 32) == record
    assert (plan_dir(directory, 32) / "starts.bin").stat().st_mtime_ns == stamp
    # A killed attempt left its half behind.
    (copy / "best_fit_32.tmp").mkdir()
    (copy / "best_fit_32.tmp" / "starts.bin").write_bytes(b"half")
    assert read_record(copy, 32) is None
    assert make_plan(TokenSource(copy), 32) == record
    assert not (copy / "best_fit_32.tmp").exists()
    assert make_plan(TokenSource(copy), 16).sha256 != record.sha256


def test_a_plan_for_other_data_is_refused_and_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "s" / "train"
    make_source(directory, seed=1)
    make_plan(TokenSource(directory), 32)
    plan = tmp_path / "plan"
    shutil.move(plan_dir(directory, 32), plan)
    shutil.rmtree(directory)
    make_source(directory, seed=2)
    shutil.move(plan, plan_dir(directory, 32))
    with pytest.raises(RecipeError, match="python -m data_recipes packing .*--sequence-length 32"):
        BestFitSource(directory, 32, PAD)
    make_plan(TokenSource(directory), 32)
    assert BestFitSource(directory, 32, PAD).windows(32) > 0


@pytest.mark.parametrize("name", ["starts.bin", "lengths.bin", "window_ends.bin"])
@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_a_corrupt_plan_is_refused_by_name(tmp_path: Path, name: str, damage: str) -> None:
    directory = tmp_path / "s" / "train"
    make_source(directory)
    make_plan(TokenSource(directory), 32)
    path = plan_dir(directory, 32) / name
    content = path.read_bytes()
    if damage == "remove":
        path.unlink()
    else:
        path.write_bytes(
            bytes([content[0] ^ 1]) + content[1:] if damage == "flip" else content[:-8]
        )
    with pytest.raises(RecipeError, match="corrupt packing plan") as caught:
        BestFitSource(directory, 32, PAD)
    assert str(path) in str(caught.value)


def test_a_broken_record_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "s" / "train"
    make_source(directory)
    make_plan(TokenSource(directory), 32)
    (plan_dir(directory, 32) / "plan.json").write_text("{}")
    with pytest.raises(RecipeError, match="not a valid packing plan; delete"):
        make_plan(TokenSource(directory), 32)
    with pytest.raises(RecipeError, match="at least 2 tokens"):
        make_plan(TokenSource(directory), 1)


def test_mixtures_read_packed_windows_in_a_fixed_order(tmp_path: Path) -> None:
    weights = {"a": 0.6, "b": 0.4}
    for seed, name in enumerate(weights):
        make_source(tmp_path / name / "train", seed=seed)
        make_plan(TokenSource(tmp_path / name / "train"), 32)
    forwards, backwards = (Mixture(tmp_path, weights, 32, 1, "best_fit", PAD) for _ in range(2))
    indices = [0, 7, 9_999, 10_000, 31_234]
    expected = [forwards.window(i).tokens.tolist() for i in indices]
    assert [backwards.window(i).tokens.tolist() for i in reversed(indices)] == expected[::-1]
    size = forwards.sources["b"].windows(32)
    draws = [d[2] for i in range(10_000) if (d := forwards.locate(i))[0] == "b"]
    assert sorted(draws[:size]) == list(range(size)) and draws[:size] != draws[size : 2 * size]

    name, _, number = forwards.locate(7)
    source = forwards.sources[name]
    shown = source.documents_in(source.window(number, 32))
    described = forwards.describe(7)
    assert described.startswith(f"{name}: window {number}") and str(shown[-1]) in described

    concat = Mixture(tmp_path, weights, 32, 1)
    other_pad = Mixture(tmp_path, weights, 32, 1, "best_fit", PAD - 1)
    fingerprints = {forwards.fingerprint, concat.fingerprint, other_pad.fingerprint}
    assert len(fingerprints) == 3 and backwards.fingerprint == forwards.fingerprint
    assert concat.fingerprint == Mixture(tmp_path, weights, 32, 1, "concat", PAD).fingerprint
    with pytest.raises(RecipeError, match="no PAD token"):
        Mixture(tmp_path, weights, 32, 1, "best_fit")


def test_truncation_is_what_the_windows_show(tmp_path: Path) -> None:
    length = 32
    documents = make_source(tmp_path / "s" / "train", seed=5, longest=80)
    source = TokenSource(tmp_path / "s" / "train")
    concat, best_fit = measure_truncation(source, length)
    for truncation, windows in (
        (concat, source),
        (best_fit, BestFitSource(source.directory, length, PAD)),
    ):
        first_window: dict[int, int] = {}
        cut: set[int] = set()
        after = padding = shown = 0
        for index in range(windows.windows(length)):
            window = windows.window(index, length)
            widths = np.diff([0, *window.document_ends.tolist()])
            padding += window.padding
            for number, width in zip(windows.documents_in(window), widths.tolist()):
                shown += width
                if number in first_window:
                    cut.add(number)
                    after += width
                first_window.setdefault(number, index)
        # What the stream's tail holds beyond the last whole window, as a window of its own.
        tail = source.manifest.tokens - shown
        position = 0
        for number, document in enumerate(documents):
            position += len(document)
            beyond = min(len(document), max(0, position - shown)) if tail else 0
            if beyond and beyond < len(document):
                cut.add(number)
                after += beyond
        assert (truncation.cut_documents, truncation.tokens_after_cut) == (len(cut), after)
        assert truncation.padding_tokens == padding
        assert truncation.windows == windows.windows(length) and truncation.tokens == sum(
            map(len, documents)
        )
    assert 0 < best_fit.tokens_after_cut < concat.tokens_after_cut
    assert 0 < best_fit.padding_tokens and concat.padding_tokens == 0


def test_the_command_packs_training_text_and_reports(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        for split in ("train", "heldout"):
            make_source(tmp_path / name / split)
    packing.run(parse_arguments(["packing", str(tmp_path), "--sequence-length", "32"]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + 4 and all("%" in line for line in lines[2:])
    assert [line.split()[:2] for line in lines[2:4]] == [
        ["a/train", "concat"],
        ["a/train", "best_fit"],
    ]
    assert plan_dir(tmp_path / "b" / "train", 32).is_dir()
    assert not plan_dir(tmp_path / "b" / "heldout", 32).exists()
    with pytest.raises(RecipeError, match="no token data set"):
        packing.run(parse_arguments(["packing", str(tmp_path / "none"), "--sequence-length", "32"]))
