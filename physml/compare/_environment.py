"""Where and when a comparison was made."""

from __future__ import annotations

import datetime
import os
import platform
import sys
from importlib import metadata
from typing import Any

import jax

_LIBRARIES = ("physml", "jax", "jaxlib", "equinox", "diffrax", "optax", "numpy", "scipy")


def now() -> str:
    """Local date and time with its offset, to the second."""
    return datetime.datetime.now().astimezone().isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Versions, device, precision and machine, as plain data."""
    import physml

    versions = {"physml": physml.__version__}
    for name in _LIBRARIES[1:]:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    device = jax.devices()[0]
    return {
        "versions": versions,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "device": f"{device.platform.upper()} ({_processor(device)})",
        "cores": available_cores(),
        "precision": "float64" if jax.config.read("jax_enable_x64") else "float32",
        "command": " ".join(os.path.basename(part) if i == 0 else part for i, part in
                            enumerate(sys.argv)),
    }  # fmt: skip


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor(device: Any) -> str:
    if device.platform != "cpu":
        return str(device.device_kind)
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
