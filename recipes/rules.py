"""What makes a stage of pretraining the stage that it is: rules that its script declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data_recipes.common.errors import RecipeError

from .config import PretrainingStage, StageConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from data_recipes.tokens.mixture import Mixture

    Check = Callable[[StageConfig, Mixture, PreTrainedTokenizerBase], None]

THINK, END_THINK = "<think>", "</think>"
_WINDOWS_LOOKED_AT = 1000


@dataclass(frozen=True)
class StageRules:
    """What a stage does that others do not.

    Attributes:
        stage: its name, that of its script and of its configs.
        parent: stage whose weights it starts from; `None` is a random initialisation. Weights
            alone: optimizer and schedule begin afresh, because the warm-up does and the old moments
            belong to other data (KORMo section 4).
        unscored: tokens that are read and carry no loss.
        short_text: the config says how much short text there must be, and `checks` look for it.
        grows: the config says how the parent grows.
        expands: the parent has new rows, made by `kormo expand-vocabulary`, and the config says how
            long they are trained before the rest.
        checks: of the mixture, before anything is trained. Each raises `RecipeError`.
    """

    stage: PretrainingStage
    parent: PretrainingStage | None
    unscored: tuple[str, ...] = ()
    short_text: bool = False
    grows: bool = False
    expands: bool = False
    checks: tuple[Check, ...] = ()

    def check_config(self, config: StageConfig) -> None:
        """Check the keys that belong to one stage alone.

        Raises:
            RecipeError: keys about short text, growth or new rows in a stage without, or one of
                them missing.
        """
        if (config.growth is not None) != self.grows:
            raise RecipeError(
                f"growth: belongs to the stage grow, which needs it; this is {self.stage}"
            )
        if self.grows and config.model.init_from is None:
            raise RecipeError("model.init_from: growth needs a model to start from")
        if (config.unfreezing is not None) != self.expands:
            raise RecipeError(
                f"unfreezing: belongs to the stage expand, which needs it; this is {self.stage}"
            )
        if self.expands and config.model.init_from is None:
            raise RecipeError(
                "model.init_from: new rows need a model to stand in; make it with "
                "`kormo expand-vocabulary`"
            )
        held = config.unfreezing
        if held and held.new_rows_tokens + held.matrices_tokens > config.schedule.total_tokens:
            raise RecipeError(
                "unfreezing: new_rows_tokens and matrices_tokens exceed schedule.total_tokens "
                f"({config.schedule.total_tokens:,}); lower them"
            )
        for key, tokens in (held.model_dump() if held else {}).items():
            if 0 < tokens < config.batch.tokens_per_step:
                raise RecipeError(
                    f"unfreezing.{key}: {tokens:,} tokens are less than a step "
                    f"({config.batch.tokens_per_step:,}); raise it, or give 0"
                )
        data = config.data
        given = {data.short_document_tokens is not None, data.min_short_share is not None}
        if given != {self.short_text}:
            raise RecipeError(
                "data.short_document_tokens and data.min_short_share belong to midtrain_long, "
                f"which needs both; this is {self.stage}"
            )


def several_synthesizers(
    config: StageConfig, mixture: Mixture, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Refuse Korean synthetic text from one synthesizer, unless the config insists.

    Raises:
        RecipeError: KORMo's run on it collapsed (section 4.3).
    """
    from data_recipes.tokens.mixture import check_synthesizers

    if not config.data.allow_single_synthesizer:
        windows = config.schedule.total_tokens // config.batch.sequence_length
        check_synthesizers(mixture.plan(windows))


def enough_short_text(
    config: StageConfig, mixture: Mixture, tokenizer: PreTrainedTokenizerBase
) -> None:
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


def some_reasoning(
    config: StageConfig, mixture: Mixture, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Refuse a mixture without traces of reasoning.

    Raises:
        RecipeError: says how to read them.
    """
    think = token_ids(tokenizer, (THINK, END_THINK))[0]
    windows = range(_WINDOWS_LOOKED_AT)
    if not any((mixture.window(i).tokens == think).any() for i in windows):
        raise RecipeError(
            f"data.mixture: no {THINK} in its first {_WINDOWS_LOOKED_AT} windows. Read "
            "traces with `template: traces` in the data recipe, which writes them as "
            "`question\\n<think>\\nreasoning\\n</think>\\n\\nanswer`, and give them a weight"
        )


def token_ids(tokenizer: PreTrainedTokenizerBase, tokens: tuple[str, ...]) -> tuple[int, ...]:
    """Return the ids of control tokens.

    Raises:
        RecipeError: one of them is not a token of its own.
    """
    ids = tuple(tokenizer.get_added_vocab().get(token) for token in tokens)
    if None in ids:
        raise RecipeError(
            f"tokenizer {tokenizer.name_or_path}: {' and '.join(tokens)} must be added tokens of "
            "their own; train one with `python -m data_recipes prepare`, or add them and resize "
            "the embedding"
        )
    return ids
