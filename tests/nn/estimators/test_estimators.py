"""Networks behind scikit-learn's protocol: its own checks, a training loop in NumPy, scikit-learn's networks."""

from __future__ import annotations

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier as SklearnClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from breadth.nn.estimators import (
    MLPClassifier,
    MLPRegressor,
    NetworkClassifier,
    convolutional,
    recurrent,
    transformer,
)
from breadth.nn.networks import MLP
from breadth.nn.optim import SGD

REASON = "batches are drawn by row: a weight is not so many rows of them"
FAILS = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return train_test_split(X / 16, y, random_state=0, stratify=y)


def blobs(n=60, d=4, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    return rng.normal(size=(n, d)) + 2 * y[:, None] * np.linspace(-1, 1, d), y


@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_scikit_learns_checks_pass(make):
    model = make((16,), max_epochs=15, learning_rate=0.05, batch_size=16, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(model, expected_failed_checks=FAILS, on_skip=None)
    assert len(results) > 40


def numpy_softmax_network(network, X, y, steps, lr, decay):
    """Full-batch gradient descent on the mean cross-entropy of one hidden tanh layer; returns its logits."""
    W, b, V, c = (p.detach().double().numpy().copy() for p in network.parameters())
    for _ in range(steps):
        h = np.tanh(X @ W.T + b)
        p = softmax(h @ V.T + c, axis=1)
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        back = p @ V * (1 - h**2)
        gradients = back.T @ X, back.sum(0), p.T @ h, p.sum(0)
        for theta, g in zip((W, b, V, c), gradients, strict=True):
            theta -= lr * (g + decay * theta)
    return np.tanh(X @ W.T + b) @ V.T + c


def test_training_is_that_of_a_loop_in_numpy():
    X, y = blobs()
    model = MLPClassifier(
        (5,), activation="tanh", optimizer="sgd", learning_rate=0.3, weight_decay=0.01, batch_size=100, max_epochs=40,
        dtype="float64", random_state=3,
    ).fit(X, y)  # fmt: skip
    seed = int(np.random.RandomState(3).randint(2**31 - 1))
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        start = MLP(4, 3, (5,), activation="tanh")
    scaled = (X - X.mean(0)) / X.std(0)
    logits = numpy_softmax_network(start, scaled, y, 40, 0.3, 0.01)
    np.testing.assert_allclose(model.predict_proba(X), softmax(logits, axis=1), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(softmax(logits, axis=1)), rtol=1e-8)


def test_without_hidden_layers_the_regressor_is_least_squares():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3)) * [1, 100, 0.01] + [0, 1e4, 3]
    Y = X @ rng.normal(size=(3, 2)) + rng.normal(size=(80, 2)) * [1, 50]
    model = MLPRegressor((), optimizer="sgd", learning_rate=0.4, weight_decay=0.0, batch_size=80, max_epochs=400,
                         dtype="float64", random_state=0).fit(X, Y)  # fmt: skip
    design = np.column_stack([X - X.mean(0), np.ones(80)])
    np.testing.assert_allclose(model.predict(X), design @ np.linalg.lstsq(design, Y)[0], rtol=1e-6, atol=1e-6)
    single = MLPRegressor((), max_epochs=1, random_state=0).fit(X, Y[:, 0])
    assert single.predict(X).shape == (80,)


def test_digits_and_breast_cancer_as_well_as_scikit_learn(digits):
    X, X_held, y, y_held = digits
    ours = MLPClassifier(random_state=0, max_epochs=30).fit(X, y).score(X_held, y_held)
    theirs = make_pipeline(StandardScaler(), SklearnClassifier(max_iter=30, random_state=0, batch_size=64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours > theirs.fit(X, y).score(X_held, y_held) - 0.02
    assert ours > 0.95
    X, y = load_breast_cancer(return_X_y=True)
    assert cross_val_score(MLPClassifier(random_state=0, max_epochs=20), X, y, cv=3).mean() > 0.95


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (partial(convolutional, channels=(8, 16)), (1, 8, 8)),
        (partial(convolutional, channels=(8, 16)), (8, 8)),
        (partial(recurrent, hidden_size=32, cell="gru"), (8, 8)),
        (partial(recurrent, hidden_size=32, bidirectional=True), (8, 8)),
        (partial(transformer, d_model=32), (8, 8)),
    ],
)
def test_any_network_learns_digits_flat_or_in_shape(digits, make, shape):
    X, X_held, y, y_held = digits
    model = NetworkClassifier(make, input_shape=shape, max_epochs=12, learning_rate=4e-3, random_state=0).fit(X, y)
    assert model.score(X_held, y_held) > 0.93
    np.testing.assert_array_equal(model.predict(X_held.reshape(-1, *shape)), model.predict(X_held))


