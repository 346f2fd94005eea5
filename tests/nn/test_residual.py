"""Skip connections: the sum, the place of the normaliser, and what depth makes of both."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from breadth.nn.norms import LayerNorm, RMSNorm
from breadth.nn.residual import Residual


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Rotation(nn.Module):
    """Quarter turns: of the same length as x, and at a right angle to it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([-x[..., 1], x[..., 0]], -1)


def test_the_gradient_runs_along_the_skip_beside_the_function():
    matrix = draw(3, 3)
    fn = nn.Linear(3, 3, bias=False, dtype=torch.float64)
    fn.weight.data = matrix
    x = draw(2, 3)
    layer = Residual(fn)
    torch.testing.assert_close(layer(x), x + x @ matrix.T, rtol=1e-14, atol=1e-14)
    jacobian = torch.autograd.functional.jacobian(layer, x[0])
    torch.testing.assert_close(jacobian, torch.eye(3, dtype=torch.float64) + matrix, rtol=1e-14, atol=1e-14)


def test_pre_norm_feeds_the_function_and_post_norm_the_next_layer():
    x, fn, norm = draw(2, 5, 4), nn.Linear(4, 4, dtype=torch.float64), LayerNorm(4, dtype=torch.float64)
    pre, post = Residual(fn, norm), Residual(fn, norm, norm_first=False)
    torch.testing.assert_close(pre(x), x + fn(norm(x)), rtol=0, atol=0)
    torch.testing.assert_close(post(x), norm(x + fn(x)), rtol=0, atol=0)
    assert post(x).mean(-1).abs().max() < 1e-14 and pre(x).mean(-1).abs().max() > 1e-3


@pytest.mark.parametrize("depth", [1, 10, 100])
def test_sums_without_a_normaliser_explode_and_with_pre_norm_grow_as_the_root_of_the_depth(depth):
    x = draw(1, 2)
    x = x / x.square().mean().sqrt()
    bare = nn.Sequential(*[Residual(Rotation()) for _ in range(depth)])
    normed = nn.Sequential(*[Residual(Rotation(), RMSNorm(2, eps=0.0, dtype=torch.float64)) for _ in range(depth)])
    rms = [net(x).square().mean().sqrt().item() for net in (bare, normed)]
    assert rms[0] == pytest.approx(2 ** (depth / 2), rel=1e-12)  # |x + Rx| = sqrt 2 |x|
    assert rms[1] == pytest.approx((1 + depth) ** 0.5, rel=1e-12)  # one unit at a right angle each time
    jacobian = torch.autograd.functional.jacobian(lambda v: bare(v[None])[0], x[0])
    assert torch.linalg.matrix_norm(jacobian, 2).item() == pytest.approx(2 ** (depth / 2), rel=1e-12)


def test_at_the_start_last_gradients_shrink_with_depth_under_pre_norm_and_not_under_post_norm():
    width = 64

    def last_gradient(depth, norm_first, seed):
        torch.manual_seed(seed)
        blocks = []
        for _ in range(depth):
            linear = nn.Sequential(nn.Linear(width, width, bias=False), nn.ReLU(), nn.Linear(width, width, bias=False))
            for layer in (linear[0], linear[2]):
                nn.init.xavier_normal_(layer.weight)
            blocks.append(Residual(linear, LayerNorm(width), norm_first=norm_first))
        net = nn.Sequential(*blocks, LayerNorm(width))
        y = net(torch.randn(256, width))
        loss = (y * torch.randn(256, width)).mean()
        return torch.autograd.grad(loss, blocks[-1].fn[2].weight)[0].norm().item()

    pre, post = (
        sum(last_gradient(32, first, s) for s in range(4)) / sum(last_gradient(2, first, s) for s in range(4))
        for first in (True, False)
    )
    # the stream's variance is 1 + depth / 2, and the last normaliser divides by its root
    assert pre == pytest.approx((2 / 17) ** 0.5, rel=0.15)
    assert post == pytest.approx(1, rel=0.25)


def test_arguments_go_to_the_function_and_a_shortcut_brings_the_skip_to_its_shape():
    class Scaled(nn.Module):
        def forward(self, x, factor, *, plus):
            return x * factor + plus

    x = draw(2, 3)
    torch.testing.assert_close(Residual(Scaled())(x, 2.0, plus=1.0), 3 * x + 1)
    fn, shortcut = nn.Linear(3, 5, dtype=torch.float64), nn.Linear(3, 5, dtype=torch.float64)
    torch.testing.assert_close(Residual(fn, shortcut=shortcut)(x), fn(x) + shortcut(x))
    with pytest.raises(ValueError, match=r"fn gave shape \(2, 5\) and the skip has \(2, 3\); pass a shortcut"):
        Residual(fn)(x)
    with pytest.raises(ValueError, match=r"fn gave shape \(2, 1\)"):  # which would broadcast
        Residual(nn.Linear(3, 1, dtype=torch.float64))(x)
    with pytest.raises(ValueError, match=r"p must be in \[0, 1\]"):
        Residual(fn, dropout=2.0)


def test_dropping_all_of_the_branch_leaves_the_skip():
    x = draw(0, 3), draw(1, 3)
    layer = Residual(nn.Tanh(), dropout=1.0)
    for v in x:
        assert torch.equal(layer(v), v)
        assert torch.equal(layer.eval()(v), v + v.tanh())
        layer.train()
