"""Stage 2 on one, two and five synthetic Korean sources; see recipes/single_synthesizer.py."""

from recipes.command_line import exit_on_error
from recipes.single_synthesizer import main

if __name__ == "__main__":
    exit_on_error(main)
