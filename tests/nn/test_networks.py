"""What the structure of a network implies: convolutions are local and move with the image, attention has no order."""

from __future__ import annotations

import torch

from breadth.nn.attention.attend import attend
from breadth.nn.networks import CNN


def test_two_convolutions_move_with_the_image_away_from_its_edge_and_see_5_by_5_pixels():
    torch.manual_seed(0)
    stage = CNN(1, 1, (3,), pool="mean").double().eval().stages[:-1]  # without the halving
    x = torch.randn(2, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    moved = stage(x.roll((1, 2), (2, 3)))
    inside = slice(4, 9)  # two pixels of context on each side that neither the edge nor the wrap reaches
    torch.testing.assert_close(
        moved[..., inside, inside], stage(x).roll((1, 2), (2, 3))[..., inside, inside], rtol=1e-12, atol=1e-12
    )
    (gradient,) = torch.autograd.grad(stage(x)[..., 6, 6].sum(), x)
    seen = gradient.abs().sum((0, 1)) > 0
    outside = torch.ones(12, 12, dtype=torch.bool)
    outside[4:9, 4:9] = False
    assert not seen[outside].any()
    assert seen[~outside].any()


def test_halving_makes_a_net_move_with_even_shifts_only():
    torch.manual_seed(0)
    stage = CNN(1, 1, (3,), pool="mean").double().eval().stages
    x = torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    x[..., 6:10, 6:10] = torch.randn(4, 4, dtype=torch.float64)
    even, odd = (stage(x.roll(k, 3)) for k in (2, 1))
    torch.testing.assert_close(even[..., 2:6], stage(x).roll(1, 3)[..., 2:6], rtol=1e-12, atol=1e-12)
    assert (odd - stage(x)).abs().max() > 1e-3


def test_attention_without_positions_is_permutation_equivariant_and_with_causality_it_is_not():
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 7, 4, dtype=torch.float64)
    order = torch.randperm(7)
    for causal in (False, True):
        ours = attend(q, k, v, causal=causal)[:, :, order]
        of_permuted = attend(q[:, :, order], k[:, :, order], v[:, :, order], causal=causal)
        assert ((ours - of_permuted).abs().max() < 1e-12) == (not causal)
