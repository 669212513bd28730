"""What is measured, and which way varied text lies."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number that says something about variety.

    Attributes:
        title: for people.
        varied_is_more: whether varied text has the larger number.
        about: what it is, in a sentence.
    """

    title: str
    varied_is_more: bool
    about: str


MEASURES: dict[str, Measure] = {
    **{
        f"distinct_{n}": Measure(
            f"distinct-{n}",
            True,
            "different words over all words (Li et al. 2016, arXiv 1510.03055)"
            if n == 1
            else f"different {n}-grams of words over all of them, within documents",
        )
        for n in (1, 2, 3, 4)
    },
    "compression_ratio": Measure(
        "compression ratio",
        False,
        "bytes over bytes after zlib, level 6 (Shaib et al. 2024, arXiv 2403.00553)",
    ),
    "self_bleu": Measure(
        "self-BLEU",
        False,
        "BLEU-4 of a document against all others, averaged (Zhu et al. 2018, arXiv 1802.01886)",
    ),
    "top_openings": Measure(
        "ten commonest openings", False, "share of documents that begin with one of them"
    ),
    "opening_entropy": Measure(
        "entropy of openings",
        True,
        "over the most that it could be; 1 if every document begins in its own way",
    ),
    "length_spread": Measure(
        "spread of lengths", True, "standard deviation over mean of the words in a document"
    ),
    "top_words": Measure("hundred commonest words", False, "share of all words"),
    "near_duplicates": Measure(
        "near-duplicates",
        False,
        "share of documents that resemble an earlier one (MinHash, 14 buckets of 8, 5-grams)",
    ),
    "overlap_others": Measure(
        "overlap with another synthesizer",
        False,
        "share of its n-grams that are also in the text of the nearest other one",
    ),
    "overlap_seed": Measure(
        "overlap with seeds",
        False,
        "share of its n-grams that are also in the text it was made from",
    ),
    "surprise_spread": Measure(
        "spread of bits per byte",
        True,
        "standard deviation over documents of the bits per byte under a language model",
    ),
}
