"""Libraries that only some commands need, and how a command ends that lacks one, or bad input.

Stages of training end in their own way, for they may be one of several ranks.
"""

import sys
from collections.abc import Callable

from .errors import RecipeError

# What an extra of setup.cfg alone brings, by the names that are imported.
ONLY_IN = {
    "data": ("datatrove", "fasttext", "inscriptis", "loguru", "lxml", "numba", "py3langid")
    + ("sacrebleu",),
    "eval": ("lm_eval",),
    "train": ("peft", "trl"),
    "export": ("gguf",),
    "gpu": ("liger_kernel",),
    "vision": ("PIL",),
    "kiwi": ("kiwipiepy",),
    "ray": ("ray",),
}
# What several bring: the command says which one it means.
SHARED = ("accelerate", "aiohttp", "datasets", "latex2sympy2_extended", "math_verify")
SHARED += ("matplotlib", "openai", "orjson", "pyarrow", "regex", "scipy", "sympy", "warcio")


def how_to_install(error: ModuleNotFoundError, extra: str) -> str | None:
    """Say how to get a library that is missing.

    Args:
        error: of its import.
        extra: what the command as a whole belongs to.

    Returns:
        A message; `None` if it is none of an extra's, so that a bug stays one.
    """
    name = (error.name or "").partition(".")[0]
    alone = next((own for own, modules in ONLY_IN.items() if name in modules), None)
    if alone is None and name not in SHARED:
        return None
    return f"{name} is not installed; get it with\n  pip install 'kormo-recipes[{alone or extra}]'"


def run_command(main: Callable[[], None], extra: str, *mended: type[Exception]) -> None:
    """Run a command; bad input ends in one message and status 1, not in a traceback.

    Args:
        main: the command.
        extra: that it belongs to.
        *mended: what else a user can mend.
    """
    try:
        main()
    except ModuleNotFoundError as error:
        if (message := how_to_install(error, extra)) is None:
            raise
        sys.exit(f"error: {message}")
    except (RecipeError, OSError, *mended) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        print("interrupted; run the same command to go on", file=sys.stderr)
        sys.exit(130)
