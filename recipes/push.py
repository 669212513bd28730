"""Push a model directory to the Hugging Face Hub, with its card.

`kormo publish` does so with every checkpoint of a run.

python -m recipes.push runs/tiny/sft/final OWNER/NAME --dry-run
python -m recipes.push runs/tiny/sft/final OWNER/NAME --private
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from data_recipes.common.config_files import documented_parser
from data_recipes.common.errors import RecipeError, errors_about
from recipes.command_line import exit_on_error

_WHOLE = ("config.json", "generation_config.json", "tokenizer.json", "README.md")
_INDEX = "model.safetensors.index.json"
# What transformers loads weights from, of a model and of an adapter on it.
_WEIGHTS = re.compile(r"(adapter_)?model[^/]*\.safetensors(\.index\.json)?|adapter_config\.json")
# Of what a branch has from main: no part of a model, which has no folders.
_KEPT = re.compile(r".*/.*|\.gitattributes|(licen[cs]e|notice).*", re.IGNORECASE)
_TRAINING_STATE = re.compile(
    r"(optimizer|scheduler|scaler|trainer_state|training_args|rng_state|global_step|checkpoint-"
    r"|fingerprint|running_average|pytorch_model_fsdp|events\.out)"
)


def files_to_push(directory: Path) -> list[Path]:
    """List the files of a model directory, all of which will be public or shared.

    Raises:
        RecipeError: not a whole model directory, or one with files that do not belong there.
    """
    if not directory.is_dir():
        raise RecipeError(f"{directory}: no such directory; name the final/ of a stage")
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    names = [p.relative_to(directory).as_posix() for p in files]
    state = next((n for n in names if any(map(_TRAINING_STATE.match, n.split("/")))), None)
    if state:
        raise RecipeError(f"{directory}: {state} is training state; push the final/ of the run")
    missing = [n for n in (*_WHOLE, *_shards(directory)) if n not in names]
    if missing:
        raise RecipeError(
            f"{directory}: not a whole model directory, it lacks {', '.join(missing)}; push the "
            "final/ that a stage wrote"
        )
    # The Hub itself scans for keys; a hidden file is none that a stage wrote.
    hidden = next((n for n in names if any(part.startswith(".") for part in n.split("/"))), None)
    if hidden:
        raise RecipeError(f"{directory}: {hidden} does not belong on the Hub; move it away")
    return files


def _shards(directory: Path) -> list[str]:
    index = directory / _INDEX
    if not index.is_file():
        return ["model.safetensors"]
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecipeError(f"{index}: damaged; push the final/ that a stage wrote") from error


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """Say in one line what keeps the Hub from doing what it is asked.

    Raises:
        RecipeError: it refused, or cannot be reached.
    """
    try:
        yield
    except (HfHubHTTPError, RuntimeError) as error:  # the latter while it uploads a large file
        raise RecipeError(
            f"{repo}: the Hub refused ({error}); check the owner, and with `hf auth whoami` that "
            "the token may write there"
        ) from error
    except (HTTPError, ConnectionError) as error:  # of the client beneath, as it is; offline mode
        raise RecipeError(
            f"{repo}: the Hub cannot be reached ({error}); run the same command again when it can"
        ) from error


def check_repository(repo: str) -> None:
    """Refuse what is no name of a repository.

    Raises:
        RecipeError: says why.
    """
    with errors_about(repo, HFValidationError):
        validate_repo_id(repo)
    if "/" not in repo:
        raise RecipeError(f"{repo}: name the owner too, as in OWNER/NAME")


def name_repository(card: str, repo: str, revision: str | None) -> str:
    """Return a model card whose usage text loads from the Hub, not from the card's own directory.

    Args:
        card: as `recipes/engine/handover.py` writes it.
        repo: `OWNER/NAME`.
        revision: branch that it goes to; `None` is `main`.
    """
    card = re.sub(r'^# "\." is this directory.*\n', "", card, flags=re.M)
    place = f'"{repo}", revision="{revision}"' if revision else f'"{repo}"'
    return card.replace('from_pretrained("."', f"from_pretrained({place}")


def _additions(directory: Path, repo: str, revision: str | None) -> list[CommitOperationAdd]:
    additions = []
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        content: Path | bytes = path
        if name == "README.md":
            content = name_repository(path.read_text(encoding="utf-8"), repo, revision).encode()
        additions.append(CommitOperationAdd(name, content))
    return additions


def _outdated(
    api: HfApi, repo: str, revision: str | None, names: set[str]
) -> list[CommitOperationDelete]:
    """List what would be taken for a part of the model that is pushed, and is none.

    Args:
        api: of the Hub.
        repo: `OWNER/NAME`.
        revision: branch that it goes to; `None` is `main`.
        names: of the files that are pushed.
    """

    def blobs(branch: str | None) -> dict[str, str]:
        tree = api.list_repo_tree(repo, recursive=True, revision=branch)
        return {file.path: file.blob_id for file in tree if hasattr(file, "blob_id")}

    there = blobs(revision)
    # transformers takes `model.safetensors` before shards, and an adapter that lies beside.
    wrong = {name for name in there if _WEIGHTS.fullmatch(name)}
    if revision:
        # A branch begins as a copy of main, whose lineage and card are of another model.
        copied = blobs(None)
        wrong |= {name for name, blob in there.items() if copied.get(name) == blob}
    return [CommitOperationDelete(n) for n in sorted(wrong - names) if not _KEPT.fullmatch(n)]


def push(
    directory: Path, repo: str, private: bool, revision: str | None, whole: bool = True
) -> str:
    """Create the repository if need be, and upload the directory in one commit.

    Weights of another model leave with the same commit, and what a branch has from `main` but
    licences and folders.

    Args:
        directory: what is uploaded.
        repo: `OWNER/NAME`.
        private: if the repository is new.
        revision: branch, created if need be; `None` is `main`.
        whole: it must be a whole model directory, and nothing else.

    Returns:
        Address of the commit.

    Raises:
        RecipeError: no token, not a model directory, or the Hub refused.
    """
    if whole:
        files_to_push(directory)
    if revision == "main":
        revision = None  # it is no copy of itself, which would leave
    if not get_token():
        raise RecipeError("no Hugging Face token: run `hf auth login`, with a token that may write")
    api = HfApi()
    with hub_errors(repo):
        api.create_repo(repo, private=private, exist_ok=True)
        if revision:
            api.create_branch(repo, branch=revision, exist_ok=True)
        operations: list[CommitOperationAdd | CommitOperationDelete]
        operations = [*_additions(directory, repo, revision)]
        names = {addition.path_in_repo for addition in operations}
        if any(map(_WEIGHTS.fullmatch, names)):
            operations += _outdated(api, repo, revision, names)
        commit = api.create_commit(
            repo,
            operations,
            commit_message=f"Upload {directory.name}",
            revision=revision,
        )
    return commit.commit_url


def main() -> None:
    parser = documented_parser(__doc__)
    parser.add_argument("directory", type=Path, metavar="MODEL_DIR")
    parser.add_argument("repo", metavar="OWNER/NAME")
    parser.add_argument("--private", action="store_true", help="if the repository is new")
    parser.add_argument("--revision", help="branch, created if need be (default: main)")
    parser.add_argument("--dry-run", action="store_true", help="list what would go, and exit")
    args = parser.parse_args()
    check_repository(args.repo)
    files = files_to_push(args.directory)
    for path in files:
        print(f"{path.stat().st_size:>16,}  {path.relative_to(args.directory)}")
    if args.dry_run:
        total = sum(path.stat().st_size for path in files)
        print(f"{total:>16,}  bytes would go to {args.repo}, {args.revision or 'main'}")
    else:
        print(push(args.directory, args.repo, args.private, args.revision))


if __name__ == "__main__":
    exit_on_error(main)
