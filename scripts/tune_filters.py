"""Show what a filter profile does to your text, to choose its limits by.

    python scripts/tune_filters.py --profile ko_eojeol text.jsonl [more files]

Prints percentiles of every statistic, the share of documents that each limit alone keeps, and the
first reasons of all limits together. `--damage` breaks the kept documents in known ways (wrong
encodings, repetition, menus, ...) and prints the share that is caught; `--compare` prints how far
another profile of the language agrees.
"""

import argparse
import random
import sys

import numpy as np

from data_recipes.common.errors import RecipeError
from data_recipes.filter.judge import Judge
from data_recipes.filter.profiles import load_profile
from data_recipes.filter.tuning import (
    agreement_table,
    catch_rates,
    catch_table,
    keep_table,
    percentile_table,
    reason_table,
    reasons_of,
    statistics_of,
)
from data_recipes.read.files import read_texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="+", help="text files as recipes take them")
    parser.add_argument("--profile", required=True, help="name of a shipped profile, or a file")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--documents", type=int, help="look at this many, drawn at random")
    parser.add_argument("--min-words", type=int, default=0, help="look at longer ones alone")
    parser.add_argument("--damage", action="store_true", help="also show what is caught of damage")
    parser.add_argument("--compare", help="another profile of the language")
    args = parser.parse_args()
    judge = Judge(load_profile(args.profile))
    texts = [text for path in args.files for text in read_texts(path, args.text_column)]
    if args.documents and args.documents < len(texts):
        texts = random.Random(0).sample(texts, args.documents)
    found = statistics_of(judge, texts)
    if args.min_words:
        long = np.flatnonzero(found["words"] >= args.min_words)
        texts = [texts[i] for i in long]
        found = {name: values[long] for name, values in found.items()}
    if not texts:
        raise RecipeError(f"no text of at least {args.min_words} words in {', '.join(args.files)}")
    reasons = reasons_of(judge, texts)
    print(f"{len(texts):,} documents\n\n{percentile_table(found)}")
    print(f"\n{keep_table(found, judge.profile)}\n\n{reason_table(reasons)}")
    if args.compare:
        print(f"\n{agreement_table(reasons, reasons_of(Judge(load_profile(args.compare)), texts))}")
    if args.damage:
        print(f"\n{catch_table(catch_rates(judge, texts))}")


if __name__ == "__main__":
    try:
        main()
    except RecipeError as error:
        sys.exit(f"error: {error}")
