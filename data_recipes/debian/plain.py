"""Text that is not markup: plain files, reStructuredText, and the messages of programs."""

import gettext
import gzip
import io
import json

from .blocks import Block

PLAIN = (".txt", ".rst", ".rst.gz", ".txt.gz")
CATALOGUES = (".mo", ".json")


def parse_plain(data: bytes, name: str) -> list[Block]:
    """The paragraphs of a text file, as they stand."""
    text = (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8", "replace")
    return [Block(part.strip("\n")) for part in text.split("\n\n") if part.strip()]


def parse_catalogue(data: bytes, name: str, language: str) -> list[Block]:
    """The messages of a program in `language`, one paragraph each.

    In a gettext catalogue the English messages are the keys of the translated ones.
    """
    if name.endswith(".json"):
        messages = [v for k, v in json.loads(data).items() if isinstance(v, str) and k[:1] != "@"]
    else:
        # The module reads a whole catalogue but shows one message at a time.
        pairs = gettext.GNUTranslations(io.BytesIO(data))._catalog
        keys = {k[0] if isinstance(k, tuple) else k: v for k, v in pairs.items() if k}
        messages = list(keys if language == "en" else keys.values())
    # A message may start with its context, which is not shown to anyone.
    messages = [m.rpartition("\x04")[2].strip() for m in messages]
    return [Block(m) for m in messages if m]
