"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from breadth.compilation import run_each
from breadth.stats.correlation import kendall
from breadth.stats.dependence import distance_correlation
from breadth.stats.eigen import qr_algorithm


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of Kendall's tau, distance correlation and the QR algorithm.

    Args:
        progress: called with one line for each step.
    """
    x, y = np.random.default_rng(0).normal(size=(2, 20))
    tasks = {
        "Kendall's tau": lambda: kendall(x, y),
        "distance correlation": lambda: distance_correlation(x, y),
        "QR algorithm": lambda: qr_algorithm(np.outer(x, x)),
        "QR algorithm, not symmetric": lambda: qr_algorithm(np.outer(x, y)),
    }
    run_each(((f"stats, {name}", task) for name, task in tasks.items()), progress)
