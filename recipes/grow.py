"""Growth: a deeper and wider model from a trained one, which computes the same at first.

    kormo train grow                                                # tiny, from stage 2
    kormo train grow --config 10b/grow.yaml --dry-run
    kormo train grow --config motif/grow.yaml --dry-run    # 70B to 102B

Depth as in LLaMA-Pro, width as in Masked Structure Growth, as Llama-3-Motif combined them
(arXiv 2509.03972). The masks are a function of the step, so that a run that was interrupted goes on
as if it had not been; `final/` is written only when they are at 1. See docs/growth.md.
"""

from recipes.command_line import exit_on_error
from recipes.pretrain import StageRules, pretrain

RULES = StageRules(stage="grow", parent="stage2", grows=True)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
