"""Memory that is available, in bytes."""

from __future__ import annotations

import os
from pathlib import Path


def available_memory() -> int:
    """What can be allocated without swapping, in bytes; half of all where the system does not say.

    A container's limit counts too.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total // 2
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free = int(line.split()[1]) * 1024
    except OSError:
        pass
    return min(free, _container(free))


def _container(otherwise: int) -> int:
    root = Path("/sys/fs/cgroup")
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        return otherwise if limit == "max" else max(int(limit) - used, 0)
    except (OSError, ValueError):
        return otherwise


def human(size: float) -> str:
    """Bytes as a reader likes them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
