"""Which evaluation items stand in the text that a checkpoint was trained on.

    python -m eval.contamination --model runs/tiny/sft/final --items my_items.jsonl \\
        --columns question choices --out runs/tiny/contamination
    python -m eval.contamination --model runs/10b/sft/final --suite ko --data-dir DIR --out DIR2

Follows the lineage in `final/` to the data of every stage, pretraining and chat. Writes
report.json, report.md and report.html. A run that was stopped goes on with the sources that are
missing.
"""

import argparse
from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError
from data_recipes.common.terminal import align, run_command
from data_recipes.decontaminate.config import DecontaminateConfig

from .corpora import Corpus
from .items import from_data_dir, sets_of_file, sets_of_suite
from .lineage import corpora, history
from .report import PAGE, make_report, table, write_report
from .search import Search


def _arguments() -> argparse.Namespace:
    parser = documented_parser(__doc__, "eval.contamination")
    parser.add_argument("--model", type=Path, required=True, help="a stage's final/ directory")
    parser.add_argument("--out", type=Path, required=True, help="to write, or to go on in")
    parser.add_argument("--suite", nargs="+", default=[], help="suites, e.g. ko en")
    parser.add_argument(
        "--items",
        type=Path,
        nargs="+",
        default=[],
        help="JSONL or Parquet with items, or YAML with a list of `evaluation_sets`",
    )
    parser.add_argument(
        "--columns",
        nargs="+",
        default=["question"],
        help="columns with text, of JSONL and Parquet (%(default)s)",
    )
    parser.add_argument("--data-dir", type=Path, help="copies of Hub data sets (eval.local_data)")
    parser.add_argument(
        "--root",
        type=Path,
        default=Path("."),
        help="what relative paths in recipes start from: where training ran (%(default)s)",
    )
    return parser.parse_args()


def main() -> None:
    args = _arguments()
    sets = [own for name in args.suite for own in sets_of_suite(name)]
    sets += [own for path in args.items for own in sets_of_file(path, args.columns)]
    if not sets:
        raise RecipeError("nothing to look for: give --suite or --items")
    if args.data_dir:
        sets = from_data_dir(sets, args.data_dir)
    stages, unknown_parent = history(args.model, args.root)
    data: dict[str, Corpus] = {}
    by_stage: dict[str, list[str]] = {}
    for stage in stages:
        own = corpora(stage, args.root)
        data |= {corpus.name: corpus for corpus in own}
        # A stage that was done twice, as DPO after DPO, keeps both.
        again = sum(name.partition(" ")[0] == stage.name for name in by_stage)
        label = f"{stage.name} ({again + 1})" if again else stage.name
        by_stage[label] = [corpus.name for corpus in own]
    config = DecontaminateConfig(evaluation_sets=sets)
    search = Search(config, args.out)
    found = search.run(list(data.values()))
    report = make_report(config, search.index, found, by_stage, unknown_parent)
    write_report(report, str(args.model), args.out)
    print(align(table(report)))
    if unknown_parent:
        print(f"not searched: what {unknown_parent} was trained on before these stages")
    print(args.out / PAGE)


if __name__ == "__main__":
    run_command(main, "eval")
