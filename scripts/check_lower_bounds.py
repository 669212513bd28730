"""Is each lower bound in setup.cfg true? Runs tests with a package at its bound, the rest as it is.

    python scripts/check_lower_bounds.py                        # every bound, one after the other
    python scripts/check_lower_bounds.py transformers==5.16     # one version, to find the bound
    python scripts/check_lower_bounds.py accelerate -- tests/recipes -k "not fsdp"

The package, and what it needs that is not installed in a fitting version, goes into a folder before
the installed ones on Python's path; the environment stays as it is. What comes after `--` goes to
pytest; by default the tests of the model, of training's engine and of its stages.
"""

import argparse
import configparser
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
TESTS = ["tests/modeling_kormo", "tests/recipes", "-x"]


def bounds() -> dict[str, str]:
    """Read the lower bounds of setup.cfg: `name==version` by name."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    extras = parser["options.extras_require"]
    lists = (parser["options"]["install_requires"], *(extras[e] for e in ("data", "train", "eval")))
    found = {}
    for requirement in map(Requirement, "\n".join(lists).split()):
        for specifier in requirement.specifier:
            if specifier.operator == ">=":
                found[requirement.name] = f"{requirement.name}=={specifier.version}"
    return found


def _installed(name: str, overlay: Path) -> Distribution | None:
    in_overlay = list(distributions(name=name, path=[str(overlay)]))
    try:
        return in_overlay[0] if in_overlay else distribution(name)
    except PackageNotFoundError:
        return None


def unmet(overlay: Path) -> Iterator[str]:
    """Find what the packages in the overlay need and would not get."""
    for package in distributions(path=[str(overlay)]):
        for requirement in map(Requirement, package.requires or []):
            if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
                continue
            found = _installed(requirement.name, overlay)
            if not found or not requirement.specifier.contains(found.version, prereleases=True):
                yield f"{requirement.name}{requirement.specifier}"


def install(overlay: Path, requirement: str) -> None:
    """Put a package into the overlay, and nothing that it needs."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--upgrade", "--target", str(overlay), requirement]
    subprocess.run(command, check=True)


def check(requirement: str, tests: list[str]) -> bool:
    """Run tests with one package in another version; whether they pass."""
    with tempfile.TemporaryDirectory() as directory:
        overlay = Path(directory)
        install(overlay, requirement)
        while missing := next(unmet(overlay), None):
            print(f"{requirement} needs {missing}", flush=True)
            install(overlay, missing)
        path = os.pathsep.join([str(overlay), str(ROOT)])
        # In a site directory of its own the overlay would come after the installed packages.
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *tests],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        )
    return result.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("packages", nargs="*", metavar="PACKAGE[==VERSION]", help="default: all")
    words = sys.argv[1:]
    given = words[: words.index("--")] if "--" in words else words
    tests = words[len(given) + 1 :]
    asked = parser.parse_args(given).packages
    known = bounds()
    if unknown := [name for name in asked if "==" not in name and name not in known]:
        sys.exit(f"error: no lower bound of {', '.join(unknown)} in setup.cfg")
    results = {}
    for name in asked or known:
        requirement = known.get(name, name)
        results[requirement] = check(requirement, tests or TESTS)
    for requirement, passed in results.items():
        print(f"{requirement:<32}{'passes' if passed else 'FAILS'}")
    sys.exit(0 if all(results.values()) else 1)


if __name__ == "__main__":
    main()
