"""Adam and AdamW: a smoothed gradient over the root of its smoothed square, both corrected for their start at 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from breadth.nn.optim.batches import (
    batches,
    begun,
    evaluated,
    gradients,
    grouped,
    objective,
    require,
    require_fraction,
    with_gradients,
)


class Adam(torch.optim.Optimizer):
    """Steps of m_hat / (sqrt(v_hat) + eps), from the first two raw moments of the gradient.

        m <- b1 m + (1 - b1) g,     m_hat = m / (1 - b1^t)
        v <- b2 v + (1 - b2) g^2,   v_hat = v / (1 - b2^t)
        theta <- theta - lr m_hat / (sqrt(v_hat) + eps)

    v_hat is the raw second moment E[g^2], and no variance: under a constant gradient the variance is 0 and the step is
    lr whatever the gradient's size. No second derivative enters. Coupled decay adds weight_decay theta to g, and so is
    divided by sqrt(v_hat) too: coordinates with large gradients hardly decay.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, >= 0; about the size of a coordinate's step.
        betas: b1 and b2, in [0, 1).
        eps: added to the root, >= 0.
        weight_decay: L2 coefficient, or with decoupled_weight_decay the rate of shrinking; >= 0.
        amsgrad: divide by the largest v so far, so that no coordinate's scale falls.
        maximize: ascend.
        decoupled_weight_decay: shrink theta by 1 - lr weight_decay, as AdamW does.

    Raises:
        ValueError: if a parameter is out of its range.
        TypeError: if lr is a tensor; from `step`, if a gradient is sparse.

    Cost: two states of theta's size, three with amsgrad; 6 passes in the cache, 1 through memory.
    Deviations:
        1. amsgrad keeps the largest uncorrected v and corrects it with the current 1 - b2^t, as in torch.
        2. Half precision is computed in float32, and theta, m and v are rounded when stored; torch rounds after each
           operation, so that its float16 divides 0 by 0 where a gradient is 0. Float32 weights under autocast are
           better still: in bfloat16 a v that falls by less than 0.4 % a step stays.
    References: Kingma & Ba 2015, arXiv:1412.6980, algorithm 1 and section 2 (raw moments); Reddi et al. 2018,
        arXiv:1904.09237, algorithm 2 (amsgrad).
    Peer: torch.optim.Adam, every option, float64, 1e-12 relative after 1,000 steps (A).
    In production: use AdamW wherever weights decay; Adam without decay for reinforcement learning and small models.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        _require(lr, betas, eps, weight_decay)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        defaults |= {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = evaluated(closure)
        for group in self.param_groups:
            _update(self.state, group, with_gradients(group, "Adam"), group["decoupled_weight_decay"])
        return loss


class AdamW(torch.optim.Optimizer):
    """Adam whose decay is decoupled: theta <- (1 - lr weight_decay) theta, then Adam's step on the bare gradient.

    Every weight shrinks at one rate, however large its gradients are. It is not the gradient of any penalty; with
    Adam's coupled decay it agrees for no coefficient.

    Args:
        params: tensors or parameter groups; see `decay_groups` for leaving out biases and gains.
        lr: learning rate, >= 0.
        betas: b1 and b2 of the moments, in [0, 1).
        eps: added to the root, >= 0.
        weight_decay: rate of shrinking, >= 0; a step shrinks by lr weight_decay.
        amsgrad: divide by the largest v so far.
        maximize: ascend; weights shrink all the same.

    Raises:
        ValueError: if a parameter is out of its range.
        TypeError: if lr is a tensor; from `step`, if a gradient is sparse.

    Cost: two states of theta's size, three with amsgrad; 7 passes in the cache, 1 through memory.
    Deviations: decay is scaled by lr, as in torch; the paper scales it by the schedule's multiplier alone. In half
        precision as Adam.
    References: Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 2 and proposition 2; Kingma & Ba 2015,
        arXiv:1412.6980, algorithm 1.
    Peer: torch.optim.AdamW, every option, float64, 1e-12 relative after 1,000 steps (A).
    In production: use it as the default of Transformers; on a GPU, torch.optim.AdamW(fused=True) is one kernel.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        _require(lr, betas, eps, weight_decay)
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, {**defaults, "maximize": maximize})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = evaluated(closure)
        for group in self.param_groups:
            _update(self.state, group, with_gradients(group, "AdamW"), decoupled=True)
        return loss


def _require(lr: float, betas: tuple[float, float], eps: float, weight_decay: float) -> None:
    require(lr=lr, eps=eps, weight_decay=weight_decay)
    require_fraction(**{"betas[0]": betas[0], "betas[1]": betas[1]})


def _update(state: Any, group: dict[str, Any], found: list[Tensor], decoupled: bool) -> None:
    beta1, beta2 = group["betas"]
    lr, decay = group["lr"], group["weight_decay"]
    names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else [])]
    # parameters that had no gradient for a while are at another step
    for t, params in grouped(found, begun(state, found, names)):
        # m_hat / (sqrt(v_hat) + eps) = m / (sqrt(v) + eps c2) * c2 / c1: the corrections are numbers, not passes
        c1, c2 = 1 - beta1**t, math.sqrt(1 - beta2**t)
        states = [[state[p][name] for p in params] for name in names]
        for theta, g, m, v, *largest in batches(params, gradients(params), *states):
            g = objective(g, theta, maximize=group["maximize"], l2=0.0 if decoupled else decay)
            torch._foreach_lerp_(m, g, 1 - beta1)
            torch._foreach_mul_(v, beta2)
            torch._foreach_addcmul_(v, g, g, 1 - beta2)
            if largest:
                torch._foreach_maximum_(largest[0], v)
                v = largest[0]
            scale = torch._foreach_sqrt(v)
            torch._foreach_add_(scale, group["eps"] * c2)
            if decoupled and decay:
                torch._foreach_mul_(theta, 1 - lr * decay)
            torch._foreach_addcdiv_(theta, m, scale, -lr * c2 / c1)
