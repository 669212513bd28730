"""What every command of this room shares: how it ends when something is wrong."""

import sys
from collections.abc import Callable

from data_recipes.common.errors import RecipeError
from data_recipes.common.extras import how_to_install


def run_command(main: Callable[[], None]) -> None:
    """Run a command; bad input ends in one message and status 1, not in a traceback."""
    try:
        main()
    except ModuleNotFoundError as error:
        if (message := how_to_install(error, "eval")) is None:
            raise
        sys.exit(f"error: {message}")
    except (RecipeError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)
