"""Reasoning mid-training: traces as raw text, everything learned but `<think>` itself.

    kormo train midtrain_reasoning                                  # tiny, minutes on a laptop
    kormo train midtrain_reasoning --config 10b/midtrain_reasoning.yaml --dry-run

It starts from the long-context weights with a fresh optimizer (KORMo section 4: 157.8 B tokens).
Question, English chain of thought and Korean or English answer are one document; `<think>` carries
no loss, so that SFT can teach it as the trigger. General text is mixed in against forgetting.

Started again after an interruption, it goes on from the last checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from data_recipes.common.errors import RecipeError
from recipes.command_line import exit_on_error
from recipes.config import StageConfig
from recipes.pretrain import StageRules, pretrain

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from data_recipes.tokens.mixture import Mixture

THINK, END_THINK = "<think>", "</think>"
_WINDOWS_LOOKED_AT = 1000


def some_reasoning(
    config: StageConfig, mixture: Mixture, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Refuse a mixture without traces of reasoning.

    Raises:
        RecipeError: says how to read them.
    """
    from recipes.engine.windows_data import token_ids

    think, _ = token_ids(tokenizer, (THINK, END_THINK))
    windows = range(_WINDOWS_LOOKED_AT)
    if not any((mixture.window(i).tokens == think).any() for i in windows):
        raise RecipeError(
            f"data.mixture: no {THINK} in its first {_WINDOWS_LOOKED_AT} windows. Read "
            "traces with `template: traces` in the data recipe, which writes them as "
            "`question\\n<think>\\nreasoning\\n</think>\\n\\nanswer`, and give them a weight"
        )


RULES = StageRules(
    stage="midtrain_reasoning",
    parent="midtrain_long",
    # What opens the reasoning is not learned: SFT teaches it as the trigger (section 4).
    unscored=(THINK,),
    checks=(some_reasoning,),
)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
