"""Workers as users have them."""

import pytest


@pytest.fixture(autouse=True)
def _workers_are_forks() -> None:
    """Leave them what they are: processes that start from nothing."""
