"""Linear support vector machines: dual coordinate descent, or Newton's method in the primal."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, Self

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import granted_threads, one_thread
from breadth.compilation import announced
from breadth.tabular.kernels.linear_svm_kernels import descend
from breadth.tabular.labels import class_codes, shown

_WIDEST = 2000  # features up to which "auto" forms the primal's Hessian
_BLOCK_ROWS = 4096


class LinearSVC(ClassifierMixin, BaseEstimator):
    """Linear classifier of largest margin, a class against the rest: min |w|^2 / 2 + C sum_i c_i loss(s_i (w.x_i + b)).

    loss(m) is max(0, 1 - m) or its square. As in liblinear, b is the coefficient of a column that holds
    intercept_scaling, and is penalised with the rest.

    Args:
        penalty: "l2".
        loss: "squared_hinge" or "hinge".
        dual: True for coordinate descent in the dual, False for Newton's method in the primal (squared hinge only),
            "auto" for Newton's method where there are more rows than features, and no more than 2,000 features.
        tol: dual: largest range of the projected gradient; primal: largest norm of the gradient, relative to that at 0
            (times the share of the rarer class); > 0.
        C: price of a unit of loss, > 0.
        multi_class: "ovr".
        fit_intercept: have b; otherwise it is 0.
        intercept_scaling: value of b's column, > 0; larger means a lighter penalty on b.
        class_weight: factor of C per label, "balanced" for total weight / (classes x weight of the class), or None.
            Of more than two classes it weighs each where that is set against the rest, as in liblinear.
        verbose: not read; present so that calls written for scikit-learn run.
        random_state: draws the order in which coordinate descent visits the rows.
        max_iter: greatest number of epochs or Newton steps, >= 1; reaching it raises a ConvergenceWarning.

    Attributes:
        classes_: sorted labels, shape (classes,).
        coef_: w, shape (1, features) with two classes, else (classes, features).
        intercept_: b, shape (1,) or (classes,).
        n_iter_: most epochs or steps that a class took.

    Raises:
        ValueError: if X holds NaN or infinity, y has one class or a class without weight, a weight is negative, or a
            parameter is out of its range.

    Warns:
        ConvergenceWarning: if max_iter did not reach tol.

    Cost: dual: an epoch reads each entry of X twice, usually 10 to 1,000 epochs; primal: n p^2 + p^3 / 3 a step,
        usually 5 to 15 steps, and p^2 memory. Classes share the threads that BLAS has been granted.

    Deviations:
        1. liblinear's primal method is a trust region with conjugate gradients; here Newton's equations are solved
           directly, which ends at the exact optimum once the rows inside the margin no longer change.
        2. penalty "l1" and multi_class "crammer_singer" are absent; random orders are not liblinear's.

    References: Hsieh et al. 2008, A dual coordinate descent method for large-scale linear SVM (ICML), algorithm 3;
        Keerthi & DeCoste 2005, JMLR 6 (finite Newton method); Fan et al. 2008, JMLR 9 (liblinear).
    Peer: sklearn.svm.LinearSVC (liblinear), float64, 1e-4 of the coefficients, no higher objective (A).
    In production: use it for text and other wide sparse rows, and where rows are too many for SVC.
    """

    def __init__(
        self,
        penalty: Literal["l2"] = "l2",
        loss: Literal["squared_hinge", "hinge"] = "squared_hinge",
        *,
        dual: bool | Literal["auto"] = "auto",
        tol: float = 1e-4,
        C: float = 1.0,
        multi_class: Literal["ovr"] = "ovr",
        fit_intercept: bool = True,
        intercept_scaling: float = 1,
        class_weight: Mapping | Literal["balanced"] | None = None,
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
        max_iter: int = 1000,
    ):
        self.penalty = penalty
        self.loss = loss
        self.dual = dual
        self.tol = tol
        self.C = C
        self.multi_class = multi_class
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.verbose = verbose
        self.random_state = random_state
        self.max_iter = max_iter

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Find the plane of each class.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: class labels, shape (rows,).
            sample_weight: factor of C per row, >= 0, shape (rows,); None means 1.

        Returns:
            The fitted estimator.
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, dtype=np.float64, order="C", accept_sparse="csr", accept_large_sparse=False)
        self.classes_, codes = class_codes(y)
        n_classes = len(self.classes_)
        if n_classes < 2:
            raise ValueError(f"y must hold at least 2 classes, got only one class: {shown(self.classes_[0])}")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        factor = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=weight)
        base = self.C * weight
        price = base * factor[codes]
        bare = np.bincount(codes, weights=price, minlength=n_classes) <= 0
        if bare.any():
            raise ValueError(
                f"sample_weight and class_weight leave no weight to class {shown(self.classes_[bare][0])}: "
                "remove its rows, or weigh them"
            )
        if (price == 0).any():
            X, codes, base = X[price > 0], codes[price > 0], base[price > 0]
        n, p = X.shape
        dual = self.dual
        if dual == "auto":
            dual = self.loss == "hinge" or n <= p or p > _WIDEST
        bias = float(self.intercept_scaling) if self.fit_intercept else 0.0
        seeds = check_random_state(self.random_state).randint(1, 2**31 - 1, size=n_classes)

        def work(c: int) -> tuple[NDArray, int, float]:
            sign = np.where(codes == c, 1.0, -1.0)
            price = base * np.where(sign > 0, factor[c], 1.0 if n_classes > 2 else factor[0])
            if dual:
                return self._coordinate_descent(X, sign, price, bias, int(seeds[c]))
            return self._newton(X, sign, price, bias)

        which = [1] if n_classes == 2 else list(range(n_classes))
        threads = min(granted_threads(), len(which))
        with announced(), one_thread(when=threads > 1 or dual):
            if threads == 1:
                found = [work(c) for c in which]
            else:
                with ThreadPoolExecutor(threads) as pool:
                    found = list(pool.map(work, which))
        w = np.array([plane for plane, _, _ in found])
        self.coef_ = np.ascontiguousarray(w[:, :p])
        self.intercept_ = w[:, p] * bias
        self.n_iter_ = max(steps for _, steps, _ in found)
        worst = max(left for _, _, left in found)
        if worst > self.tol:
            warnings.warn(
                f"LinearSVC stopped after max_iter={self.max_iter} {'epochs' if dual else 'steps'} at {worst:.2g} > "
                f"tol={self.tol:g}; scale X, raise max_iter or tol, or lower C",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _check_parameters(self) -> None:
        if self.penalty != "l2":
            raise ValueError(
                f"penalty must be 'l2', got {self.penalty!r}; for exact zeros use a lasso or 'l1' logistic"
            )
        if self.loss not in ("squared_hinge", "hinge"):
            raise ValueError(f"loss must be 'squared_hinge' or 'hinge', got {self.loss!r}")
        if self.multi_class != "ovr":
            raise ValueError(f"multi_class must be 'ovr', got {self.multi_class!r}")
        if self.dual not in (True, False, "auto"):
            raise ValueError(f"dual must be True, False or 'auto', got {self.dual!r}")
        if self.loss == "hinge" and self.dual is False:
            raise ValueError("loss='hinge' has no second derivative for the primal: set dual=True or 'auto'")
        for name in ("C", "tol", "intercept_scaling"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise ValueError(f"{name} must be > 0 and finite, got {value!r}")
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be >= 1, got {self.max_iter!r}")

    def _coordinate_descent(
        self, X: Any, sign: NDArray, price: NDArray, bias: float, seed: int
    ) -> tuple[NDArray, int, float]:
        """(w, b / bias), epochs, and the range of the projected gradient."""
        n, p = X.shape
        if sp.issparse(X):
            values, indices, starts = X.data, X.indices.astype(np.uint32), X.indptr.astype(np.int64)
            size = np.asarray(X.multiply(X).sum(axis=1)).ravel()
        else:
            values, indices, starts = X.ravel(), np.zeros(0, np.uint32), np.arange(n + 1, dtype=np.int64) * p
            size = np.einsum("ij,ij->i", X, X)
        if self.loss == "hinge":
            upper, ridge = price, np.zeros(n)
        else:
            upper, ridge = np.full(n, np.inf), 0.5 / price
        size = size + bias * bias + ridge
        size[size == 0] = 1.0  # an empty row without b: no step changes its gradient of -1, and upper ends it
        w, alpha, state = np.zeros(p + 1), np.zeros(n), np.array([seed], dtype=np.uint64)
        epochs, spread = descend(
            values, indices, starts, sign, upper, ridge, size, bias, w, alpha, np.arange(n), state, self.tol,
            self.max_iter,
        )  # fmt: skip
        return w, epochs, spread

    def _newton(self, X: Any, sign: NDArray, price: NDArray, bias: float) -> tuple[NDArray, int, float]:
        """(w, b / bias), steps, and the norm of the gradient relative to its bar of tol."""
        n, p = X.shape
        w, m = np.zeros(p + 1), np.zeros(n)  # m: margins s_i (w.x_i + b)
        rare = max(1, min((sign > 0).sum(), (sign < 0).sum())) / n
        loss, start, left = float(price.sum()), 0.0, 0.0
        for step in range(self.max_iter + 1):
            slack = np.maximum(1.0 - m, 0.0)
            pull = 2 * price * slack * sign
            gradient = w - np.append(X.T @ pull, bias * pull.sum())
            norm = float(np.linalg.norm(gradient))
            start = start or norm
            left = norm / (start * rare) if start > 0 else 0.0
            if left <= self.tol or step == self.max_iter:
                break
            inside = np.flatnonzero(slack > 0)
            H = _weighted_square(X, inside, 2 * price[inside], bias)
            H[np.diag_indices(p + 1)] += 1.0
            move = -scipy.linalg.solve(H, gradient, assume_a="pos", overwrite_a=True, check_finite=False)
            along = sign * (X @ move[:p] + bias * move[p])
            down, t = float(gradient @ move), 1.0
            while True:  # backtracking; the loss is convex and the whole step is Newton's
                new_w, new_m = w + t * move, m + t * along
                new = 0.5 * float(new_w @ new_w) + float(price @ np.square(np.maximum(1.0 - new_m, 0.0)))
                if new <= loss + 1e-4 * t * down or t < 1e-10:
                    break
                t /= 2
            if new >= loss:  # no digits left
                left = min(left, self.tol)
                break
            w, m, loss = new_w, new_m, new
        return w, step, left

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scores w.x + b: of classes_[1], shape (rows,), or of each class, shape (rows, classes)."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, dtype=np.float64, accept_sparse="csr", reset=False)
        scores = np.asarray(rows @ self.coef_.T) + self.intercept_
        return scores[:, 0] if len(self.classes_) == 2 else scores

    def predict(self, X: ArrayLike) -> NDArray:
        """Label of the largest score; of equal ones the first in classes_."""
        scores = self.decision_function(X)
        codes = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[codes]


def _weighted_square(X: Any, rows: NDArray, weight: NDArray, bias: float) -> NDArray[np.float64]:
    """Sum of weight_i (x_i, bias)(x_i, bias)^T over the rows, shape (p + 1, p + 1)."""
    p = X.shape[1]
    H = np.zeros((p + 1, p + 1))
    root = np.sqrt(weight)
    for start in range(0, len(rows), _BLOCK_ROWS):
        part = X[rows[start : start + _BLOCK_ROWS]]
        r = root[start : start + _BLOCK_ROWS]
        part = sp.diags_array(r) @ part if sp.issparse(part) else r[:, None] * part
        square = part.T @ part
        H[:p, :p] += square.toarray() if sp.issparse(square) else square
        H[:p, p] += bias * np.asarray(part.T @ r)
    H[p, :p] = H[:p, p]
    H[p, p] = bias * bias * weight.sum()
    return H
