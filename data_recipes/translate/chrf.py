"""chrF: how much of a reference's character n-grams a text has."""

from collections import Counter

_LONGEST = 6  # of the n-grams, and the weight of recall: Popović, "chrF", WMT 2015
_BETA = 2


def _ngrams(text: str, n: int) -> Counter[str]:
    return Counter(text[i : i + n] for i in range(len(text) - n + 1))


def chrf(text: str, reference: str) -> float:
    """chrF2 without white space, 0 to 100; orders that one of the two lacks are left out."""
    texts = ["".join(t.split()) for t in (text, reference)]
    precision = recall = orders = 0.0
    for n in range(1, _LONGEST + 1):
        ours, theirs = (_ngrams(t, n) for t in texts)
        if ours and theirs:
            same = (ours & theirs).total()
            precision += same / ours.total()
            recall += same / theirs.total()
            orders += 1
    if not precision:
        return 0.0
    precision, recall = precision / orders, recall / orders
    return 100 * (1 + _BETA**2) * precision * recall / (_BETA**2 * precision + recall)
