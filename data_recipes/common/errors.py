"""The one exception for input that a user can mend."""


class RecipeError(ValueError):
    """Bad input. The message names the file, field or value and the remedy.

    Commands print it without a traceback and exit with status 1.
    """
