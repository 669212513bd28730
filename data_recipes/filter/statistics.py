"""Every statistic of a batch of documents, measured once; what is decided by them is a table."""

from dataclasses import dataclass

import numpy as np

from ..text.kernels import kernel
from ..text.words import mix
from .characters import Script, count_script
from .lines import Line, count_lines
from .patterns import Automaton, Phrase, count_phrases
from .words import (
    Suffixes,
    WordMeasures,
    WordSpans,
    count_stop_words,
    count_suffixed,
    find_words,
    measure_words,
)

# Words of the n-grams whose most frequent one counts, and of those that occurred before.
TOP_N = (2, 3, 4)
DUPLICATE_N = (5, 6, 7, 8, 9, 10)
# Fewer different phrases than this are the subject of a text, not what it is for. Our choice.
_FEWEST_SPAM_PHRASES = 3
# One article in a wrong place, or one sentence without an end, is a slip of the pen. Our choice.
_FEWEST_BROKEN = 2

# Scale of the histogram (a key of `histograms.SCALES`) and meaning, by name. Shares of nothing
# are 0. "Characters" are code points, "words" whatever the profile's word unit is.
STATISTICS: dict[str, tuple[str, str]] = {
    "characters": ("count", "characters"),
    # GopherQualityFilter
    "words": ("count", "words with anything besides punctuation"),
    "mean_word_length": ("mean", "their mean length in characters"),
    "hash_word_ratio": ("fraction", "number signs per word"),
    "ellipsis_word_ratio": ("fraction", "ellipses, `...` or `…`, per word"),
    "bullet_line_frac": ("fraction", "lines that start with • or -"),
    "table_line_frac": ("fraction", "lines that start with |, or have columns set apart"),
    "point_line_frac": ("fraction", "lines that start with a sign or number of a list"),
    "ellipsis_line_frac": ("fraction", "lines that end in an ellipsis"),
    "alpha_word_frac": ("fraction", "words with a letter"),
    "stop_words": ("count", "different words of the profile's `stop_words`"),
    # GopherRepetitionFilter
    "dup_para_frac": ("fraction", "paragraphs that occurred before"),
    "dup_para_char_frac": ("fraction", "characters in them"),
    "dup_line_frac": ("fraction", "lines that occurred before"),
    "dup_line_char_frac": ("fraction", "characters in them"),
    **{
        f"top_{n}_gram_frac": ("fraction", f"characters in the most frequent {n}-gram of words")
        for n in TOP_N
    },
    **{
        f"dup_{n}_gram_frac": ("fraction", f"characters in {n}-grams of words that occurred before")
        for n in DUPLICATE_N
    },
    # FineWebQualityFilter; blank lines do not count
    "line_punct_frac": ("fraction", "lines that end in a terminal punctuation mark"),
    "short_line_frac": ("fraction", "lines of at most 30 characters"),
    "char_dup_frac": ("fraction", "characters, line ends aside, in lines that occurred before"),
    "newline_word_ratio": ("fraction", "line ends per word"),
    # Ours
    "symbol_frac": ("fraction", "visible characters that are neither letter, digit nor mark"),
    "number_frac": ("fraction", "visible characters that are digits"),
    "code_frac": ("fraction", "visible characters of code and formulas: {}[]<>=;\\$^_"),
    "url_frac": ("fraction", "visible characters in URLs"),
    "boilerplate_frac": ("fraction", "characters in lines with one of `boilerplate`"),
    "spam_ratio": (
        "fraction",
        "phrases of `spam` per word; 0 with less than three different ones",
    ),
    "pitch_ratio": ("fraction", "phrases of `pitch` per word"),
    "function_word_frac": ("fraction", "words in `function_words`"),
    "broken_article_frac": (
        "fraction",
        "words of `articles` before one of `function_words`; 0 with one alone",
    ),
    "unfinished_frac": (
        "fraction",
        "sentences whose last word ends in one of `particles`; 0 with one alone",
    ),
    "longest_run": ("count", "characters without white space in a row, URLs aside"),
    "mojibake_frac": ("fraction", "visible characters read in the wrong encoding"),
    "replacement_frac": ("fraction", "visible characters that are U+FFFD"),
    "control_frac": ("fraction", "characters that are controls, private or no characters"),
    "hangul_frac": ("fraction", "letters that are Hangul syllables"),
    "compatibility_jamo_frac": ("fraction", "letters that are Hangul letters alone: ㅋㅋㅋ"),
    "conjoining_jamo_frac": ("fraction", "letters that are parts of decomposed Hangul"),
    "rare_hangul_frac": ("fraction", "Hangul syllables outside KS X 1001"),
    "unspaced_hangul_frac": ("fraction", "Hangul syllables in runs of more than 12"),
    "suffix_word_frac": ("fraction", "words that end in one of `suffixes`"),
}


@dataclass(frozen=True)
class Lists:
    """A profile's lists as kernels want them; `None` where it has none."""

    phrases: Automaton | None = None
    stop_words: np.ndarray | None = None
    suffixes: Suffixes | None = None
    function_words: np.ndarray | None = None
    articles: np.ndarray | None = None
    particles: Suffixes | None = None


