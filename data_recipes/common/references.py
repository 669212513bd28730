"""Names of models: a directory, or a Hub id with an optional revision."""

from pathlib import Path

from .errors import RecipeError


def is_hub_id(reference: str) -> bool:
    """Whether a name that is no directory is meant as one of the Hub's.

    Hub ids have one slash; a path that was meant as one has more, or begins with `.` or `/`.
    """
    return reference.count("/") == 1 and not reference.startswith((".", "/"))


def split_revision(reference: str) -> tuple[str, str]:
    """Split `name@revision` of a Hub id; a local directory is taken as it is."""
    if Path(reference).exists():
        return reference, "main"
    name, _, revision = reference.partition("@")
    return name, revision or "main"


def check_model(reference: str) -> None:
    """Refuse what is neither a directory nor the form of a Hub id, before anything is loaded.

    Raises:
        RecipeError: no such directory.
    """
    if not Path(reference).is_dir() and not is_hub_id(reference):
        raise RecipeError(f"{reference}: no such model directory, and no Hub id (owner/name)")
