"""How fast personal data are found in files of text, and how many of each kind: numbers alone.

python scripts/benchmark_personal.py /usr/share/common-licenses/* --megabytes 20

Text, gzipped text or JSONL with a column `text`; files that are no UTF-8 are left out.
"""

import argparse
import gzip
import time
from collections import Counter
from pathlib import Path

import orjson

from data_recipes.personal import Kind
from data_recipes.personal.mask import mask


def texts_of(path: Path) -> list[str]:
    """Read the texts of a file; none if it is no text."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if path.suffix == ".jsonl":
            return [orjson.loads(line)["text"] for line in data.splitlines()]
        return [data.decode()]
    except (OSError, UnicodeDecodeError):
        return []


def main() -> None:
    """Print megabytes, CPU seconds and counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--megabytes", type=float, default=20, help="where to stop")
    args = parser.parse_args()
    size, seconds, counts = 0, 0.0, Counter[Kind]()
    for text in (text for path in args.files for text in texts_of(path)):
        start = time.process_time()
        counts += mask(text)[1]
        seconds += time.process_time() - start
        size += len(text.encode())
        if size > args.megabytes * 1e6:
            break
    print(f"{size / 1e6:,.1f} MB in {seconds:,.2f} CPU seconds, {size / 1e6 / seconds:,.1f} MB/s")
    for kind, number in sorted(counts.items()):
        print(f"{kind:<16}{number:>10,}{number / size * 1e6:>10,.2f} per MB")


if __name__ == "__main__":
    main()
