"""Models on disk made of models on disk: what growing, expanding, averaging and exporting share.

Loads no torch: what is wrong with the arguments is told at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from data_recipes.common.errors import RecipeError
from data_recipes.common.files import DirectoryLock, staged_folder
from data_recipes.common.references import is_hub_id, split_revision


def find_model(name: str, weights: bool) -> Path:
    """Return the directory of a model; one from the Hub is fetched, without weights for a plan.

    Raises:
        RecipeError: no model, or an adapter.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    directory, patterns = Path(name), ["*.json", "*.jinja", "*.py"]
    if not directory.exists() and is_hub_id(name):
        hub_id, revision = split_revision(name)
        patterns += ["*.safetensors"] if weights else []
        try:
            directory = Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
        except (HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise RecipeError(f"{name}: cannot be fetched from the Hub ({error})") from error
    if (directory / "adapter_config.json").is_file():
        raise RecipeError(
            f"{name}: is an adapter; merge it first: kormo export --as kormo --adapter {name} …"
        )
    if not (directory / "config.json").is_file():
        raise RecipeError(f"{name}: no model directory (it has no config.json)")
    return directory


def check_new(out: Path) -> None:
    """Refuse to write where something is.

    Raises:
        RecipeError: it is not empty.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(f"{out} is not empty; choose another directory")


@contextmanager
def new_model(out: Path, option: str) -> Iterator[Path]:
    """Yield a folder to write a model into, which gets its name when it is whole.

    Args:
        out: its name.
        option: of the command line, for messages.

    Raises:
        RecipeError: another run is writing it, or the disk is full.
    """
    with DirectoryLock(out.parent, option, f".{out.name}.lock"), staged_folder(out) as staging:
        yield staging


def inherited_lineage(directory: Path, name: str, stage: str) -> dict[str, Any]:
    """The history of weights that were changed, and trained on nothing since.

    Args:
        directory: of the model before.
        name: as it was called.
        stage: what is said of one that has no history.
    """
    from recipes.engine.handover import read_lineage

    return read_lineage(str(directory)) or {
        "stage": stage,
        "parent": name,
        "parent_lineage": None,
        "tokens": 0,
        "tokens_in_all": 0,
        "data_fingerprint": None,
    }
