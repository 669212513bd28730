"""Schema of the endpoints that a recipe names."""

import os
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from ..common.config_files import Strict
from ..common.errors import RecipeError

# Names files of the store, too.
EndpointName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
_Address = Annotated[str, Field(pattern=r"^https?://[^/\s]+(/\S*)?$")]
# Fields of a request that are not for `extra`: set elsewhere, or they change what comes back.
_TAKEN = ("model", "messages", "stream", "n", "temperature", "top_p", "max_tokens", "seed")


class Sampling(Strict):
    """How a model is to sample; what is left out is the server's own default.

    Attributes:
        temperature: 0 for the most likely token every time.
        top_p: mass of the nucleus.
        max_tokens: longest answer, in tokens of the model.
        seed: for servers that honour one; a request may bring its own.
        extra: further fields of the request's body, e.g. `{chat_template_kwargs: {enable_thinking:
            false}}` or `{top_k: 20}` for vLLM.
    """

    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int = Field(gt=0)
    seed: int | None = None
    extra: dict[str, Any] = {}

    @field_validator("extra")
    @classmethod
    def _not_taken(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(set(extra) & set(_TAKEN)):
            raise ValueError(
                f"{', '.join(taken)}: not for `extra`; sampling has fields for temperature, top_p, "
                "max_tokens and seed, and answers are asked for one at a time and whole"
            )
        return extra

    def fields(self) -> dict[str, Any]:
        """Return the fields of a request's body."""
        own = self.model_dump(exclude={"extra"}, exclude_none=True)
        return own | self.extra


class Endpoint(Strict):
    """A model behind an OpenAI-compatible server: vLLM, SGLang, `transformers serve`, a paid API.

    The defaults are our choice.

    Attributes:
        base_url: up to and with `/v1`; or a list of servers of the same model, which share the work
            and stand in for one another.
        model: name that the server knows the model by.
        answers_as: name that it gives in its answers, where that is another; an answer by any other
            model is an error.
        api_key_env: environment variable with the key; leave out for a server without one.
        concurrency: requests under way at a time.
        timeout_seconds: until a request is given up and asked again.
        attempts: tries of one request, after which it counts as failed.
        backoff_seconds: longest wait before the second try; it doubles with each further one, up to
            a minute.
        sampling: of all requests.
        prompt_price: per million tokens read, in whatever currency you count in.
        completion_price: per million tokens written.
    """

    base_url: _Address | Annotated[list[_Address], Field(min_length=1)]
    model: str = Field(min_length=1)
    answers_as: str | None = None
    api_key_env: str | None = None
    concurrency: int = Field(default=32, gt=0)
    timeout_seconds: float = Field(default=600, gt=0)
    attempts: int = Field(default=8, gt=0)
    backoff_seconds: float = Field(default=1.0, gt=0)
    sampling: Sampling
    prompt_price: float | None = Field(default=None, ge=0)
    completion_price: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _both_prices(self) -> "Endpoint":
        if (self.prompt_price is None) != (self.completion_price is None):
            raise ValueError("give both prompt_price and completion_price, or neither")
        return self

    @property
    def identity(self) -> str:
        """Name of the model in its answers."""
        return self.answers_as or self.model

    @property
    def has_price(self) -> bool:
        """Whether its answers cost something that is counted."""
        return self.prompt_price is not None

    @property
    def servers(self) -> list[str]:
        """Addresses, without a slash at the end."""
        given = [self.base_url] if isinstance(self.base_url, str) else self.base_url
        return [address.rstrip("/") for address in given]

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Return the price of an answer; 0 without prices."""
        if not self.has_price:
            return 0.0
        tokens = prompt_tokens * self.prompt_price + completion_tokens * self.completion_price
        return tokens / 1e6

    def key(self, name: str) -> str:
        """Read the key from the environment; empty without `api_key_env`.

        Args:
            name: of the endpoint, for the message.

        Raises:
            RecipeError: the variable with the key is not set.
        """
        if self.api_key_env is None:
            return ""
        key = os.environ.get(self.api_key_env)
        if not key:
            raise RecipeError(
                f"endpoint {name!r}: the environment variable {self.api_key_env} is not set; "
                f"`export {self.api_key_env}=…` with the key, or leave api_key_env out"
            )
        return key


def check_cap(endpoints: dict[str, Endpoint], cap: float | None) -> None:
    """Refuse a spending cap that nothing counts towards.

    Raises:
        ValueError: an endpoint without prices under a cap.
    """
    free = sorted(name for name, endpoint in endpoints.items() if not endpoint.has_price)
    if cap is not None and free:
        raise ValueError(
            f"a spending cap needs prices: give {', '.join(free)} a prompt_price and a "
            "completion_price (0 for a server of your own)"
        )
