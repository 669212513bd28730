"""Parquet: damage costs its group or its row, and a large group little memory."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..hand_made import jsonl
from .reading import TEXTS, memory, read


def test_a_large_row_group_is_read_in_little_memory(tmp_path: Path) -> None:
    small, large = tmp_path / "s.parquet", tmp_path / "a.parquet"
    noise = np.random.default_rng(1).integers(32, 127, (5000, 20_000), np.uint8)
    texts = pa.array([row.tobytes().decode() for row in noise])
    for path, count in ((small, 2000), (large, 5000)):
        table = pa.table({"text": texts[:count]})
        # One group: pages of 1,024 rows, 20 MB, are what a reader cannot do without.
        pq.write_table(table, path, compression="none", use_dictionary=False)
    assert pq.read_metadata(large).num_row_groups == 1
    rows, growth = memory(small, large)
    assert rows == 5000 and growth < 30  # of 60 MB more


def test_damaged_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(jsonl(TEXTS))
    rows, (aside,) = read(tmp_path / "a.parquet")
    assert not rows and aside.reason == "corrupt_file"
    path = tmp_path / "b.parquet"
    texts = [f"{n} " * 200 for n in range(300)]
    pq.write_table(
        pa.table({"text": texts}),
        path,
        row_group_size=100,
        compression="none",
        use_dictionary=False,
    )
    data = bytearray(path.read_bytes())
    start = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    rows, aside = read(path)
    # Each row of the group, so that sums are right to the document.
    assert [(a.reason, a.place) for a in aside] == [("corrupt_file", n) for n in range(100, 200)]
    assert [row.text for row in rows] == texts[:100] + texts[200:]
    assert [row.place for row in rows] == [*range(100), *range(200, 300)]


def test_a_bad_value_in_parquet_costs_its_row_only(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    bad = pa.array([b"ok", b"\xb0\xa1", b"fine", b"x"], pa.binary()).view(pa.string())
    dates = pa.array([0, 0, 2**50, 0], pa.timestamp("ms"))  # the year 37,648
    pq.write_table(pa.table({"text": bad, "date": dates}), path)
    rows, aside = read(path)
    assert [(row.place, row.text) for row in rows] == [(0, "ok"), (3, "x")]
    assert [(a.place, a.reason) for a in aside] == [(1, "invalid_utf8"), (2, "corrupt_file")]
