"""Every contender of the tabular comparisons: ours, the peers', and the dummy.

What is equal for all of one kind is set here on purpose (rounds, leaves, rate, trees); the rest is as each package
ships it. Categorical columns and missing values go to each method in the form it takes best by itself: natively to the
boosting engines, as ordered codes with NaN to trees and forests, and through a pipeline of median filling, scaling and
one-hot columns, learned from the training rows, to linear models, neighbours and naive Bayes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from scipy.stats import loguniform, randint

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

ROUNDS, LEAVES, RATE, LEAF_ROWS = 100, 31, 0.1, 20
DEPTH = 5  # 32 leaves: what level-wise growth can do nearest to LEAVES
TREES = 100
HGB_CATEGORIES = 255  # scikit-learn's limit; a column with more goes to it as ordered codes


def _ours_boosting(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth import tabular

    make = tabular.GradientBoostingRegressor if problem.family == "regression" else tabular.GradientBoostingClassifier
    categorical = list(problem.categorical) or None
    return make(**settings, categorical_features=categorical, random_state=seed, n_threads=n_threads)


def _lightgbm(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    import lightgbm

    make = lightgbm.LGBMRegressor if problem.family == "regression" else lightgbm.LGBMClassifier
    return make(**settings, random_state=seed, n_jobs=n_threads, verbosity=-1)


def _lightgbm_fit(problem: Problem) -> dict[str, Any]:
    return {"categorical_feature": list(problem.categorical)} if problem.categorical else {}


def _xgboost(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    import xgboost

    make = xgboost.XGBRegressor if problem.family == "regression" else xgboost.XGBClassifier
    native: dict[str, Any] = {}
    if problem.categorical:
        types = ["c" if j in problem.categorical else "q" for j in range(problem.n_features)]
        native = {"enable_categorical": True, "feature_types": types}
    return make(**settings, **native, tree_method="hist", random_state=seed, n_jobs=n_threads, verbosity=0)


def _hgb(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    """n_threads goes through OpenMP's own limit, which the cell sets; the estimator has no parameter for it."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    make = HistGradientBoostingRegressor if problem.family == "regression" else HistGradientBoostingClassifier
    pairs = zip(problem.categorical, problem.cardinality, strict=True)
    native = [j for j, size in pairs if size <= HGB_CATEGORIES] or None
    return make(**settings, categorical_features=native, early_stopping=False, random_state=seed)


