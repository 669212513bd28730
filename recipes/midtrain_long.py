"""Long-context mid-training: windows of 32,768 tokens, long documents with short text among them.

    kormo train midtrain_long                                       # tiny: 256 to 2,048 tokens
    kormo train midtrain_long --config 10b/midtrain_long.yaml --dry-run
    kormo train midtrain_long model.rope_theta=2_000_000 logging.output_dir=runs/x

It starts from stage 2's weights with a fresh optimizer (KORMo section 4: 10.3 B tokens). A mixture
with too little short text is refused: without it, math and code degrade. Documents still do not see
each other, so only documents longer than the old windows teach anything about the new ones.

Started again after an interruption, it goes on from the last checkpoint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from data_recipes.common.errors import RecipeError
from recipes.command_line import exit_on_error
from recipes.config import StageConfig
from recipes.pretrain import StageRules, pretrain

if TYPE_CHECKING:
    from data_recipes.tokens.mixture import Mixture


def enough_short_text(config: StageConfig, mixture: Mixture, tokenizer: Any) -> None:
    """Refuse a mixture with too little short text, or with nothing else.

    Raises:
        RecipeError: says what share there is.
    """
    limit, least = config.data.short_document_tokens, config.data.min_short_share
    share = mixture.short_share(limit)
    if share < least:
        raise RecipeError(
            f"data.mixture: {share:.1%} of its tokens lie in documents of at most {limit:,} "
            f"tokens, data.min_short_share asks for {least:.1%}; without, math and code degrade "
            "(KORMo section 4). Raise the weights of sources with short documents"
        )
    if share == 1:
        raise RecipeError(
            f"data.mixture: no document is longer than data.short_document_tokens ({limit:,}), so "
            "there is nothing to learn from longer windows; add a source with long documents"
        )


RULES = StageRules(
    stage="midtrain_long",
    parent="stage2",
    short_text=True,
    checks=(enough_short_text,),
)


def main() -> None:
    pretrain(RULES, __doc__)


if __name__ == "__main__":
    exit_on_error(main)
