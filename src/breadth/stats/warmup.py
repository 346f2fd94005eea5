"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from breadth.compilation import run_each
from breadth.stats.correlation import kendall
from breadth.stats.dependence import distance_correlation
from breadth.stats.em import expectation_maximisation
from breadth.stats.spectrum import qr_algorithm


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of Kendall's tau, distance correlation, the QR algorithm and Gaussian mixtures.

    Args:
        progress: called with one line for each step.
    """
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20))
    xy, shares = np.stack([x, y], axis=1), rng.dirichlet(np.ones(2), len(x))
    tasks: dict[str, Callable[[], object]] = {
        "Kendall's tau": lambda: kendall(x, y),
        "distance correlation": lambda: distance_correlation(x, y),
        "QR algorithm": lambda: qr_algorithm(np.outer(x, x)),
        "QR algorithm, not symmetric": lambda: qr_algorithm(np.outer(x, y)),
        "QR algorithm, many rows": lambda: qr_algorithm(rng.normal(size=(80, 80))),
        "mixture": lambda: expectation_maximisation(xy, shares, max_iter=1),
        "mixture, diagonal": lambda: expectation_maximisation(xy, shares, covariance_type="diag", max_iter=1),
    }
    run_each(((f"stats, {name}", task) for name, task in tasks.items()), progress)