def _ours_forest(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth import tabular

    make = tabular.RandomForestRegressor if problem.family == "regression" else tabular.RandomForestClassifier
    return make(**settings, random_state=seed, n_jobs=n_threads)


def _sklearn_forest(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    make = RandomForestRegressor if problem.family == "regression" else RandomForestClassifier
    return make(**settings, random_state=seed, n_jobs=n_threads)


def _ours_tree(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth import tabular

    make = tabular.DecisionTreeRegressor if problem.family == "regression" else tabular.DecisionTreeClassifier
    return make(**settings, random_state=seed)


def _sklearn_tree(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    make = DecisionTreeRegressor if problem.family == "regression" else DecisionTreeClassifier
    return make(**settings, random_state=seed)


def _dummy(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.dummy import DummyClassifier, DummyRegressor

    return DummyRegressor() if problem.family == "regression" else DummyClassifier(strategy="prior")


def _ours_logistic(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth.tabular import LogisticRegression

    return encoded(LogisticRegression(**settings), problem)


def _sklearn_logistic(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.linear_model import LogisticRegression

    return encoded(LogisticRegression(**settings, max_iter=1000), problem)


def _ours_linear(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth.tabular import LinearRegression

    return encoded(LinearRegression(**settings), problem)


def _sklearn_linear(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.linear_model import LinearRegression

    return encoded(LinearRegression(**settings), problem)


def _sklearn_ridge(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.linear_model import Ridge

    return encoded(Ridge(**settings), problem)


def _ours_naive_bayes(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth.tabular import GaussianNB

    return encoded(GaussianNB(**settings), problem)


def _sklearn_naive_bayes(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.naive_bayes import GaussianNB

    return encoded(GaussianNB(**settings), problem)


def _ours_neighbours(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth.tabular import KNeighborsClassifier

    return encoded(KNeighborsClassifier(**settings), problem)


def _sklearn_neighbours(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

    make = KNeighborsRegressor if problem.family == "regression" else KNeighborsClassifier
    return encoded(make(**settings, n_jobs=n_threads), problem)


def _ours_adaboost(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    from breadth.tabular import AdaBoostClassifier

    return AdaBoostClassifier(**settings, random_state=seed)


def encoded(estimator: Any, problem: Problem) -> Any:
    """Median filling and scaling of numbers, one-hot columns for categories, then the estimator."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = [j for j in range(problem.n_features) if j not in problem.categorical]
    fill = [SimpleImputer(strategy="median", keep_empty_features=True)] if problem.missing else []
    # Missing is a category of its own; beyond 100 categories the rare ones share a column.
    one_hot = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=100, sparse_output=False)
    columns = [("numbers", make_pipeline(*fill, StandardScaler()), numeric)] if numeric else []
    if problem.categorical:
        columns.append(("categories", one_hot, list(problem.categorical)))
    return make_pipeline(ColumnTransformer(columns), estimator)


def _staged(estimator: Any, X: NDArray, problem: Problem) -> Iterator[NDArray]:
    """scikit-learn's protocol of stages, which ours follows too."""
    return estimator.staged_predict(X) if problem.family == "regression" else estimator.staged_predict_proba(X)


def _lightgbm_stages(estimator: Any, X: NDArray, problem: Problem) -> Iterator[NDArray]:
    raw = 0.0
    for i in range(estimator.n_estimators_):
        raw = raw + estimator.predict(X, raw_score=True, start_iteration=i, num_iteration=1)
        yield _from_raw(raw, problem)


def _xgboost_stages(estimator: Any, X: NDArray, problem: Problem) -> Iterator[NDArray]:
    def margin(**span: Any) -> NDArray:
        return estimator.predict(X, output_margin=True, **span).astype(np.float64)

    n_rounds = estimator.get_booster().num_boosted_rounds()
    total = margin()
    rounds = [margin(iteration_range=(i, i + 1)) for i in range(n_rounds)]  # each holds the base score once
    raw = base = (sum(rounds) - total) / (n_rounds - 1) if n_rounds > 1 else np.zeros_like(total)
    for contribution in rounds:
        raw = raw + contribution - base
        yield _from_raw(raw, problem)


def _from_raw(raw: Any, problem: Problem) -> NDArray:
    if problem.task == "regression":
        return raw
    if problem.task == "multiclass":
        return softmax(raw, axis=1)
    p = expit(raw)
    return np.column_stack([1 - p, p])


RATES, PENALTIES = loguniform(0.02, 0.3), loguniform(1e-3, 10.0)

LEAF_WISE = Entry(
    "breadth leaf-wise",
    "breadth",
    _ours_boosting,
    {
        "growth": "leaf",
        "max_iter": ROUNDS,
        "learning_rate": RATE,
        "max_leaf_nodes": LEAVES,
        "min_samples_leaf": LEAF_ROWS,
    },
    {
        "learning_rate": RATES,
        "max_leaf_nodes": randint(8, 128),
        "min_samples_leaf": randint(5, 100),
        "l2_regularization": PENALTIES,
    },
    stages=_staged,
    cost=350,
)
LEVEL_WISE = Entry(
    "breadth level-wise",
    "breadth",
    _ours_boosting,
    {
        "growth": "level",
        "max_iter": ROUNDS,
        "learning_rate": RATE,
        "max_leaf_nodes": 2**DEPTH,
        "max_depth": DEPTH,
        "min_samples_leaf": LEAF_ROWS,
    },
    {
        "learning_rate": RATES,
        "max_leaf_nodes": [128],
        "max_depth": randint(3, 8),
        "min_samples_leaf": randint(5, 100),
        "l2_regularization": PENALTIES,
    },
    stages=_staged,
    cost=350,
)
LIGHTGBM = Entry(
    "LightGBM",
    "lightgbm",
    _lightgbm,
    {"n_estimators": ROUNDS, "learning_rate": RATE, "num_leaves": LEAVES, "min_child_samples": LEAF_ROWS},
    {
        "learning_rate": RATES,
        "num_leaves": randint(8, 128),
        "min_child_samples": randint(5, 100),
        "reg_lambda": PENALTIES,
    },
    _lightgbm_fit,
    _lightgbm_stages,
    cost=500,
)
XGBOOST = Entry(
    "XGBoost",
    "xgboost",
    _xgboost,
    {"n_estimators": ROUNDS, "learning_rate": RATE, "max_depth": DEPTH},
    {
        "learning_rate": RATES,
        "max_depth": randint(3, 8),
        "min_child_weight": loguniform(0.5, 50),
        "reg_lambda": PENALTIES,
    },
    stages=_xgboost_stages,
    cost=500,
)
HGB = Entry(
    "scikit-learn HGB",
    "scikit-learn",
    _hgb,
    {"max_iter": ROUNDS, "learning_rate": RATE, "max_leaf_nodes": LEAVES, "min_samples_leaf": LEAF_ROWS},
    {
        "learning_rate": RATES,
        "max_leaf_nodes": randint(8, 128),
        "min_samples_leaf": randint(5, 100),
        "l2_regularization": PENALTIES,
    },
    stages=_staged,
    cost=700,
)
_FOREST_SPACE = {"min_samples_leaf": randint(1, 50), "max_features": [0.2, 0.33, 0.5, 0.75, "sqrt"]}
_TREE_SPACE = {"max_depth": randint(2, 20), "min_samples_leaf": randint(1, 100)}
FOREST = Entry("breadth forest", "breadth", _ours_forest, {"n_estimators": TREES}, _FOREST_SPACE, cost=1500)
SKLEARN_FOREST = Entry(
    "scikit-learn forest", "scikit-learn", _sklearn_forest, {"n_estimators": TREES}, _FOREST_SPACE, cost=4000
)
TREE = Entry("breadth tree", "breadth", _ours_tree, {}, _TREE_SPACE, cost=150)
SKLEARN_TREE = Entry("scikit-learn tree", "scikit-learn", _sklearn_tree, {}, _TREE_SPACE, cost=300)
DUMMY = Entry("dummy", "scikit-learn", _dummy, cost=0)
ADABOOST = Entry(
    "breadth AdaBoost", "breadth", _ours_adaboost, {"n_estimators": TREES}, {"n_estimators": randint(20, 300)}
)
LOGISTIC = Entry("breadth logistic", "breadth", _ours_logistic, space={"C": loguniform(1e-3, 1e3)})
SKLEARN_LOGISTIC = Entry("scikit-learn logistic", "scikit-learn", _sklearn_logistic, space={"C": loguniform(1e-3, 1e3)})
NAIVE_BAYES = Entry("breadth naive Bayes", "breadth", _ours_naive_bayes, space={"var_smoothing": loguniform(1e-10, 1)})
SKLEARN_NAIVE_BAYES = Entry(
    "scikit-learn naive Bayes", "scikit-learn", _sklearn_naive_bayes, space={"var_smoothing": loguniform(1e-10, 1)}
)
_NEIGHBOURS_SPACE = {"n_neighbors": randint(1, 60), "weights": ["uniform", "distance"]}
NEIGHBOURS = Entry("breadth neighbours", "breadth", _ours_neighbours, {"n_neighbors": 15}, _NEIGHBOURS_SPACE, cost=300)
SKLEARN_NEIGHBOURS = Entry(
    "scikit-learn neighbours", "scikit-learn", _sklearn_neighbours, {"n_neighbors": 15}, _NEIGHBOURS_SPACE, cost=300
)
LINEAR = Entry("breadth linear", "breadth", _ours_linear, cost=10)
SKLEARN_LINEAR = Entry("scikit-learn linear", "scikit-learn", _sklearn_linear, cost=10)
RIDGE = Entry(
    "scikit-learn ridge", "scikit-learn", _sklearn_ridge, {"alpha": 1.0}, {"alpha": loguniform(1e-3, 1e4)}, cost=10
)
