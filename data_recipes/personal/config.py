"""Schema of the step that masks personal data."""

from typing import Literal, get_args

from pydantic import Field

from ..common.config_files import Strict

Kind = Literal[
    "e-mail",
    "resident number",
    "alien number",
    "card",
    "business number",
    "account",
    "telephone",
    "address",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class PersonalConfig(Strict):
    """What is masked; an empty section masks all kinds.

    Attributes:
        kinds: which kinds of personal data.
    """

    kinds: list[Kind] = Field(default=list(KINDS), min_length=1)
