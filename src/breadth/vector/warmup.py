"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from breadth.compilation import run_each
from breadth.vector.flat import Flat
from breadth.vector.hnsw import HNSW
from breadth.vector.ivf import IVF


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of the flat, IVF and HNSW indexes.

    Args:
        progress: called with one line for each step.
    """
    vectors = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    kinds = [{"kind": int(i % 3)} for i in range(len(vectors))]
    indexes = {
        "flat": Flat(16),
        "IVF": IVF(16, n_lists=8),
        "IVF, product-quantised": IVF(16, n_lists=8, n_subvectors=4),
        "HNSW": HNSW(16),
        "HNSW, float32": HNSW(16, coding="float32"),
    }

    def used(index: Flat | IVF | HNSW) -> None:
        index.add(np.arange(len(vectors)), vectors, kinds)
        index.search(vectors[:20], 5)
        index.search(vectors[:20], 5, {"kind": 1})

    run_each(((f"vector, {name}", lambda index=index: used(index)) for name, index in indexes.items()), progress)
