"""Personal data in text, found by its form and masked where it stands; only counts leave the room.

E-mail, street and IP addresses, numbers of telephones, residents, aliens, businesses, cards and
accounts, in Korean and English. Where a number has a check digit it decides; where it has none,
what stands beside it does.
"""

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
    "IP address",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


class PersonalConfig(Strict):
    """What is masked; an empty section masks all kinds.

    Attributes:
        kinds: which kinds of personal data.
    """

    kinds: list[Kind] = Field(default=list(KINDS), min_length=1)
