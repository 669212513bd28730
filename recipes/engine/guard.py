"""Skips updates that are spikes, and stops on ones that are not numbers, without a host sync."""

from collections import deque
from typing import Any

import torch


class NonFiniteError(RuntimeError):
    """A step whose loss or gradient norm is NaN or infinite.

    Attributes:
        step: optimizer step, counted from 0.
    """

    def __init__(self, step: int, loss: float, grad_norm: float) -> None:
        super().__init__(f"step {step + 1}: loss {loss}, gradient norm {grad_norm}")
        self.step = step


class SpikeGuard:
    """Decides, on the device, whether an update is applied.

    An update is skipped if its loss or its gradient norm lies more than `sigma` standard deviations
    above the mean of the last `window` steps, once half the window is filled (OLMo-core's
    SkipStepAdamW). The decision is a 0/1 tensor handed to the fused optimizer as `found_inf`, which
    then leaves weights, moments and its step count alone. Skipped values enter the window too: a
    lasting change of level must not be skipped for ever.

    Args:
        sigma: threshold in standard deviations.
        window: steps remembered.
        device: where losses live.
    """

    def __init__(self, sigma: float, window: int, device: torch.device) -> None:
        self.sigma = sigma
        self.window = window
        self.values = torch.zeros(2, window, dtype=torch.float32, device=device)
        self.seen = 0
        self.skipped = torch.zeros((), dtype=torch.int64, device=device)
        self._pending: deque[tuple[int, torch.Tensor, torch.cuda.Event | None]] = deque()

    def judge(self, loss: torch.Tensor, grad_norm: torch.Tensor, step: int) -> torch.Tensor:
        """`found_inf` for this step: fp32 scalar, 1 to skip the update.

        Args:
            loss: mean loss of the step over all ranks.
            grad_norm: norm before clipping.
            step: optimizer step, counted from 0.
        """
        current = torch.stack([loss.float(), grad_norm.float()])
        finite = current.isfinite().all()
        skip = ~finite
        filled = min(self.seen, self.window)
        if filled >= self.window // 2:
            history = self.values[:, :filled]
            limit = history.mean(dim=1) + self.sigma * history.std(dim=1)
            skip = skip | (current > limit).any()
        self.values[:, self.seen % self.window] = torch.where(finite, current, self.values[:, 0])
        self.seen += 1
        self.skipped += skip
        self._watch(step, current)
        return skip.float()

    def forget(self) -> None:
        """Start a new window: what came before is no measure of what comes."""
        self.seen = 0

    def _watch(self, step: int, current: torch.Tensor) -> None:
        # The copy to the host is checked one step later, when it has long arrived. Nothing is lost
        # by waiting: a non-finite update is skipped on the device anyway.
        event = None
        if current.is_cuda:
            host = torch.empty(2, pin_memory=True)
            host.copy_(current, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        else:
            host = current.clone()
        self._pending.append((step, host, event))

    def check(self, keep: int = 0) -> None:
        """Look at all but the last `keep` steps.

        Raises:
            NonFiniteError: for the first of them that was not finite.
        """
        while len(self._pending) > keep:
            step, host, event = self._pending.popleft()
            if event is not None:
                event.synchronize()
            loss, grad_norm = host.tolist()
            if not host.isfinite().all():
                raise NonFiniteError(step, loss, grad_norm)

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values.cpu(), "seen": self.seen, "skipped": self.skipped.cpu()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.values.copy_(state["values"])
        self.seen = state["seen"]
        self.skipped.copy_(state["skipped"])
