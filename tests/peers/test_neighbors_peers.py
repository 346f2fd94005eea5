"""Nearest neighbours beside scipy's distances and scikit-learn's estimators, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.neighbors
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.distance import cdist
from sklearn.datasets import load_diabetes, load_digits, load_wine, make_multilabel_classification
from sklearn.exceptions import DataConversionWarning
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.utils import get_tags

from breadth.tabular.neighbors.classifier import KNeighborsClassifier
from breadth.tabular.neighbors.regressor import KNeighborsRegressor


@pytest.mark.parametrize("metric", ["euclidean", "cityblock"])
def test_neighbours_equal_a_stable_sort_of_scipys_distances(metric):
    X, y = load_digits(return_X_y=True)  # integers: distances tie exactly
    distance, index = KNeighborsClassifier(10, metric=metric).fit(X[:1500], y[:1500]).kneighbors(X[1500:])
    full = cdist(X[1500:], X[:1500], metric)
    truth = np.argsort(full, axis=1, kind="stable")[:, :10]
    assert_array_equal(index, truth)
    assert_allclose(distance, np.take_along_axis(full, truth, axis=1), rtol=1e-12)


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_votes_equal_scikit_learns(mean, p, weights):
    X, y = load_wine(return_X_y=True)
    rng = np.random.default_rng(0)
    X = X + rng.normal(size=X.shape) * 1e-3 + mean  # no ties
    ours = KNeighborsClassifier(7, weights=weights, p=p).fit(X[::2], y[::2])
    # the peer's tree takes distances from differences, as we do
    peer = sklearn.neighbors.KNeighborsClassifier(7, weights=weights, p=p, algorithm="kd_tree").fit(X[::2], y[::2])
    assert_array_equal(ours.kneighbors(X)[1], peer.kneighbors(X)[1])
    assert_array_equal(ours.kneighbors()[1], peer.kneighbors()[1])
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), rtol=1e-12, atol=1e-15)
    assert_array_equal(ours.predict(X), peer.predict(X))


@pytest.mark.parametrize("algorithm", ["brute", "kd_tree"])
@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_means_equal_scikit_learns(outputs, weights, algorithm):
    X, y = load_diabetes(return_X_y=True)
    X = X + np.random.default_rng(0).normal(size=X.shape) * 1e-6  # no ties
    y = y if outputs == 1 else np.column_stack([y, y**2])
    ours = KNeighborsRegressor(7, weights=weights, algorithm=algorithm).fit(X[::2], y[::2])
    peer = sklearn.neighbors.KNeighborsRegressor(7, weights=weights, algorithm="kd_tree").fit(X[::2], y[::2])
    assert_array_equal(ours.kneighbors(X)[1], peer.kneighbors(X)[1])
    assert_array_equal(ours.kneighbors()[1], peer.kneighbors()[1])
    assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-12)


METRICS = [
    {"metric": "chebyshev"},
    {"metric": "infinity"},
    {"p": np.inf},
    {"p": 1.5},
    {"p": 3},
    {"p": 3.7},
    {"metric_params": {"p": 4}, "p": None},
    {"metric": "cosine"},
    {"metric": "canberra"},
    {"metric": "braycurtis"},
    {"metric": "hamming"},
]


@pytest.mark.parametrize("mean", [0.0, 10.0])
@pytest.mark.parametrize("parameters", METRICS)
def test_every_metric_equals_scipys_and_scikit_learns(parameters, mean):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 12)) + mean
    if parameters.get("metric") == "hamming":
        X = np.round(2 * X)
    X, Q, y = X[:700], X[690:], np.arange(700) % 4
    ours = KNeighborsClassifier(9, weights="distance", **parameters).fit(X, y)
    kind = "ball_tree" if parameters.get("metric") == "infinity" else "brute"  # a name that its trees alone know
    peer = sklearn.neighbors.KNeighborsClassifier(9, weights="distance", algorithm=kind, **parameters).fit(X, y)
    distance, index = ours.kneighbors(Q)
    # rtol, atol: sums and powers round in another order, and 1 - cos to some eps of 1
    close = {"rtol": 1e-12, "atol": 1e-14}
    assert_allclose(distance, peer.kneighbors(Q)[0], **close)
    name = peer.effective_metric_
    if name != "braycurtis" or mean:  # scipy's divides by |x + y|, scikit-learn's by |x| + |y|
        power = {"p": peer.effective_metric_params_["p"]} if name == "minkowski" else {}
        full = cdist(Q, X, "chebyshev" if name == "infinity" else name, **power)
        truth = np.argsort(full, axis=1, kind="stable")[:, :9]
        assert_allclose(distance, np.take_along_axis(full, truth, axis=1), **close)
        if name != "cosine" or not mean:
            assert_array_equal(index, truth)
    if name != "hamming":  # ties, which scikit-learn breaks in its own way
        assert_array_equal(index, peer.kneighbors(Q)[1])
        assert_array_equal(ours.kneighbors_graph(mode="connectivity").indices, peer.kneighbors_graph().indices)
        graphs = [model.kneighbors_graph(Q, 4, "distance") for model in (ours, peer)]
        assert_allclose(*(graph.toarray() for graph in graphs), **close)
    if name not in ("hamming", "cosine"):  # 1 / d of a copy: 0 here, some eps there
        # rtol: of the peer's shares, whose weights sum in another order
        assert_allclose(ours.predict_proba(Q), peer.predict_proba(Q), rtol=1e-12, atol=1e-14)


def words(n, p=3000):
    """Rows like TF-IDF: words as frequent as Zipf says, weighed by their rarity, of length 1."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, p + 1)
    drawn = rng.choice(p, size=(n, 60), p=share / share.sum())
    counts = sp.csr_matrix((np.ones(drawn.size), (np.repeat(np.arange(n), 60), drawn.ravel())), shape=(n, p))
    return TfidfTransformer().fit_transform(counts)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_neighbours_among_words_equal_scipys_and_scikit_learns(metric):
    X = words(900)
    y = np.arange(800) % 5
    ours = KNeighborsClassifier(8, metric=metric, weights="distance").fit(X[:800], y)
    peer = sklearn.neighbors.KNeighborsClassifier(8, metric=metric, weights="distance").fit(X[:800], y)
    full = cdist(X[800:].toarray(), X[:800].toarray(), "cityblock" if metric == "manhattan" else metric)
    truth = np.argsort(full, axis=1, kind="stable")[:, :8]
    for queries in (X[800:], X[800:].toarray(), X[800:].tocoo()):
        distance, index = ours.kneighbors(queries)
        assert_array_equal(index, truth)
        # rtol: terms are summed in another order; cosines round to eps of 1, and so do the peer's products
        assert_allclose(distance, np.take_along_axis(full, truth, axis=1), rtol=1e-12)
        assert_allclose(distance, peer.kneighbors(X[800:])[0], rtol=1e-12)
    assert_array_equal(index, peer.kneighbors(X[800:])[1])
    assert_array_equal(ours.kneighbors()[1], peer.kneighbors()[1])
    assert_allclose(ours.predict_proba(X[800:]), peer.predict_proba(X[800:]), rtol=1e-12)


