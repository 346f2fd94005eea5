"""Covariance, correlation, independence and eigenvalues beside NumPy's and SciPy's."""

from __future__ import annotations

import time

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows
from breadth import stats

SAME_PRODUCT = 1.05  # both are one product of BLAS
NUMPY, QR = "numpy", "scipy, QR algorithm"
Floats = NDArray[np.float64]


def covariance_rows(setup: Setup, raw: Times) -> list[Row]:
    """Tall and square matrices whose means are not 0."""
    rows = []
    for n, p in ((100_000, 10), (5_000, 50), (50_000, 50), (5_000, 500)):
        a = np.random.default_rng(0).standard_normal((setup.size(n, 50), p)) + 5
        for what, ours, peer in (("covariance", stats.covariance, np.cov), ("Pearson", stats.pearson, np.corrcoef)):
            contenders = {
                OURS: lambda _, f=ours, a=a: f(a),
                NUMPY: lambda _, f=peer, a=a: f(a, rowvar=False),
            }
            times = interleave(contenders, lambda _: None, reps=setup.repetitions(25))
            rows += ratio_rows(f"{what}, {len(a):,} x {p}", times, {NUMPY: 1.0 if p < 50 else SAME_PRODUCT}, raw)
    return rows


def independence_rows(setup: Setup, raw: Times) -> list[Row]:
    """Ranks: ours divides by lengths and names the dependent columns; the peer counts singular values."""
    rows = []
    for n, k in ((10_000, 20), (5_000, 100), (1_000, 1_000)):
        k = setup.size(k, 10)
        a = np.random.default_rng(0).standard_normal((setup.size(n, 20), k))
        a[:, -1] = a[:, 0] - 2 * a[:, 1]
        contenders = {
            OURS: lambda _, a=a: stats.linear_independence(a).rank,
            NUMPY: lambda _, a=a: int(np.linalg.matrix_rank(a)),
        }
        found: dict[str, int] = {}
        times = interleave(
            contenders,
            lambda _: None,
            reps=setup.repetitions(9),
            look=lambda name, _r, _d, value, found=found: found.update({name: value}),
        )
        if found[OURS] != k - 1 or found[NUMPY] != k - 1:
            raise ArithmeticError(f"the rank is {k - 1}, found {found}")
        rows += ratio_rows(f"linear independence, {len(a):,} x {k}", times, {NUMPY: 1.0}, raw)
    return rows


def eigen_rows(setup: Setup, raw: Times) -> list[Row]:
    """The QR algorithm beside LAPACK's, and beside divide and conquer, which is another algorithm and has no bar."""
    rows = []
    for size in (100, 300, 1000):
        n = setup.size(size, size // 15)
        a = np.random.default_rng(0).standard_normal((n, n))
        for what, ours, bars, peers in (
            ("symmetric", a + a.T, {QR: 1.0, NUMPY: None}, {QR: _lapack_qr, NUMPY: np.linalg.eigh}),
            ("general", a, {NUMPY: 1.0}, {NUMPY: np.linalg.eig}),
        ):
            contenders = {OURS: lambda _, m=ours: stats.qr_algorithm(m)}
            contenders |= {name: lambda _, m=ours, f=f: f(m) for name, f in peers.items()}
            times = interleave(
                contenders, lambda _: None, reps=setup.repetitions(15 if size < 1000 else 5), look=_settle
            )
            rows += ratio_rows(f"all eigenvectors, {what}, {n} x {n}", times, bars, raw)
    return rows


def _lapack_qr(m: Floats) -> tuple[Floats, Floats]:
    return scipy.linalg.eigh(m, driver="ev")


def _settle(*_: object) -> None:
    """Wait, outside the time, until the threads of BLAS that the last contender left spinning sleep."""
    time.sleep(0.06)


SECTIONS = (
    Section(
        "covariances", "Covariance and correlation",
        "Normal columns of mean 5. Tests show all values equal to the peer's to 1e-12. From 50 columns on both "
        "spend most of their time in the same product of BLAS, hence the bar of equality with 5 % for noise.",
        covariance_rows,
    ),
    Section(
        "independence", "Linear independence",
        "Normal columns, the last a combination of the first two. Ours names it and gives the combination as well.",
        independence_rows,
    ),
    Section(
        "eigenvectors", "Eigenvalues and eigenvectors",
        "A normal matrix and the sum of it and its transpose. NumPy takes LAPACK's divide and conquer for symmetric "
        "matrices, which is printed without a bar; SciPy is asked for LAPACK's QR algorithm. A pause of 60 ms follows "
        "each run: OpenBLAS's threads spin for 30 ms after a call.",
        eigen_rows,
    ),
)  # fmt: skip
