"""RMSProp: steps scaled by a moving average of squared gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
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


class RMSprop(torch.optim.Optimizer):
    """v <- alpha v + (1 - alpha) g^2; theta <- theta - lr g / (sqrt(v) + eps), coordinate by coordinate.

    Centered, the mean is taken off: m <- alpha m + (1 - alpha) g, and v - m^2, the variance, stands in the root. With
    momentum, b <- momentum b + g / (sqrt(v) + eps) and theta <- theta - lr b.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, >= 0.
        alpha: share of v that is kept, in [0, 1).
        eps: added to the root, >= 0.
        weight_decay: L2 coefficient, >= 0, coupled.
        momentum: share of b that is kept, >= 0.
        centered: scale by the standard deviation rather than the root mean square.
        maximize: ascend.

    Raises:
        ValueError: if a parameter is out of its range.
        TypeError: if lr is a tensor; from `step`, if a gradient is sparse.

    Cost: 1 to 3 states of theta's size; 5 to 9 passes in the cache, 1 through memory.
    Deviations:
        1. eps outside the root and v from 0 without correction, as in torch.
        2. v - m^2 that rounding has made negative counts as 0; torch takes its root and theta becomes NaN, which a
           constant gradient brings about.
        3. Half precision is computed in float32 and rounded when stored.
    References: Tieleman & Hinton 2012, Coursera lecture 6.5; Graves 2013, arXiv:1308.0850, eqs. 38-45 (centered).
    Peer: torch.optim.RMSprop, every option, float64, 1e-12 relative after 1,000 steps (A).
    In production: use it where published reinforcement-learning settings ask for it; AdamW elsewhere.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        rates = {"lr": lr, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        require(**rates)
        require_fraction(alpha=alpha)
        super().__init__(params, {**rates, "alpha": alpha, "centered": centered, "maximize": maximize})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = evaluated(closure)
        for group in self.param_groups:
            found = with_gradients(group, "RMSprop")
            alpha, momentum, centered = group["alpha"], group["momentum"], group["centered"]
            names = ["square_avg", *(["grad_avg"] if centered else []), *(["momentum_buffer"] if momentum else [])]
            begun(self.state, found, names)
            for _, params in grouped(found):
                columns = [[self.state[p][name] for p in params] for name in names]
                for theta, g, v, *others in batches(params, gradients(params), *columns):
                    g = objective(g, theta, maximize=group["maximize"], l2=group["weight_decay"])
                    torch._foreach_mul_(v, alpha)
                    torch._foreach_addcmul_(v, g, g, 1 - alpha)
                    if centered:
                        m = others[0]
                        torch._foreach_lerp_(m, g, 1 - alpha)
                        scale = torch._foreach_addcmul(v, m, m, -1)
                        torch._foreach_clamp_min_(scale, 0)
                        torch._foreach_sqrt_(scale)
                    else:
                        scale = torch._foreach_sqrt(v)
                    torch._foreach_add_(scale, group["eps"])
                    if momentum:
                        b = others[-1]
                        torch._foreach_mul_(b, momentum)
                        torch._foreach_addcdiv_(b, g, scale)
                        torch._foreach_add_(theta, b, alpha=-group["lr"])
                    else:
                        torch._foreach_addcdiv_(theta, g, scale, -group["lr"])
        return loss
