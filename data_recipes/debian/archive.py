"""Packages and indexes of a Debian archive, fetched and verified by apt, and not installed."""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from ..common.errors import RecipeError

_APT_HELPER = "/usr/lib/apt/apt-helper"

# Every path that `update` and `download` write is the work directory's, so the system's own
# package lists stay as they are. Container images turn translations off and hooks on in
# /etc/apt, hence #clear. The sandbox user could not write below a user's own directory.
_CONFIG = """\
#clear Acquire::Languages;
Acquire::Languages {{ {languages} }};
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Sandbox::User "root";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "{state}/status";
Dir::Cache "{state}/cache";
Dir::Cache::archives "{state}/cache/archives";
"""


@dataclass(frozen=True)
class Package:
    """What was fetched: `name`, `version` and where it lies."""

    name: str
    version: str
    path: Path

    def members(self, pattern: str) -> list[tuple[str, bytes]]:
        """Unpack in memory the regular files of a .deb whose whole path matches `pattern`.

        Returns:
            (path, content) pairs, sorted by path; paths begin without a slash.

        Raises:
            RecipeError: `dpkg-deb` cannot unpack it.
        """
        matches = re.compile(pattern).fullmatch
        command = ["dpkg-deb", "--fsys-tarfile", str(self.path)]
        found = None
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            try:
                with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                    found = [
                        (name, tar.extractfile(member).read())
                        for member in tar
                        if member.isfile() and matches(name := member.name.removeprefix("./"))
                    ]
            except tarfile.TarError:
                process.kill()
        if process.returncode or found is None:
            raise RecipeError(f"{self.path}: dpkg-deb cannot unpack it; delete it and run again")
        return sorted(found)


class Archive:
    """The archive that this machine's apt knows. Needs no rights beyond writing to `work_dir`.

    Args:
        work_dir: keeps what was fetched, so that a killed run goes on where it was.
        languages: whose package descriptions `update` fetches, e.g. "ko", "pt_BR".
    """

    def __init__(self, work_dir: Path, languages: tuple[str, ...] = ()) -> None:
        self._debs, state = work_dir / "debs", work_dir / "apt"
        for directory in (self._debs, state / "lists/partial", state / "cache/archives/partial"):
            directory.mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        listed = " ".join(f'"{language}";' for language in languages)
        self._config, self._languages = work_dir / "apt.conf", languages
        self._config.write_text(_CONFIG.format(state=state, languages=listed), encoding="utf-8")

    def _apt_get(self, *arguments: str, cwd: Path | None = None) -> tuple[str, str]:
        """Return what apt-get printed, and its complaints."""
        done = subprocess.run(
            ["apt-get", "-q", "-c", str(self._config), *arguments],
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
        )
        lines = done.stderr.splitlines()
        complaints = "\n".join(line for line in lines if line.startswith(("E:", "W:", "Err:")))
        if done.returncode:
            raise _unreachable(complaints or f"exit status {done.returncode}")
        return done.stdout, complaints

    def update(self) -> list[Package]:
        """Fetch the indexes (only what changed) and find the package descriptions among them.

        Returns:
            an index each, with the language in its name, as `Translation-ko`.

        Raises:
            RecipeError: the archive was not reached, with what apt said, or has no index of
                descriptions in one of the languages.
        """
        # apt exits 0 when no server answers, and goes on with what it has.
        _, complaints = self._apt_get("update")
        fields = "$(LANGUAGE)\t$(CODENAME)\t$(VERSION)\t$(FILENAME)"
        rows, _ = self._apt_get("indextargets", "--format", fields, "Created-By: Translations")
        found = [
            Package(f"Translation-{language}", f"{suite} {version}".strip(), Path(path))
            for language, suite, version, path in (row.split("\t") for row in rows.splitlines())
            if language in self._languages
        ]
        wanted = {f"Translation-{language}" for language in self._languages}
        if absent := wanted - {index.name for index in found}:
            raise _unreachable(complaints or f"it has no {' and no '.join(sorted(absent))} index")
        return found

    def fetch(self, name: str) -> Package | None:
        """Fetch the newest version of a package; `None` if this release has no such package.

        apt compares the file with the signed index. It leaves a whole one alone, goes on with
        half of one, and fetches one that was altered again.

        Raises:
            RecipeError: the download failed, with what apt said.
        """
        try:
            line, _ = self._apt_get("download", "--print-uris", name, cwd=self._config.parent)
        except RecipeError:
            # Asked of the local index only, so the one thing to go wrong is that it is not there.
            return None
        file = line.split()[1]  # 'URI' NAME_VERSION_ARCHITECTURE.deb SIZE HASH
        self._apt_get("download", name, cwd=self._debs)
        return Package(name, unquote(file.split("_")[1]), self._debs / file)


def check_tools() -> None:
    """Refuse a machine that lacks apt.

    Raises:
        RecipeError: says what is missing, and what to do instead.
    """
    absent = [tool for tool in ("apt-get", "dpkg-deb") if shutil.which(tool) is None]
    if absent:
        raise RecipeError(
            f"{' and '.join(absent)} not found: this command collects from a Debian archive "
            "and needs a Debian system. Run it in a debian container, or use what the project "
            "generates itself: `kormo data corpus` for text, `kormo data pictures --config tiny`"
        )


def fetch_packages(names: Iterable[str], work_dir: Path | None = None) -> dict[str, Package]:
    """Fetch packages that a recipe cannot do without.

    Args:
        names: of the packages.
        work_dir: keeps them; by default in the user's cache.

    Raises:
        RecipeError: not a Debian machine, an archive that is not reached or lacks one.
    """
    check_tools()
    archive = Archive((work_dir or default_work_dir()).absolute())
    archive.update()
    packages = {name: archive.fetch(name) for name in names}
    if absent := [name for name, package in packages.items() if package is None]:
        raise RecipeError(f"this Debian release has no package {absent[0]}; use --config tiny")
    return packages


def default_work_dir() -> Path:
    """Name the folder in the user's cache that keeps what was fetched."""
    # Not below an output directory: this project's readers take every text file under one.
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kormo-recipes" / "debian"


def read_index(path: Path) -> str:
    """Read a file of apt's lists, whichever way apt has compressed it.

    Raises:
        RecipeError: it cannot be read.
    """
    done = subprocess.run([_APT_HELPER, "cat-file", str(path)], capture_output=True)
    if done.returncode:
        raise RecipeError(f"{path}: cannot be read: {done.stderr.decode().strip()}")
    return done.stdout.decode("utf-8", errors="replace")


def _unreachable(complaints: str) -> RecipeError:
    tail = "\n".join(complaints.splitlines()[-5:])
    return RecipeError(
        f"apt could not fetch from the Debian archive:\n{tail}\n"
        "Check the network (a proxy goes into http_proxy) and the sources in /etc/apt, then run "
        "this again: what has been fetched is kept"
    )
