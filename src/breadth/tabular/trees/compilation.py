"""Telling the user when kernels are compiled, which happens once on a machine and takes seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

_active = threading.Lock()


class _Listener(event.Listener):
    """Counts compilations of this package's own functions and reports each by name."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report = report
        self.names: list[str] = []
        self.began = 0.0

    def on_start(self, event: event.Event) -> None:
        data: Any = event.data
        function = data["dispatcher"].py_func
        if not function.__module__.startswith("breadth."):
            return
        if not self.names:
            self.began = time.perf_counter()
            self.report("breadth: compiling kernels for this machine, once; about 10 s for the first fit")
        self.names.append(function.__name__)

    def on_end(self, event: event.Event) -> None:
        """Compilations nest; only their start is of interest."""


def _to_stderr(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextmanager
def announced(report: Callable[[str], None] = _to_stderr) -> Iterator[None]:
    """Report when code inside makes Numba compile a kernel, and how long it took; silent when the cache serves it."""
    if not _active.acquire(blocking=False):  # an outer call, or another thread, reports already
        yield
        return
    listener = _Listener(report)
    try:
        with event.install_listener("numba:compile", listener):
            yield
    finally:
        _active.release()
        if listener.names:
            seconds = time.perf_counter() - listener.began
            report(f"breadth: {len(listener.names)} kernels compiled in {seconds:.1f} s; cached from now on")
