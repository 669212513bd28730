"""Find the longest spans of a text that stand verbatim in the training shards, and who read them.

    kormo trace runs/tiny/stage2 "an answer of the model"
    kormo trace runs/tiny/data/shards "an answer of the model" --shortest 30
    kormo chat runs/tiny/sft/final --trace runs/tiny/stage2

Of a RUN of pretraining, the sources of its mixture are searched and the steps named that read each
span; of SHARDS, all training splits below the directory. The first search makes an index beside
each source (5 bytes for a byte of English text, 7 for the three of a Korean letter), later ones
take milliseconds.
"""

import sys
from pathlib import Path

from data_recipes.common.config_files import documented_parser, positive
from data_recipes.common.errors import RecipeError
from recipes.command_line import exit_on_error

# Characters. Our choice: shorter spans stand in any text by chance.
SHORTEST = 20


def main() -> None:
    parser = documented_parser(__doc__)
    parser.add_argument("where", type=Path, metavar="RUN_OR_SHARDS")
    parser.add_argument("text", help="what to search for; - reads it from the standard input")
    parser.add_argument(
        "--shortest", type=positive, default=SHORTEST, help="characters of a span (%(default)s)"
    )
    parser.add_argument("-n", "--number", type=positive, default=10, help="spans (%(default)s)")
    args = parser.parse_args()
    if not args.where.is_dir():
        raise RecipeError(f"{args.where}: no such directory; name a run or its shards")

    # What sorts and searches takes a second to load: a mistake above is told without it.
    from recipes.engine.tracer import Tracer

    tracer = Tracer.of(args.where)
    text = sys.stdin.read() if args.text == "-" else args.text
    for line in tracer.report(text, args.shortest, args.number):
        print(line)


if __name__ == "__main__":
    exit_on_error(main)