def test_given_distances_and_functions_equal_scikit_learns():
    X, y = load_wine(return_X_y=True)
    table = cdist(X, X[::2], "sqeuclidean")
    for parameters, train, queries in (
        ({"metric": "precomputed"}, table[::2], table),
        ({"metric": "precomputed"}, table[::2], None),
        ({"metric": lambda a, b, w: w * np.abs(a - b).max(), "metric_params": {"w": 3.0}}, X[::2], X[:40]),
    ):
        ours = KNeighborsClassifier(4, weights="distance", **parameters).fit(train, y[::2])
        peer = sklearn.neighbors.KNeighborsClassifier(4, weights="distance", **parameters).fit(train, y[::2])
        # rtol: the sum of the votes; the distances are the same numbers
        assert_array_equal(ours.kneighbors(queries)[0], peer.kneighbors(queries)[0])
        assert_allclose(ours.predict_proba(queries), peer.predict_proba(queries), rtol=1e-12)


@pytest.mark.parametrize("weights", ["uniform", "distance", None])
def test_several_outputs_equal_scikit_learns(weights):
    X, Y = make_multilabel_classification(300, 6, n_classes=3, random_state=0)
    X = X + np.random.default_rng(0).normal(size=X.shape) * 1e-3  # no ties
    names = np.array(["a", "b", "c", "d"])
    for y in (Y, names[np.column_stack([Y.sum(axis=1), Y[:, 0]])]):
        ours = KNeighborsClassifier(5, weights=weights).fit(X[:200], y[:200])
        peer = sklearn.neighbors.KNeighborsClassifier(5, weights=weights).fit(X[:200], y[:200])
        assert ours.outputs_2d_
        assert isinstance(ours.classes_, list)
        for a, b in zip(ours.classes_, peer.classes_, strict=True):
            assert_array_equal(a, b)
        assert_array_equal(ours.predict(X[200:]), peer.predict(X[200:]))
        assert ours.predict(X[200:]).dtype == peer.predict(X[200:]).dtype
        assert_array_equal(ours.predict(None), peer.predict(None))
        shares, others = ours.predict_proba(X[200:]), peer.predict_proba(X[200:])
        assert isinstance(shares, list)
        for a, b in zip(shares, others, strict=True):
            assert_allclose(a, b, rtol=1e-12)  # the votes sum in another order
    assert KNeighborsClassifier(5).fit(X[:200], Y[:200]).score(X[200:], Y[200:]) > 0.3
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        column = KNeighborsClassifier(5).fit(X, Y[:, :1])
    assert not column.outputs_2d_
    assert column.predict(X).shape == (300,)


@pytest.mark.parametrize("parameters", [{}, {"metric": "cosine"}, {"p": 1}, {"metric": "precomputed"}])
@pytest.mark.parametrize("name", ["KNeighborsClassifier", "KNeighborsRegressor"])
def test_tags_and_parameters_are_scikit_learns(name, parameters):
    ours = {"KNeighborsClassifier": KNeighborsClassifier, "KNeighborsRegressor": KNeighborsRegressor}[name](
        **parameters
    )
    peer = getattr(sklearn.neighbors, name)(**parameters)
    assert ours.get_params() == peer.get_params()
    tags, others = get_tags(ours), get_tags(peer)
    assert tags == others


@pytest.mark.filterwarnings("ignore:Precomputed sparse input was not sorted")
def test_a_graph_of_distances_gives_scikit_learns_neighbours():
    X, y = load_wine(return_X_y=True)
    table = cdist(X, X, "sqeuclidean")
    graph = sklearn.neighbors.KNeighborsTransformer(n_neighbors=12).fit(X).transform(X)  # 0 on its diagonal, held
    for given in (graph, sp.csr_matrix(table + 1.0)):
        ours = KNeighborsClassifier(4, metric="precomputed", weights="distance").fit(given, y)
        peer = sklearn.neighbors.KNeighborsClassifier(4, metric="precomputed", weights="distance").fit(given, y)
        for queries in (given, None):
            assert_array_equal(ours.kneighbors(queries)[0], peer.kneighbors(queries)[0])
            assert_array_equal(ours.kneighbors(queries)[1], peer.kneighbors(queries)[1])
