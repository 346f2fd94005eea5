"""Where the loss touches the ball: known touches, the estimators' answers, and how often on an axis."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from breadth.tabular.linear.lasso import Lasso
from breadth.tabular.linear.penalty_geometry import share_on_axes, touch
from breadth.tabular.linear.ridge import Ridge


def test_round_contours_touch_where_the_projection_onto_the_ball_is():
    assert_allclose(touch(np.eye(2), [3.0, 4.0], order=2.0).point, [0.6, 0.8], atol=1e-7)  # the root of eps
    assert_allclose(touch(np.eye(2), [2.0, 1.5]).point, [0.75, 0.25], atol=1e-7)  # soft thresholds of 1.25
    corner = touch(np.eye(2), [3.0, 0.5])
    assert corner.zeros == 1
    assert_allclose(corner.point, [1.0, 0.0], atol=1e-12)


def test_a_minimum_within_the_ball_stays():
    found = touch(np.eye(2), [0.2, 0.1])
    assert found.inside and found.loss == 0.0
    assert_allclose(found.point, [0.2, 0.1])


@pytest.mark.parametrize("order", [0.5, 1.0, 1.5, 2.0, 4.0])
def test_both_curves_meet_at_the_point_and_no_point_of_the_ball_is_better(order):
    H, m = np.array([[2.0, 0.8], [0.8, 1.0]]), np.array([1.5, 2.0])
    found = touch(H, m, order=order)
    assert_allclose((np.abs(found.point) ** order).sum(), 1.0, rtol=1e-9)
    off = found.contour - m
    assert_allclose(0.5 * np.einsum("ij,jk,ik->i", off, H, off), found.loss, rtol=1e-9)
    off = found.ball - m
    assert (0.5 * np.einsum("ij,jk,ik->i", off, H, off)).min() >= found.loss - 1e-12
    # the ellipse's nearest drawn point is half a step of 1/720 of its length away at most
    assert np.abs(found.contour - found.point).sum(axis=1).min() < 0.05


@pytest.mark.parametrize(("order", "model"), [(1.0, Lasso), (2.0, Ridge)])
@pytest.mark.parametrize("seed", range(5))
def test_the_estimators_touch_at_the_same_point(order, model, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(50, 2))
    y = X @ rng.normal(size=2) + rng.normal(size=50)
    fitted = model(0.2 if order == 1 else 20.0, fit_intercept=False, tol=1e-14).fit(X, y).coef_
    radius = (np.abs(fitted) ** order).sum() ** (1 / order)
    if radius == 0:
        pytest.skip("the penalty leaves nothing")
    found = touch(X.T @ X / 50, np.linalg.lstsq(X, y, rcond=None)[0], order=order, radius=radius)
    assert_allclose(found.point, fitted, atol=1e-6)  # an angle is found to the root of eps


def test_the_diamond_is_touched_on_an_axis_often_and_the_disc_never():
    """The claim that a diamond's corners make zeros, computed: the same losses, the ball alone differs."""
    spiked, diamond, disc = (share_on_axes(order, problems=200) for order in (0.5, 1.0, 2.0))
    assert spiked >= diamond > 0.4
    assert disc == 0.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([[1.0, 2.0], [2.0, 1.0]], [1.0, 1.0]), "positive definite"),
        ((np.eye(2), [1.0]), "two finite numbers"),
        ((np.eye(2), [1.0, np.nan]), "two finite numbers"),
    ],
)
def test_bad_input_is_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        touch(*arguments)
    with pytest.raises(ValueError, match="order and radius must be > 0"):
        touch(np.eye(2), [1.0, 1.0], order=0.0)
    with pytest.raises(ValueError, match="problems must be >= 1"):
        share_on_axes(1.0, problems=0)
