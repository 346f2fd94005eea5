"""Support vector machines with kernels, by sequential minimal optimisation."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _ovr_decision_function
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import granted_threads, one_thread
from breadth.compilation import announced
from breadth.tabular.kernels.gram import kernel_between, square_or_raise, warn_of_indefinite
from breadth.tabular.kernels.platt import couple_pairs, fit_sigmoid
from breadth.tabular.kernels.smo import Rows, Solution, solve
from breadth.tabular.kernels.svm_settings import Kernel, check_svm_parameters, resolve_gamma, training_rows
from breadth.tabular.labels import class_codes, shown

_BLOCK_ENTRIES = 1 << 22  # of the kernel matrix between queries and support vectors, at a time
_FOLDS = 5
Problem = tuple[Rows, NDArray, NDArray]


class SVC(ClassifierMixin, BaseEstimator):
    """Classifier of largest margin in a kernel's space: sign(b + sum_i beta_i K(x_i, x)), one for each pair of classes.

    For each pair, with s_i = +1 or -1: maximise sum_i alpha_i - 1/2 sum_ij alpha_i alpha_j s_i s_j K(x_i, x_j) over
    0 <= alpha_i <= C w_i with sum_i s_i alpha_i = 0; beta_i = s_i alpha_i. Pairs vote.

    The score is a distance from a boundary, not a probability; `probability` fits a sigmoid to scores of held-out rows.

    Args:
        C: price of a unit of margin violation, > 0; larger follows the training rows more.
        kernel: "linear" x.z, "poly" (gamma x.z + coef0)^degree, "rbf" exp(-gamma |x - z|^2), "sigmoid"
            tanh(gamma x.z + coef0), "precomputed" (X is K, rows by training rows), or a function of two sets of rows.
        degree: of "poly", >= 0.
        gamma: "scale" is 1 / (features x variance of all entries of X), "auto" 1 / features, or a number > 0.
        coef0: of "poly" and "sigmoid".
        shrinking: let rows at their bounds rest.
        probability: fit Platt's sigmoids by 5-fold cross-validation, which makes five more fits of each pair.
        tol: largest violation of the optimality conditions, > 0.
        cache_size: MiB for rows of K, in all, > 0.
        class_weight: factor of C per label, "balanced" for rows / (classes x rows of the class), or None.
        max_iter: greatest number of steps for a pair; -1 for no limit. Reaching it raises a ConvergenceWarning.
        decision_function_shape: "ovr", a score per class made of votes and scores, or "ovo", the scores of pairs.
        break_ties: predict the largest "ovr" score instead of the first class with most votes.
        random_state: draws the folds of `probability`.
        verbose: not read; present so that calls written for scikit-learn run.

    Attributes:
        classes_: sorted labels, shape (classes,).
        support_: indices of the support vectors, class by class, shape (n_SV,).
        support_vectors_: those rows, shape (n_SV, features); empty when precomputed.
        n_support_: support vectors of each class, int32.
        dual_coef_: beta of classes_[1] against classes_[0], shape (1, n_SV); with more classes the beta of a support
            vector against each of the other classes in order, shape (classes - 1, n_SV).
        intercept_: b of each pair, shape (pairs,).
        coef_: sum_i beta_i x_i of each pair, shape (pairs, features); with the linear kernel alone.
        n_iter_: steps of each pair, int32, shape (pairs,).
        dual_objective_: maximum reached, of each pair, shape (pairs,).
        fit_status_: 0, or 1 where max_iter ended a pair.
        probA_, probB_: of Platt's sigmoids, for scores that are positive for a pair's first class; shape (pairs,).
        class_weight_: factor of each class.
        shape_fit_: shape of X.

    Raises:
        ValueError: if X holds NaN or infinity, y has one class or a class without weight, a weight is negative, a
            parameter is out of its range, a precomputed matrix is not square, or kernel values overflow float32.

    Warns:
        ConvergenceWarning: if max_iter steps did not reach tol.
        IndefiniteKernelWarning: if "sigmoid", or "poly" with coef0 < 0, is no kernel on (200 of) the training rows;
            their matrix is centred first, as sum beta = 0 meets no other.

    Cost: steps x rows that are not resting, plus n p for each row of K that is not cached; steps are usually 0.5 to 10
        times the rows. Memory: cache_size and about 60 bytes a row beside X. Pairs and folds share the threads that
        BLAS has been granted.

    Deviations:
        1. Of equal candidates libsvm takes the last, here the first of the least k mod 128: it is as good, within tol.
        2. X is centred for "linear" and "rbf" (the solution is the same), so that columns of mean 1e4 keep the digits
           that float32 kernel values need; b is given for X as it came.
        3. `probability` deals rows to folds class by class, libsvm at random; scikit-learn 1.9 deprecates it for
           CalibratedClassifierCV, which serves here too.

    References: Cortes & Vapnik 1995, Machine Learning 20, sections 3 and 4; Fan, Chen & Lin 2005, JMLR 6, algorithm 1,
        WSS 2; Chang & Lin 2011, ACM TIST 2(3), sections 4.1, 5 and 7; Platt 1999 and Lin, Lin & Weng 2007
        (probabilities); Wu, Lin & Weng 2004, JMLR 5, second approach (coupling).
    Peer: sklearn.svm.SVC (libsvm), float64: dual objective 1e-6, coefficients 1e-4 at tol 1e-8 (A).
    In production: use it on scaled features up to some 1e5 rows, with C and gamma chosen by validation; LinearSVC
        beyond, or where features are many and sparse.
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        kernel: Kernel = "rbf",
        degree: float = 3,
        gamma: Literal["scale", "auto"] | float = "scale",
        coef0: float = 0.0,
        shrinking: bool = True,
        probability: bool = False,
        tol: float = 1e-3,
        cache_size: float = 200,
        class_weight: Mapping | Literal["balanced"] | None = None,
        verbose: bool = False,
        max_iter: int = -1,
        decision_function_shape: Literal["ovr", "ovo"] = "ovr",
        break_ties: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.C = C
        self.kernel = kernel
        self.degree = degree
        self.gamma = gamma
        self.coef0 = coef0
        self.shrinking = shrinking
        self.probability = probability
        self.tol = tol
        self.cache_size = cache_size
        self.class_weight = class_weight
        self.verbose = verbose
        self.max_iter = max_iter
        self.decision_function_shape = decision_function_shape
        self.break_ties = break_ties
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = self.kernel == "precomputed"
        tags.input_tags.sparse = self.kernel != "precomputed"
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Find the support vectors of each pair of classes.

        Args:
            X: features, shape (rows, features), dense or scipy sparse; K, shape (rows, rows), if precomputed.
            y: class labels, shape (rows,).
            sample_weight: factor of C per row, >= 0, shape (rows,); None means 1.

        Returns:
            The fitted estimator.
        """
        check_svm_parameters(self)
        if self.decision_function_shape not in ("ovr", "ovo"):
            raise ValueError(f"decision_function_shape must be 'ovr' or 'ovo', got {self.decision_function_shape!r}")
        precomputed = self.kernel == "precomputed"
        X, y = validate_data(
            self, X, y, dtype=np.float64, order="C", accept_sparse=False if precomputed else "csr",
            accept_large_sparse=False,
        )  # fmt: skip
        if precomputed:
            square_or_raise(X)
        self.classes_, codes = class_codes(y)
        n_classes = len(self.classes_)
        if n_classes < 2:
            raise ValueError(f"y must hold at least 2 classes, got only one class: {shown(self.classes_[0])}")
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        self.class_weight_ = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        price = self.C * weight * self.class_weight_[codes]
        bare = np.bincount(codes, weights=price, minlength=n_classes) <= 0
        if bare.any():
            raise ValueError(
                f"sample_weight and class_weight leave no weight to class {shown(self.classes_[bare][0])}: "
                "remove its rows, or weigh them"
            )
        self._gamma = resolve_gamma(self.gamma, X, self.kernel)
        warn_of_indefinite(X, self.kernel, gamma=self._gamma, degree=self.degree, coef0=self.coef0, centred=True)
        self.shape_fit_ = X.shape
        rows = training_rows(X, self)
        pairs = list(combinations(range(n_classes), 2))
        member = [np.flatnonzero(((codes == i) | (codes == j)) & (price > 0)) for i, j in pairs]
        threads = granted_threads()
        with announced(), one_thread():
            problems = [
                (rows[m], np.where(codes[m] == i, 1.0, -1.0), price[m]) for (i, _), m in zip(pairs, member, strict=True)
            ]
            found = self._solve_all(problems, threads)
            self._keep(X, rows.centre, codes, pairs, member, found)
            if self.probability:
                self._fit_sigmoids(X, problems, member, threads)
        if self.fit_status_:
            warnings.warn(
                f"SMO stopped after max_iter={self.max_iter} steps with a violation of "
                f"{max(s.gap for s in found):.2g} > tol={self.tol:g}; scale X, raise max_iter or tol, or lower C",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _solve_all(self, problems: list[Problem], threads: int) -> list[Solution]:
        """Each problem is rows, signs and prices; they share the threads and the memory of the cache."""
        at_once = max(1, min(threads, len(problems)))

        def work(problem: Problem) -> Solution:
            rows, sign, price = problem
            return solve(
                rows,
                sign,
                np.minimum(sign * price, 0.0),
                np.maximum(sign * price, 0.0),
                tol=self.tol,
                max_iter=self.max_iter,
                shrinking=self.shrinking,
                cache_bytes=self.cache_size * 2**20 / at_once,
                n_threads=threads if at_once == 1 else 1,
            )

        if at_once == 1:
            return [work(problem) for problem in problems]
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(work, problems))

    def _keep(
        self, X: Any, centre: NDArray, codes: NDArray, pairs: list, member: list[NDArray], found: list[Solution]
    ) -> None:
        """Fitted attributes, from the solution of each pair."""
        n_classes = len(self.classes_)
        beta = np.zeros((len(pairs), X.shape[0]))
        for row, m, solution in zip(beta, member, found, strict=True):
            row[m] = solution.beta
        used = np.flatnonzero(beta.any(axis=0))
        self.support_ = used[np.argsort(codes[used], kind="stable")].astype(np.int32)
        own = codes[self.support_]
        self.n_support_ = np.bincount(own, minlength=n_classes).astype(np.int32)
        precomputed = self.kernel == "precomputed"
        self.support_vectors_ = np.empty((0, 0)) if precomputed else X[self.support_]
        self._weights = np.ascontiguousarray(beta[:, self.support_].T)  # (n_SV, pairs), > 0 for a pair's first class
        offset = np.array([solution.offset for solution in found])
        if self.kernel == "linear":
            offset -= centre @ (self.support_vectors_.T @ self._weights)
        self.dual_coef_ = np.zeros((n_classes - 1, len(own)))
        for (i, j), weights in zip(pairs, self._weights.T, strict=True):
            self.dual_coef_[j - 1, own == i] = weights[own == i]
            self.dual_coef_[i, own == j] = weights[own == j]
        self.intercept_ = offset
        if n_classes == 2:  # scikit-learn's sign: positive for classes_[1]
            self.dual_coef_, self.intercept_ = -self.dual_coef_, -offset
        self._offset = offset
        self.n_iter_ = np.array([solution.n_steps for solution in found], dtype=np.int32)
        self.dual_objective_ = np.array([solution.objective for solution in found])
        self.fit_status_ = int(not all(solution.converged for solution in found))

    def _fit_sigmoids(self, X: Any, problems: list[Problem], member: list[NDArray], threads: int) -> None:
        """A sigmoid for each pair, on scores of rows that were held out of five fits."""
        random = check_random_state(self.random_state)
        parts, where = [], []
        for number, (rows, sign, price) in enumerate(problems):
            fold = np.empty(len(sign), dtype=int)
            for s in (1.0, -1.0):
                fold[random.permutation(np.flatnonzero(sign == s))] = np.arange((sign == s).sum()) % _FOLDS
            for f in range(_FOLDS):
                train, test = np.flatnonzero(fold != f), np.flatnonzero(fold == f)
                if len(test):
                    where.append((number, train, test))
                    parts.append((rows[train], sign[train], price[train]))
        scores = [np.zeros(len(sign)) for _, sign, _ in problems]
        for (number, train, test), solution in zip(where, self._solve_all(parts, threads), strict=True):
            used = solution.beta != 0
            rows, m = problems[number][0], member[number]
            if len(np.unique(problems[number][1][train])) < 2:  # a class with one row: what is left says one thing
                scores[number][test] = problems[number][1][train][0]
            elif self.kernel == "precomputed":
                scores[number][test] = X[np.ix_(m[test], m[train[used]])] @ solution.beta[used] + solution.offset
            else:
                left, right = X[m[test]], X[m[train[used]]]
                score = self._kernel(left, right) @ solution.beta[used] + solution.offset
                if self.kernel == "linear":
                    score -= rows.centre @ (right.T @ solution.beta[used])
                scores[number][test] = score
        fits = [fit_sigmoid(f, sign > 0) for f, (_, sign, _) in zip(scores, problems, strict=True)]
        self.probA_, self.probB_ = (np.array(values) for values in zip(*fits, strict=True))

    def _kernel(self, X: Any, Y: Any) -> NDArray[np.float64]:
        return kernel_between(X, Y, self.kernel, gamma=self._gamma, degree=self.degree, coef0=self.coef0)

    def _pair_scores(self, X: ArrayLike) -> NDArray[np.float64]:
        """Score of each pair, > 0 for its first class, shape (rows, pairs)."""
        check_is_fitted(self)
        precomputed = self.kernel == "precomputed"
        rows: Any = validate_data(
            self, X, dtype=np.float64, order="C", accept_sparse=False if precomputed else "csr",
            accept_large_sparse=False, reset=False,
        )  # fmt: skip
        if precomputed:
            return rows[:, self.support_] @ self._weights + self._offset
        if self.kernel == "linear":
            coef = self.support_vectors_.T @ self._weights  # (features, pairs)
            return np.asarray(rows @ coef) + self._offset
        scores = np.empty((rows.shape[0], len(self._offset)))
        step = max(1, _BLOCK_ENTRIES // max(1, len(self.support_)))
        for first in range(0, len(scores), step):
            scores[first : first + step] = (
                self._kernel(rows[first : first + step], self.support_vectors_) @ self._weights
            )
        return scores + self._offset

    @property
    def coef_(self) -> NDArray[np.float64]:
        """Normal of each pair's separating plane, shape (pairs, features)."""
        if self.kernel != "linear":
            raise AttributeError("coef_ exists only with kernel='linear': other kernels have no coefficients in X")
        check_is_fitted(self)
        coef = np.asarray((self.support_vectors_.T @ self._weights).T)
        return -coef if len(self.classes_) == 2 else coef

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scores: of classes_[1], shape (rows,); of classes ("ovr") or pairs ("ovo") with more than two classes.

        "ovr" is the number of votes, plus the sum of the pairs' scores squeezed into less than half a vote.
        """
        scores = self._pair_scores(X)
        if len(self.classes_) == 2:
            return -scores[:, 0]
        if self.decision_function_shape == "ovo":
            return scores
        return _ovr_decision_function(scores < 0, -scores, len(self.classes_))

    def predict(self, X: ArrayLike) -> NDArray:
        """Label with most votes of the pairs; of labels with equally many the first in classes_ (see break_ties)."""
        check_is_fitted(self)
        if self.break_ties and self.decision_function_shape == "ovo":
            raise ValueError("break_ties=True takes the largest score of a class: set decision_function_shape='ovr'")
        n_classes = len(self.classes_)
        if n_classes == 2:
            return self.classes_[(self._pair_scores(X)[:, 0] <= 0).astype(int)]
        if self.break_ties:
            return self.classes_[self.decision_function(X).argmax(axis=1)]
        first, second = np.triu_indices(n_classes, 1)
        wins = self._pair_scores(X) > 0  # (rows, pairs)
        votes = np.zeros((len(wins), n_classes), dtype=int)
        for pair in range(len(first)):
            votes[:, first[pair]] += wins[:, pair]
            votes[:, second[pair]] += ~wins[:, pair]
        return self.classes_[votes.argmax(axis=1)]

    @available_if(lambda self: bool(self.probability))
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, shape (rows, classes), in the order of classes_; with probability=True alone.

        The most probable label need not be the predicted one: probabilities come from sigmoids on held-out scores.
        """
        scores = self._pair_scores(X)
        if not hasattr(self, "probA_"):
            raise AttributeError("probability was False when this model was fitted: fit it again with probability=True")
        return couple_pairs(expit(-(self.probA_ * scores + self.probB_)), len(self.classes_))

    @available_if(lambda self: bool(self.probability))
    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of each class's probability, shape (rows, classes); with probability=True alone."""
        return np.log(self.predict_proba(X))
