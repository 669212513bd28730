"""Show on text of yours that an expanded tokenizer cuts it as the old one did, and gives it back.

    python scripts/check_expansion.py OLD NEW runs/tiny/english/data/text/*_en.jsonl docs/*.md

Files ending in .jsonl are read by their `text`, others whole. Exits with status 1 at a difference.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.read.files import read_file
from data_recipes.read.rows import Row
from data_recipes.tokenizer.load import check_continuation, read_tokenizer

_LIMIT = 50_000_000  # bytes of the longest document that is read


def texts(path: Path) -> Iterator[str]:
    """Documents of a file."""
    if path.suffix == ".jsonl":
        rows = read_file(path, "text", _LIMIT)
        yield from (row.text for row in rows if isinstance(row, Row))
    else:
        yield path.read_text(encoding="utf-8", errors="replace")


def main() -> None:
    parser = documented_parser(__doc__)
    parser.add_argument("old", help="directory of a tokenizer, or Hub id")
    parser.add_argument("new", help="that of its continuation")
    parser.add_argument("paths", nargs="+", type=Path)
    args = parser.parse_args()
    old, new = read_tokenizer(args.old), read_tokenizer(args.new)
    check_continuation(old, new, args.new)
    started, documents, size, tokens, normalised = time.perf_counter(), 0, 0, 0, 0
    for path in args.paths:
        for text in texts(path):
            before = old(text, add_special_tokens=False)["input_ids"]
            after = new(text, add_special_tokens=False)["input_ids"]
            if before != after:
                sys.exit(f"error: {path}: is cut otherwise than before")
            back = new.decode(after)
            if back != text and old.decode(before) == text:
                sys.exit(f"error: {path}: does not come back")
            normalised += back != text  # as it did not before: the tokenizer normalises
            documents, size, tokens = documents + 1, size + len(text.encode()), tokens + len(after)
    print(
        f"{documents:,} documents, {size / 1e6:,.1f} MB, {tokens:,} tokens: same ids; "
        f"{documents - normalised:,} come back to the byte, {normalised:,} normalised as before "
        f"({time.perf_counter() - started:,.0f} s)"
    )


if __name__ == "__main__":
    main()
