"""A new language for a model whose vocabulary was expanded: new rows first, then everything.

    kormo train expand                                   # tiny: Korean for an English model
    kormo train expand --config 10b/expand.yaml --dry-run

It starts from what `kormo expand-vocabulary` made. First the new rows of embedding and head are
trained alone, so that they fit the model as it is; then both matrices; then all weights, which is
continued pretraining on a mixture of the new language and the old. See docs/vocabulary.md.

Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error
from recipes.pretrain import StageRules, pretrain
from recipes.stage2 import several_synthesizers

RULES = StageRules(
    stage="expand",
    parent=None,
    expands=True,
    checks=(several_synthesizers,),
)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
