"""Latent semantic analysis beside the dense singular value decomposition, and what it cannot decompose."""

from __future__ import annotations

import pickle
from pydoc_data import topics

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD

from breadth.text.lsa import LatentSemanticAnalysis
from breadth.text.tfidf import CountVectorizer, TfidfVectorizer

TEXTS = list(topics.topics.values())[:60]


@pytest.mark.parametrize("options", [{"solver": "arpack"}, {"n_iter": 30, "n_oversamples": 50}])
def test_components_are_those_of_the_dense_decomposition(options):
    X = TfidfVectorizer(sublinear_tf=True).fit_transform(TEXTS)
    lsa = LatentSemanticAnalysis(5, random_state=0, **options)
    points = lsa.fit_transform(TEXTS)
    _, s, vt = np.linalg.svd(X.toarray(), full_matrices=False)
    vt = vt[:5] * np.sign(vt[np.arange(5), np.abs(vt[:5]).argmax(1)])[:, None]
    # tolerances: singular vectors are as exact as gaps between singular values allow, here 1e-2 and more
    np.testing.assert_allclose(lsa.singular_values_, s[:5], rtol=1e-10)
    np.testing.assert_allclose(lsa.components_, vt, atol=1e-8)
    np.testing.assert_allclose(points, X @ vt.T, atol=1e-8)
    np.testing.assert_allclose(lsa.transform(TEXTS), points, atol=1e-12)
    shares = (X @ vt.T).var(0) / X.toarray().var(0).sum()
    np.testing.assert_allclose(lsa.explained_variance_ratio_, shares, rtol=1e-7)
    np.testing.assert_allclose(lsa.inverse_transform(points), (X @ vt.T) @ vt, atol=1e-8)


def test_numbers_are_truncated_svds_up_to_sign():
    X = CountVectorizer().fit_transform(TEXTS)
    ours = LatentSemanticAnalysis(8, vectorizer="passthrough", random_state=3).fit(X)
    peer = TruncatedSVD(8, random_state=3).fit(X.astype(float))
    np.testing.assert_allclose(ours.singular_values_, peer.singular_values_, rtol=1e-10)
    np.testing.assert_allclose(np.abs(ours.components_), np.abs(peer.components_), atol=1e-9)
    np.testing.assert_allclose(ours.explained_variance_, peer.explained_variance_, rtol=1e-9)


def test_the_same_seed_gives_the_same_bits_and_a_copy_answers_alike():
    one, other = (LatentSemanticAnalysis(4, random_state=1).fit(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(one.components_, other.components_)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(one)).transform(TEXTS), one.transform(TEXTS))
    np.testing.assert_array_equal(clone(one).fit(TEXTS).transform(["", "unheard"]), np.zeros((2, 4)))


def test_synonyms_that_share_their_neighbours_come_together():
    texts = ["car engine wheel road", "automobile engine wheel road"] * 5 + [
        "flower garden leaf",
        "flower leaf tree",
    ] * 5
    lsa = LatentSemanticAnalysis(2, random_state=0).fit(texts)
    car, automobile, flower = lsa.transform(["car", "automobile", "flower"])
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
    assert cosine(car, automobile) > 0.99
    assert abs(cosine(car, flower)) < 0.01


def test_documents_all_alike_have_one_direction_and_no_variance():
    lsa = LatentSemanticAnalysis(1, random_state=0).fit(["same words"] * 4)
    assert lsa.explained_variance_[0] < 1e-30
    X = np.full((5, 3), 1e4)
    assert LatentSemanticAnalysis(1, vectorizer="passthrough").fit(X).singular_values_[0] == pytest.approx(
        1e4 * 15**0.5
    )


@pytest.mark.parametrize(
    ("options", "documents", "message"),
    [
        ({"n_components": 0}, TEXTS, "n_components must be in"),
        ({"n_components": 61}, TEXTS, "n_components must be in"),
        ({"n_components": 60, "solver": "arpack"}, TEXTS, r"n_components must be in \[1, 59\]"),
        ({"solver": "lanczos"}, TEXTS, "solver must be"),
        ({"n_iter": -1}, TEXTS, "n_iter must be"),
        ({"vectorizer": "tfidf"}, TEXTS, "vectorizer must be"),
        ({"vectorizer": "passthrough"}, np.array([[np.nan, 1.0]]), "NaN or infinity"),
        ({"vectorizer": "passthrough"}, sp.csr_matrix((0, 3)), "shape"),
    ],
)
def test_what_cannot_be_decomposed_is_named(options, documents, message):
    with pytest.raises(ValueError, match=message):
        LatentSemanticAnalysis(**options).fit(documents)


def test_another_width_than_learned_is_refused():
    lsa = LatentSemanticAnalysis(2, vectorizer="passthrough").fit(np.eye(4))
    with pytest.raises(ValueError, match="must have 4 terms, got 3"):
        lsa.transform(np.eye(3))
