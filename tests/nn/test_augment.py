"""Augmentation: each transform beside NumPy and SciPy example by example, and the statistics of its draws."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch

from breadth.nn.augment import Augment, flip, mixup, noise, shift
from breadth.nn.losses import cross_entropy


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 60) -> torch.Tensor:
    return torch.arange(1.0, 1 + n * 5 * 4).reshape(n, 1, 5, 4)  # all entries different, none 0


def test_noise_is_normal_with_the_spread_that_was_asked_for():
    x = torch.full((100, 1000), 1e4, dtype=torch.float64)
    z = (noise(x, std=0.3, generator=seeded()) - x).flatten().numpy() / 0.3
    assert scipy.stats.kstest(z[:20_000], "norm").pvalue > 1e-3
    assert abs(z.mean()) < 5 / math.sqrt(z.size) and abs(z.var() - 1) < 5 * math.sqrt(2 / z.size)
    assert torch.equal(noise(x, std=0.0), x)


@pytest.mark.parametrize("pixels", [0, 1, 3, 9])
@pytest.mark.parametrize("fill", [0.0, -7.0])
def test_a_shift_moves_each_example_as_scipy_does(pixels, fill):
    x = images()
    y = shift(x, pixels=pixels, fill=fill, generator=seeded())
    moves = [(i, j) for i in range(-pixels, pixels + 1) for j in range(-pixels, pixels + 1)]
    seen = set()
    for before, after in zip(x[:, 0].numpy(), y[:, 0].numpy(), strict=True):
        found = [m for m in moves if (scipy.ndimage.shift(before, m, order=0, cval=fill) == after).all()]
        assert found  # it is one of the moves
        seen.update(found)
    assert pixels == 0 or len(seen) >= min(9, len(moves))
    if pixels == 0:
        assert torch.equal(x, y)


def test_moves_are_uniform_and_those_of_one_axis_leave_the_others():
    x = torch.eye(7)[3].expand(20_000, 7)
    places = shift(x, pixels=3, dims=[1], generator=seeded()).argmax(1)
    share = torch.bincount(places, minlength=7) / len(x)
    assert (share - 1 / 7).abs().max() < 5 * math.sqrt(1 / 7 * 6 / 7 / len(x))


@pytest.mark.parametrize("dim", [-1, 2])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_a_flip_mirrors_a_share_of_the_examples_as_numpy_does(dim, p):
    x = images(4000)
    y = flip(x, p=p, dim=dim, generator=seeded())
    mirrored = np.flip(x.numpy(), dim)
    changed = (y != x).flatten(1).any(1).numpy()
    np.testing.assert_array_equal(y.numpy()[changed], mirrored[changed])
    np.testing.assert_array_equal(y.numpy()[~changed], x.numpy()[~changed])
    assert abs(changed.mean() - p) <= 5 * math.sqrt(p * (1 - p) / len(x))


@pytest.mark.parametrize("alpha", [1e-3, 0.2, 1.0, 5.0])
def test_mixup_mixes_images_and_labels_alike_with_a_share_from_beta(alpha):
    n = 4000
    x, y = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n)
    mixed, target = mixup(x, y, alpha=alpha, num_classes=n, generator=seeded())
    torch.testing.assert_close(target.sum(1), torch.ones(n, dtype=torch.float64), rtol=1e-14, atol=0)
    torch.testing.assert_close(target @ x, mixed, rtol=1e-12, atol=1e-9)  # labels are the examples here
    assert ((target > 0).sum(1) <= 2).all()
    own = target.diagonal()[(target > 0).sum(1) == 2] if alpha >= 0.2 else target.diagonal()
    if alpha >= 0.2:
        assert scipy.stats.kstest(own.numpy(), scipy.stats.beta(alpha, alpha).cdf).pvalue > 1e-3
    else:
        assert ((own < 1e-6) | (own > 1 - 1e-6)).double().mean() > 0.9 and own.isfinite().all()


def test_mixup_takes_probabilities_and_feeds_cross_entropy():
    x, y = images(6), torch.tensor([0, 1, 2, 0, 1, 2])
    one, target = mixup(x, y, num_classes=3, generator=seeded())
    two, again = mixup(x, torch.nn.functional.one_hot(y, 3).float(), generator=seeded())
    assert torch.equal(one, two) and torch.equal(target, again)
    logits = torch.randn(6, 3, generator=seeded())
    assert cross_entropy(logits, target).isfinite()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bool])
def test_moves_and_mirrors_keep_the_dtype_and_take_empty_batches_and_strides(dtype):
    x = (images(6) % 2).to(dtype)
    for transform in (partial(shift, pixels=1), flip):
        y = transform(x.transpose(2, 3), generator=seeded())
        assert y.dtype == dtype and torch.equal(y, transform(x.transpose(2, 3).contiguous(), generator=seeded()))
        assert transform(x[:0]).shape == x[:0].shape


def test_a_row_of_transforms_draws_anew_in_training_and_is_left_out_in_evaluation():
    x = images()
    augment = Augment(partial(shift, pixels=1), partial(noise, std=0.1), seed=0)
    first, second = augment(x), augment(x)
    draw = seeded(0)
    by_hand = noise(shift(x, pixels=1, generator=draw), std=0.1, generator=draw)
    assert torch.equal(first, by_hand) and not torch.equal(first, second)
    assert torch.equal(Augment(partial(shift, pixels=1), partial(noise, std=0.1), seed=0)(x), first)
    assert augment.eval()(x) is x


def test_shifted_copies_teach_a_classifier_to_know_shifted_digits():
    from sklearn.datasets import load_digits
    from sklearn.neighbors import KNeighborsClassifier

    X, y = load_digits(return_X_y=True)
    x = torch.tensor(X).reshape(-1, 1, 8, 8)
    half = len(x) // 2
    test = shift(x[half:], pixels=1, generator=seeded(1)).reshape(-1, 64)
    moved = torch.cat([shift(x[:half], pixels=1, generator=seeded(s)) for s in range(2, 6)]).reshape(-1, 64)
    plain = KNeighborsClassifier(1).fit(X[:half], y[:half]).score(test, y[half:])
    augmented = KNeighborsClassifier(1).fit(moved, np.tile(y[:half], 4)).score(test, y[half:])
    assert augmented > plain + 0.05


def test_what_is_out_of_range_is_refused():
    x, y = torch.zeros(2, 3), torch.tensor([0, 1])
    values = [
        (lambda: noise(x, std=-1), "std must be >= 0 and finite, got -1"),
        (lambda: shift(x, pixels=-1), "pixels must be >= 0, got -1"),
        (lambda: shift(x, pixels=1), r"dims must be different axes behind that of the batch, got \[-2, -1\]"),
        (lambda: shift(x, pixels=1, dims=[1, -1]), "dims must be different axes"),
        (lambda: flip(x, p=2.0), r"p must be in \[0, 1\], got 2.0"),
        (lambda: flip(x, dim=5), "dims must be different axes"),
        (lambda: mixup(x, y, alpha=0.0, num_classes=2), "alpha must be > 0 and finite, got 0.0"),
        (lambda: mixup(x, y[:1], num_classes=2), "x and target must have one batch"),
        (lambda: mixup(x, y, num_classes=1), r"target must hold class indices in \[0, 0\]"),
    ]
    for call, says in values:
        with pytest.raises(ValueError, match=says):
            call()
    types = [
        (lambda: noise(x.long(), std=1.0), "x must be floating point"),
        (lambda: mixup(x, y), "num_classes goes with class indices"),
        (lambda: Augment(3), "a transform must be callable, got 3"),
    ]
    for call, says in types:
        with pytest.raises(TypeError, match=says):
            call()
