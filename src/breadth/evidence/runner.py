"""Run a plan: quality in parallel with one thread a fit, then speed alone; every cell is stored as it is finished."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import threading
import time
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import joblib
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from breadth.evidence import cell
from breadth.evidence.cell import Job, Split
from breadth.evidence.entry import Entry
from breadth.evidence.plan import Plan
from breadth.evidence.problem import Prepared, Problem
from breadth.evidence.settings import Settings, available_cores
from breadth.evidence.store import Store
from breadth.evidence.study import Cell, Stage, Study

QUALITY_SHARE = 2 / 3  # of the budget, so that a short one still leaves times to show
CRASH = "the worker process died: out of memory, or a crash in compiled code"


def run(plan: Plan, store: Store, *, console: Console | None = None, started: float | None = None) -> Study:
    """Measure what the store does not hold yet, and read the study back from the store.

    A contender that raises, or that takes its process down, becomes a failed cell with its reason. Failed cells of an
    earlier run are tried again.

    Args:
        plan: what to measure.
        store: where cells are kept; only this process writes to it.
        console: where progress goes; None shows none.
        started: `time.monotonic()` of the moment the budget counts from; None means now.

    Returns:
        The study as stored; cells that the budget left out are in `unrun`.
    """
    started = time.monotonic() if started is None else started
    budget = plan.settings.budget
    stored = store.cells(j.key for j in plan.jobs) if plan.settings.resume else {}
    done = {key for key, value in stored.items() if value.status == "ok"}
    store.begin(plan.study_id, plan.study, plan.planned(), _moment())
    deadline = None if budget is None else started + budget
    early = None if budget is None else started + (budget * QUALITY_SHARE if plan.settings.rounds else budget)
    with _progress(plan, store, done, console) as advance:
        _run_quality(plan, store, [j for j in plan.jobs if j.stage == "quality" and j.key not in done], early, advance)
        _run_speed(plan, store, done, deadline, advance)
    return store.load_study(plan.study_id)


def remaining(plan: Plan, store: Store) -> int:
    """How many cells of the plan are still to be measured."""
    stored = store.cells(j.key for j in plan.jobs) if plan.settings.resume else {}
    return len(plan.jobs) - sum(c.status == "ok" for c in stored.values())


def estimate(plan: Plan, store: Store | None) -> float:
    """Seconds that the run may take, from stored cells of the same kind where there are any, else roughly guessed."""
    done = store.cells(j.key for j in plan.jobs) if store is not None and plan.settings.resume else {}
    guesses = _guesses(plan, store)
    total = {"quality": 0.0, "speed": 0.0}
    for job in plan.jobs:
        if job.key in done and done[job.key].status == "ok":
            continue
        warm_up = 2.0 if job.stage == "speed" and job.repeat == 0 else 1.0
        total[job.stage] += warm_up * guesses[job.key]
    return total["quality"] / min(plan.settings.jobs, available_cores()) + total["speed"]


def _guesses(plan: Plan, store: Store | None) -> dict[str, float]:
    """key -> seconds that the cell may take."""
    seen: dict[tuple[str, str, Stage], float | None] = {}
    for job in plan.jobs:
        where = (job.table, job.contender, job.stage)
        if where not in seen:
            seen[where] = store.seconds(*where) if store is not None else None
    return {j.key: plan.guess(j, seen[j.table, j.contender, j.stage]) for j in plan.jobs}


def load_average() -> float | None:
    """The one-minute load of the machine, None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _moment() -> dict[str, str]:
    load = load_average()
    busy = "not known on this system" if load is None else f"{load:.2f} on {available_cores()} cores before the run"
    if load is not None and load > 0.5 * available_cores():
        busy += ": BUSY, times are not to be trusted"
    return {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "load": busy}


def _run_quality(plan: Plan, store: Store, jobs: Sequence[Job], deadline: float | None, advance: Any) -> None:
    waiting = {j.key: j for j in jobs}
    try:
        for key, result in _in_parallel(plan, jobs, waiting, deadline):
            store.put(key, result)
            del waiting[key]
            advance(key, result)
    except BrokenProcessPool:
        # Nobody says which cell took the worker down: run what is left one at a time, each able to die alone.
        with _Serial() as process:
            for job in waiting.values():
                if deadline is not None and time.monotonic() > deadline:
                    return
                process.hold(plan.tables[job.table])
                entry = plan.entries[job.contender]
                result = process.call(
                    job, _held_quality, entry, job, plan.split(job), plan.study, plan.settings.tune, plan.probes
                )
                store.put(job.key, result)
                advance(job.key, result)


