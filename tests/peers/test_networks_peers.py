"""The perceptron beside scikit-learn's and the convolutional net beside SciPy's correlation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from torch import nn

from breadth.nn import schedules
from breadth.nn.fit import fit
from breadth.nn.losses.cross_entropy import cross_entropy
from breadth.nn.networks import CNN, MLP
from breadth.nn.optim.adam import AdamW
from breadth.nn.update import supervised


@pytest.mark.parametrize("hidden", [(), (7,), (7, 7, 3)])
@pytest.mark.parametrize(("ours", "theirs"), [("relu", "relu"), ("tanh", "tanh"), ("sigmoid", "logistic")])
def test_a_perceptron_computes_what_scikit_learns_does_with_its_weights(ours, theirs, hidden):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(9, 4)), 1e4 + rng.normal(size=(1, 4))])
    y = rng.normal(size=(10, 2))
    peer = MLPRegressor(hidden_layer_sizes=hidden, activation=theirs, random_state=0).partial_fit(X, y)
    model = MLP(4, 2, hidden, activation=ours).double()
    linear = [part for part in model.modules() if isinstance(part, nn.Linear)]
    with torch.no_grad():
        for part, W, b in zip(linear, peer.coefs_, peer.intercepts_, strict=True):
            part.weight.copy_(torch.tensor(W.T))
            part.bias.copy_(torch.tensor(b))
        for rows in (X, X[:1], X[:0]):
            expected = peer.predict(rows) if len(rows) else np.zeros((0, 2))
            # atol: products of 1e4 round at 1e-12
            np.testing.assert_allclose(model(torch.tensor(rows)), expected, rtol=1e-12, atol=1e-11)


def test_a_convolutional_net_is_scipys_correlations_one_after_another():
    torch.manual_seed(0)
    model = CNN(2, 3, (2,), norm=None, pool="mean").double()
    x = torch.randn(2, 2, 7, 5, dtype=torch.float64)
    convolutions = [part for part in model.stages if isinstance(part, nn.Conv2d)]
    expected = []
    for image in x.numpy():
        maps = image
        for part in convolutions:
            W, b = part.weight.detach().numpy(), part.bias.detach().numpy()
            sums = [sum(correlate2d(m, w, "same") for m, w in zip(maps, w_out, strict=True)) for w_out in W]
            maps = np.maximum(np.array(sums) + b[:, None, None], 0)
        halved = np.array([[[m[i : i + 2, j : j + 2].max() for j in (0, 2)] for i in (0, 2, 4)] for m in maps])
        expected.append(model.head.weight.detach().numpy() @ halved.mean((1, 2)) + model.head.bias.detach().numpy())
    np.testing.assert_allclose(model(x).detach(), expected, rtol=1e-12, atol=1e-14)


def test_every_choice_of_the_perceptron_learns_and_residuals_need_equal_widths():
    rng = np.random.default_rng(0)
    X = torch.tensor(rng.normal(size=(64, 4)), dtype=torch.float32)
    y = (X[:, 0] * X[:, 1] > 0).long()
    choices = [{"norm": norm} for norm in ("batch", "layer", "rms", None)]
    choices += [{"activation": a} for a in ("gelu", "silu", nn.ELU)]
    choices += [{"init": i} for i in ("xavier_normal", "kaiming_normal", "orthogonal")]
    choices += [{"residual": True, "dropout": 0.1}]
    for choice in choices:
        torch.manual_seed(0)
        model = MLP(4, 2, (32, 32), **choice)
        optimizer = AdamW(model.parameters(), 1e-2)
        run = fit(model, (X, y), supervised(cross_entropy), optimizer, epochs=20, generator=torch.Generator())
        assert run.history[-1].loss < 0.8 * run.history[0].loss, choice
    x = torch.randn(5, 8)
    with torch.no_grad():
        deep = MLP(8, 1, (8,), residual=True)
        inner = deep.layers[0].fn
        torch.testing.assert_close(deep(x), deep.head(x + inner(x)))


def test_small_and_large_starts_make_outputs_vanish_and_explode_with_depth():
    torch.manual_seed(0)
    x = torch.randn(64, 50)
    scale = {i: MLP(50, 50, (50,) * 8, init=i)(x).std().item() for i in ("small", "large", "kaiming_normal")}
    assert scale["small"] < 1e-6
    assert scale["large"] > 1e3
    assert 0.1 < scale["kaiming_normal"] < 10


def test_calls_that_cannot_be_right_are_refused():
    calls = [
        (lambda: MLP(0, 1), "must be >= 1"),
        (lambda: MLP(1, 1, activation="step"), "activation must be one of 'relu'.*got 'step'"),
        (lambda: MLP(1, 1, norm="group"), "norm must be one of 'batch', 'layer', 'rms' or None, got 'group'"),
        (lambda: MLP(1, 1, init="zeros"), "init must be one of .* got 'zeros'"),
        (lambda: CNN(1, 2, kernel_size=2), "kernel_size must be odd and >= 1, got 2"),
        (lambda: CNN(1, 2), "needs image_size"),
        (lambda: CNN(1, 2, (4, 4, 4), image_size=(4, 8)), "cannot be halved 3 times"),
        (lambda: CNN(1, 2, norm="layer", pool="mean"), "norm must be 'batch' or None, got 'layer'"),
    ]
    for call, says in calls:
        with pytest.raises(ValueError, match=says):
            call()


@pytest.mark.slow
def test_a_convolutional_net_reads_98_of_100_held_out_digits():
    X, y = load_digits(return_X_y=True)
    images = torch.tensor(X.reshape(-1, 1, 8, 8) / 16, dtype=torch.float32)
    scores = []
    for seed in range(3):
        train, test = train_test_split(np.arange(len(y)), test_size=0.25, stratify=y, random_state=seed)
        torch.manual_seed(seed)
        model, epochs = CNN(1, 10, (16, 32), image_size=(8, 8), dropout=0.3), 20
        shape = schedules.cosine(total_steps=epochs * 22)
        fit(model, (images[train], torch.tensor(y[train])), supervised(cross_entropy),
            AdamW(model.parameters(), 3e-3), epochs=epochs, batch_size=64, schedule=shape,
            generator=torch.Generator().manual_seed(seed))  # fmt: skip
        with torch.no_grad():
            scores.append((model(images[test]).argmax(1).numpy() == y[test]).mean())
    assert min(scores) >= 0.98, scores
