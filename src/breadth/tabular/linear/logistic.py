"""Logistic regression, binary and multinomial: by L-BFGS where the problem is made round, or with exact zeros."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from breadth.blas import one_thread
from breadth.compilation import announced
from breadth.tabular.labels import class_codes
from breadth.tabular.linear.logistic_problem import BLOCK_ROWS, LogisticProblem, binary_loss, multinomial_loss
from breadth.tabular.linear.logistic_sparse import fit_sparse
from breadth.tabular.linear.separation import SeparationWarning, find_separation

Solver = Literal["lbfgs", "liblinear", "newton-cg", "newton-cholesky", "sag", "saga"]
_SOLVERS = get_args(Solver)
_ROUNDING_FLOOR = 1e-7  # gradient below which differences of the mean loss, some g^2, drown in float64


class LogisticRegression(ClassifierMixin, BaseEstimator):
    """Class probabilities whose log-odds are linear: minimise C sum_i w_i (-log p_{i,y_i}) + penalty.

    The penalty is r |coef|_1 + (1 - r) |coef|_2^2 / 2 with r = 0 ("l2"), 1 ("l1") or l1_ratio ("elasticnet").
    p = sigmoid(b + x . coef) with two classes, softmax(b_k + x . coef_k) with more; the intercept is not penalised.

    L-BFGS works on columns that are centred and divided by sqrt(variance + 4 / (C sum w)), implicitly, so that sparse
    input stays sparse. The optimum is the same; it is reached in fewer steps, and a column with mean 1e4 costs none.
    With an absolute penalty Newton's method takes a class at a time, each step a lasso by coordinate descent, so that
    coefficients that the penalty outweighs are exactly 0.

    Args:
        penalty: "l2", "l1", "elasticnet", or None for maximum likelihood, which is the same as C = inf. A l1_ratio
            other than 0 makes "l2" the elastic net, as in scikit-learn 1.8 and later.
        C: inverse strength of the penalty, > 0, on the scale of one observation of weight 1.
        dual, intercept_scaling, n_jobs, verbose: not read; present so that calls written for scikit-learn run. BLAS has
            its own threads, and the intercept is never penalised.
        tol: stop when no component of the gradient of the mean loss, in the coordinates above, exceeds it; > 0.
        fit_intercept: estimate b; otherwise b = 0 and columns are scaled but not centred.
        class_weight: weight per class label, "balanced" for total weight / (classes x weight of the class), or None.
        solver: a name that scikit-learn knows, not read: the penalty decides the method, and the optimum is the same.
        max_iter: greatest number of L-BFGS steps, >= 1; reaching it raises a ConvergenceWarning.
        random_state: not read, because nothing is random; present so that calls written for scikit-learn run.
        warm_start: start from the coefficients of the last fit.
        l1_ratio: share of the absolute penalty, in [0, 1].

    Attributes:
        classes_: sorted labels, shape (classes,).
        coef_: change in log-odds per unit of a feature, shape (1, features) with two classes, else (classes, features).
        intercept_: b, shape (1,) or (classes,).
        n_iter_: steps taken, shape (1,).

    Raises:
        ValueError: if X holds NaN or infinity, y has one class or a class whose weights are all 0, a weight is
            negative, a parameter is out of its range, or a warm start finds coefficients of another shape.

    Warns:
        ConvergenceWarning: if max_iter steps did not reach tol.
        SeparationWarning: without penalty, if a direction separates the classes, so that no finite estimate exists.

    Cost: two products with X (n p K operations each) a step, usually 10 to 30 steps; O(n K + 20 p K) memory beside X.
        With two classes and many dense rows in C order a step reads X once, in the threads that BLAS has been granted.
        Without penalty, one pass of n p^2 K more proves that the classes overlap. With an absolute penalty n |A|^2 K
        a step for |A| columns in use, usually 5 to 10 steps.

    Deviations:
        1. scikit-learn applies tol to the gradient in the raw columns and starts at 0; here in the coordinates above,
           from the log-odds of the class frequencies. At the default tol coefficients agree to about 1e-3.
        2. "balanced" counts sample weights, and a class of weight 0 is an error: weight 2 is the row twice, weight 0
           the row absent.
        3. Computes in float64 whatever the input.
        4. With an absolute penalty tol is the distance of a gradient of the mean loss from where it may be, on centred
           columns; the intercept is never penalised (liblinear does).

    References: McCullagh & Nelder 1989, Generalized Linear Models, 2nd ed., eqs. 4.15-4.18 (likelihood, score) and
        section 5.2 (multinomial); Liu & Nocedal 1989, Math. Programming 45, algorithm 2.1 (L-BFGS);
        Albert & Anderson 1984, Biometrika 71(1) (existence of the estimate).
    Peer: sklearn.linear_model.LogisticRegression, float64, 1e-6; statsmodels Logit and MNLogit without
        penalty, 1e-5 (A).
    In production: use it as the baseline of any classification, and where coefficients must be explained or
        probabilities must be calibrated on little data; scale features first if the penalty is to treat them alike.
    """

    def __init__(
        self,
        penalty: Literal["l2", "l1", "elasticnet"] | None = "l2",
        *,
        dual: bool = False,
        C: float = 1.0,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        intercept_scaling: float = 1.0,
        class_weight: Mapping | Literal["balanced"] | None = None,
        solver: Solver = "lbfgs",
        max_iter: int = 100,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
        warm_start: bool = False,
        n_jobs: int | None = None,
        l1_ratio: float = 0.0,
    ):
        self.penalty = penalty
        self.dual = dual
        self.C = C
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.intercept_scaling = intercept_scaling
        self.class_weight = class_weight
        self.solver = solver
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.l1_ratio = l1_ratio

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Estimate coefficients and intercepts.

        Args:
            X: features, shape (rows, features), dense or scipy sparse.
            y: class labels, shape (rows,).
            sample_weight: weight per row, >= 0, shape (rows,); weight 2 is the row twice. None means 1.

        Returns:
            The fitted estimator.
        """
        self._check_parameters()
        X, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float64)
        self.classes_, codes = class_codes(y)
        weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        weight = self._weigh_classes(y, codes, weight)
        class_total = np.bincount(codes, weights=weight, minlength=len(self.classes_))
        total = class_total.sum()

        unpenalised = self.penalty is None or np.isinf(self.C)
        if self._absolute_share() and not unpenalised:
            return self._fit_sparse(X, codes, weight / total, class_total / total, 1.0 / (self.C * total))
        ridge = 0.0 if unpenalised else 1.0 / (self.C * total)
        problem = LogisticProblem(X, codes, weight / total, ridge, len(self.classes_), self.fit_intercept)
        last = self._last_fit(problem.n_rows, problem.n_features)
        start = np.zeros((problem.n_rows, problem.n_features + 1))
        if last is not None:
            start = problem.from_raw_units(*last)
        elif self.fit_intercept:
            log_prior = np.log(class_total / total)
            start[:, -1] = log_prior[1] - log_prior[0] if problem.binary else log_prior - log_prior.mean()
        # A block of few columns is too little work to share: two BLAS threads are slower than one there.
        narrow = X.shape[0] > BLOCK_ROWS and X.shape[1] < 256
        with one_thread(when=narrow or problem.dense is not None):
            found = minimize(
                problem.loss_and_gradient,
                start.ravel(),
                jac=True,
                method="L-BFGS-B",
                # ftol lets only tol, or a loss that no longer falls in float64, end the steps
                options={"maxiter": self.max_iter, "gtol": self.tol, "ftol": 1e-20, "maxls": 50},
            )
            theta = found.x.reshape(start.shape)
            separation = find_separation(problem, theta) if unpenalised else None
        self.coef_, self.intercept_ = problem.to_raw_units(theta)
        self.n_iter_ = np.array([found.nit], dtype=np.int32)

        if separation is not None:
            warnings.warn(
                separation.describe(getattr(self, "feature_names_in_", None)), SeparationWarning, stacklevel=2
            )
        elif found.status == 1 or np.abs(found.jac).max() > max(self.tol, _ROUNDING_FLOOR):
            warnings.warn(
                f"L-BFGS stopped after {found.nit} of max_iter={self.max_iter} steps with a largest gradient component "
                f"of {np.abs(found.jac).max():.2g} > tol={self.tol:g} ({found.message}); raise max_iter or tol, "
                "or make C smaller",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def _last_fit(self, n_rows: int, n_features: int) -> tuple[NDArray, NDArray] | None:
        """Coefficients and intercepts of the last fit, where it is to be gone on from."""
        if not self.warm_start or not hasattr(self, "coef_"):
            return None
        if self.coef_.shape != (n_rows, n_features):
            raise ValueError(
                f"warm_start=True, but the last fit had coefficients of shape {self.coef_.shape}, not "
                f"{(n_rows, n_features)}"
            )
        return self.coef_, self.intercept_ if self.fit_intercept else np.zeros(n_rows)

    def _absolute_share(self) -> float:
        return 1.0 if self.penalty == "l1" else 0.0 if self.penalty is None else float(self.l1_ratio)

    def _fit_sparse(self, X: Any, codes: NDArray, weight: NDArray, prior: NDArray, strength: float) -> Self:
        """With an absolute penalty; weight and prior have sum 1, strength is of the mean loss."""
        binary, share = len(self.classes_) == 2, self._absolute_share()
        log_prior = np.log(prior)
        start = log_prior[1:] - log_prior[:1] if binary else log_prior - log_prior.mean()
        sign = np.where(codes == 1, 1.0, -1.0)

        def row_losses(logits: NDArray) -> tuple[NDArray, NDArray]:
            if not binary:
                return multinomial_loss(logits, codes)
            loss, slope = binary_loss(logits[0], sign)
            return loss, slope[None]

        with announced(), one_thread(when=X.shape[1] < 256):
            found = fit_sparse(
                X,
                (codes == np.arange(len(self.classes_))[1 if binary else 0 :, None]).astype(np.float64),
                weight,
                row_losses,
                self._last_fit(len(start), X.shape[1])
                or (np.zeros((len(start), X.shape[1])), start if self.fit_intercept else np.zeros(len(start))),
                l1=strength * share,
                l2=strength * (1.0 - share),
                fit_intercept=self.fit_intercept,
                tol=self.tol,
                max_iter=self.max_iter,
            )
        self.coef_, self.intercept_ = found.coef, found.intercept
        if self.fit_intercept and not binary:
            self.intercept_ -= self.intercept_.mean()
        self.n_iter_ = np.array([max(found.rounds, 1)], dtype=np.int32)
        if found.violation > max(self.tol, _ROUNDING_FLOOR):
            warnings.warn(
                f"Newton's method took all of max_iter={self.max_iter} rounds, and a gradient is {found.violation:.2g} "
                f"> tol={self.tol:g} from where the penalty lets it be; raise max_iter or tol, or make C smaller",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _check_parameters(self) -> None:
        if self.penalty not in ("l2", "l1", "elasticnet", None):
            raise ValueError(f"penalty must be 'l2', 'l1', 'elasticnet' or None, got {self.penalty!r}")
        if not 0 <= self.l1_ratio <= 1:
            raise ValueError(f"l1_ratio must be in [0, 1], got {self.l1_ratio!r}")
        if not self.C > 0:
            raise ValueError(f"C must be > 0 (inf for no penalty), got {self.C!r}")
        if self.penalty is None and self.C not in (1.0, np.inf):
            raise ValueError(f"penalty=None leaves C={self.C!r} without meaning: give penalty='l2', or leave C out")
        if not self.tol > 0:
            raise ValueError(f"tol must be > 0, got {self.tol!r}")
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be >= 1, got {self.max_iter!r}")
        if self.solver not in _SOLVERS:
            raise ValueError(f"solver must be {' or '.join(map(repr, _SOLVERS))}, got {self.solver!r}")
        if isinstance(self.class_weight, str) and self.class_weight != "balanced":
            raise ValueError(f"class_weight must be 'balanced', a dict or None, got {self.class_weight!r}")

    def _weigh_classes(self, y: NDArray, codes: NDArray, weight: NDArray) -> NDArray[np.float64]:
        """Row weights times class weights, after making sure that every class has some weight."""
        n_classes = len(self.classes_)
        if n_classes < 2:
            raise ValueError(f"y must hold at least 2 classes, got only one class: {self.classes_[0]!r}")
        mass = np.bincount(codes, weights=weight, minlength=n_classes)
        if self.class_weight == "balanced":
            factor = mass.sum() / (n_classes * np.where(mass > 0, mass, 1.0))
        elif self.class_weight is None:
            factor = np.ones(n_classes)
        else:
            factor = compute_class_weight(dict(self.class_weight), classes=self.classes_, y=y)
        if (factor < 0).any():
            raise ValueError(f"class_weight must be >= 0, got {self.class_weight!r}")
        empty = self.classes_[mass * factor == 0]
        if len(empty):
            raise ValueError(
                f"sample_weight and class_weight leave no weight to class {empty[0]!r}: remove its rows, or weigh them"
            )
        return weight * factor[codes]

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-odds of classes_[1], shape (rows,), or logits, shape (rows, classes), with more than two classes."""
        check_is_fitted(self)
        rows: Any = validate_data(self, X, accept_sparse="csr", dtype=np.float64, reset=False)
        logits = rows @ self.coef_.T + self.intercept_
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: ArrayLike) -> NDArray:
        """Most probable label of each row; of equally probable ones the first in classes_."""
        logits = self.decision_function(X)
        codes = (logits > 0).astype(np.intp) if logits.ndim == 1 else logits.argmax(axis=1)
        return self.classes_[codes]

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probability of each class, shape (rows, classes), in the order of classes_."""
        logits = self.decision_function(X)
        if logits.ndim == 2:
            return softmax(logits, axis=1)
        proba = np.empty((len(logits), 2))
        expit(-logits, out=proba[:, 0])  # not 1 - p: a probability of 1e-20 keeps its digits
        expit(logits, out=proba[:, 1])
        return proba

    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Logarithm of each class's probability, finite for any finite logit, shape (rows, classes)."""
        logits = self.decision_function(X)
        if logits.ndim == 2:
            return log_softmax(logits, axis=1)
        return np.column_stack([log_expit(-logits), log_expit(logits)])