def measure(
    data: np.ndarray, offsets: np.ndarray, spans: WordSpans, lists: Lists, hangul: bool
) -> dict[str, np.ndarray]:
    """Statistics of documents.

    Quotients are those of Python's own division of the same whole numbers, so that a comparison
    with a limit gives what datatrove gives.

    Args:
        data: UTF-8, uint8 [bytes].
        offsets: where each document starts, int64 [documents + 1].
        spans: words of each document.
        lists: for the statistics that need one, which are left out without it.
        hangul: suffixes are looked for in words with Hangul alone.

    Returns:
        float64 [documents] each, by name, in the order of `STATISTICS`.
    """
    line, script = count_lines(data, offsets), count_script(data, offsets)
    words = measure_words(spans)
    some_words, word_characters, alpha_words = words.counts
    all_words = np.diff(spans.bounds)
    repeated = repeated_characters(words, spans.bounds)
    characters, visible, letters = (
        line[Line.CHARACTERS],
        script[Script.VISIBLE],
        script[Script.LETTERS],
    )
    found = {
        "characters": characters.astype(np.float64),
        "words": some_words.astype(np.float64),
        "mean_word_length": _per(word_characters, some_words),
        "hash_word_ratio": _per(line[Line.HASHES], all_words),
        "ellipsis_word_ratio": _per(line[Line.ELLIPSES], all_words),
        "bullet_line_frac": _per(line[Line.BULLET_LINES], line[Line.SPLIT_LINES]),
        "table_line_frac": _per(line[Line.TABLE_LINES], line[Line.SPLIT_LINES]),
        "point_line_frac": _per(line[Line.POINT_LINES], line[Line.SPLIT_LINES]),
        "ellipsis_line_frac": _per(line[Line.ELLIPSIS_LINES], line[Line.SPLIT_LINES]),
        "alpha_word_frac": _per(alpha_words, all_words),
        "dup_para_frac": _per(line[Line.DUPLICATE_PARAGRAPHS], line[Line.PARAGRAPHS]),
        "dup_para_char_frac": _per(line[Line.DUPLICATE_PARAGRAPH_CHARACTERS], characters),
        "dup_line_frac": _per(line[Line.DUPLICATE_LINES], line[Line.LINES]),
        "dup_line_char_frac": _per(line[Line.DUPLICATE_LINE_CHARACTERS], characters),
        "line_punct_frac": _per(line[Line.TERMINAL_LINES], line[Line.FILLED_LINES]),
        "short_line_frac": _per(line[Line.SHORT_LINES], line[Line.FILLED_LINES]),
        "char_dup_frac": _per(
            line[Line.DUPLICATE_FILLED_CHARACTERS], characters - line[Line.LINE_FEEDS]
        ),
        "newline_word_ratio": _per(line[Line.LINE_FEEDS], all_words),
        "symbol_frac": _per(script[Script.SYMBOLS], visible),
        "number_frac": _per(script[Script.NUMBERS], visible),
        "code_frac": _per(script[Script.CODE], visible),
        "url_frac": _per(script[Script.URLS], visible),
        "longest_run": script[Script.LONGEST_RUN].astype(np.float64),
        "mojibake_frac": _per(script[Script.MOJIBAKE], visible),
        "replacement_frac": _per(script[Script.REPLACEMENTS], visible),
        "control_frac": _per(script[Script.CONTROLS], characters),
        "hangul_frac": _per(script[Script.HANGUL], letters),
        "compatibility_jamo_frac": _per(script[Script.COMPATIBILITY_JAMO], letters),
        "conjoining_jamo_frac": _per(script[Script.CONJOINING_JAMO], letters),
        "rare_hangul_frac": _per(script[Script.RARE_HANGUL], script[Script.HANGUL]),
        "unspaced_hangul_frac": _per(script[Script.UNSPACED_HANGUL], script[Script.HANGUL]),
    }
    for row, n in enumerate((*TOP_N, *DUPLICATE_N)):
        name = f"top_{n}_gram_frac" if n in TOP_N else f"dup_{n}_gram_frac"
        found[name] = _per(repeated[row], characters)
    if lists.phrases is not None:
        phrases = count_phrases(data, offsets, lists.phrases)
        spam, different = phrases[Phrase.SPAM], phrases[Phrase.DIFFERENT_SPAM]
        for name, of, part, whole in (
            (
                "boilerplate_frac",
                Phrase.BOILERPLATE,
                phrases[Phrase.BOILERPLATE],
                characters - line[Line.LINE_FEEDS],
            ),
            ("spam_ratio", Phrase.SPAM, spam * (different >= _FEWEST_SPAM_PHRASES), all_words),
            ("pitch_ratio", Phrase.PITCH, phrases[Phrase.PITCH], all_words),
        ):
            if lists.phrases.has(of):
                found[name] = _per(part, whole)
    if lists.function_words is not None:
        small = find_words(words.hashes, lists.function_words)
        found["function_word_frac"] = _per(_sums(small, spans.bounds), all_words)
        if lists.articles is not None:
            articles = find_words(words.hashes, lists.articles)
            followed = np.append(small[1:], False)
            followed[spans.bounds[1:] - 1] = False  # the next word is another document's
            broken = _sums(articles & followed, spans.bounds)
            broken[broken < _FEWEST_BROKEN] = 0
            found["broken_article_frac"] = _per(broken, _sums(articles, spans.bounds))
    if lists.particles is not None:
        ends, unfinished = count_suffixed(spans, words, lists.particles, hangul, last=True)
        unfinished[unfinished < _FEWEST_BROKEN] = 0
        found["unfinished_frac"] = _per(unfinished, ends)
    if lists.stop_words is not None:
        stop = count_stop_words(words.hashes, spans.bounds, lists.stop_words)
        found["stop_words"] = stop.astype(np.float64)
    if lists.suffixes is not None:
        looked_at, suffixed = count_suffixed(spans, words, lists.suffixes, hangul)
        found["suffix_word_frac"] = _per(suffixed, looked_at)
    return {name: found[name] for name in STATISTICS if name in found}


