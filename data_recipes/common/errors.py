"""The one exception for input that a user can mend."""

from collections.abc import Iterator
from contextlib import contextmanager


class RecipeError(ValueError):
    """Bad input. The message names the file, field or value and the remedy.

    Commands print it without a traceback and exit with status 1.
    """


@contextmanager
def errors_about(what: str, *kinds: type[Exception]) -> Iterator[None]:
    """Say of what a library raises about bad input what it is about.

    Args:
        what: the file, field or value; begins the message.
        kinds: of errors beside `ValueError`.

    Raises:
        RecipeError: in place of them. Of one that is raised within, nothing is changed.
    """
    try:
        yield
    except RecipeError:
        raise
    except (ValueError, *kinds) as error:
        raise RecipeError(f"{what}: {error}") from error
