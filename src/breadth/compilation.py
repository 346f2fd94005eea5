"""Telling the user when kernels are compiled, which happens once on a machine and takes seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from numba.core import event

_active = threading.Lock()


class _Listener(event.Listener):
    """Counts compilations of this package's own functions and adds up their time."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.report = report
        self.kernels = 0
        self.seconds = 0.0
        self._depth = 0  # a kernel's compilation contains those of the functions that it calls
        self._began = 0.0

    def on_start(self, event: event.Event) -> None:
        if self._depth == 0:
            self._began = time.perf_counter()
        self._depth += 1
        data: Any = event.data
        if data["dispatcher"].py_func.__module__.startswith("breadth."):
            if self.kernels == 0:
                self.report("breadth: compiling kernels for this machine, some seconds; done once")
            self.kernels += 1

    def on_end(self, event: event.Event) -> None:
        self._depth -= 1
        if self._depth == 0:
            self.seconds += time.perf_counter() - self._began


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
        if listener.kernels:
            report(f"breadth: compiled in {listener.seconds:.1f} s and kept for the next time")


def run_each(tasks: Iterable[tuple[str, Callable[[], object]]], progress: Callable[[str], None]) -> None:
    """Run small tasks that reach kernels, and tell of each how long it took."""
    for name, task in tasks:
        began = time.perf_counter()
        task()
        progress(f"{name}: {time.perf_counter() - began:.1f} s")