def _sums(words: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """How many words of each document are true, int64 [documents]."""
    total = np.append(0, np.cumsum(words))
    return total[bounds[1:]] - total[bounds[:-1]]


def _per(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole != 0)


def repeated_characters(words: WordMeasures, bounds: np.ndarray) -> np.ndarray:
    """Characters in repeated n-grams: the statistics of Gopher, by datatrove's rules, on hashes.

    Gopher: Rae et al. 2021, arXiv 2112.11446, table A1. datatrove: `GopherRepetitionFilter`, which
    counts characters of n-grams written with single spaces (the most frequent one) or with nothing
    between their words (those seen before). Every n-gram of every document is looked up once per n,
    in a hash table that all documents share and that is never cleared: an entry belongs to
    whoever's number it carries. Two different n-grams of a document are taken for the same with a
    probability of about 2**-61 (n-grams)**2.

    Args:
        words: of all documents.
        bounds: first word of each document, int64 [documents + 1].

    Returns:
        int64 [9, documents]: for n of 2, 3, 4 those of the most frequent n-gram, times how often it
        occurs; for n of 5 to 10 those of n-grams that occurred before, none counted twice.
    """
    longest = int(np.diff(bounds).max(initial=0))
    size = 1 << max(4, (2 * longest - 1).bit_length())
    return _repeated(words.hashes, words.powers, words.lengths, bounds, size)


@kernel
def _repeated(
    hashes: np.ndarray, powers: np.ndarray, lengths: np.ndarray, bounds: np.ndarray, size: int
) -> np.ndarray:
    documents = len(bounds) - 1
    found = np.zeros((len(TOP_N) + len(DUPLICATE_N), documents), np.int64)
    keys = np.empty(size, np.uint64)
    owners = np.zeros(size, np.int64)
    counts = np.empty(size, np.int64)
    firsts = np.empty(size, np.int64)
    most = (size >> 1) + 1
    apart = np.empty(most, np.uint64)  # of n-grams as tuples of words
    together = np.empty(most, np.uint64)  # of n-grams written together
    characters = np.empty(most + 1, np.int64)
    owner = 0
    for document in range(documents):
        start = bounds[document]
        n_words = bounds[document + 1] - start
        # A part of the table is enough for a short document, and stays in the cache.
        room = 16
        while room < 2 * n_words:
            room *= 2
        mask = np.uint64(room - 1)
        characters[0] = 0
        for i in range(n_words):
            apart[i] = together[i] = hashes[start + i]
            characters[i + 1] = characters[i] + lengths[start + i]
        for n in range(2, DUPLICATE_N[-1] + 1):
            n_grams = n_words - n + 1
            if n_grams < 1:
                break
            owner += 1
            for i in range(n_grams):
                last = start + i + n - 1
                together[i] = together[i] * powers[last] + hashes[last]
            if n <= TOP_N[-1]:
                highest, best = 0, 0
                for i in range(n_grams):
                    key = mix(apart[i]) + hashes[start + i + n - 1]
                    apart[i] = key
                    key = mix(key)
                    place = key & mask
                    while owners[place] == owner and keys[place] != key:
                        place = (place + np.uint64(1)) & mask
                    if owners[place] != owner:
                        owners[place] = owner
                        keys[place] = key
                        counts[place] = 0
                        firsts[place] = i
                    counts[place] += 1
                    # Of the equally frequent, the one seen first, as in Counter.most_common.
                    if counts[place] > highest or (
                        counts[place] == highest and firsts[place] < best
                    ):
                        highest, best = counts[place], firsts[place]
                own = characters[best + n] - characters[best] + n - 1
                found[n - TOP_N[0], document] = own * highest
            else:
                total, i = 0, 0
                while i < n_grams:
                    key = mix(together[i])
                    place = key & mask
                    while owners[place] == owner and keys[place] != key:
                        place = (place + np.uint64(1)) & mask
                    if owners[place] == owner:
                        total += characters[i + n] - characters[i]
                        i += n
                    else:
                        owners[place] = owner
                        keys[place] = key
                        i += 1
                found[n - TOP_N[0], document] = total
    return found
