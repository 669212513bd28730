"""Command line of the evaluation: `python -m eval …`."""

import sys

from data_recipes.common.errors import RecipeError


def main(argv: list[str] | None = None) -> None:
    """Run a command; bad input ends in one message and status 1, not in a traceback.

    Args:
        argv: without the program's name.
    """
    # Not before this: lm-eval and torch take seconds, and `eval.commands` loads them.
    from .commands import parse

    args = parse(sys.argv[1:] if argv is None else argv)
    try:
        args.run(args)
    except (RecipeError, OSError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
