"""Names of models: a directory, or a Hub id with an optional revision."""

from pathlib import Path


def split_revision(reference: str) -> tuple[str, str]:
    """`name@revision` of a Hub id; a local directory is taken as it is."""
    if Path(reference).exists():
        return reference, "main"
    name, _, revision = reference.partition("@")
    return name, revision or "main"
