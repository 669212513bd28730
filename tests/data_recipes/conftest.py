"""How the tests of this room start the workers of a step."""

import multiprocessing

import pytest

from tests import processes


@pytest.fixture(autouse=True)
def _workers_are_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork workers from a process that has loaded the libraries; `engine` starts them from nothing.

    Their environment and output are that process's.
    """
    original = multiprocessing.get_context
    monkeypatch.setattr(
        multiprocessing,
        "get_context",
        lambda method=None: processes.forks() if method == "spawn" else original(method),
    )
