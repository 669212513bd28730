"""The machine that something was measured on."""

import platform


def processor() -> str:
    """Name the processor, as the system does."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            names = (line.partition(":")[2].strip() for line in handle if "model name" in line)
            return next(names, platform.machine())
    except OSError:
        return platform.processor() or platform.machine()