def _in_parallel(
    plan: Plan, jobs: Sequence[Job], waiting: Container[str], deadline: float | None
) -> Iterator[tuple[str, Cell]]:
    def launched() -> Iterator[Any]:
        for job in _kernels_once(plan, jobs, waiting):
            if deadline is not None and time.monotonic() > deadline:
                return
            table = plan.tables[job.table]
            yield joblib.delayed(_quality_cell)(
                plan.entries[job.contender],
                table.problem,
                table.X,
                table.y,
                job,
                plan.split(job),
                plan.study,
                plan.settings.tune,
                plan.probes,
            )

    if not jobs:
        return
    with _backend(plan.settings):
        pool = joblib.Parallel(
            n_jobs=plan.settings.jobs,
            return_as="generator_unordered",
            pre_dispatch=plan.settings.jobs + 1,  # few, so that little starts after the deadline
            batch_size=1,
        )
        yield from pool(launched())


def _kernels_once(plan: Plan, jobs: Sequence[Job], waiting: Container[str]) -> Iterator[Job]:
    """The jobs in their order, but ours held back while a first one of ours runs: two workers would compile the same.

    Args:
        plan: of the jobs.
        jobs: to be run.
        waiting: keys of those without a result yet.
    """
    left = list(jobs)
    first: dict[tuple[str, str], str] = {}  # (contender, task) of ours -> key of the cell that compiles its kernels
    while left:
        compiling = any(key in waiting for key in first.values())
        free = (i for i, j in enumerate(left) if not compiling or plan.entries[j.contender].origin != "breadth")
        job = left.pop(next(free, 0))
        if plan.entries[job.contender].origin == "breadth":
            first.setdefault((job.contender, plan.tables[job.table].table.task), job.key)
        yield job


def _quality_cell(
    entry: Entry,
    problem: Problem,
    X: NDArray,
    y: NDArray,
    job: Job,
    split: Split,
    study: Study,
    tune: int,
    probes: tuple,
) -> tuple[str, Cell]:
    return job.key, cell.quality(entry, problem, X, y, job, split, measure=study.measures[0], tune=tune, probes=probes)


@contextmanager
def _backend(settings: Settings) -> Iterator[None]:
    """joblib's backend with one thread for whatever runs inside a worker."""
    if settings.backend == "loky":
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            yield
    elif settings.backend == "threading":
        with joblib.parallel_config(backend="threading"):
            yield
    else:
        with _dask_client(settings), joblib.parallel_config(backend="dask"):
            yield


