import numpy as np
import pytest

from breadth.evidence import contenders
from breadth.evidence.probes import overfit_gap, structure
from breadth.evidence.problem import from_arrays
from tests.evidence.test_contenders import fitted

SMALL = {
    "breadth tree": {"max_depth": 2},
    "scikit-learn tree": {"max_depth": 2},
    "breadth forest": {"n_estimators": 3, "max_depth": 2},
    "scikit-learn forest": {"n_estimators": 3, "max_depth": 2},
    "breadth leaf-wise": {"max_iter": 3, "max_leaf_nodes": 4, "max_depth": 2},
    "breadth level-wise": {"max_iter": 3, "max_leaf_nodes": 4, "max_depth": 2},
    "LightGBM": {"n_estimators": 3, "num_leaves": 4, "max_depth": 2},
    "XGBoost": {"n_estimators": 3, "max_depth": 2},
    "scikit-learn HGB": {"max_iter": 3, "max_leaf_nodes": 4, "max_depth": 2},
}
TREES = {e.name: e for e in vars(contenders).values() if isinstance(e, contenders.Entry) and e.name in SMALL}


def four_corners():
    """y needs both of the first two columns, so every tree has depth 2 and 4 leaves; the third is constant."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(400, 2)), np.zeros(400)])
    y = 2 * (X[:, 0] > 0.2) + (X[:, 1] > -0.3) + 0.01 * rng.normal(size=400)
    return from_arrays("corners", X, y, task="regression")


@pytest.mark.parametrize("name", SMALL)
def test_structure_counts_leaves_depth_and_used_features_alike_for_every_package(name):
    prepared = four_corners()
    estimator = fitted(TREES[name].having(**SMALL[name]), prepared)
    n_trees = SMALL[name].get("n_estimators", SMALL[name].get("max_iter", 1))
    found = structure(estimator, prepared.X, prepared.y, prepared.problem, {})
    assert found == {"leaves": 4.0 * n_trees, "depth": 2.0, "used features": 2.0}


def test_a_dummy_has_nothing_to_read_and_an_unknown_model_is_an_error_rather_than_zero():
    prepared = four_corners()
    dummy = fitted(contenders.DUMMY, prepared)
    assert structure(dummy, prepared.X, prepared.y, prepared.problem, {})["depth"] == 0
    with pytest.raises(TypeError, match="cannot read trees of object"):
        structure(object(), prepared.X, prepared.y, prepared.problem, {})


def test_the_overfit_gap_is_the_lead_of_the_training_rows():
    prepared = four_corners()
    tree = fitted(contenders.SKLEARN_TREE, prepared)
    gap = overfit_gap(tree, prepared.X, prepared.y, prepared.problem, {"R2": 0.9})
    assert gap == {"train R2": 1.0, "overfit gap": pytest.approx(0.1)}
