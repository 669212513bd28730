"""Libraries that only some commands need, and the line that installs them."""

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
