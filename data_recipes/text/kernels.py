"""Compile kernels with numba: one decorator, and a cache that never runs old machine code.

numba notes only the file that a cached function stands in. A helper that was inlined from another
file may change, and the old machine code would go on running. So the cache of all kernels lies in
a directory whose name is a hash of the sources of all: after any change all are compiled anew.
What a kernel takes from another file of ours must therefore come from a file with kernels in it.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import llvmlite
import numba
import numpy as np
from numba.core import event

_PACKAGE = Path(__file__).parents[1]
_MARK = b"@kernel"


def kernel_sources() -> list[Path]:
    """List the files of data_recipes that have a kernel in them, in order."""
    return sorted(path for path in _PACKAGE.glob("*/*.py") if _MARK in path.read_bytes())


@cache
def cache_dir() -> Path:
    """Find the directory of the compiled kernels of these sources, numba and numpy.

    It lies in `NUMBA_CACHE_DIR` if that is set, else beside the package's bytecode, or in the
    user's cache where the package is read-only.
    """
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__} {np.__version__}".encode())
    for path in kernel_sources():
        digest.update(str(path.relative_to(_PACKAGE)).encode() + b"\0" + path.read_bytes())
    parent = Path(numba.config.CACHE_DIR or _PACKAGE / "__pycache__")
    if not numba.config.CACHE_DIR and not os.access(_PACKAGE, os.W_OK):
        parent = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "kormo")
    return parent / f"kernels-{digest.hexdigest()[:16]}"


def kernel(
    function: Callable[..., Any] | None = None, *, inline: str = "never"
) -> Callable[..., Any]:
    """Compile a function at its first call, or load what an earlier process compiled.

    It runs without the GIL.

    Args:
        function: in the language that numba knows.
        inline: "always" copies it into the kernels that call it.
    """
    if function is None:
        return partial(kernel, inline=inline)
    # numba reads the directory once, here, and other users of numba must not get ours.
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(cache_dir())
    try:
        return numba.njit(cache=True, nogil=True, inline=inline)(function)
    finally:
        numba.config.CACHE_DIR = before


@runtime_checkable
class HasKernels(Protocol):
    """A step whose kernels can be compiled before its workers would each compile them."""

    def compile_kernels(self) -> None:
        """Compile them in this process, unless an earlier one did."""


def compile_once(name: str, work: Callable[[], None]) -> None:
    """Do a little work for the sake of its kernels, unless an earlier process did.

    Args:
        name: of the work.
        work: calls every kernel, with the types that it will have.
    """
    mark = cache_dir() / f"{name}.compiled"
    if not mark.is_file():
        work()
        mark.touch()


class _Announcement(event.Listener):
    """Says once per process that it compiles; numba reports nothing that it finds in a cache."""

    def on_start(self, happening: event.Event) -> None:
        if not self.said and happening.data["dispatcher"].py_func.__module__.startswith(
            "data_recipes"
        ):
            self.said = True
            print(
                "compiling kernels, once for this version, half a minute to two; they are kept in "
                f"{cache_dir()}",
                file=sys.stderr,
            )

    def on_end(self, happening: event.Event) -> None:
        pass

    said = False


event.register("numba:compile", _Announcement())
