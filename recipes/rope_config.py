"""Schema of `model.rope_scaling`: how the rotary angles are stretched to longer text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from data_recipes.common.config_files import Strict

if TYPE_CHECKING:
    from modeling_kormo import KORMoConfig

# Parameters of each type as transformers computes it (modeling_rope_utils.py): those it needs, and
# those it may have.
_PARAMETERS: dict[str, tuple[set[str], set[str]]] = {
    "linear": ({"factor"}, set()),
    "dynamic": ({"factor", "original_max_position_embeddings"}, set()),
    "yarn": (
        {"factor", "original_max_position_embeddings"},
        {"attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"},
    ),
    "llama3": (
        {"factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"},
        set(),
    ),
    "longrope": (
        {"factor", "original_max_position_embeddings", "short_factor", "long_factor"},
        {"attention_factor"},
    ),
}


class RopeScalingConfig(Strict):
    """Scaling of the rotary angles, recorded in the checkpoint's config.

    Attributes:
        rope_type: `linear` (arXiv 2306.15595), `dynamic` NTK, `yarn` (arXiv 2309.00071), `llama3`
            (arXiv 2407.21783) or `longrope` (arXiv 2402.13753).
        factor: new length over the old.
        original_max_position_embeddings: the old length, in tokens: that of the windows before.
        attention_factor: on the attention logits' root; `None` follows from `factor`.
        beta_fast: YaRN leaves frequencies alone that turn at least so often in the old length.
        beta_slow: YaRN divides those by `factor` that turn at most so often.
        mscale: YaRN's attention factor as DeepSeek computes it, with `mscale_all_dim`.
        mscale_all_dim: see `mscale`.
        truncate: YaRN rounds the bounds of its ramp to whole dimensions.
        low_freq_factor: Llama 3 divides wavelengths above old length / this by `factor`.
        high_freq_factor: Llama 3 leaves wavelengths below old length / this alone.
        short_factor: LongRoPE's divisor of each frequency in text up to the old length.
        long_factor: the same in longer text.
    """

    rope_type: Literal["linear", "dynamic", "yarn", "llama3", "longrope"]
    factor: float | None = Field(default=None, ge=1)
    original_max_position_embeddings: int | None = Field(default=None, gt=0)
    attention_factor: float | None = Field(default=None, gt=0)
    beta_fast: float | None = Field(default=None, gt=0)
    beta_slow: float | None = Field(default=None, gt=0)
    mscale: float | None = Field(default=None, gt=0)
    mscale_all_dim: float | None = Field(default=None, gt=0)
    truncate: bool | None = None
    low_freq_factor: float | None = Field(default=None, gt=0)
    high_freq_factor: float | None = Field(default=None, gt=0)
    short_factor: list[float] | None = None
    long_factor: list[float] | None = None

    @model_validator(mode="after")
    def _parameters_of_its_type(self) -> RopeScalingConfig:
        needed, possible = _PARAMETERS[self.rope_type]
        given = set(self.parameters()) - {"rope_type"}
        if missing := sorted(needed - given):
            raise ValueError(f"rope_type {self.rope_type} needs {', '.join(missing)}")
        if foreign := sorted(given - needed - possible):
            allowed = ", ".join(sorted(needed | possible))
            raise ValueError(
                f"rope_type {self.rope_type} has no {', '.join(foreign)}; it has {allowed}"
            )
        if self.rope_type == "llama3" and self.high_freq_factor <= self.low_freq_factor:
            raise ValueError("high_freq_factor must be larger than low_freq_factor")
        if (self.beta_fast or 32) <= (self.beta_slow or 1):
            raise ValueError("beta_fast (32 by default) must be larger than beta_slow (1)")
        if (self.mscale is None) != (self.mscale_all_dim is None):
            raise ValueError("mscale and mscale_all_dim go together")
        return self

    def parameters(self) -> dict[str, Any]:
        """What is given, as it stands in a checkpoint's `rope_parameters`."""
        return self.model_dump(exclude_none=True)

    def check_shape(self, head_dim: int, sequence_length: int) -> None:
        """Compare it with what it is to scale.

        Args:
            head_dim: of the model.
            sequence_length: tokens of a training window.

        Raises:
            ValueError: lists of another length than the frequencies, windows in which the angles of
                a document would depend on the longest one beside it, or longer ones than it is for.
        """
        for name in ("short_factor", "long_factor"):
            factors = getattr(self, name)
            if factors is not None and len(factors) != head_dim // 2:
                raise ValueError(
                    f"{name} has {len(factors)} numbers, the model {head_dim // 2} frequencies "
                    "(shape.head_dim / 2)"
                )
        # transformers takes the longest position of the batch for the length of the text.
        by_length = self.rope_type in ("dynamic", "longrope")
        if by_length and sequence_length > self.original_max_position_embeddings:
            raise ValueError(
                f"rope_type {self.rope_type} chooses its angles by the longest document of a "
                f"batch, so those of one packed beside it would change in windows of "
                f"{sequence_length:,} tokens, longer than original_max_position_embeddings "
                f"({self.original_max_position_embeddings:,}): train with yarn, llama3 or linear"
            )

        longest = self._longest()
        if longest is not None and sequence_length > longest:
            raise ValueError(
                f"windows of {sequence_length:,} tokens are longer than the text that factor "
                f"{self.factor:g} stretches {self.original_max_position_embeddings:,} tokens to "
                f"({longest:,}): raise factor, or lower batch.sequence_length"
            )

    def _longest(self) -> int | None:
        """Longest text that the model is said to read; `None` if it is not said here."""
        if self.rope_type not in ("yarn", "longrope"):
            return None
        return round(self.factor * self.original_max_position_embeddings)

    def scale(self, config: KORMoConfig) -> None:
        """Write it into the config that a model is made from; the base of the angles stays.

        `max_position_embeddings` follows where engines and transformers take it for the scaled
        length (`yarn`, `longrope`), or for the one that is scaled from (`dynamic`).
        """
        parameters = self.parameters()
        if (longest := self._longest()) is not None:
            config.max_position_embeddings = longest
        elif self.rope_type == "dynamic":
            config.max_position_embeddings = parameters.pop("original_max_position_embeddings")
        config.rope_parameters = {
            "rope_theta": config.rope_parameters["rope_theta"],
            **parameters,
        }
