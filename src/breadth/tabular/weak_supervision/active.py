"""Active learning: the learner asks an oracle for the labels that it can use best, until its budget is spent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from breadth.tabular.labels import class_codes
from breadth.tabular.weak_supervision.query import STRATEGIES, committee_of, query_scores

Oracle = Callable[[NDArray[np.int64]], ArrayLike]
Strategy = Literal["least_confidence", "margin", "entropy", "vote_entropy", "consensus_kl", "random"]


@dataclass(frozen=True, slots=True)
class Query:
    """One question to the oracle.

    Attributes:
        rows: of the pool that were asked for, most wanted first.
        labels: what the oracle said.
        scores: how much each was wanted, NaN for rows drawn at random to begin with.
        n_labels: labels known afterwards.
        score: accuracy on the rows given to judge by, after learning the labels; NaN without them.
    """

    rows: NDArray[np.int64]
    labels: NDArray[Any]
    scores: NDArray[np.float64]
    n_labels: int
    score: float


class ActiveLearner(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):
    """A classifier that picks the rows it learns from: fit, score the pool, ask for the best-scored batch, repeat.

    Scores of a row, from p_k = p(k | x) and, for a committee of C members, votes V_k and member probabilities p_ck:
    least_confidence 1 - max_k p_k; margin p_(1) - p_(2), smallest first; entropy -sum_k p_k log p_k; vote_entropy
    -sum_k (V_k / C) log(V_k / C); consensus_kl (1 / C) sum_c sum_k p_ck log(p_ck / mean_c p_ck); random.

    Args:
        estimator: classifier with predict_proba (a committee's vote needs predict only).
        strategy: of the above.
        budget: labels that may be asked for in all, >= 1.
        batch_size: labels asked for at a time, >= 1; the best-scored, equal ones by lower row.
        n_initial: labels of rows drawn at random before any fit, >= 1; more are drawn, one at a time, until there are
            two classes.
        committee: members for "vote_entropy" and "consensus_kl": a number of copies fitted to bootstrap samples, or a
            list of classifiers.
        random_state: seed of first rows, of "random" and of bootstrap samples.

    Attributes:
        estimator_ (fitted to all labels known), classes_, n_features_in_.
        labels_: known labels by row of the pool, an object array with None where not asked, shape (rows,).
        history_: list of Query.

    Raises:
        ValueError: if a parameter is out of its range, the oracle does not answer with one label a row, or the budget
            is spent on one class alone.

    Cost: budget / batch_size fits and predictions of the pool, times the committee.
    Deviations: none from the strategies' formulas; batches are the best rows one by one, without regard to how alike
        they are.
    References: Settles 2009, "Active learning literature survey", sections 3.1 (least confidence, margin, entropy)
        and 3.2 (vote entropy, mean Kullback-Leibler divergence); Engelson & Dagan 1996, ACL, eq. for vote entropy;
        McCallum & Nigam 1998, ICML, section 3 (Kullback-Leibler divergence to the mean); Scheffer, Decomain & Wrobel
        2001 (margin).
    Peer: the formulas over scipy.stats.entropy, 1e-12 (B).
    In production: begin with margin; measure against random, which on many sets is hard to beat; keep rows drawn at
        random to judge by, since those asked for are a biased sample.
    """

    def __init__(
        self,
        estimator: Any = None,
        *,
        strategy: Strategy = "margin",
        budget: int = 100,
        batch_size: int = 1,
        n_initial: int = 10,
        committee: int | list[Any] = 5,
        random_state: int | None = 0,
    ):
        self.estimator = estimator
        self.strategy = strategy
        self.budget = budget
        self.batch_size = batch_size
        self.n_initial = n_initial
        self.committee = committee
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        if self.estimator is not None:
            admits = get_tags(self.estimator).input_tags
            tags.input_tags.sparse, tags.input_tags.allow_nan = admits.sparse, admits.allow_nan
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Learn from a pool whose labels are known but asked for one batch at a time: `ask` with y as the oracle.

        Args:
            X: the pool, shape (rows, features).
            y: its labels, shape (rows,).

        Returns:
            The fitted learner.
        """
        X, y = self._pool(X, y)
        class_codes(y)
        return self.ask(X, lambda rows: y[rows])

    def ask(
        self,
        X: ArrayLike,
        oracle: Oracle,
        *,
        labels: ArrayLike | None = None,
        judged_by: tuple[ArrayLike, ArrayLike] | None = None,
        then: Callable[[Self], object] | None = None,
    ) -> Self:
        """Ask the oracle for labels of rows of the pool until the budget is spent or the pool is empty.

        Args:
            X: the pool, shape (rows, features).
            oracle: from row numbers (batch,) to their labels (batch,).
            labels: known ones by row, None elsewhere, as in labels_: where an interrupted run, or people, left off.
                They count against the budget; the next question is the one that the whole run would ask, where
                labels_ is from a run with the same settings.
            judged_by: rows and labels held out, whose accuracy stands in history_.
            then: called with the learner after each answer, to save labels_ for instance.

        Returns:
            The learner, fitted to all labels known.
        """
        self._check()
        rows: Any = self._pool(X)
        n = rows.shape[0]
        known = np.full(n, None, dtype=object)
        if labels is not None:
            given = np.asarray(labels, dtype=object)
            if given.shape != (n,):
                raise ValueError(f"labels must be one a row of the pool, {n} of them, got shape {given.shape}")
            known[:] = given
        self.labels_, self.history_ = known, []
        self._seed = int(check_random_state(self.random_state).randint(2**31))
        first = np.random.default_rng([self._seed, 0]).permutation(n)
        self._begin(rows, oracle, first, judged_by, then)
        while (left := min(self.budget - self._n_known(), self.batch_size, n - self._n_known())) > 0:
            pool = np.flatnonzero([label is None for label in self.labels_])
            scores = self._scores(rows, pool)
            best = np.argsort(-scores, kind="stable")[:left]
            self._learn(rows, oracle, pool[best], scores[best], judged_by, then)
        return self

    def _begin(self, X: Any, oracle: Oracle, first: NDArray[np.int64], judged_by: Any, then: Any) -> None:
        """Random rows, until n_initial are known and they have two classes."""
        rows = [int(i) for i in first if self.labels_[i] is None]
        needed = max(0, min(self.n_initial, self.budget, len(first)) - self._n_known())
        while needed or len({*self.labels_[[label is not None for label in self.labels_]].tolist()}) < 2:
            if not rows or self._n_known() >= self.budget:
                raise ValueError(
                    f"all {self._n_known()} labels are of one class, and nothing more may be asked (budget="
                    f"{self.budget}, {len(first)} rows); a classifier needs two classes: raise the budget"
                )
            take = max(needed, 1)
            chosen, rows, needed = np.array(rows[:take]), rows[take:], 0
            self._learn(X, oracle, chosen, np.full(len(chosen), np.nan), judged_by, then)
        if not self.history_:
            self._refit(X)

    def _learn(
        self, X: Any, oracle: Oracle, rows: NDArray[np.int64], scores: NDArray, judged_by: Any, then: Any
    ) -> None:
        told = np.asarray(oracle(rows), dtype=object)
        if told.shape != rows.shape or any(label is None or label != label for label in told):
            raise ValueError(f"the oracle must answer {len(rows)} rows with a label each, got {told!r}")
        self.labels_[rows] = told
        score = np.nan
        if len({*self.labels_[[label is not None for label in self.labels_]].tolist()}) > 1:
            self._refit(X)
            if judged_by is not None:
                score = float(np.mean(self.estimator_.predict(judged_by[0]) == np.asarray(judged_by[1])))
        self.history_.append(Query(rows, self._typed(rows), scores, self._n_known(), score))
        if then is not None:
            then(self)

    def _refit(self, X: Any) -> None:
        rows = np.flatnonzero([label is not None for label in self.labels_])
        self.estimator_ = clone(self.estimator).fit(X[rows], self._typed(rows))
        self.classes_ = self.estimator_.classes_

    def _typed(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Labels of rows in the type that they have by themselves."""
        return np.array(self.labels_[rows].tolist())

    def _scores(self, X: Any, pool: NDArray[np.int64]) -> NDArray[np.float64]:
        """How much each row of the pool is wanted; draws depend on the seed and the labels known, not on history."""
        rng = np.random.default_rng([self._seed, self._n_known()])
        if self.strategy == "random":
            return rng.random(X.shape[0])[pool]
        if self.strategy in ("vote_entropy", "consensus_kl"):
            rows = np.flatnonzero([label is not None for label in self.labels_])
            members = committee_of(self.estimator, self.committee, X[rows], self._typed(rows), rng)
            return query_scores(self.strategy, members, X[pool], self.classes_)
        return query_scores(self.strategy, [self.estimator_], X[pool], self.classes_)

    def _n_known(self) -> int:
        return sum(label is not None for label in self.labels_)

    def _pool(self, X: Any, y: Any = "no_validation") -> Any:
        admits = get_tags(self).input_tags
        return validate_data(
            self,
            X,
            y,
            accept_sparse=["csr"] if admits.sparse else False,
            ensure_all_finite="allow-nan" if admits.allow_nan else True,
        )

    def _check(self) -> None:
        if self.estimator is None or isinstance(self.estimator, type) or not hasattr(self.estimator, "fit"):
            raise ValueError(f"estimator must be a classifier with fit, got {self.estimator!r}")
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy must be one of {', '.join(STRATEGIES)}, got {self.strategy!r}")
        if self.strategy in (*STRATEGIES[:3], "consensus_kl") and not hasattr(self.estimator, "predict_proba"):
            raise ValueError(f"strategy {self.strategy!r} needs predict_proba; take 'vote_entropy' or 'random'")
        for name in ("budget", "batch_size", "n_initial"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")
        if self.committee < 2 if isinstance(self.committee, int) else len(self.committee) < 2:
            raise ValueError(f"committee must have at least 2 members, got {self.committee!r}")

    def predict(self, X: ArrayLike) -> NDArray:
        """Labels that the last fit says, shape (rows,)."""
        check_is_fitted(self)
        return self.estimator_.predict(self._later(X))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Class probabilities of the last fit, shape (rows, classes)."""
        check_is_fitted(self)
        return self.estimator_.predict_proba(self._later(X))

    def _later(self, X: Any) -> Any:
        admits = get_tags(self).input_tags
        finite = "allow-nan" if admits.allow_nan else True
        return validate_data(self, X, accept_sparse=admits.sparse, ensure_all_finite=finite, reset=False)
