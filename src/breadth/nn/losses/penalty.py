"""Penalties on the parameters, added to any loss: squared and absolute size, both, and the size of groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from breadth.nn.losses.contract import at_least_float32

Penalty = Callable[[Sequence[Tensor]], Tensor]


def l2_penalty(params: Iterable[Tensor]) -> Tensor:
    """Half the squared length of all parameters together: 1/2 sum theta^2, whose gradient is theta.

    Args:
        params: tensors of any shapes, such as `model.parameters()`; at least one.

    Returns:
        A scalar, >= 0.

    Raises:
        ValueError: if there is no parameter, as when a generator has been used up.
        TypeError: if one is not floating point.

    Cost: O(parameters) time, one temporary of the largest.
    Deviations: the half, which Ridge of scikit-learn leaves out, makes the weight torch.optim.SGD's weight_decay.
    References: Hoerl & Kennard 1970, Technometrics 12(1), section 2 (ridge); Tikhonov 1963, Soviet Math. Doklady 4.
    Peer: scikit-learn's Ridge and LogisticRegression are stationary (A); gradients of torch.optim.SGD's coupled
        weight_decay, float64, 1e-12 (A).
    In production: use AdamW's decay instead wherever the optimizer is adaptive: there it is no penalty's gradient.
    """
    return torch.stack([0.5 * p.square().sum() for p in _checked(params)]).sum()


def l1_penalty(params: Iterable[Tensor]) -> Tensor:
    """Sum of absolute values, sum |theta|, which brings many of them to exactly 0; its gradient at 0 is taken as 0.

    Args:
        params: as of `l2_penalty`.

    Returns:
        A scalar, >= 0.

    Raises:
        ValueError: if there is no parameter.
        TypeError: if one is not floating point.

    Cost: O(parameters) time, one temporary of the largest.
    References: Tibshirani 1996, JRSS B 58(1), eq. 1.
    Peer: scikit-learn's Lasso is stationary: gradient -weight sign(theta), and within weight where theta is 0 (A).
    In production: gradient steps come near 0 and not to it; take a proximal step, or coordinate descent, for exact
        zeros.
    """
    return torch.stack([p.abs().sum() for p in _checked(params)]).sum()


def elastic_net_penalty(params: Iterable[Tensor], *, l1_ratio: float = 0.5) -> Tensor:
    """Both together: r sum |theta| + (1 - r) / 2 sum theta^2.

    Args:
        params: as of `l2_penalty`.
        l1_ratio: r in [0, 1].

    Returns:
        A scalar, >= 0.

    Raises:
        ValueError: if l1_ratio is outside [0, 1], or there is no parameter.
        TypeError: if one is not floating point.

    Cost: that of both.
    References: Zou & Hastie 2005, JRSS B 67(2), eq. 3.
    Peer: scikit-learn's ElasticNet is stationary, as under `l1_penalty` (A).
    In production: use it where correlated inputs should come in or go out together.
    """
    if not 0 <= l1_ratio <= 1:
        raise ValueError(f"l1_ratio must be in [0, 1], got {l1_ratio}")
    params = list(params)
    return l1_ratio * l1_penalty(params) + (1 - l1_ratio) * l2_penalty(params)


def group_penalty(params: Iterable[Tensor]) -> Tensor:
    """Sum of the groups' lengths, sum_g sqrt(n_g) ||theta_g||, a group being a row (an output unit, a filter).

    Whole rows go to 0 together, so that the unit can be removed. A vector, such as a bias, is groups of one.

    Args:
        params: as of `l2_penalty`; the rows of one of shape (n, ...) are its slices along axis 0.

    Returns:
        A scalar, >= 0. The gradient by a row that is 0 is taken as 0.

    Raises:
        ValueError: if there is no parameter, or one is a scalar.
        TypeError: if one is not floating point.

    Cost: O(parameters) time.
    References: Yuan & Lin 2006, JRSS B 68(1), eq. 2.3.
    Peer: mpmath at 60 digits, value and gradient, 1e-12 (B).
    In production: use it to choose a network's width by training; see Wen et al. 2016, arXiv:1608.03665.
    """
    total = []
    for p in _checked(params):
        if p.ndim == 0:
            raise ValueError("params must have an axis of groups, got a scalar")
        rows = p.reshape(len(p), -1) if p.numel() else p.reshape(len(p), 0)
        total.append(math.sqrt(rows.shape[1]) * torch.linalg.vector_norm(rows, dim=1).sum())
    return torch.stack(total).sum()


def penalized_loss(loss: Tensor, params: Iterable[Tensor], *, weight: float, penalty: Penalty = l2_penalty) -> Tensor:
    """Any loss with a penalty on its parameters: loss + lambda penalty(theta).

    Args:
        loss: a scalar, the reduced loss of a batch.
        params: what is penalised: leave biases and the gains of normalisers out.
        weight: lambda, >= 0. It is relative to the loss: under a mean over n examples, lambda is 1 / n of what it is
            under a sum.
        penalty: of the list of parameters to a scalar; `l2_penalty`, `l1_penalty`, `elastic_net_penalty`,
            `group_penalty`, or your own.

    Returns:
        A scalar in the dtype of both. With weight = 0 it is loss itself: parameters that are NaN do not touch it.

    Raises:
        ValueError: if weight < 0, loss or the penalty is no scalar, or as the penalty says.

    Cost: one pass over the parameters forward and back.
    References: Tikhonov 1963, Soviet Math. Doklady 4 (loss and stabiliser); Hastie, Tibshirani & Friedman 2009,
        section 3.4.
    Peer: scikit-learn's Ridge, Lasso, ElasticNet and LogisticRegression: the gradient is 0 at their optimum (A).
    In production: use it for penalties that an optimizer's weight_decay cannot say.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must be >= 0 and finite, got {weight}")
    if loss.ndim:
        raise ValueError(f"loss must be a scalar, got shape {tuple(loss.shape)}: reduce it first")
    params = list(params)
    _checked(params)  # also where the weight is 0: a mistake should not wait for a ramp
    if weight == 0:
        return loss
    size = penalty(params)
    if size.ndim:
        raise ValueError(f"penalty must give a scalar, got shape {tuple(size.shape)}")
    return loss + weight * size


def _checked(params: Iterable[Tensor]) -> list[Tensor]:
    found = [at_least_float32("params", p) for p in params]
    if not found:
        raise ValueError("params holds no tensor; a generator such as model.parameters() can be used only once")
    return found