def test_a_seed_decides_everything_and_the_global_generator_is_left_alone():
    X, y = blobs()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    a, b, c = (
        MLPClassifier(max_epochs=3, dropout=0.2, random_state=s, early_stopping=True).fit(X, y).predict_proba(X)
        for s in (0, 0, 1)
    )
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert torch.equal(torch.get_rng_state(), before)


def test_early_stopping_takes_the_best_weights_back_and_judges_given_rows():
    X, y = blobs(40, seed=1)
    noisy = np.where(np.random.default_rng(0).random(40) < 0.4, (y + 1) % 3, y)
    X_val, y_val = blobs(200, seed=2)
    model = MLPClassifier((64,), learning_rate=0.03, max_epochs=80, early_stopping=True, patience=5, random_state=0)
    model.fit(X, noisy, X_val=X_val, y_val=y_val)
    assert model.n_iter_ == model.best_epoch_ + 6 < 80
    validation = [epoch.validation for epoch in model.history_]
    assert min(validation) == validation[model.best_epoch_]
    p = model.predict_proba(X_val)
    assert -np.log(p[np.arange(200), y_val]).mean() == pytest.approx(min(validation), rel=1e-5)


def test_rows_of_weight_zero_do_not_count_and_labels_may_be_strings():
    X, y = blobs()
    names = np.array(["a", "b", "c"])[y]
    weight = (np.arange(60) % 3 > 0).astype(float)
    options = {"batch_size": 60, "max_epochs": 5, "random_state": 0, "dtype": "float64"}
    weighted = MLPClassifier(**options).fit(X, names, weight)
    without = MLPClassifier(**options).fit(X[weight > 0], names[weight > 0])
    np.testing.assert_allclose(weighted.predict_proba(X), without.predict_proba(X), rtol=1e-9)
    assert weighted.predict(X).dtype == names.dtype
    again = pickle.loads(pickle.dumps(weighted))
    np.testing.assert_array_equal(again.predict_proba(X), weighted.predict_proba(X))


@pytest.mark.parametrize(
    "loss",
    [
        "label_smoothing", "inverse_count", "class_balanced", "balanced_softmax", "focal", "mae", "brier",
        "generalized_cross_entropy", "symmetric_cross_entropy", "soft_bootstrapping", "hard_bootstrapping",
        torch.nn.functional.cross_entropy,
    ],
)  # fmt: skip
def test_every_loss_learns(loss):
    X, y = blobs(200)
    model = MLPClassifier((32,), loss=loss, max_epochs=30, learning_rate=0.01, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", SGD])
@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_every_optimizer_and_schedule_lowers_the_loss(optimizer, schedule):
    X, y = blobs(100)
    model = MLPClassifier((16,), optimizer=optimizer, schedule=schedule, learning_rate=0.01, max_epochs=8,
                          max_norm=5.0, random_state=0).fit(X, y)  # fmt: skip
    assert model.history_[-1].loss < model.history_[0].loss


def test_classes_that_are_rare_are_found_when_their_weight_is_even():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(950, 2)), rng.normal(1.5, 1, size=(50, 2))])
    y = np.repeat([0, 1], [950, 50])
    plain, even = (
        MLPClassifier((8,), loss=loss, max_epochs=40, learning_rate=0.01, random_state=0).fit(X, y)
        for loss in ("cross_entropy", "inverse_count")
    )
    assert (even.predict(X[950:]) == 1).mean() > (plain.predict(X[950:]) == 1).mean() + 0.2


