"""Gradient descent, and its stochastic form with momentum: heavy ball and Nesterov."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from breadth.nn.optim.batches import batches, evaluated, gradients, grouped, objective, require, with_gradients


class GD(torch.optim.Optimizer):
    """Gradient descent on the whole objective: theta <- theta - lr grad L(theta).

    The closure sees all data. Where they do not fit at once, it sums over parts and calls `backward` on each; the
    gradients add up. On an L-smooth objective each step with 0 < lr < 2 / L lowers the loss; lr = 1 / L is the safe
    choice, and on a quadratic with eigenvalues in [mu, L] the error shrinks by max |1 - lr mu|, |1 - lr L| a step.

    Args:
        params: tensors or parameter groups.
        lr: step size, >= 0.

    Raises:
        ValueError: if lr is negative or not finite.
        TypeError: from `step`, if a gradient is sparse.

    Cost: one evaluation of the whole objective a step; the update is one pass.
    References: Cauchy 1847; Nesterov 2004, Introductory Lectures on Convex Optimization, theorem 2.1.15.
    Peer: (I - lr H)^t theta_0 on a quadratic, float64, 1e-12 (B).
    In production: use SGD or AdamW on mini-batches, and LBFGS where the whole objective is cheap.
    """

    def __init__(self, params: ParamsT, lr: float = 1e-3):
        require(lr=lr)
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step.

        Args:
            closure: clears the gradients, computes the loss on all data, calls `backward` and returns the loss.

        Returns:
            The loss before the step.

        Raises:
            TypeError: without a closure, for then the gradient may be that of a part.
        """
        if closure is None:
            raise TypeError("step takes a closure that computes the loss on all data; use SGD where there is none")
        loss = evaluated(closure)
        for group in self.param_groups:
            for _, params in grouped(with_gradients(group, "GD")):
                _descend(params, group["lr"])
        return loss


class SGD(torch.optim.Optimizer):
    """Stochastic gradient descent on mini-batches, plain, with heavy-ball momentum, or with Nesterov's.

    With g the gradient, plus weight_decay theta where decay is coupled:

        v <- momentum v + (1 - dampening) g
        theta <- theta - lr v                        heavy ball
        theta <- theta - lr (g + momentum v)         nesterov
        theta <- (1 - lr weight_decay) theta first   where decay is decoupled

    v is a weighted sum of gradients, of total weight 1 / (1 - momentum), and no average: with momentum 0.9 a constant
    gradient moves theta by 10 lr g a step. dampening = momentum makes it an average. Plain SGD cannot tell coupled
    from decoupled decay; with momentum they part, since v carries the coupled one on.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, >= 0.
        momentum: share of v that is kept, >= 0; 0 is plain SGD, which keeps no state.
        dampening: share of the gradient that v leaves out, finite.
        weight_decay: L2 coefficient, or with decoupled_weight_decay the rate of shrinking; >= 0.
        nesterov: look ahead; wants momentum > 0 and dampening = 0.
        maximize: ascend.
        decoupled_weight_decay: shrink theta itself (SGDW) rather than adding to its gradient (L2).

    Raises:
        ValueError: if a parameter is out of its range.
        TypeError: if lr is a tensor; from `step`, if a gradient is sparse.

    Cost: one state of theta's size with momentum, none without; 1 pass plain, 2 with momentum.
    Deviations:
        1. v begins at the first gradient, undamped, as in torch; the rate stands outside v, so that a changed lr acts
           at once on all of it.
        2. Nesterov's step is that of Sutskever et al. written at the point looked ahead to, as in torch.
        3. Half precision is computed in float32 and rounded when stored.
        4. Decoupled decay is scaled by lr, as AdamW's in torch; Loshchilov & Hutter scale by the schedule alone.
    References: Robbins & Monro 1951; Polyak 1964; Nesterov 1983; Sutskever et al. 2013, ICML, eqs. 1-4;
        Loshchilov & Hutter 2019, arXiv:1711.05101, algorithm 1 and proposition 1.
    Peer: torch.optim.SGD, every option, float64, 1e-12 relative after 1,000 steps (A); decoupled decay, NumPy (B).
    In production: use it with Nesterov momentum for convolutional networks; AdamW for Transformers.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ):
        require(lr=lr, momentum=momentum, weight_decay=weight_decay)
        if not math.isfinite(dampening):
            raise ValueError(f"dampening must be finite, got {dampening}")
        if nesterov and (momentum == 0 or dampening != 0):
            raise ValueError(f"nesterov wants momentum > 0 and dampening = 0, got {momentum} and {dampening}")
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        defaults |= {"nesterov": nesterov, "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state of torch.optim.SGD too, whose decay is coupled."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("decoupled_weight_decay", False)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = evaluated(closure)
        for group in self.param_groups:
            found = with_gradients(group, "SGD")
            first = [self.state[p].get("momentum_buffer") is None if group["momentum"] else False for p in found]
            for is_first, params in grouped(found, first):
                if group["momentum"] == 0 and group["weight_decay"] == 0:
                    _descend(params, -group["lr"] if group["maximize"] else group["lr"])
                else:
                    self._update(group, params, is_first)
        return loss

    def _update(self, group: dict[str, Any], params: list[Tensor], is_first: bool) -> None:
        lr, momentum, decay, decoupled = (
            group[name] for name in ("lr", "momentum", "weight_decay", "decoupled_weight_decay")
        )
        buffers = []
        if momentum:
            if is_first:
                for p in params:
                    self.state[p]["momentum_buffer"] = torch.zeros_like(p)
            buffers = [[self.state[p]["momentum_buffer"] for p in params]]
        for theta, g, *states in batches(params, gradients(params), *buffers):
            g = objective(g, theta, maximize=group["maximize"], l2=0.0 if decoupled else decay)
            if states:
                v = states[0]
                torch._foreach_mul_(v, momentum)
                torch._foreach_add_(v, g, alpha=1.0 if is_first else 1 - group["dampening"])
                g = torch._foreach_add(g, v, alpha=momentum) if group["nesterov"] else v
            if decoupled and decay:
                torch._foreach_mul_(theta, 1 - lr * decay)
            torch._foreach_add_(theta, g, alpha=-lr)


def _descend(params: list[Tensor], lr: float) -> None:
    torch._foreach_add_(params, gradients(params), alpha=-lr)  # one pass: nothing would find its piece in the cache
