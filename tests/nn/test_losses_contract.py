"""What all losses agree on: shapes, dtypes, ignored and weighted examples, reduction, and that they can be composed."""

from __future__ import annotations

import math

import pytest
import torch

from breadth.nn import losses
from breadth.nn.losses import reduce_weighted

CLASS_LOSSES = {
    "cross_entropy": losses.cross_entropy,
    "smoothed": lambda z, y, **kw: losses.cross_entropy(z, y, label_smoothing=0.1, **kw),
    "brier": losses.brier_loss,
    "balanced": lambda z, y, **kw: losses.balanced_softmax_loss(z, y, class_counts=[1, 2, 3, 4], **kw),
    "focal": losses.focal_loss,
    "mae": losses.mae_loss,
    "generalized": losses.generalized_cross_entropy,
    "symmetric": losses.symmetric_cross_entropy,
    "soft": losses.soft_bootstrapping_loss,
    "hard": losses.hard_bootstrapping_loss,
}
LABEL_LOSSES = {
    "log": losses.binary_cross_entropy_with_logits,
    "squared": losses.sigmoid_mse_loss,
    "focal": losses.sigmoid_focal_loss,
    "asymmetric": losses.asymmetric_loss,
}
by_class = pytest.mark.parametrize("loss", CLASS_LOSSES.values(), ids=CLASS_LOSSES)
by_label = pytest.mark.parametrize("loss", LABEL_LOSSES.values(), ids=LABEL_LOSSES)


def draw(*shape: int) -> torch.Tensor:
    return 2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def labels(*shape: int, classes: int = 4) -> torch.Tensor:
    return torch.randint(classes, shape, generator=torch.Generator().manual_seed(1))


def close(ours: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(ours, other, rtol=1e-13, atol=1e-15)  # sums in another order


@by_class
def test_axes_behind_the_classes_are_examples_and_one_example_needs_no_batch(loss):
    z, y = draw(2, 4, 3, 5), labels(2, 3, 5)
    each = loss(z, y, reduction="none")
    assert each.shape == (2, 3, 5)
    flat = loss(z.movedim(1, -1).reshape(-1, 4), y.flatten(), reduction="none")
    close(each.flatten(), flat)
    close(loss(z[0, :, 0, 0], y[0, 0, 0]), each[0, 0, 0])


@by_class
def test_a_weight_of_k_is_k_copies_and_ignoring_an_example_is_leaving_it_out(loss):
    z, y = draw(5, 4), labels(5)
    times = torch.tensor([1, 3, 0, 2, 1])
    copies = loss(z.repeat_interleave(times, 0), y.repeat_interleave(times))
    close(loss(z, y, sample_weight=times), copies)
    kept = times > 0
    ignored = loss(z, torch.where(kept, y, 77), ignore_index=77)
    close(ignored, loss(z[kept], y[kept]))
    for reduction in ("sum", "none"):
        first = loss(z, y, reduction=reduction, sample_weight=(torch.arange(5) == 0).double())
        close(first.sum(), loss(z[:1], y[:1]))


@by_class
def test_a_whole_image_is_weighed_by_one_number(loss):
    z, y = draw(2, 4, 3), labels(2, 3)
    weighed = loss(z, y, sample_weight=torch.tensor([2.0, 1.0]))
    close(weighed, (2 * loss(z[:1], y[:1]) + loss(z[1:], y[1:])) / 3)


@by_class
def test_the_mean_over_no_example_is_nan_and_its_sum_0(loss):
    z, y = draw(0, 4), labels(0)
    assert loss(z, y).isnan() and loss(z, y, reduction="sum") == 0 and loss(z, y, reduction="none").shape == (0,)
    assert loss(draw(2, 4), torch.full((2,), -100)).isnan()


@by_class
def test_ignored_examples_take_no_gradient_whatever_their_logits_are(loss):
    z = draw(3, 4)
    z[1] = torch.tensor([torch.inf, 0, 0, 0])  # its log-softmax is NaN
    z = z.requires_grad_()
    value = loss(z[[0, 2]], torch.tensor([0, 2]))
    (expected,) = torch.autograd.grad(value, z)
    counted = loss(z.nan_to_num(posinf=1e300), torch.tensor([0, -100, 2]))
    (gradient,) = torch.autograd.grad(counted, z)
    close(counted, value)
    close(gradient, expected)


@by_class
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(loss, dtype):
    z = (3e4 * draw(300, 4).sign()).to(dtype)  # whose sum passes 65504, where float16 ends
    y = labels(300)
    ours = loss(z, y, reduction="sum")
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours.double(), loss(z.double(), y, reduction="sum"), rtol=1e-5, atol=0)  # float32 sums
    leaf = draw(6, 4).to(dtype).requires_grad_()
    assert torch.autograd.grad(loss(leaf, labels(6)), leaf)[0].dtype == dtype


