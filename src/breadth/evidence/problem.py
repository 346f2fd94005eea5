"""A data set as a contender meets it: numbers, texts, vectors, sequences, starts, and what chooses its estimator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.evidence.study import Table, Trial

if TYPE_CHECKING:
    from breadth.data import Dataset

Task = Literal["binary", "multiclass", "regression"]
Metric = Literal["cosine", "dot", "euclidean"]
Language = Literal["modelling", "generation"]
Family = Literal[
    "classification", "regression", "tokenization", "search", "attention", "control", "accounting", Language, Trial
]


@dataclass(frozen=True, slots=True)
class Problem:
    """What a contender's factory may know before it sees a row."""

    task: Task | Literal["tokenization", "search", "attention", "control", "accounting"] | Language | Trial
    n_classes: int
    n_features: int
    categorical: tuple[int, ...] = ()  # columns that hold category codes
    cardinality: tuple[int, ...] = ()  # number of categories of each of them
    missing: bool = False
    metric: Metric = "cosine"  # of the neighbours that a search looks for
    environment: str = ""  # gymnasium's id, of a control task
    vocabulary: int = 0  # of the tokens that texts are made of
    timed_fits: bool = True  # False where only predictions are timed: nothing is fitted, or nobody asks how fast

    @property
    def family(self) -> Family:
        return "classification" if self.task in ("binary", "multiclass") else self.task


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A data set ready for every contender alike.

    Categories are codes 0..K−1 in their column and missing values are NaN; a contender whose method can take either as
    it is does so, and the others bring a pipeline that learns its encoding and filling from the training rows alone.
    """

    table: Table
    problem: Problem
    X: NDArray  # (n, features), the narrower float type that loses no digit; for tokenization documents, shape (n,)
    y: NDArray  # (n,), class codes int64, or float64; zeros where rows are their own answer
    digest: str  # of X, y and what is categorical
    warnings: tuple[str, ...] = ()


def from_dataset(dataset: Dataset) -> Prepared:
    """Prepare what a reader, an embedded set or a generator returned.

    Raises:
        ValueError: if the data set has no target.
    """
    if dataset.task == "unlabelled":
        raise ValueError(f"data set {dataset.name!r} has no target; name it with --target NAME_OR_INDEX")
    return from_arrays(
        dataset.name,
        dataset.to_numpy(),
        dataset.y,
        task=dataset.task,
        categorical=np.flatnonzero(dataset.categorical_mask),
        note=dataset.note,
        warnings=dataset.warnings,
    )


def from_arrays(
    name: str,
    X: ArrayLike,
    y: ArrayLike,
    *,
    task: Task,
    categorical: Sequence[int] | NDArray = (),
    note: str = "",
    warnings: tuple[str, ...] = (),
) -> Prepared:
    """Prepare a matrix and a target.

    Args:
        name: what tables call it.
        X: features, shape (n, features); NaN is missing; categorical columns hold codes 0..K−1.
        y: class codes 0..K−1 or a real target, shape (n,).
        task: what to predict.
        categorical: indices of the columns of category codes.
        note: provenance.
        warnings: what the reader of the data noticed.

    Raises:
        ValueError: if shapes disagree, there is no row, X holds infinity, y is not finite, or a class task
            has a single class.
    """
    X = np.asarray(X)
    X = X if np.issubdtype(X.dtype, np.floating) else X.astype(np.float64)
    y = np.asarray(y, dtype=np.float64 if task == "regression" else np.int64)
    if X.ndim != 2 or y.shape != X.shape[:1] or not X.size:
        raise ValueError(
            f"data set {name!r}: X must be (n >= 1, features >= 1) and y (n,), got {X.shape} and {y.shape}"
        )
    if np.isinf(X).any() or not np.isfinite(y).all():
        raise ValueError(f"data set {name!r}: X must hold finite values or NaN and y finite values; it has infinities")
    counts = np.bincount(y) if task != "regression" else np.array([], int)
    if task != "regression" and (counts > 0).sum() < 2:
        raise ValueError(f"data set {name!r}: the target has a single class; there is nothing to tell apart")
    X = _narrowest(X)
    columns = tuple(int(j) for j in categorical)
    missing = float(np.isnan(X).mean())
    digest = hashlib.sha256(repr((X.shape, X.dtype.str, task, columns)).encode())
    digest.update(X.tobytes())
    digest.update(y.tobytes())
    facts = [note] if note else []
    if columns:
        facts.append(f"{len(columns)} categorical columns" if len(columns) > 1 else "1 categorical column")
    if missing:
        facts.append(f"{missing:.1%} of values missing")
    if counts.size:
        facts.append(f"rarest class {counts[counts > 0].min() / len(y):.1%}")
    return Prepared(
        table=Table(
            name=name,
            task=task,
            n_rows=X.shape[0],
            n_features=X.shape[1],
            n_classes=len(counts),
            note="; ".join(facts),
            spread=1.0 if task != "regression" else float(y.std()) or 1.0,
        ),
        problem=Problem(
            task=task,
            n_classes=len(counts),
            n_features=X.shape[1],
            categorical=columns,
            cardinality=tuple(int(np.nanmax(X[:, j], initial=-1)) + 1 for j in columns),
            missing=missing > 0,
        ),
        X=X,
        y=y,
        digest=digest.hexdigest(),
        warnings=warnings,
    )


def from_documents(name: str, documents: Sequence[str], *, note: str = "") -> Prepared:
    """Prepare texts, for tokenizers that learn from some of them and encode the others.

    Args:
        name: what tables call them.
        documents: non-empty strings.
        note: provenance.

    Raises:
        ValueError: if there is no document, or an empty one.
    """
    if not documents or not all(documents):
        raise ValueError(f"data set {name!r}: documents must hold at least one text and no empty one")
    X = np.array(documents, dtype=object)
    n_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in documents)
    digest = hashlib.sha256(json.dumps(list(documents)).encode())
    return Prepared(
        table=Table(name, "tokenization", len(documents), n_bytes // len(documents), note=note, rate_unit="MB/s"),
        problem=Problem(task="tokenization", n_classes=0, n_features=n_bytes // len(documents)),
        X=X,
        y=np.zeros(len(documents)),
        digest=digest.hexdigest(),
    )


def from_vectors(name: str, vectors: ArrayLike, *, metric: Metric, note: str = "") -> Prepared:
    """Prepare vectors, for indexes that hold some of them and are asked for the neighbours of the others.

    Args:
        name: what tables call them.
        vectors: finite, shape (n, d); with metric "cosine" none is zero.
        metric: by which the true neighbours are nearest.
        note: provenance.

    Raises:
        ValueError: if the shape is another, an entry is not finite, or an angle does not exist.
    """
    X = np.ascontiguousarray(vectors, dtype=np.float32)
    if X.ndim != 2 or not X.size or not np.isfinite(X).all():
        raise ValueError(f"data set {name!r}: vectors must be finite, shape (n >= 1, d >= 1), got shape {X.shape}")
    if metric == "cosine" and not X.any(axis=1).all():
        raise ValueError(f"data set {name!r}: row {int((~X.any(axis=1)).argmax())} is zero and has no angle")
    digest = hashlib.sha256(repr((X.shape, metric)).encode())
    digest.update(X.tobytes())
    facts = [*([note] if note else []), f"neighbours by {metric}"]
    return Prepared(
        table=Table(name, "search", *X.shape, note="; ".join(facts), rate_unit="queries/s"),
        problem=Problem(task="search", n_classes=0, n_features=X.shape[1], metric=metric),
        X=X,
        y=np.zeros(len(X)),
        digest=digest.hexdigest(),
    )


def from_sequences(name: str, qkv: ArrayLike, *, note: str = "") -> Prepared:
    """Prepare queries, keys and values, for kinds of attention that are held against the exact one.

    Args:
        name: what tables call them.
        qkv: finite, shape (n, 3, heads, length, head_dim).
        note: provenance.

    Raises:
        ValueError: if the shape is another, or an entry is not finite.
    """
    X = np.ascontiguousarray(qkv, dtype=np.float32)
    if X.ndim != 5 or X.shape[1] != 3 or not X.size or not np.isfinite(X).all():
        raise ValueError(
            f"data set {name!r}: qkv must be finite, shape (n, 3, heads, length, head_dim), got shape {X.shape}"
        )
    digest = hashlib.sha256(repr(X.shape).encode())
    digest.update(X.tobytes())
    facts = [*([note] if note else []), f"{X.shape[2]} heads of {X.shape[4]} dimensions"]
    return Prepared(
        table=Table(name, "attention", X.shape[0], X.shape[3], note="; ".join(facts), rate_unit="tokens/s"),
        problem=Problem(task="attention", n_classes=0, n_features=X.shape[3], timed_fits=False),
        X=X,
        y=np.zeros(len(X)),
        digest=digest.hexdigest(),
    )


def from_tokens(name: str, ids: ArrayLike, *, vocabulary: int, task: Language, note: str = "") -> Prepared:
    """Prepare texts of one length as token ids, for models that learn from some of them and are asked about the others.

    Args:
        name: what tables call them.
        ids: integers in [0, vocabulary), shape (n, length), length >= 4.
        vocabulary: number of tokens.
        task: "modelling" asks what each token costs, "generation" for continuations.
        note: provenance.

    Raises:
        ValueError: if the shape is another, or an id is no token.
    """
    X = np.ascontiguousarray(ids)
    if X.ndim != 2 or not len(X) or X.shape[1] < 4 or X.dtype.kind not in "iu":
        raise ValueError(
            f"data set {name!r}: ids must be integers, shape (n >= 1, length >= 4), got {X.dtype} of shape {X.shape}"
        )
    X = X.astype(np.int64)
    if X.min() < 0 or X.max() >= vocabulary:
        raise ValueError(
            f"data set {name!r}: ids must be from 0 to {vocabulary - 1}, got some from {X.min()} to {X.max()}"
        )
    digest = hashlib.sha256(repr((X.shape, vocabulary, task)).encode())
    digest.update(X.tobytes())
    facts = [*([note] if note else []), f"{vocabulary} different tokens"]
    return Prepared(
        table=Table(name, task, *X.shape, note="; ".join(facts), rate_unit="tokens/s"),
        problem=Problem(task, 0, X.shape[1], vocabulary=vocabulary, timed_fits=False),
        X=X,
        y=np.zeros(len(X)),
        digest=digest.hexdigest(),
    )


def from_environment(environment: str, n_starts: int = 50) -> Prepared:
    """Prepare episodes' starts in an environment, for methods that train in it and are then judged from them.

    Args:
        environment: a gymnasium id.
        n_starts: episodes that are played in all; each fold holds its share.

    Raises:
        ValueError: if gymnasium has no such environment, or n_starts < 1.
    """
    import gymnasium

    if n_starts < 1:
        raise ValueError(f"n_starts must be >= 1, got {n_starts}")
    try:
        env = gymnasium.make(environment)
    except gymnasium.error.Error as error:
        raise ValueError(f"data set {environment!r}: gymnasium cannot make it: {error}") from error
    spec = env.spec
    env.action_space.seed(0)
    blind = np.mean([_random_return(env, seed) for seed in range(20)])
    threshold = None if spec is None else spec.reward_threshold
    spread = abs(blind) if threshold is None else abs(threshold - blind)
    note = f"a random policy returns {blind:.4g}" + (f", solved at {threshold:g}" if threshold is not None else "")
    return Prepared(
        table=Table(environment, "control", n_starts, 1, note=note, spread=max(float(spread), 1e-9)),
        problem=Problem(task="control", n_classes=0, n_features=1, environment=environment),
        X=np.arange(100_000, 100_000 + n_starts, dtype=np.float64)[:, None],
        y=np.zeros(n_starts),
        digest=hashlib.sha256(f"{spec} {n_starts}".encode()).hexdigest(),
    )


def from_lengths(name: str, lengths: ArrayLike, *, note: str = "") -> Prepared:
    """Prepare lengths of texts, for models whose costs behind so many tokens are computed.

    Args:
        name: what tables call them.
        lengths: tokens, integers >= 1, shape (n,).
        note: provenance.

    Raises:
        ValueError: if there is no length, or one that is no integer >= 1.
    """
    X = np.asarray(lengths)
    if X.ndim != 1 or not len(X) or X.dtype.kind not in "iu" or X.min() < 1:
        raise ValueError(f"data set {name!r}: lengths must be integers >= 1, shape (n >= 1,), got {lengths!r}")
    X = X.astype(np.int64)[:, None]
    return Prepared(
        table=Table(name, "accounting", len(X), int(X.max()), note=note),
        problem=Problem("accounting", 0, int(X.max()), timed_fits=False),
        X=X,
        y=np.zeros(len(X)),
        digest=hashlib.sha256(X.tobytes()).hexdigest(),
    )


def _random_return(env: Any, seed: int) -> float:
    env.reset(seed=seed)
    total, over = 0.0, False
    while not over:
        _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        total, over = total + float(reward), terminated or truncated
    return total


def _narrowest(X: NDArray) -> NDArray:
    """float32 where that loses no digit, else float64: half the memory, and what most engines bin from anyway."""
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(X, dtype=np.float32)
    return narrow if np.array_equal(narrow, X, equal_nan=True) else np.ascontiguousarray(X, dtype=np.float64)
