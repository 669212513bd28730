"""What the processes of `tests/processes.py` have loaded when they are forked.

Of a run's workers the first, which has the tests of text, loads the kernels, too; where they have
never been compiled it compiles them, for all.
"""

# ruff: noqa: F401
import gc
import os

import matplotlib.pyplot

import data_recipes.decontaminate.step
import data_recipes.deduplicate.step
import data_recipes.difficulty.run
import data_recipes.filter.step
import data_recipes.prepare.prepare
import data_recipes.synthesize.run
import data_recipes.translate.run
import eval.backend
import eval.judge.verdicts
import eval.run
import recipes.build
import recipes.chat_session
import recipes.engine.quick_eval
import recipes.post.chat_trainer
import recipes.post.pair_trainer
import recipes.post.reward_trainer
from recipes.engine.reproduce import installed_packages

if os.environ.get("PYTEST_XDIST_WORKER", "gw0") == "gw0":
    data_recipes.filter.step._compile()
    data_recipes.deduplicate.step._compile()
    data_recipes.decontaminate.step._compile()
installed_packages()  # which each stage would look up
gc.freeze()  # else the collector would write to, and so copy, all these pages in each fork
