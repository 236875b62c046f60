"""Peak memory of one piece of work: the high-water mark of the resident set above its start."""

from __future__ import annotations

import threading
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


def _resident(key: str) -> int:
    """A figure of the process's status in bytes, 0 where the system has no such file."""
    try:
        for line in _STATUS.read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


class PeakMemory:
    """`with PeakMemory() as peak: …`, then `peak.bytes`.

    On Linux the kernel's own high-water mark is reset at the start; where that is forbidden the
    resident set is sampled every 20 ms; elsewhere the answer is 0, not known. Memory that the
    allocator kept from earlier work and uses again is not counted: the first method of a
    comparison also pays for what all share.
    """

    bytes: int = 0

    def __enter__(self) -> PeakMemory:
        self._start = _resident("VmRSS")
        self._stop = threading.Event()
        self._sampled = 0
        self._thread: threading.Thread | None = None
        try:
            _RESET.write_text("5")
        except OSError:
            if self._start:
                self._thread = threading.Thread(target=self._sample, daemon=True)
                self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(0.02):
            self._sampled = max(self._sampled, _resident("VmRSS"))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            peak = self._sampled
        else:
            peak = _resident("VmHWM")
        self.bytes = max(peak - self._start, 0)
