"""scikit-learn estimators for tables."""

from breadth.tabular.trees.boosting import GradientBoostingClassifier, GradientBoostingRegressor

__all__ = [
    "GradientBoostingClassifier",
    "GradientBoostingRegressor",
]
