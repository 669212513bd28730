"""fastText's training, in a process of its own.

With one thread fastText draws only the first tenth of its input matrix, the vectors of the most
frequent words, and leaves the rest as the allocator handed it out (fastText issue 1061). Fresh
pages hold zeros, and the classifier learns as it should; memory that was used before holds anything
at all, and the same command then gives another model, an upside-down one or "Encountered NaN". So
the training runs where glibc fills what it hands out: an environment variable that it reads when a
process starts names a byte, whose complement goes into new memory.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import fasttext

from ..common.errors import RecipeError
from ..common.files import disk_full_is_an_error

_ZEROED_MEMORY = {"MALLOC_PERTURB_": "255"}


def fit(training: Path, model: Path, arguments: dict[str, Any]) -> None:
    """Train a supervised model.

    Args:
        training: text, one labelled document a line.
        model: where the model goes.
        arguments: of `fasttext.train_supervised`.

    Raises:
        RecipeError: fastText gave up.
    """
    command = [sys.executable, "-m", __name__, str(training), str(model), json.dumps(arguments)]
    # The package may lie in the working directory only, which the caller may have left.
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | _ZEROED_MEMORY | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise RecipeError(
            f"fastText gave up ({lines[-1]}); if it says NaN, lower fasttext.learning_rate; if it "
            "was killed, there is too little memory for fasttext.buckets and fasttext.dimension"
        )


def main(training: str, model: str, arguments: str) -> None:
    """What the process does."""
    trained = fasttext.train_supervised(training, verbose=0, **json.loads(arguments))
    with disk_full_is_an_error(Path(model)):
        trained.save_model(model)


if __name__ == "__main__":
    main(*sys.argv[1:])
