"""What HNSW walks on: vectors coded in eight bits, or in float32 about their centre."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from breadth.vector.distance_kernels import BLOCK, Coded, encode_rows
from breadth.vector.index import Metric
from breadth.vector.rows import Rows

Coding = Literal["int8", "float32"]

_LEVELS = 127  # of a stored vector's eight-bit codes, on each side of zero
_LARGEST_SUM = 2**31 - 1
_SAMPLE = 1000  # vectors whose median is the centre


class Codes:
    """Coded copies of an index's vectors, one row a slot.

    int8: each vector, less the centre, is scaled by its own largest entry to integers up to 127. A query gets as many
    levels as 32-bit sums allow, so that nearly all of the error is the stored vector's rounding. float32: no rounding.

    The centre is the median of 1,000 of the vectors when the first ones came, and again whenever their number has
    doubled since: Euclidean distance does not depend on it, and codes about it waste no levels on what all share. On
    vectors of length 1 cosine orders as Euclidean distance does, and is served by it; the inner product depends on the
    origin, so that its centre is 0.
    """

    def __init__(self, dim: int, metric: Metric, coding: Coding) -> None:
        self.coding = coding
        self.weight = np.float32(1 if metric == "dot" else 2 if coding == "int8" else -1)
        self.centre = np.zeros(dim, dtype=np.float32)
        self.n_centred = 0  # vectors when the centre was taken
        padded = -(-dim // BLOCK) * BLOCK
        self._codes = Rows(np.zeros((0, padded), dtype=np.int8 if coding == "int8" else np.float32))
        self._affine = Rows(np.zeros((0, 2), dtype=np.float32))

    def __len__(self) -> int:
        return len(self._codes)

    @property
    def padded(self) -> int:
        return self._codes.view.shape[1]

    @property
    def query_dtype(self) -> type:
        return np.int16 if self.coding == "int8" else np.float32

    @property
    def coded(self) -> Coded:
        return Coded(self._codes.view, self._affine.view, self.weight)

    def extend(self, vectors: NDArray[np.float32]) -> None:
        """Code the rows of `vectors`, all of the index's, that have no codes yet."""
        if len(vectors) >= 2 * self.n_centred and len(vectors):
            self.n_centred = len(vectors)
            if self.weight != 1:
                some = np.linspace(0, len(vectors) - 1, _SAMPLE).astype(np.int64)  # a mean would follow one far vector
                self.centre = np.median(vectors[some], axis=0).astype(np.float32)
                self._codes, self._affine = Rows(self._codes.view[:0]), Rows(self._affine.view[:0])
        levels = _LEVELS if self.coding == "int8" else 0
        codes, affine = self._encoded(vectors[len(self) :], levels, self._codes.view.dtype)
        self._codes.append(codes)
        self._affine.append(affine)

    def queries(self, queries: NDArray[np.float32]) -> tuple[NDArray, NDArray[np.float32]]:
        """Codes (q, padded) and their scales in column 0 of (q, 2)."""
        levels = min(2**15 - 1, _LARGEST_SUM // (_LEVELS * self.padded)) if self.coding == "int8" else 0
        return self._encoded(queries, levels, self.query_dtype)

    def _encoded(self, vectors: NDArray[np.float32], levels: int, dtype: type | np.dtype) -> tuple[NDArray, NDArray]:
        codes = np.zeros((len(vectors), self.padded), dtype=dtype)
        affine = np.empty((len(vectors), 2), dtype=np.float32)
        encode_rows(vectors, self.centre, levels, int(self.weight), codes, affine)
        return codes, affine

    def to_arrays(self) -> dict[str, NDArray]:
        """For a store."""
        return {"codes": self._codes.view, "affine": self._affine.view, "centre": self.centre}

    def restore(self, arrays: dict[str, NDArray], n_centred: int) -> None:
        """Take over what `to_arrays` gave."""
        self._codes, self._affine = Rows(arrays["codes"]), Rows(arrays["affine"])
        self.centre, self.n_centred = arrays["centre"], n_centred
