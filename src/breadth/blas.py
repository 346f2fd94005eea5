"""How many threads BLAS may use: sharing small products costs more than it saves, and two pools fight."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from threading import Lock
from typing import Any

from joblib import effective_n_jobs
from threadpoolctl import OpenBLASController, ThreadpoolController

_lock = Lock()
_inside = 0  # contexts of `one_thread` that are open
_limit: Any = None  # the limit that the first of them set


@cache
def _controller() -> ThreadpoolController:
    """The process's thread pools; finding them reads the memory map (milliseconds), so once."""
    return ThreadpoolController()


def granted_threads() -> int:
    """Threads BLAS may use now: OMP_NUM_THREADS, joblib's pins in worker processes and threadpoolctl all count."""
    return max((pool["num_threads"] for pool in _controller().info() if pool["user_api"] == "blas"), default=1)


def threads_for(n_jobs: int | None) -> int:
    """Threads of an estimator: as many as BLAS has been granted, or as n_jobs says (-1 for every core)."""
    return granted_threads() if n_jobs is None else effective_n_jobs(n_jobs)


def one_thread(when: bool = True) -> AbstractContextManager:
    """Context in which BLAS runs on the calling thread alone, if `when`.

    The limit is the process's: of threads that are inside at the same time, the last to leave lifts it.
    """
    return _alone() if when else nullcontext()


@contextmanager
def _alone() -> Iterator[None]:
    global _inside, _limit
    with _lock:
        if _inside == 0:
            # the thread that limited OpenBLAS first would otherwise stay the only one that can
            OpenBLASController.clear_controlling_thread(force=True)
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0 and _limit is not None:
                OpenBLASController.clear_controlling_thread(force=True)
                _limit.restore_original_limits()
                OpenBLASController.clear_controlling_thread(force=True)
                _limit = None
