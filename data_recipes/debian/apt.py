"""Indexes and packages of the Debian archive, fetched with apt but not installed."""

import hashlib
import os
import re
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

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

_URI_LINE = re.compile(r"^'[^']*' (?P<name>\S+) (?P<size>\d+) (?P<kind>\w+):(?P<digest>\w+)$", re.M)


@dataclass(frozen=True)
class Archive:
    """A .deb file as the signed package index describes it. `size` is in bytes."""

    package: str
    version: str
    file_name: str
    size: int
    hash_kind: str
    digest: str

    def is_whole(self, path: Path) -> bool:
        """Whether `path` is this file, complete and unchanged."""
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, self.hash_kind).hexdigest() == self.digest


@dataclass(frozen=True)
class TranslationIndex:
    """A Translation file of one suite, as apt has stored it."""

    language: str
    suite: str
    version: str
    path: Path


class Apt:
    """apt with its state in `work_dir`; needs no rights beyond writing there."""

    def __init__(self, work_dir: Path) -> None:
        self._debs = work_dir / "debs"
        state = work_dir / "apt"
        for directory in (self._debs, state / "lists/partial", state / "cache/archives/partial"):
            directory.mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        self._state = state
        self._config = work_dir / "apt.conf"
        self._configure(())
        self.warnings = ""

    def _configure(self, languages: tuple[str, ...]) -> None:
        listed = " ".join(f'"{language}";' for language in languages)
        config = _CONFIG.format(state=self._state, languages=listed)
        self._config.write_text(config, encoding="utf-8")

    def _run(self, *arguments: str, cwd: Path | None = None) -> str:
        done = subprocess.run(
            ["apt-get", "-q", "-c", str(self._config), *arguments],
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C"},
            capture_output=True,
            text=True,
        )
        complaints = "\n".join(
            line for line in done.stderr.splitlines() if line.startswith(("E:", "W:", "Err:"))
        )
        if done.returncode:
            raise RuntimeError(complaints or f"exit status {done.returncode}")
        self.warnings = complaints
        return done.stdout

    def update(self, languages: tuple[str, ...]) -> list[TranslationIndex]:
        """Fetch the indexes (only what changed) and name the Translation files among them.

        Raises:
            RuntimeError: the archive was not reached, with what apt said, or has no index of
                descriptions in one of the languages.
        """
        self._configure(languages)
        try:
            self._run("update")
            # apt exits 0 when no server answers, and goes on with what it has.
            complaints = self.warnings
            fields = "$(LANGUAGE)\t$(CODENAME)\t$(VERSION)\t$(FILENAME)"
            rows = self._run("indextargets", "--format", fields, "Created-By: Translations")
        except RuntimeError as error:
            raise _unreachable(str(error)) from None
        indexes = [
            TranslationIndex(language, suite, version, Path(path))
            for language, suite, version, path in (row.split("\t") for row in rows.splitlines())
            if language in languages
        ]
        if absent := set(languages) - {index.language for index in indexes}:
            names = " and no ".join(f"Translation-{language}" for language in sorted(absent))
            raise _unreachable(complaints or f"it has no {names} index")
        self.warnings = complaints
        return indexes

    def read_index(self, index: TranslationIndex) -> str:
        """Content of a Translation file, whichever way apt has compressed it."""
        done = subprocess.run([_APT_HELPER, "cat-file", str(index.path)], capture_output=True)
        if done.returncode:
            raise RuntimeError(f"{index.path}: cannot be read: {done.stderr.decode().strip()}")
        return done.stdout.decode("utf-8", errors="replace")

    def find(self, package: str) -> Archive | None:
        """The newest version of a package, or None where this release has none."""
        try:
            lines = self._run("download", "--print-uris", package)
        except RuntimeError:
            # Asked of the local index only, so the one thing to go wrong is that it is not there.
            return None
        found = _URI_LINE.search(lines)
        if found is None:
            raise RuntimeError(f"{package}: apt names no file and checksum for it: {lines.strip()}")
        return Archive(
            package=package,
            version=unquote(found["name"].split("_")[1]),
            file_name=found["name"],
            size=int(found["size"]),
            hash_kind=found["kind"].lower().removesuffix("sum"),
            digest=found["digest"],
        )

    def download(self, archive: Archive) -> Path:
        """Path of the .deb file, from an earlier run if that one had fetched all of it.

        Raises:
            RuntimeError: the download failed, with what apt said.
        """
        target = self._debs / archive.file_name
        if archive.is_whole(target):
            return target
        # A killed download leaves its part in a directory that no run looks into again.
        with tempfile.TemporaryDirectory(dir=self._debs, prefix="partial-") as directory:
            try:
                self._run("download", f"{archive.package}={archive.version}", cwd=Path(directory))
            except RuntimeError as error:
                raise _unreachable(str(error)) from None
            fetched = Path(directory) / archive.file_name
            if not archive.is_whole(fetched):
                raise _unreachable(f"{archive.file_name} differs from the package index")
            os.replace(fetched, target)
        return target


def _unreachable(complaints: str) -> RuntimeError:
    tail = "\n".join(complaints.splitlines()[-5:])
    return RuntimeError(
        f"apt could not fetch from the Debian archive:\n{tail}\n"
        "Check the network (a proxy goes into http_proxy) and the sources in /etc/apt, then run "
        "this again: what has been fetched is kept"
    )


def read_members(deb: Path, pattern: str) -> list[tuple[str, bytes]]:
    """(path, content) of the regular files in a .deb whose path matches, sorted by path."""
    matches = re.compile(pattern).fullmatch
    members = []
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(deb)], stdout=subprocess.PIPE
    ) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
            for member in tar:
                name = member.name.removeprefix("./")
                if member.isfile() and matches(name):
                    members.append((name, tar.extractfile(member).read()))
    if process.returncode:
        raise RuntimeError(f"{deb}: dpkg-deb cannot unpack it; delete the file and run again")
    return sorted(members)