def test_a_single_row_a_single_class_and_a_constant_column():
    model = MLPClassifier(max_epochs=2).fit([[1.0, 7.0]], ["only"])
    assert model.predict([[3.0, 7.0]]).tolist() == ["only"]
    assert model.predict_proba([[3.0, 7.0]]).tolist() == [[1.0]]
    X, y = blobs()
    X[:, 1] = 1e9 / 3
    assert np.isfinite(MLPClassifier(max_epochs=2).fit(X, y).predict_proba(X)).all()
    constant = MLPRegressor(max_epochs=300, learning_rate=0.01).fit(X, np.full(60, 1e6))
    np.testing.assert_allclose(constant.predict(X), 1e6, atol=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": 0}, "max_epochs must be an integer >= 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be an integer >= 1, got 1.5"),
        ({"learning_rate": -1.0}, "learning_rate must be a number >= 0, got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number >= 0, got nan"),
        ({"weight_decay": True}, "weight_decay must be a number >= 0, got True"),
        ({"loss": "hinge"}, "loss must be one of 'cross_entropy'"),
        ({"optimizer": "lion"}, "optimizer must be one of 'sgd'"),
        ({"schedule": "step"}, "schedule must be one of 'constant', 'linear', 'cosine', got 'step'"),
        ({"dtype": "float16"}, "dtype must be 'float32' or 'float64', got 'float16'"),
        ({"standardize": "row"}, "standardize must be 'column', 'all' or None, got 'row'"),
        ({"activation": "swish"}, "activation must be one of"),
        ({"hidden_sizes": (0,)}, "hidden_sizes"),
        ({"max_norm": 0.0}, "max_norm must be a number"),
        ({"n_threads": 0}, "n_threads must be an integer >= 1, got 0"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "leaves none on one side"),
        ({"early_stopping": True, "patience": 0}, "patience must be an integer >= 1, got 0"),
    ],
)
def test_a_wrong_parameter_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**options).fit(*blobs())


def test_wrong_rows_are_named():
    X, y = blobs()
    with pytest.raises(ValueError, match=r"rows of 4 entries; input_shape=\(3, 3\) needs 9"):
        NetworkClassifier(recurrent, input_shape=(3, 3)).fit(X, y)
    with pytest.raises(ValueError, match="a sequence has shape"):
        NetworkClassifier(transformer).fit(X, y)
    with pytest.raises(ValueError, match="an image has shape"):
        NetworkClassifier(convolutional).fit(X, y)
    with pytest.raises(ValueError, match="X_val and y_val belong together"):
        MLPClassifier().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match=r"y_val has classes that y has not: \[9\]"):
        MLPClassifier().fit(X, y, X_val=X, y_val=np.full(60, 9))
    with pytest.raises(ValueError, match="2 targets a row and y has 1"):
        MLPRegressor().fit(X, y, X_val=X, y_val=np.ones((60, 2)))
    with pytest.raises(ValueError, match="at least one non-zero"):
        MLPClassifier().fit(X, y, np.zeros(60))
    with pytest.raises(ValueError, match="mixes labels"):
        MLPClassifier().fit(X, np.array([1, "a"] * 30, dtype=object))


@pytest.mark.parametrize("norm", [None, "batch", "layer"])
@pytest.mark.parametrize("make", [MLPClassifier, MLPRegressor])
def test_a_row_is_predicted_alike_alone_and_among_many_and_by_the_trained_weights(make, norm):
    X, y = blobs(300, 20)
    model = make((64, 64), norm=norm, residual=True, max_epochs=3, random_state=0).fit(X, y)
    predict = model.predict_log_proba if make is MLPClassifier else model.predict
    together = predict(X)
    assert together.dtype == np.float64
    # atol: float64 sums of 64 terms of size 1 in another order; float32's would differ by 1e-7
    np.testing.assert_allclose(np.concatenate([predict(row[None]) for row in X]), together, rtol=0, atol=1e-13)
    assert {p.dtype for p in model.network_.parameters()} == {torch.float32}
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal((copy.predict_log_proba if make is MLPClassifier else copy.predict)(X), together)


def test_predictions_in_many_threads_are_right_and_leave_the_network_as_it_is():
    X, y = blobs(90)
    model = MLPRegressor((50, 50), max_epochs=1, random_state=0).fit(X, y)
    alone = model.predict(X)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(model.predict, [X] * 300):
            np.testing.assert_array_equal(found, alone)
    assert {p.dtype for p in model.network_.parameters()} == {torch.float32}


class Turned(torch.nn.Module):
    """An activation with a tensor of its own that no change of dtype reaches."""

    def __init__(self):
        super().__init__()
        self.turn = [torch.eye(16)]

    def forward(self, x):
        return torch.relu(x @ self.turn[0])


def test_an_activation_with_tensors_of_its_own_predicts_in_the_dtype_it_was_trained_in():
    X, y = blobs(60)
    own = MLPRegressor((16,), activation=Turned, max_epochs=2, random_state=0).fit(X, y)
    named = MLPRegressor((16,), max_epochs=2, random_state=0).fit(X, y)
    np.testing.assert_allclose(own.predict(X), named.predict(X), rtol=0, atol=1e-5)  # float32 beside float64