@by_class
def test_strided_and_expanded_logits_are_those_of_their_copies(loss):
    z, y = draw(4, 6).T[::2], labels(3)
    assert not z.is_contiguous()
    close(loss(z, y), loss(z.clone(), y))
    wide = draw(1, 4).expand(3, 4)
    close(loss(wide, y), loss(wide.clone(), y))
    small = y.to(torch.uint8)
    close(loss(z, small), loss(z, y))


@by_class
def test_nan_in_the_logits_is_seen_in_the_loss(loss):
    z = draw(2, 4)
    z[0, 0] = torch.nan
    assert loss(z, labels(2)).isnan()


@by_class
def test_a_class_loss_maps_over_a_batch_of_batches_and_compiles_whole(loss):
    z, y = draw(3, 2, 4), labels(3, 2)
    each = torch.stack([loss(a, b) for a, b in zip(z, y, strict=True)])
    close(torch.vmap(loss)(z, y), each)
    if loss is not CLASS_LOSSES["balanced"]:  # whose counts are Python numbers, checked one by one
        compiled = torch.compile(loss, backend="eager", fullgraph=True)
        close(compiled(z[0], y[0]), each[0])


@by_class
@pytest.mark.parametrize(
    ("z", "y", "error", "says"),
    [
        (torch.zeros(2, 4), torch.tensor([0, 4]), ValueError, r"class indices in \[0, 3\].*got values from 0 to 4"),
        (torch.zeros(2, 4), torch.tensor([0, -1]), ValueError, "got values from -1 to 0"),
        (torch.zeros(2, 4, 1, 1), torch.full((2, 1, 1), 4), ValueError, "got values from 4 to 4"),
        (torch.zeros(2, 4), torch.tensor([[0], [1]]), ValueError, r"target must have shape \(2,\).*got \(2, 1\)"),
        (torch.zeros(2, 4), torch.tensor([True, False]), TypeError, "integer dtype, got torch.bool"),
        (torch.zeros(2, 4).long(), torch.tensor([0, 1]), TypeError, "logits must be floating point, got torch.int64"),
        (torch.tensor(0.0), torch.tensor(0), ValueError, "logits must have shape"),
    ],
)
def test_what_is_no_class_of_the_logits_is_refused(loss, z, y, error, says):
    with pytest.raises(error, match=says):
        loss(z, y)


@by_class
@pytest.mark.parametrize(
    ("weight", "says"),
    [
        (torch.tensor([1.0, -1.0]), "sample_weight must be >= 0 and finite, got values from -1.0 to 1.0"),
        (torch.tensor([1.0, torch.inf]), "sample_weight must be >= 0 and finite"),
        (torch.tensor([1.0, torch.nan]), "sample_weight must be >= 0 and finite"),
        (torch.ones(2, 1), r"sample_weight must have shape \(2,\) or its leading axes"),
    ],
)
def test_weights_of_examples_that_make_no_sense_are_refused(loss, weight, says):
    with pytest.raises(ValueError, match=says):
        loss(torch.zeros(2, 4), torch.tensor([0, 1]), sample_weight=weight)


