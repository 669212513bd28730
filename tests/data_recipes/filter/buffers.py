"""Texts as kernels take them."""

import numpy as np


def buffers(texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """UTF-8, uint8 [bytes], and where each text starts, int64 [texts + 1]."""
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(e) for e in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets
