"""One of each kind of regressor, ours beside scikit-learn's, with the linear model to beat."""

from breadth.evidence import contenders as c
from breadth.evidence.comparison import Comparison

COMPARISON = Comparison(
    name="regressors",
    contenders=(
        c.LINEAR,
        c.SKLEARN_LINEAR,
        c.RIDGE,
        c.SKLEARN_NEIGHBOURS,
        c.TREE,
        c.FOREST,
        c.LEAF_WISE,
        c.LEVEL_WISE,
        c.LIGHTGBM,
        c.DUMMY,
    ),
    baseline="breadth linear",
    data=("diabetes", "star98", "randhie", "friedman:5000"),
    quick_data=("diabetes", "star98"),
    suite="eight_regression",
    families=("regression",),
)
