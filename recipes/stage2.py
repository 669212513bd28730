"""Stage 2: higher-quality text, synthetic Korean and reasoning (KORMo section 4: 1.8 T tokens).

    kormo train stage2                                              # tiny, minutes on a laptop
    kormo train stage2 --config 10b/stage2.yaml --dry-run
    kormo train stage2 optimizer.learning_rate=1e-3 logging.output_dir=runs/x

It starts from stage 1's weights with a fresh optimizer: a new schedule warms up again, and the old
moments belong to other data. Korean text from a single synthesizer is refused, because that run
collapsed. Started again after an interruption, it goes on from the last checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recipes.command_line import exit_on_error
from recipes.config import StageConfig
from recipes.pretrain import StageRules, pretrain

if TYPE_CHECKING:
    from data_recipes.tokens.mixture import Mixture


def several_synthesizers(config: StageConfig, mixture: Mixture, tokenizer: Any) -> None:
    """Refuse Korean synthetic text from one synthesizer, unless the config insists.

    Raises:
        RecipeError: KORMo's run on it collapsed (section 4.3).
    """
    from data_recipes.tokens.mixture import check_synthesizers

    if not config.data.allow_single_synthesizer:
        windows = config.schedule.total_tokens // config.batch.sequence_length
        check_synthesizers(mixture.plan(windows))


RULES = StageRules(
    stage="stage2",
    parent="stage1",
    checks=(several_synthesizers,),
)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
