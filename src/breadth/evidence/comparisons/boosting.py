"""Gradient boosting side by side: equal rounds, leaves, rate and leaf size; the rest as each package ships it."""

from breadth.evidence import contenders as c
from breadth.evidence.comparison import Comparison

COMPARISON = Comparison(
    name="boosting",
    contenders=(c.LEAF_WISE, c.LEVEL_WISE, c.LIGHTGBM, c.XGBOOST, c.HGB, c.FOREST, c.TREE, c.DUMMY),
    baseline="LightGBM",
    data=("breast_cancer", "digits", "fair", "randhie_any", "higgs_like:100000"),
    quick_data=("fair", "randhie_any", "higgs_like:100000"),
    suite="eight",
    quick={"breadth forest": {"n_estimators": 20}},
)