@pytest.mark.parametrize("loss", [v for k, v in CLASS_LOSSES.items() if k != "focal"])
def test_weights_of_classes_scale_the_losses_and_divide_the_mean(loss):
    z, y = draw(6, 4), torch.tensor([0, 1, 2, 0, 1, 2])
    w = torch.tensor([0.5, 0.0, 2.0, 1.0], dtype=torch.float64)
    each = loss(z, y, weight=w, reduction="none")
    close(loss(z, y, weight=w), each.sum() / w[y].sum())
    if loss is not CLASS_LOSSES["smoothed"]:
        close(each, w[y] * loss(z, y, reduction="none"))
    for bad, says in ((w[:3], r"weight must have shape \(4,\)"), (-w, "weight must be >= 0")):
        with pytest.raises(ValueError, match=says):
            loss(z, y, weight=bad)


@by_class
def test_an_unknown_reduction_is_refused(loss):
    with pytest.raises(ValueError, match="reduction must be one of 'mean', 'sum', 'none', got 'average'"):
        loss(torch.zeros(2, 4), torch.tensor([0, 1]), reduction="average")


@by_label
def test_a_weight_of_k_is_k_copies_of_a_row_of_labels(loss):
    x, t = draw(4, 3), labels(4, 3, classes=2).double()
    times = torch.tensor([1, 3, 0, 2])
    close(loss(x, t, sample_weight=times), loss(x.repeat_interleave(times, 0), t.repeat_interleave(times, 0)))
    infinite = x.clone()
    infinite[2] = torch.nan
    close(loss(infinite, t, sample_weight=times), loss(x, t, sample_weight=times))


@by_label
def test_label_losses_take_any_shape_and_dtype_and_map_and_compile(loss):
    x, t = draw(3, 2, 4), labels(3, 2, 4, classes=2)
    each = loss(x, t, reduction="none")
    assert each.shape == x.shape
    close(loss(x.movedim(0, 2), t.movedim(0, 2).bool(), reduction="none"), each.movedim(0, 2))
    close(torch.vmap(loss)(x, t.double()), each.mean((1, 2)))
    close(torch.compile(loss, backend="eager", fullgraph=True)(x, t), each.mean())
    half = loss((3e4 * x.sign()).half(), t, reduction="sum")
    assert half.dtype == torch.float32 and half.isfinite()
    assert loss(x[:0], t[:0]).isnan() and loss(x[:0], t[:0], reduction="sum") == 0
    assert loss(x[0, 0, 0], t[0, 0, 0]) == each[0, 0, 0]


@by_label
@pytest.mark.parametrize(
    ("target", "says"),
    [
        (torch.tensor([0.0, 1.5]), r"target must lie in \[0, 1\], got values from 0.0 to 1.5"),
        (torch.tensor([0.0, -1.0]), r"target must lie in \[0, 1\]"),
        (torch.tensor([0.0, torch.nan]), r"target must lie in \[0, 1\]"),
        (torch.tensor([[0.0], [1.0]]), r"target must have the shape of logits, \(2,\), got \(2, 1\)"),
    ],
)
def test_what_is_no_probability_of_a_label_is_refused(loss, target, says):
    with pytest.raises(ValueError, match=says):
        loss(torch.zeros(2), target)


def test_weights_of_examples_in_a_loss_of_ones_own():
    loss = draw(4, 3).square()
    w = torch.tensor([1.0, 0.0, 2.5, 0.5], dtype=torch.float64)
    close(reduce_weighted(loss, w), (loss * w[:, None]).sum() / (3 * w.sum()))
    close(reduce_weighted(loss, w, "sum"), (loss * w[:, None]).sum())
    close(reduce_weighted(loss, w, "none"), loss * w[:, None])
    close(reduce_weighted(loss, None), loss.mean())
    loss[1] = torch.inf
    assert reduce_weighted(loss, w).isfinite()
    assert reduce_weighted(loss, 0 * w).isnan()


def test_weights_by_the_ratio_of_densities_estimate_the_risk_under_the_other_density():
    """Examples from N(0, 1), the risk of x^2 wanted under N(1, 1), where it is 2."""
    x = draw(200_000) / 2
    ratio = torch.exp(x - 0.5)
    weighed = reduce_weighted(x.square(), ratio)
    residual = ratio * (x.square() - 2)  # of the ratio estimator
    noise = residual.std().item() / math.sqrt(len(x))
    assert abs(weighed.item() - 2) < 5 * noise
    assert abs(x.square().mean().item() - 2) > 0.9
