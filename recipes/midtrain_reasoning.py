"""Reasoning mid-training: traces as raw text, everything learned but `<think>` itself.

    kormo train midtrain_reasoning                                  # tiny, minutes on a laptop
    kormo train midtrain_reasoning --config 10b/midtrain_reasoning.yaml --dry-run

It starts from the long-context weights with a fresh optimizer (KORMo section 4: 157.8 B tokens).
Question, English chain of thought and Korean or English answer are one document; `<think>` carries
no loss, so that SFT can teach it as the trigger. General text is mixed in against forgetting.

Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error
from recipes.pretrain import pretrain
from recipes.rules import THINK, StageRules, some_reasoning

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
