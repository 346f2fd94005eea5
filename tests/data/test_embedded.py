"""Real data sets by name: sizes, targets and classes as documented, and nothing imported before it is needed."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.datasets

from breadth.data import SUITES, DataError, load, names, suite

DOCUMENTED = {
    "breast_cancer": (569, 30, ("malignant", "benign")),
    "wine": (178, 13, ("class_0", "class_1", "class_2")),
    "iris": (150, 4, ("setosa", "versicolor", "virginica")),
    "digits": (1797, 64, tuple("0123456789")),
    "diabetes": (442, 10, ()),
    "fair": (6366, 8, ("no affair", "affair")),
    "randhie": (20190, 9, ()),
    "randhie_any": (20190, 9, ("no visit", "visit")),
    "anes96": (944, 9, ("Clinton", "Dole")),
    "modechoice": (210, 17, ("air", "train", "bus", "car")),
    "star98": (303, 12, ()),
    "engel": (235, 1, ()),
    "cancer": (301, 1, ()),
}
needs_statsmodels = {"fair", "randhie", "randhie_any", "anes96", "modechoice", "star98", "engel", "cancer"}


def test_every_real_name_is_documented_here():
    assert set(names("real")) == set(DOCUMENTED)
    assert set(names()) == set(names("real")) | set(names("generated"))


@pytest.mark.parametrize("name", DOCUMENTED)
def test_real_sets_are_what_the_table_says(name):
    if name in needs_statsmodels:
        pytest.importorskip("statsmodels")
    rows, features, classes = DOCUMENTED[name]
    data = load(name)
    assert (data.name, data.X.shape, data.classes) == (name, (rows, features), classes)
    assert data.task == ("regression" if not classes else "binary" if len(classes) == 2 else "multiclass")
    assert not np.isnan(data.to_numpy()).any() and data.note
    assert not any("of the target" in warning for warning in data.warnings)
    assert f"| {name} | {rows:,} x {features} |" in load.__doc__


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "iris", "digits", "diabetes"])
def test_scikit_learns_sets_are_handed_on_unchanged(name):
    bunch = getattr(sklearn.datasets, f"load_{name}")()
    data = load(name)
    np.testing.assert_array_equal(data.to_numpy(), bunch.data)
    np.testing.assert_array_equal(data.y, bunch.target)


def test_statsmodels_targets_are_the_documented_functions():
    sm = pytest.importorskip("statsmodels.datasets")
    fair = sm.fair.load_pandas().data
    np.testing.assert_array_equal(load("fair").y, (fair["affairs"] > 0).astype(int))
    np.testing.assert_array_equal(load("fair").to_numpy(), fair.drop(columns="affairs"))
    visits = sm.randhie.load_pandas().data["mdvis"]
    np.testing.assert_array_equal(load("randhie").y, visits)
    np.testing.assert_array_equal(load("randhie_any").y, (visits > 0).astype(int))
    votes = sm.anes96.load_pandas().data
    np.testing.assert_array_equal(load("anes96").y, votes["vote"])
    schools = sm.star98.load_pandas().data
    np.testing.assert_allclose(
        load("star98").y, schools["NABOVE"] / (schools["NABOVE"] + schools["NBELOW"]), rtol=1e-15
    )


def test_modechoice_has_one_row_a_traveller():
    sm = pytest.importorskip("statsmodels.datasets")
    long = sm.modechoice.load_pandas().data
    data = load("modechoice")
    for code, mode in enumerate(("air", "train", "bus", "car"), 1):
        one = long[long["mode"] == code].sort_values("individual")
        np.testing.assert_array_equal(data.X[f"invt_{mode}"], one["invt"])
        np.testing.assert_array_equal(data.y == code - 1, one["choice"] == 1)
    assert "ttme_car" not in data.feature_names  # always 0


def test_suites_have_eight_sets_of_their_task():
    pytest.importorskip("statsmodels")
    for name, members in SUITES.items():
        assert suite(name) == members and len(set(members)) == 8
        tasks = {load(member).task for member in members}
        assert tasks == ({"regression"} if name == "eight_regression" else {"binary", "multiclass"})


def test_unknown_names_and_sizes_are_refused_with_what_would_be_right():
    for name, message in [
        ("breast_cancr", "did you mean 'breast_cancer'"),
        ("zzzz", "no such data set; there are breast_cancer, wine"),
        ("fair:100", "a real data set has a size of its own"),
        ("higgs_like:many", "'many' is not a number of rows; write for instance 'higgs_like:100000'"),
        ("higgs_like:", "is not a number of rows"),
        ("higgs_like:1", "n=1 is too small"),
    ]:
        with pytest.raises(DataError, match=message):
            load(name)
    with pytest.raises(DataError, match="no such suite; there are eight, eight_regression"):
        suite("nine")
    with pytest.raises(DataError, match="kind='toy' is not known"):
        names("toy")


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_without_statsmodels_the_error_names_the_extra():
    code = "import sys; sys.modules['statsmodels'] = None\nfrom breadth.data import load\nload('fair')"
    assert "the data set 'fair' comes with statsmodels; pip install \"breadth[compare]\"" in run_python(code).stderr


def test_generators_need_neither_scikit_learn_nor_statsmodels():
    code = (
        "import sys; from breadth.data import load; load('higgs_like:100')\n"
        "print([m for m in ('sklearn', 'statsmodels', 'pandas') if m in sys.modules])"
    )
    assert run_python(code).stdout.strip() == "[]"
