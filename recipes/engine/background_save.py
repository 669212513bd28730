"""Sharded checkpoints written while training goes on (`logging.background_checkpoints`)."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp

_PARTS = ("weights", "optimizer")  # what accelerate writes, in its order


class BackgroundSave:
    """Writes the shards of one checkpoint at a time, while training goes on (torch's `async_save`).

    Training waits while each rank copies its shards to host memory, not while they are written and
    hashed. A rank needs host memory for two copies of its shards while it does the first, then for
    one. Made on all ranks together.

    Args:
        timeout: seconds after which a rank that waits for another gives up.
    """

    def __init__(self, timeout: float) -> None:
        # Ranks exchange who writes what. Two writes in one group would take each other's messages,
        # and training's own group is training's.
        limit = timedelta(seconds=timeout)
        self._groups = [dist.new_group(backend="gloo", timeout=limit) for _ in _PARTS]
        self._writes: list[Future] = []
        self._whole: Future | None = None

    def _begin(self, state_dict: dict[str, Any], **kwargs: Any) -> None:
        # The writer that accelerate passes copies all tensors to host memory before this returns.
        group = self._groups[len(self._writes)]
        self._writes.append(dcp.async_save(state_dict, process_group=group, **kwargs))

    @contextmanager
    def taking_over(self) -> Iterator[None]:
        """Have accelerate, which only knows `save`, begin what it would finish."""
        save, dcp.save = dcp.save, self._begin
        try:
            yield
        finally:
            dcp.save = save

    def then(self, publish: Callable[[dist.ProcessGroup], None]) -> None:
        """Call `publish` once every rank has written its shards, from a thread of its own.

        Args:
            publish: called on all ranks, with the group that they may talk in.
        """
        writes, self._writes = self._writes, []
        if len(writes) != len(_PARTS):
            raise RuntimeError(f"{len(writes)} of {_PARTS} are being written")

        def end() -> None:
            # All of them, also after one has failed: who hears of it removes what they write.
            if errors := [error for write in writes if (error := write.exception())]:
                raise errors[0]
            publish(self._groups[0])

        executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._whole = executor.submit(end)
        executor.shutdown(wait=False)

    def wait(self) -> None:
        """Wait until nothing is being written; raises what went wrong since the last call."""
        whole, self._whole = self._whole, None
        if whole is not None:
            whole.result()
