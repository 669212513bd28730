"""Give a model on disk the vocabulary of a larger tokenizer, everything old left as it was.

    kormo expand-vocabulary runs/tiny/english/stage1/final runs/tiny/korean/data/tokenizer expanded
    kormo expand-vocabulary --init random meta-llama/Meta-Llama-3-8B my/tokenizer expanded

The tokenizer must continue the model's, as `kormo data expand-tokenizer` makes it. Embedding and
output head get rows for the new tokens: spare ones if the model has enough, else more, up to a
multiple of 256. `kormo train expand` then teaches them.
"""

from pathlib import Path

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError, errors_about
from data_recipes.common.files import git_commit, write_json_atomically
from recipes.command_line import exit_on_error
from recipes.model_files import check_new, find_model, inherited_lineage, new_model

_INITIALISATIONS = ("mean", "random", "default", "eeve")  # those of modeling_kormo.vocabulary


def expand_command(argv: list[str] | None = None) -> None:
    """Read the arguments, then expand into a folder that appears under its name when whole.

    Raises:
        RecipeError: a model or tokenizer that does not fit, a folder that is not empty or that
            another run is writing, a full disk.
    """
    parser = documented_parser(__doc__)
    parser.add_argument("model", help="model directory or Hub id, with an optional @revision")
    parser.add_argument("tokenizer", help="directory of the larger tokenizer, or Hub id")
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--init", choices=_INITIALISATIONS, default="mean", help="of new rows (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=42, help="of random ones (%(default)s)")
    args = parser.parse_args(argv)
    out: Path = args.out
    check_new(out)
    directory = find_model(args.model, weights=True)

    # torch and transformers take seconds to load: a mistake above is told without them.
    import modeling_kormo  # noqa: F401  registers KORMo
    from data_recipes.tokenizer.load import (
        check_continuation,
        padded_vocab_size,
        read_tokenizer,
        tokenizer_hash,
    )
    from modeling_kormo.export import save_tokenizer
    from modeling_kormo.vocabulary import NewRows, expand_files, sub_tokens, vocabulary_matrices
    from recipes.inputs import hash_weights
    from recipes.opened_run import LINEAGE

    with errors_about(args.model):
        *_, (rows, _) = vocabulary_matrices(directory)
    old, new = read_tokenizer(directory), read_tokenizer(args.tokenizer)
    check_continuation(old, new, args.tokenizer)
    if len(old) > rows:
        raise RecipeError(
            f"{args.model}: its tokenizer has {len(old):,} tokens, its embedding {rows:,} rows; "
            "take the tokenizer that it was trained with"
        )
    total = rows if len(new) <= rows else padded_vocab_size(len(new))
    plan = NewRows(len(old), sub_tokens(old, new), total)
    if new.chat_template is None:
        new.chat_template = old.chat_template
    with new_model(out, "OUT") as staging:
        with errors_about(args.model):
            more = expand_files(directory, staging, plan, args.init, args.seed)
        save_tokenizer(new, staging)
        lineage = inherited_lineage(directory, args.model, "expand-vocabulary")
        vocabulary = {
            "of": args.model,
            "first_new": plan.known,
            "new_tokens": len(plan.parts),
            "init": args.init,
            "seed": args.seed,
            "commit": git_commit(),
        }
        if "parameters" in lineage:
            lineage["parameters"] += more
        record = {
            "vocabulary": vocabulary,
            "tokenizer_sha256": tokenizer_hash(staging),
            "weights_sha256": hash_weights(staging),
        }
        write_json_atomically(staging / LINEAGE, lineage | record)
    print(
        f"{out}: {len(old):,} -> {len(new):,} tokens, {rows:,} -> {total:,} rows; set "
        f"model.shape.vocab_size to {total}"
    )


if __name__ == "__main__":
    exit_on_error(expand_command)
