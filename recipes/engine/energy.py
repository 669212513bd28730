"""Energy of the processors, where the system lets it be read (Linux, RAPL)."""

from pathlib import Path

_RAPL = Path("/sys/class/powercap")


class EnergyMeter:
    """Adds up what the processor packages take, from when it is made.

    Everything that runs on them is counted, not this process alone; GPUs are not.

    Args:
        root: of the system's counters, for tests.
    """

    def __init__(self, root: Path = _RAPL) -> None:
        self._joules = 0.0
        # Zones below a package (intel-rapl:0:1) are parts of it.
        self._zones = [p for p in sorted(root.glob("intel-rapl:*")) if p.name.count(":") == 1]
        self._last = self._counters()

    def _counters(self) -> list[tuple[int, int]] | None:
        """Count of each package and where it comes round, in microjoules."""
        try:
            return [
                tuple(int((z / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
                for z in self._zones
            ] or None
        except (OSError, ValueError):
            return None  # since 2020 most systems let root alone read them

    def read(self) -> float | None:
        """Return the joules so far; `None` where they cannot be read.

        To be called more often than a counter comes round, which takes minutes at full load.
        """
        now = self._counters()
        if now is None or self._last is None:
            return None
        for (before, _), (after, limit) in zip(self._last, now):
            taken = after - before if after >= before else after - before + limit
            self._joules += taken / 1e6
        self._last = now
        return self._joules
