"""Stage 1: pretraining from random weights on web-heavy text (KORMo section 4: 1 T tokens).

    kormo train stage1                                              # tiny, minutes on a laptop
    kormo train stage1 --config 10b/stage1.yaml --dry-run
    kormo train stage1 schedule.total_tokens=1_638_400 logging.output_dir=runs/x

Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error
from recipes.pretrain import StageRules, pretrain

RULES = StageRules(stage="stage1", parent=None)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
