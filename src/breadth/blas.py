"""How many threads BLAS may use: sharing small products costs more than it saves, and two pools fight."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

from joblib import effective_n_jobs
from threadpoolctl import ThreadpoolController


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
    """Context in which BLAS runs on the calling thread alone, if `when`."""
    return _controller().limit(limits=1, user_api="blas") if when else nullcontext()
