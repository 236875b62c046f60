"""An optimizer that can't hold its matrix says so before it is allocated."""

from __future__ import annotations

_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("bytes", 1.0))


def check_memory(needed: float, memory: float, matrix: str, remedy: str) -> None:
    """Raises `ValueError` where `matrix` needs more bytes than `memory`, and names the remedy."""
    if needed > memory:
        raise ValueError(
            f"{matrix} takes {in_bytes(needed)}, more than memory={in_bytes(memory)}; {remedy}."
        )


def in_bytes(size: float) -> str:
    """A number of bytes in the unit that suits it."""
    unit, scale = next((pair for pair in _UNITS if size >= pair[1]), _UNITS[-1])
    return f"{size / scale:.1f} {unit}" if scale > 1 else f"{size:.0f} bytes"
