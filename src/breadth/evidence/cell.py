"""One cell: fit one contender on one split, and write down what it earned.

These functions run in worker processes. They write nowhere; what they return goes to the store through the parent.
"""

from __future__ import annotations

import pickle
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from breadth.evidence import memory
from breadth.evidence.entry import Entry
from breadth.evidence.measures import answers, first_measure, score, work
from breadth.evidence.problem import Problem
from breadth.evidence.study import Cell, Measure, Stage

# A fitted estimator seen from a comparison: (estimator, X_train, y_train, problem, held-out values) -> further values.
Probe = Callable[[Any, NDArray, NDArray, Problem, Mapping[str, float]], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Job:
    """What one cell is to do."""

    stage: Stage
    table: str
    contender: str
    repeat: int
    fold: int
    seed: int
    key: str


@dataclass(frozen=True, slots=True)
class Split:
    """How a repeat divides the rows: shuffled k-fold, stratified by class where there are classes."""

    folds: int
    repeat: int
    fold: int

    def rows(self, y: NDArray, problem: Problem) -> tuple[NDArray, NDArray]:
        """Indices of the training rows and of the held-out rows."""
        from sklearn.model_selection import KFold, StratifiedKFold

        make = StratifiedKFold if problem.family == "classification" else KFold
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a class rarer than the folds: the table's note says how rare
            splits = list(make(self.folds, shuffle=True, random_state=self.repeat).split(np.empty(len(y)), y))
        return splits[self.fold]


def quality(
    entry: Entry,
    problem: Problem,
    X: NDArray,
    y: NDArray,
    job: Job,
    split: Split,
    *,
    measure: Measure,
    tune: int = 0,
    probes: Sequence[Probe] = (),
) -> Cell:
    """Fit on one split with one thread and score the held-out rows; whatever the contender raises becomes its reason.

    Args:
        entry: the contender.
        problem: what its factory may know.
        X: all rows, shape (n, features).
        y: all targets, shape (n,).
        job: which cell this is.
        split: which rows are held out.
        measure: decides between tuned configurations.
        tune: number of random configurations tried on an inner split of the training rows; 0 takes the defaults.
        probes: further values that the comparison asks of the fitted estimator.
    """
    train, test = split.rows(y, problem)
    try:
        with threadpool_limits(1):
            chosen = _search(entry, problem, X[train], y[train], job.seed, tune, measure) if tune else {}
            codes, present = _recode(y[train], problem)
            X_train, X_test = X[train], X[test]
            start = time.perf_counter()
            fitted = _Fitted(_fit(entry.having(**chosen), problem, X_train, codes, job.seed, n_threads=1), present)
            middle = time.perf_counter()
            predicted = _predict(fitted, X_test, problem)
            end = time.perf_counter()
            values = score(problem, answers(problem, X_train, X_test, y[test]), predicted)
            for probe in probes:
                values |= probe(fitted.estimator, X_train, codes, problem, values)
            first = job.repeat == 0 and job.fold == 0
            curve = _curve(entry, fitted, X_test, y[test], problem) if first else ()
    except Exception as error:  # any failure of a contender is a result: it becomes a row with its reason
        return _failed(job, error, len(train), len(test))
    return Cell(
        **_identity(job),
        status="ok",
        values={**values, "fit_seconds": middle - start, "predict_seconds": end - middle},
        curve=curve,
        n_train=len(train),
        n_test=len(test),
        chosen={name: _plain(value) for name, value in chosen.items()},
    )


def speed(
    entry: Entry,
    problem: Problem,
    X: NDArray,
    y: NDArray,
    job: Job,
    split: Split,
    *,
    n_threads: int,
    warm_up: bool,
) -> Cell:
    """Time one fit and one prediction while nothing else runs, after an untimed one where `warm_up` is set.

    A call shorter than 50 ms is repeated until 50 ms are full, and its mean counts. Peak memory is the growth of
    resident memory during the fit; model size is that of the pickle. Where fits are not timed, memory is that of
    the first prediction.
    """
    train, test = split.rows(y, problem)
    X_train, X_test = X[train], X[test]
    codes, present = _recode(y[train], problem)

    def fit() -> _Fitted:
        return _Fitted(_fit(entry, problem, X_train, codes, job.seed, n_threads=n_threads), present)

    try:
        with threadpool_limits(n_threads):
            if warm_up:
                _predict(fit(), X_test, problem)
            peak = memory.watch()
            start = time.perf_counter()
            fitted = fit()
            once = time.perf_counter() - start
            if not problem.timed_fits:
                peak = memory.watch()
                _predict(fitted, X_test, problem)
            values = {"peak_bytes": peak()}
            if problem.timed_fits:
                values["fit_seconds"] = once if once > SHORT else _mean_seconds(fit)
                values["model_bytes"] = float(len(pickle.dumps(fitted.estimator, protocol=5)))
            values["predict_seconds"] = _mean_seconds(lambda: _predict(fitted, X_test, problem))
            if (amount := work(problem, X_test)) is not None:
                values["rate"] = amount / values["predict_seconds"]
    except Exception as error:  # as above
        return _failed(job, error, len(train), len(test))
    return Cell(**_identity(job), status="ok", values=values, n_train=len(train), n_test=len(test))


SHORT = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class _Fitted:
    estimator: Any
    present: NDArray  # class codes that the training rows hold, ascending; empty where there are no classes


def _recode(y: NDArray, problem: Problem) -> tuple[NDArray, NDArray]:
    """Classes recoded without gaps, and which they are: some packages refuse gaps, and a fold may lack a rare class."""
    if problem.family != "classification":
        return y, np.array([], dtype=int)
    present, codes = np.unique(y, return_inverse=True)
    return codes, present


def _fit(entry: Entry, problem: Problem, X: NDArray, y: NDArray, seed: int, n_threads: int) -> Any:
    estimator = entry.make(problem, seed, n_threads, entry.settings)
    estimator.fit(X, y, **(entry.fit_with(problem) if entry.fit_with is not None else {}))
    return estimator


def _predict(fitted: _Fitted, X: NDArray, problem: Problem) -> NDArray:
    if problem.family != "classification":
        return np.asarray(fitted.estimator.predict(X))
    return _all_classes(np.asarray(fitted.estimator.predict_proba(X)), fitted.present, problem)


def _all_classes(p: NDArray, present: NDArray, problem: Problem) -> NDArray:
    """Put a column of zeros where a class was absent from the training rows; shape (n, classes)."""
    if p.ndim != 2 or p.shape[1] != present.size:
        raise ValueError(f"predict_proba gave shape {p.shape}; the training rows hold {present.size} classes")
    if present.size == problem.n_classes:
        return p
    full = np.zeros((len(p), problem.n_classes), p.dtype)
    full[:, present] = p
    return full


def _search(
    entry: Entry, problem: Problem, X: NDArray, y: NDArray, seed: int, tune: int, measure: Measure
) -> dict[str, Any]:
    """The best of `tune` random configurations on one fifth of the training rows; a configuration that fails loses."""
    from sklearn.model_selection import ParameterSampler, train_test_split

    if not entry.space:
        return {}
    counts = np.unique(y, return_counts=True)[1]
    stratify = y if problem.family == "classification" and counts.min() >= 2 else None
    inner, validation = train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed, stratify=stratify)
    codes, present = _recode(y[inner], problem)
    best, best_score, last = None, np.inf, None
    for settings in ParameterSampler(entry.space, tune, random_state=seed):
        try:
            model = _fit(entry.having(**settings), problem, X[inner], codes, seed, n_threads=1)
            fitted = _Fitted(model, present)
            truth = answers(problem, X[inner], X[validation], y[validation])
            value = score(problem, truth, _predict(fitted, X[validation], problem))[measure.name]
        except Exception as error:  # the search goes on; if nothing is left, the last error is the cell's reason
            last = error
            continue
        loss = value if measure.direction == "lower" else -value
        if loss < best_score:
            best, best_score = settings, loss
    if best is None:
        raise RuntimeError(f"none of {tune} configurations could be fitted") from last
    return best


def _curve(entry: Entry, fitted: _Fitted, X: NDArray, y: NDArray, problem: Problem) -> tuple[float, ...]:
    if entry.stages is None:
        return ()
    if problem.family == "classification" and fitted.present.size < problem.n_classes:
        return ()  # stages speak of the classes that were trained on; a curve over fewer would mislead
    return tuple(first_measure(problem, y, np.asarray(p)) for p in entry.stages(fitted.estimator, X, problem))


def _mean_seconds(call: Callable[[], object]) -> float:
    count = 0
    start = time.perf_counter()
    while True:
        call()
        count += 1
        seconds = time.perf_counter() - start
        if seconds > SHORT or count == 100:
            return seconds / count


def _identity(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in ("stage", "table", "contender", "repeat", "fold", "seed")}


def _failed(job: Job, error: BaseException, n_train: int, n_test: int) -> Cell:
    return Cell(**_identity(job), status="failed", error=reason(error), n_train=n_train, n_test=n_test)


def reason(error: BaseException) -> str:
    """One line that says why, with the cause where there is one."""
    text = " ".join(str(error).split())
    line = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{line} (because of {reason(error.__cause__)})" if error.__cause__ is not None else line


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
