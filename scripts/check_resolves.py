"""Does the pinned set install on every Python and platform that setup.cfg names? Needs `uv`.

    python scripts/check_resolves.py                # a line for each; only metadata is read
    python scripts/check_resolves.py --lock         # write requirements.lock and -torch.lock

Resolves what trains, evaluates, tests and makes the pages under constraints.txt, with wheels alone
but for three pure Python packages that publish none. The lock files hold the same set with hashes,
for each Python and platform: torch and its CUDA libraries apart, because their build is the
machine's choice (docs/install.md).
"""

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-manylinux_2_28", "aarch64-manylinux_2_28", "aarch64-apple-darwin")
SOURCE_ONLY = ("sqlitedict", "rouge-score", "word2number")  # lm-eval's
EXTRAS = ("test", "docs")  # kiwi has no wheels for macOS and for Python 3.14
# Wheels of torch for a Mac are built for macOS 14; uv takes 13 unless told otherwise.
_ENVIRONMENT = {"MACOSX_DEPLOYMENT_TARGET": "14.0"}
_TORCH = re.compile(r"^(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==", re.M)


def requirements(extras: tuple[str, ...]) -> list[str]:
    """Read what setup.cfg asks for with some extras, those that they name within included."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    found = parser["options"]["install_requires"].split()
    for extra in extras:
        for line in parser["options.extras_require"][extra].split():
            inner = re.fullmatch(r"kormo-recipes\[(.*)\]", line)
            found += requirements(tuple(inner[1].split(","))) if inner else [line]
    return sorted(set(found))


def _resolve(wanted: Path, *options: str) -> subprocess.CompletedProcess[str]:
    sources = [word for name in SOURCE_ONLY for word in ("--no-binary", name)]
    command = ["uv", "pip", "compile", "--quiet", "--only-binary", ":all:", *sources]
    command += ["--constraint", str(ROOT / "constraints.txt"), *options, str(wanted)]
    environment = {**os.environ, **_ENVIRONMENT}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def _check(wanted: Path) -> bool:
    good = True
    for python in PYTHONS:
        for platform in PLATFORMS:
            done = _resolve(wanted, "--python-version", python, "--python-platform", platform)
            packages = sum("==" in line and line[0] != " " for line in done.stdout.splitlines())
            good &= not done.returncode
            said = f"{packages} packages" if not done.returncode else done.stderr.strip()
            print(f"{python}  {platform:<24}{said}", flush=True)
    return good


def _lock(wanted: Path) -> None:
    done = _resolve(
        wanted, "--universal", "--python-version", PYTHONS[0], "--generate-hashes", "--no-annotate"
    )
    if done.returncode:
        sys.exit(f"error: {done.stderr.strip()}")
    # A package is a line and its hashes, which are indented.
    packages = re.split(
        r"^(?=[A-Za-z0-9])", re.sub(r"^#.*\n", "", done.stdout, flags=re.M), flags=re.M
    )
    head = "# Made by scripts/check_resolves.py --lock; install as docs/install.md says.\n"
    for name, of_torch in (("requirements.lock", False), ("requirements-torch.lock", True)):
        own = [p for p in packages if p and bool(_TORCH.match(p)) is of_torch]
        (ROOT / name).write_text(head + "".join(own), encoding="utf-8")
        print(f"{name}: {len(own)} packages")


def main() -> None:
    """Check, or write the lock files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lock", action="store_true", help="write the lock files")
    args = parser.parse_args()
    if not shutil.which("uv"):
        sys.exit("error: needs uv; get it with\n  pip install uv")
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.in"
        wanted.write_text("\n".join(requirements(EXTRAS)), encoding="utf-8")
        if args.lock:
            _lock(wanted)
        elif not _check(wanted):
            sys.exit(1)


if __name__ == "__main__":
    main()
