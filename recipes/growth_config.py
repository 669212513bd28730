"""Schema of `growth:`, how the model that the stage `grow` starts from grows."""

from typing import Any, Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict

from .shared_config import Seed

# The mask that what is new stands under.
_AXIS = {
    "hidden_size": "hidden",
    "intermediate_size": "ffn",
    "num_attention_heads": "heads",
    "num_key_value_heads": "heads",
}


class GrowthStepConfig(Strict):
    """What grows under one mask. All sizes are those of the grown model; `None` keeps the old.

    Attributes:
        layers_every: a new layer after every so many; it needs no mask.
        layers_after: or after these, counted from 0.
        hidden_size: width of the residual stream.
        intermediate_size: width of the MLPs.
        num_attention_heads: query heads; new ones go to the end of each group.
        num_key_value_heads: groups; they share the mask of the query heads.
        ramp_tokens: tokens that the mask rises over, from where the one before ended.
    """

    layers_every: int | None = Field(default=None, gt=0)
    layers_after: list[int] = []
    hidden_size: int | None = Field(default=None, gt=0)
    intermediate_size: int | None = Field(default=None, gt=0)
    num_attention_heads: int | None = Field(default=None, gt=0)
    num_key_value_heads: int | None = Field(default=None, gt=0)
    ramp_tokens: int = Field(default=0, ge=0)

    def sizes(self) -> dict[str, Any]:
        """What it says to `plan_growth`."""
        return self.model_dump(exclude_unset=True, exclude={"ramp_tokens"})


class GrowthConfig(Strict):
    """How the model that a stage starts from grows.

    The model has its whole size from the first step on; what comes later in `steps` stands under
    masks at 0 until its turn, as far as the function goes as if it were not there.

    Attributes:
        how: new width under masks that rise (Masked Structure Growth), or as zeros without.
        train: `all`, or `new` layers alone, all else frozen (LLaMA-Pro).
        optimizer: `carried` takes the moments of the run that made `init_from` along; `fresh`
            begins without, as other stages do.
        seed: of new weights.
        steps: one after the other; with one step everything grows at once.
    """

    how: Literal["masks", "zeros"] = "masks"
    train: Literal["all", "new"] = "all"
    optimizer: Literal["carried", "fresh"]
    seed: Seed = 42
    steps: list[GrowthStepConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_together(self) -> "GrowthConfig":
        given = [key for step in self.steps for key in step.sizes()]
        if twice := sorted({key for key in given if given.count(key) > 1}):
            raise ValueError(f"steps: {', '.join(twice)} in more than one; say it once")
        heads = ("num_attention_heads", "num_key_value_heads")
        if sum(any(key in heads for key in step.sizes()) for step in self.steps) > 1:
            raise ValueError(f"steps: {' and '.join(heads)} share a mask; put them in one step")
        wider = {key for key in given if not key.startswith("layers")}
        if self.train == "new" and (wider or self.optimizer == "carried"):
            raise ValueError(
                "train: new is for layers alone, with optimizer: fresh: in a wider tensor old and "
                "new entries are trained together, and new layers have no moments to carry"
            )
        for step in self.steps:
            masked = self.how == "masks" and bool(wider & step.sizes().keys())
            if step.ramp_tokens and not masked:
                raise ValueError("steps: ramp_tokens is for width with how: masks")
        return self

    def is_over(self, tokens: int) -> bool:
        """Whether all masks are at 1 in the step that ends with so many tokens."""
        return min(self.mask_values(tokens).values()) == 1

    def mask_values(self, tokens: int) -> dict[str, float]:
        """Values of the masks by axis, a function of the tokens alone, so that resume is exact.

        Args:
            tokens: of the run up to the end of the step that is being made.
        """
        values = dict.fromkeys(_AXIS.values(), 1.0)
        begin = 0
        for step in self.steps:
            risen = (tokens - begin) / step.ramp_tokens if step.ramp_tokens else tokens > begin
            for key in step.sizes().keys() & _AXIS.keys():
                values[_AXIS[key]] = min(1.0, max(0.0, float(risen)))
            begin += step.ramp_tokens
        return values
