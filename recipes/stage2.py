"""Stage 2: higher-quality text, synthetic Korean and reasoning (KORMo section 4: 1.8 T tokens).

    kormo train stage2                                              # tiny, minutes on a laptop
    kormo train stage2 --config 10b/stage2.yaml --dry-run
    kormo train stage2 optimizer.learning_rate=1e-3 logging.output_dir=runs/x

It starts from stage 1's weights with a fresh optimizer: a new schedule warms up again, and the old
moments belong to other data. Korean text from a single synthesizer is refused, because that run
collapsed. Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error
from recipes.pretrain import pretrain
from recipes.rules import StageRules, several_synthesizers

RULES = StageRules(
    stage="stage2",
    parent="stage1",
    # KORMo's run on Korean text of one synthesizer collapsed (section 4.3).
    checks=(several_synthesizers,),
)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
