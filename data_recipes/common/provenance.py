"""What figures were made with: the version of this code, and the machine."""

import platform
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


def processor() -> str:
    """Name the processor, as the system does."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            names = (line.partition(":")[2].strip() for line in handle if "model name" in line)
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()
