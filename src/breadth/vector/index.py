"""What every vector index and engine answers to, and the checks of input that they share."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, Self, get_args, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Metric = Literal["cosine", "dot", "euclidean"]
Ids = Sequence[int | str] | NDArray  # integers or strings, never both
Metadata = Sequence[Mapping[str, str | int | float | bool]]
Filter = Mapping[str, Any]

_LARGEST_NORM = 1e18  # squared distances of longer vectors would overflow float32


class Hits(NamedTuple):
    """The vectors found for each query, best first, equal scores in the order of their addition.

    ids: shape (queries, k), int64 or NumPy's StringDType, as the ids were added.
    scores: shape (queries, k), float32. "cosine": the cosine, and "dot": the dot product, both falling;
        "euclidean": the distance, rising.
    """

    ids: NDArray
    scores: NDArray[np.float32]


@runtime_checkable
class VectorIndex(Protocol):
    """Vectors under ids, found again by nearness.

    Any number of searches may run at a time; a change (`add`, `upsert`, `remove`) must have the index for itself. A
    call that raises has changed nothing.
    """

    dim: int
    metric: Metric

    def add(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors under new ids.

        Args:
            ids: n distinct integers of 64 bits or n distinct strings; all ids of an index are of one kind.
            vectors: shape (n, dim), finite; with metric "cosine" none is zero.
            metadata: n mappings from field names to a str, int, float or bool; one kind a field, and a field may be
                absent. None means no fields.

        Raises:
            ValueError: if an id is in the index already (`upsert` replaces it) or comes twice, or the shapes differ.
        """

    def upsert(self, ids: Ids, vectors: ArrayLike, metadata: Metadata | None = None) -> None:
        """Add vectors as `add` does; the vector and metadata of an id that is there already are replaced."""

    def remove(self, ids: Ids) -> None:
        """Take ids out; raises KeyError, which names them, if some are not in the index."""

    def search(self, queries: ArrayLike, k: int = 10, filter: Filter | None = None) -> Hits:
        """The k best vectors for each query.

        Args:
            queries: shape (q, dim), finite; with metric "cosine" none is zero.
            k: in [1, len(index)].
            filter: which metadata to allow, as `breadth.vector.filters.parse` takes it; None allows all.

        Returns:
            Hits of k columns; where the filter allows only m < k vectors, of m columns. Nothing is padded: an
            approximate index searches on until it has so many.

        Raises:
            ValueError: if k is outside [1, len(index)], or the filter names a field that no vector has.
        """

    def metadata(self, ids: Ids) -> list[dict[str, str | int | float | bool]]:
        """The metadata of each id; raises KeyError, which names them, if some are not in the index."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index to one file, or replace that file; a crash on the way leaves the old file."""

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, mmap: bool = True, verify: bool = True) -> Self:
        """Read a saved index.

        Args:
            path: a file that `save` wrote.
            mmap: map the file into memory, so that only what a search touches is read and processes share it.
            verify: read the whole file once and compare its checksums; False believes it.
        """

    def __len__(self) -> int:
        """How many vectors can be found."""

    def __contains__(self, id: int | str) -> bool: ...


def check_at_least(name: str, value: int, least: int = 1) -> None:
    """Raise if `value` is not an integer >= `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


class Setting:
    """An attribute that is an integer >= 1 whenever it is set, so that no index holds or saves another.

    Args:
        most: the largest; None for any.
        optional: it may be None from the beginning, and then stays so.
    """

    def __init__(self, most: int | None = None, *, optional: bool = False) -> None:
        self._most, self._optional = most, optional

    def __set_name__(self, owner: type, name: str) -> None:
        self._name, self._place = name, f"_{name}_set"

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        return self if instance is None else getattr(instance, self._place)

    def __set__(self, instance: object, value: Any) -> None:
        if self._optional and getattr(instance, self._place, value) is None:
            if value is not None:
                raise ValueError(f"{self._name} is None in this index and stays so, got {value!r}: make another index")
        else:
            if self._most is not None and isinstance(value, int | np.integer) and not 1 <= value <= self._most:
                raise ValueError(f"{self._name} must be in [1, {self._most}], got {value}")
            check_at_least(self._name, value)
            value = int(value)
        setattr(instance, self._place, value)


def check_space(dim: int, metric: str) -> None:
    """Raise if `dim` is not a positive integer or `metric` not one of Metric."""
    check_at_least("dim", dim)
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be 'cosine', 'dot' or 'euclidean', got {metric!r}")


def check_count(name: str, value: int, largest: int, what: str) -> None:
    """Raise if `value` is not an integer in [1, largest]; `what` says what `largest` is."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if not 1 <= value <= largest:
        hint = "" if largest else f"; there are no {what} yet: add some first"
        raise ValueError(f"{name} must be in [1, {largest}], the number of {what}, got {value}{hint}")


def as_vectors(vectors: ArrayLike, *, dim: int, metric: Metric, name: str = "vectors") -> NDArray[np.float32]:
    """Rows as an index keeps them: float32, contiguous, and of length 1 with metric "cosine".

    Args:
        vectors: shape (n, dim), numbers.
        dim: the index's dimension.
        metric: the index's metric.
        name: the argument, for errors.

    Returns:
        Shape (n, dim); the argument itself where it is so already.

    Raises:
        TypeError: if the entries are not real numbers.
        ValueError: if the shape is another, an entry is not finite or too large for float32's squares, or, with
            "cosine", a row is zero.
    """
    try:
        given = np.asarray(vectors)
    except ValueError as error:  # NumPy's words do not say which argument it was
        raise ValueError(f"{name} must have shape (n, {dim}), got rows of different lengths ({error})") from None
    if given.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be real numbers, got an array of {given.dtype}")
    if given.ndim != 2:
        hint = f"; a single one is {name}[None]" if given.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n, {dim}), got {given.shape}{hint}")
    if given.shape[1] != dim:
        raise ValueError(f"{name} must have {dim} columns, the dimension of this index, got {given.shape[1]}")
    square = np.einsum("ij,ij->i", given, given, dtype=np.float64, casting="same_kind")
    bad = ~np.isfinite(square)
    if bad.any():
        row = int(bad.argmax())
        what = "an entry too large" if np.isfinite(given[row]).all() else "NaN or infinity"
        raise ValueError(f"{name} must be finite, but row {row} holds {what} ({int(bad.sum())} such rows in all)")
    if metric == "cosine":
        norm = np.sqrt(square)
        if not norm.all():
            row = int(norm.argmin())
            raise ValueError(
                f"{name} must not be zero with metric 'cosine' (a zero has no direction), but row {row} is"
            )
        return np.divide(given, norm[:, None], dtype=np.float64).astype(np.float32, order="C")
    if len(square) and square.max() > _LARGEST_NORM**2:
        row = int(square.argmax())
        raise ValueError(
            f"{name} must be no longer than {_LARGEST_NORM:g}, where float32 still holds squared distances, "
            f"but row {row} has length {np.sqrt(square[row]):.3g}: rescale them"
        )
    return np.ascontiguousarray(given, dtype=np.float32)
