"""Adagrad: a rate for each coordinate, from the squares of all its gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from breadth.nn.optim.batches import batches, begun, evaluated, gradients, grouped, objective, require, with_gradients


class Adagrad(torch.optim.Optimizer):
    """G <- G + g^2; theta <- theta - lr / (1 + (t - 1) lr_decay) g / (sqrt(G) + eps), coordinate by coordinate.

    G only grows, so that the rate of no coordinate ever rises: that of a rarely active one stays high beside the
    others', and all of them fall, as lr / sqrt(t) under a constant gradient. That is the method's known weakness.

    Args:
        params: tensors or parameter groups.
        lr: learning rate, >= 0.
        lr_decay: further decay of the rate, >= 0.
        weight_decay: L2 coefficient, >= 0, coupled.
        initial_accumulator_value: G before the first step, >= 0.
        eps: added to the root, >= 0.
        maximize: ascend.

    Raises:
        ValueError: if a parameter is out of its range.
        TypeError: if lr is a tensor; from `step`, if a gradient is sparse.

    Cost: one state of theta's size; 4 passes in the cache, 1 through memory.
    Deviations: the diagonal form, unconstrained; eps outside the root, as in torch. Half precision is computed in
        float32 and rounded when stored.
    References: Duchi, Hazan & Singer 2011, JMLR 12, figure 1 (diagonal); Zeiler 2012, arXiv:1212.5701, section 2.2
        (its rates only fall).
    Peer: torch.optim.Adagrad, every option, float64, 1e-12 relative after 1,000 steps (A).
    In production: use it for sparse features in linear models; Adam or RMSprop where the rate must not die out.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        rates = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay}
        rates |= {"initial_accumulator_value": initial_accumulator_value, "eps": eps}
        require(**rates)
        super().__init__(params, {**rates, "maximize": maximize})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = evaluated(closure)
        for group in self.param_groups:
            found = with_gradients(group, "Adagrad")
            start = group["initial_accumulator_value"]
            for p in found:
                if not self.state[p]:
                    self.state[p]["sum"] = torch.full_like(p, complex(start, start) if p.is_complex() else start)
            for t, params in grouped(found, begun(self.state, found, ["sum"])):
                rate = group["lr"] / (1 + (t - 1) * group["lr_decay"])
                sums = [self.state[p]["sum"] for p in params]
                for theta, g, total in batches(params, gradients(params), sums):
                    g = objective(g, theta, maximize=group["maximize"], l2=group["weight_decay"])
                    torch._foreach_addcmul_(total, g, g)
                    scale = torch._foreach_sqrt(total)
                    torch._foreach_add_(scale, group["eps"])
                    torch._foreach_addcdiv_(theta, g, scale, -rate)
        return loss
