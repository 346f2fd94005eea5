"""Losses beside torch's own and scikit-learn's: values, gradients, and the optimum of penalised models."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.preprocessing import StandardScaler

from breadth.nn import losses

WHY = {"rtol": 1e-12, "atol": 1e-14}  # sums in another order; atol: differences that are near 0


def logits(*shape: int) -> torch.Tensor:
    """Of ordinary size, all alike, at 1e4, and apart by 1e4."""
    z = 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z[0], z[1], z[2] = 0, z[1] + 1e4, z[2] * 1e4
    return z


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def agree(ours, theirs, *inputs: torch.Tensor) -> None:
    leaves = [x.clone().requires_grad_() for x in inputs]
    one, other = ours(*leaves), theirs(*leaves)
    torch.testing.assert_close(one, other, **WHY)
    cotangent = draw(*one.shape, seed=9)
    for a, b in zip(
        torch.autograd.grad(one, leaves, cotangent), torch.autograd.grad(other, leaves, cotangent), strict=True
    ):
        torch.testing.assert_close(a, b, **WHY)


@pytest.mark.parametrize("shape", [(8, 5), (8, 5, 3), (8, 2, 3, 4)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_cross_entropy_is_torchs(shape, weighted, smoothing, reduction):
    z = logits(*shape)
    y = (draw(shape[0], *shape[2:]) * shape[1]).long()
    y[-1] = -100
    options = {"weight": draw(shape[1]) if weighted else None, "label_smoothing": smoothing, "reduction": reduction}
    agree(lambda z: losses.cross_entropy(z, y, **options), lambda z: F.cross_entropy(z, y, **options), z)
    soft = logits(*shape).roll(4, 0).softmax(1)
    agree(lambda z: losses.cross_entropy(z, soft, **options), lambda z: F.cross_entropy(z, soft, **options), z)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_log_loss_is_torchs(weighted, reduction):
    x, t = logits(8, 5), draw(8, 5)
    options = {"pos_weight": 3 * draw(5) if weighted else None, "reduction": reduction}
    ours, theirs = losses.binary_cross_entropy_with_logits, F.binary_cross_entropy_with_logits
    for target in (t, t.round()):
        agree(lambda x, t=target: ours(x, t, **options), lambda x, t=target: theirs(x, t, **options), x)


def test_squared_and_absolute_errors_are_torchs():
    x, t, z, y = logits(8, 5), draw(8, 5), logits(8, 5), (draw(8) * 5).long()
    corner = F.one_hot(y, 5).double()
    agree(lambda x: losses.sigmoid_mse_loss(x, t), lambda x: F.mse_loss(x.sigmoid(), t), x)
    agree(lambda z: losses.brier_loss(z, y), lambda z: 5 * F.mse_loss(z.softmax(1), corner), z)
    agree(lambda z: losses.mae_loss(z, y), lambda z: 5 * F.l1_loss(z.softmax(1), corner), z)


def test_losses_that_a_parameter_turns_into_cross_entropy_are_torchs_there():
    z, y = logits(8, 5), (draw(8) * 5).long()
    alpha = draw(5)
    agree(lambda z: losses.balanced_softmax_loss(z, y, class_counts=[3] * 5), lambda z: F.cross_entropy(z, y), z)
    agree(lambda z: losses.generalized_cross_entropy(z, y, q=0), lambda z: F.cross_entropy(z, y), z)
    agree(lambda z: losses.symmetric_cross_entropy(z, y, alpha=2, beta=0), lambda z: 2 * F.cross_entropy(z, y), z)
    agree(
        lambda z: losses.focal_loss(z, y, gamma=0, alpha=alpha, reduction="sum"),
        lambda z: F.cross_entropy(z, y, weight=alpha, reduction="sum"),
        z,
    )
    t = draw(8, 5).round()
    agree(
        lambda x: losses.asymmetric_loss(x, t, gamma_neg=0, margin=0),
        lambda x: F.binary_cross_entropy_with_logits(x, t),
        z,
    )


def test_re_weighted_cross_entropy_is_torchs_with_scikit_learns_balanced_weights():
    from sklearn.utils.class_weight import compute_class_weight

    y = torch.tensor([0] * 50 + [1] * 7 + [2] * 3)
    z = logits(60, 3)
    counts = torch.bincount(y)
    weight = losses.class_balanced_weight(counts.double(), beta=1.0)
    balanced = torch.tensor(compute_class_weight("balanced", classes=np.arange(3), y=y.numpy()))  # n / (C n_c)
    torch.testing.assert_close(weight, 3 * balanced / balanced.sum(), **WHY)
    agree(
        lambda z: losses.cross_entropy(z, y, weight=weight),  # the mean is over the weights: their scale is no matter
        lambda z: F.cross_entropy(z, y, weight=balanced),
        z,
    )


def test_weights_of_examples_are_scikit_learns():
    z, y, w = logits(40, 3).clamp(-30, 30), (draw(40) * 3).long(), draw(40, seed=4)  # they clip p at 2e-16
    z[:3] /= 3
    ours = losses.cross_entropy(z, y, sample_weight=w)
    theirs = log_loss(y, z.softmax(1), sample_weight=w, labels=[0, 1, 2])
    assert ours.item() == pytest.approx(theirs, rel=1e-12)
    own = losses.reduce_weighted(losses.cross_entropy(z, y, reduction="none"), w)
    assert own.item() == pytest.approx(theirs, rel=1e-12)
    brier = losses.brier_loss(z, y, sample_weight=w)
    theirs = brier_score_loss(y, z.softmax(1), sample_weight=w, labels=[0, 1, 2], scale_by_half=False)
    assert brier.item() == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("divergence", ["mse", "kl"])
def test_consistency_and_the_joint_loss_are_sums_of_torchs(divergence):
    z, t = logits(8, 5), logits(8, 5).roll(3, 0) / 10
    y = torch.where(torch.arange(8) < 3, (draw(8) * 5).long(), -100)

    def between(z, t):
        if divergence == "mse":
            return F.mse_loss(z.softmax(1), t.softmax(1))
        return F.kl_div(z.log_softmax(1), t.log_softmax(1), reduction="batchmean", log_target=True)

    agree(lambda z, t: losses.consistency_loss(z, t, divergence=divergence), between, z, t)
    agree(
        lambda z, t: losses.joint_semi_supervised_loss(z, y, t, unsupervised_weight=0.7, divergence=divergence),
        lambda z, t: F.cross_entropy(z, y, reduction="sum") / 8 + 0.7 * between(z, t),
        z,
        t,
    )


def test_terms_of_the_evidence_bound_are_torchs():
    mean, log_var, x = 3 * draw(8, 5) - 1, 4 * draw(8, 5, seed=2) - 2, draw(8, 5, seed=3)
    normal = torch.distributions.Normal
    agree(
        lambda m, v: losses.kl_to_standard_normal(m, v),
        lambda m, v: torch.distributions.kl_divergence(normal(m, (v / 2).exp()), normal(0, 1)).sum(1).mean(),
        mean,
        log_var,
    )
    agree(
        lambda m, v: losses.gaussian_reconstruction_loss(m, x, log_var=v),
        lambda m, v: F.gaussian_nll_loss(m, x, v.exp(), full=True, reduction="sum") / 8,
        mean,
        log_var,
    )
    agree(
        lambda z: losses.bernoulli_reconstruction_loss(z, x),
        lambda z: F.binary_cross_entropy_with_logits(z, x, reduction="sum") / 8,
        logits(8, 5),
    )


def gradient_at(coef: np.ndarray, loss) -> np.ndarray:
    w = torch.tensor(coef, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(w), w)
    return gradient.numpy()


@pytest.fixture(scope="module")
def regression():
    X, y = load_diabetes(return_X_y=True)
    X, y = StandardScaler().fit_transform(X), (y - y.mean()) / y.std()  # centred: no intercept is needed
    return torch.tensor(X), torch.tensor(y)


def test_scikit_learns_ridge_is_where_the_gradient_of_the_penalised_loss_is_0(regression):
    X, y = regression
    fitted = Ridge(alpha=3.0, fit_intercept=False, solver="cholesky").fit(X, y)  # ||y - Xw||^2 + alpha ||w||^2
    gradient = gradient_at(
        fitted.coef_,
        lambda w: losses.penalized_loss((y - X @ w).square().sum(), [w], weight=6.0, penalty=losses.l2_penalty),
    )
    np.testing.assert_allclose(gradient, 0, atol=1e-10)  # of terms near 400


@pytest.mark.parametrize("l1_ratio", [1.0, 0.6])
def test_at_scikit_learns_lasso_the_penalised_gradient_is_0_or_within_the_kink(regression, l1_ratio):
    X, y = regression
    alpha, options = 0.15, {"fit_intercept": False, "tol": 1e-14, "max_iter": 100_000}
    model = Lasso(alpha, **options) if l1_ratio == 1 else ElasticNet(alpha, l1_ratio=l1_ratio, **options)
    coef = model.fit(X, y).coef_

    def objective(w):
        if l1_ratio == 1:
            return losses.penalized_loss((y - X @ w).square().mean() / 2, [w], weight=alpha, penalty=losses.l1_penalty)
        return losses.penalized_loss(
            (y - X @ w).square().mean() / 2,
            [w],
            weight=alpha,
            penalty=lambda p: losses.elastic_net_penalty(p, l1_ratio=l1_ratio),
        )

    gradient = gradient_at(coef, objective)
    assert 0 < (coef == 0).sum() < len(coef)
    np.testing.assert_allclose(gradient[coef != 0], 0, atol=1e-8)  # where the peer stops: a duality gap of 1e-14
    assert (np.abs(gradient[coef == 0]) < alpha * l1_ratio).all()


def test_scikit_learns_logistic_regression_is_where_the_penalised_log_loss_is_flat():
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    fitted = LogisticRegression(C=0.5, tol=1e-12, max_iter=10_000, solver="newton-cholesky").fit(X, y)
    features, target = torch.tensor(X), torch.tensor(y, dtype=torch.float64)

    def objective(w):
        log_odds = features @ w + float(fitted.intercept_[0])
        loss = losses.binary_cross_entropy_with_logits(log_odds, target, reduction="sum")
        return losses.penalized_loss(loss, [w], weight=1 / 0.5)

    np.testing.assert_allclose(gradient_at(fitted.coef_[0], objective), 0, atol=1e-6)  # the peer's line search


def test_the_l2_penalty_is_the_coupled_decay_of_torchs_sgd():
    start = logits(4, 3)[3:].flatten()
    target = draw(3)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = (
        torch.optim.SGD([ours], lr=0.1, momentum=0.9),
        torch.optim.SGD([theirs], lr=0.1, momentum=0.9, weight_decay=0.3),
    )
    for _, (w, optimizer) in itertools.product(range(50), zip((ours, theirs), optimizers, strict=True)):
        optimizer.zero_grad()
        loss = (w - target).square().sum()
        (losses.penalized_loss(loss, [w], weight=0.3) if w is ours else loss).backward()
        optimizer.step()
    torch.testing.assert_close(ours, theirs, **WHY)
