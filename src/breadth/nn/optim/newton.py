"""Newton's method with damping, as an optimizer of small models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from breadth.nn.calculus import derivatives
from breadth.nn.optim.batches import evaluated, require
from breadth.nn.trust_region import DampedStep, Strategy, damped_step


class DampedNewton(torch.optim.Optimizer):
    """theta <- theta - t (H + lambda I)^-1 g, with gradient g and Hessian H of the loss by all parameters together.

    lambda >= damping and t are chosen so that the loss falls: see `breadth.nn.trust_region.damped_step`.

    Args:
        params: tensors, or one parameter group; n elements together.
        lr: first t of the line search; t itself with strategy "none", > 0.
        damping: least lambda, >= 0.
        strategy: "trust_region" (the step's length is bounded, saddles are left), "line_search" (t is halved), "none".
        radius: of the first trust region, > 0.

    Attributes:
        last: what the last step did, a `DampedStep`: whether one was taken, its lambda, t and evaluations; None before.

    Raises:
        ValueError: if an argument is out of its range, or there are several groups; from `step`, if the loss or a
            derivative is not finite.
        TypeError: if lr is a tensor or a parameter is complex; from `step`, without a closure.

    Cost: n backward passes and O(n^3) a step, n^2 numbers; some evaluations of the loss.
    Deviations: dense; the inverse is by eigenvalues, so that each further lambda costs O(n).
    References: Nocedal & Wright 2006, Numerical Optimization, sections 3.4 and 4.3; Moré & Sorensen 1983, SIAM J. Sci.
        Stat. Comput. 4(3); Levenberg 1944 (damping).
    Peer: scipy.optimize.minimize on Rosenbrock's function, logistic regression and quadratics of condition 1e8 (A).
    In production: use it for some hundred parameters and a loss without noise; LBFGS beyond.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        *,
        damping: float = 0.0,
        strategy: Strategy = "trust_region",
        radius: float = 1.0,
    ):
        require(lr=lr, damping=damping, radius=radius)
        if lr == 0 or radius == 0:
            raise ValueError(f"lr and radius must be > 0, got {lr} and {radius}")
        if strategy not in get_args(Strategy):
            raise ValueError(f"strategy must be one of {', '.join(map(repr, get_args(Strategy)))}, got {strategy!r}")
        super().__init__(params, {"lr": lr, "damping": damping, "strategy": strategy, "radius": radius})
        if len(self.param_groups) != 1:
            raise ValueError(f"params must be one group, got {len(self.param_groups)}; the Hessian is over all of them")
        for i, p in enumerate(self.param_groups[0]["params"]):
            if p.is_complex():
                raise TypeError(f"params[{i}] must be real, got {p.dtype}")
        self.last: DampedStep | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, if one lowers the loss.

        Args:
            closure: computes the loss on all data and returns it, **without** calling `backward`.

        Returns:
            The loss before the step.
        """
        if closure is None:
            raise TypeError("step takes a closure that computes the loss, since the Hessian is taken of it")
        [group] = self.param_groups
        params = [p for p in group["params"] if p.requires_grad]
        value, g, H = derivatives(closure, params)
        state = self.state[params[0]]
        if not (value.isfinite() and g.isfinite().all() and H.isfinite().all()):
            raise ValueError(f"loss and its derivatives must be finite, got a loss of {value.item()}")
        before = [p.clone() for p in params]

        def move(step: Tensor) -> None:
            for p, start, part in zip(params, before, step.split([p.numel() for p in params]), strict=True):
                p.copy_(start + part.view_as(p))

        def loss_at(step: Tensor) -> float:
            move(step)
            return float(evaluated(closure))

        self.last = None
        try:
            self.last = damped_step(
                value.item(),
                g,
                H,
                loss_at,
                strategy=group["strategy"],
                damping=group["damping"],
                radius=state.get("radius", group["radius"]),
                lr=group["lr"],
            )
        finally:
            move(self.last.p if self.last else torch.zeros_like(g))  # a closure that raised leaves no trial behind
        state["radius"] = self.last.radius
        return value
