"""Peak memory of one call in this process, from the kernel's own high-water mark."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def release() -> None:
    """Give freed memory back to the kernel, so that the next peak counts what a call needs and not what it finds.

    What is still alive is not looked at by later collections, which would take 0.2 s each with a few packages loaded.
    """
    gc.collect()
    gc.freeze()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only; musl gives back by itself
        if trim is not None:
            trim(0)


def watch() -> Callable[[], float]:
    """Start watching; the function returned gives the growth of resident memory at its peak since then, in bytes.

    NaN where the system does not say (anything but Linux, or a kernel without clear_refs). Code that is loaded and
    compiled during the call counts, so call once before for a warm figure.
    """
    release()
    try:
        CLEAR.write_text("5")  # sets the high-water mark to what is resident now
        start = _status("VmRSS")
    except OSError:
        return lambda: float("nan")
    return lambda: max(_status("VmHWM") - start, 0.0)


def _status(name: str) -> float:
    line: Any = next(line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return 1024.0 * int(line.split()[1])
