"""What the processes of `tests/processes.py` have loaded when they are forked."""

# ruff: noqa: F401
import gc

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
import recipes.inputs
import recipes.post.chat_trainer
import recipes.post.pair_trainer
import recipes.post.reward_trainer
from recipes.engine.reproduce import installed_packages

installed_packages()  # which each stage would look up
gc.freeze()  # else the collector would write to, and so copy, all these pages in each fork