@contextmanager
def _dask_client(settings: Settings) -> Iterator[None]:
    """The cluster of DASK_SCHEDULER_ADDRESS, or else one on this machine with a process per job."""
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise ImportError("--backend dask needs dask.distributed: pip install 'breadth[dask]'") from error
    address = dask.config.get("scheduler-address", None)
    if address is not None:
        with Client(address):
            yield
        return
    with (
        LocalCluster(n_workers=settings.jobs, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        yield


def _run_speed(plan: Plan, store: Store, done: set[str], deadline: float | None, advance: Any) -> None:
    """Rounds of all contenders in turn, in one process; a round that is not whole is measured again whole."""
    speed_jobs = [j for j in plan.jobs if j.stage == "speed"]
    whole = {(j.table, j.repeat) for j in speed_jobs} - {(j.table, j.repeat) for j in speed_jobs if j.key not in done}
    speed_jobs = [j for j in speed_jobs if (j.table, j.repeat) not in whole]
    warmed: set[tuple[str, str]] = set()  # (task, contender): code is loaded, and that does not ask for how many rows
    failed: dict[tuple[str, str], Cell] = {}
    with _Serial() as process:
        for job in speed_jobs:
            if deadline is not None and time.monotonic() > deadline:
                return
            where = (job.table, job.contender)
            if where in failed:  # it will not heal; the row says why for every round
                result = replace(failed[where], repeat=job.repeat)
            else:
                process.hold(plan.tables[job.table])
                entry = _tuned(plan, store, plan.entries[job.contender], job.table)
                warm = (plan.tables[job.table].table.task, job.contender)
                arguments = (entry, job, plan.split(job), plan.settings.threads, warm not in warmed)
                result = process.call(job, _held_speed, *arguments)
                warmed = set() if result.error == CRASH else warmed | {warm}
                if result.status == "failed":
                    failed[where] = result
            store.put(job.key, result)
            if job.key not in done:
                advance(job.key, result)


def _tuned(plan: Plan, store: Store, entry: Entry, table: str) -> Entry:
    """The entry as tuned on the first split, whose rows the speed pass trains on."""
    first = next(
        j
        for j in plan.jobs
        if (j.stage, j.table, j.contender, j.repeat, j.fold) == ("quality", table, entry.name, 0, 0)
    )
    found = store.cells([first.key]) if plan.settings.tune else {}
    return entry.having(**found[first.key].chosen) if found else entry


_held: dict[str, Any] = {}  # the data of a serial process, sent once


def _hold(X: NDArray, y: NDArray, problem: Problem) -> None:
    _held.update(X=X, y=y, problem=problem)


def _die_with_parent() -> None:
    """End this process when its parent is killed: nobody else would, and it holds the data."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            multiprocessing.connection.wait([parent.sentinel])
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _held_quality(entry: Entry, job: Job, split: Split, study: Study, tune: int, probes: tuple) -> Cell:
    return _quality_cell(entry, _held["problem"], _held["X"], _held["y"], job, split, study, tune, probes)[1]


def _held_speed(entry: Entry, job: Job, split: Split, n_threads: int, warm_up: bool) -> Cell:
    time.sleep(0.02)  # the threads of the contender before may still be spinning
    return cell.speed(entry, _held["problem"], _held["X"], _held["y"], job, split, n_threads=n_threads, warm_up=warm_up)


class _Serial:
    """One fresh process that runs one call at a time on the data it holds; replaced when a call takes it down."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._data: Prepared | None = None

    def __enter__(self) -> _Serial:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def hold(self, data: Prepared) -> None:
        """Make `data` what the next calls see; sent only when it changes."""
        if self._pool is None:
            # spawn: a fork would inherit locked thread pools and this process's memory
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_die_with_parent)
        if self._data is not data:
            self._pool.submit(_hold, data.X, data.y, data.problem).result()
            self._data = data

    def call(self, job: Job, function: Any, *arguments: Any) -> Cell:
        if self._pool is None:
            raise RuntimeError("hold data before calling")
        try:
            return self._pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            self._pool.shutdown(cancel_futures=True)
            self._pool = self._data = None
            return Cell(job.stage, job.table, job.contender, job.repeat, job.fold, job.seed, "failed", error=CRASH)


class _Advance:
    """Moves the bar by the seconds that a cell was guessed to take; off a terminal, writes a line now and then."""

    def __init__(self, plan: Plan, guesses: dict[str, float], done: set[str], progress: Progress) -> None:
        self._guesses, self._progress = guesses, progress
        self._total, self._count, self._failed = len(plan.jobs), len(done), 0
        self._task = progress.add_task("starting", total=sum(guesses.values()), cells=self._cells())
        progress.update(self._task, completed=sum(guesses[key] for key in done))
        self._said = time.monotonic()

    def __call__(self, key: str, result: Cell) -> None:
        self._count += 1
        self._failed += result.status == "failed"
        failed = f" · {self._failed} failed" if self._failed else ""
        where = f"{result.stage}: {result.contender} on {result.table}{failed}"
        self._progress.update(self._task, advance=self._guesses[key], description=where, cells=self._cells())
        if not self._progress.console.is_terminal and time.monotonic() - self._said > LINE_SECONDS:
            self._said = time.monotonic()
            left = self._progress.tasks[0].time_remaining
            about = f", about {left:.0f} s left" if left is not None else ""
            self._progress.console.print(f"{self._cells()} cells{failed}{about}", highlight=False)

    def _cells(self) -> str:
        return f"{self._count}/{self._total}"


LINE_SECONDS = 10


@contextmanager
def _progress(plan: Plan, store: Store, done: set[str], console: Console | None) -> Iterator[_Advance]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[cells]}"),
        TimeElapsedColumn(),
        TextColumn("· left"),
        TimeRemainingColumn(),
    )
    shown = console or Console(stderr=True, quiet=True)
    with Progress(*columns, console=shown, transient=True) as progress:
        yield _Advance(plan, _guesses(plan, store), done, progress)
