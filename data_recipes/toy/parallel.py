"""Parallel text: the same problem with its working, told in both languages."""

import itertools
from collections.abc import Iterator

from .items import parallel_texts


def parallel_rows(seed: int) -> Iterator[dict[str, str]]:
    """Endless, deterministic stream of rows with a text in each language.

    Every row has `id`, `en`, `ko` (the translation of `en`) and `other_ko`, that of the row after
    it: the control that tells a translation from any text in the other language.
    """
    texts = parallel_texts("train", seed)
    for n, (own, following) in enumerate(itertools.pairwise(texts)):
        yield {"id": f"parallel-{seed}-{n}", **own, "other_ko": following["ko"]}
