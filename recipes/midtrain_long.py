"""Long-context mid-training: windows of 32,768 tokens, long documents with short text among them.

    kormo train midtrain_long                                       # tiny: 256 to 2,048 tokens
    kormo train midtrain_long --config 10b/midtrain_long.yaml --dry-run
    kormo train midtrain_long model.rope_theta=2_000_000 logging.output_dir=runs/x

It starts from stage 2's weights with a fresh optimizer (KORMo section 4: 10.3 B tokens). A mixture
with too little short text is refused: without it, math and code degrade. Documents still do not see
each other, so only documents longer than the old windows teach anything about the new ones.

Started again after an interruption, it goes on from the last checkpoint.
"""

from recipes.command_line import exit_on_error
from recipes.pretrain import pretrain
from recipes.rules import StageRules, enough_short_text

RULES = StageRules(
    stage="midtrain_long",
    parent="stage2",
    # Without short text among the long, math and code degrade (section 4).
    short_text=True,
    checks=(enough_short_text,),
)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
