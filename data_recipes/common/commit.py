"""Which version of this code is running."""

import subprocess
from pathlib import Path


def git_commit() -> str | None:
    """Commit of the recipes, with `+changes` if the tree differs; `None` outside a checkout."""
    here = Path(__file__).parent
    try:
        commit, status = (
            subprocess.run(
                ["git", *command], cwd=here, capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}+changes" if status else commit
