"""Schema of the reading step."""

from pydantic import Field

from ..common.config_files import Strict


class ReadConfig(Strict):
    """How raw text is read. The numbers are our choice.

    Attributes:
        shard_megabytes: text in a shard, in 1e6 UTF-8 bytes. A shard is the unit of work of every
            step after this one: it is what a killed run repeats at most.
        max_document_megabytes: longer documents are set aside, in 1e6 bytes; longer lines are never
            held in memory.
        max_set_aside: largest share of a source's rows that may be set aside (empty documents do
            not count); more is an error, because it is more likely a wrong setting than bad text.
        hub_parts: parts that a Hub data set is read in, each resumable on its own.
    """

    shard_megabytes: float = Field(default=64, gt=0)
    max_document_megabytes: float = Field(default=50, gt=0)
    max_set_aside: float = Field(default=0.05, ge=0, le=1, exclude=True)
    hub_parts: int = Field(default=16, gt=0)
