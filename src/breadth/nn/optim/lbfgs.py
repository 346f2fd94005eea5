"""L-BFGS: Newton's method with a Hessian that is remembered from the last few steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from breadth.nn.optim.batches import evaluated, require, with_gradients
from breadth.nn.optim.wolfe import Place, strong_wolfe


class LBFGS(torch.optim.Optimizer):
    """theta <- theta + t d, d = -B g, where B is the inverse Hessian that the last steps s and changes y of g tell of.

    B is never formed: two passes over the pairs multiply g by it. A step of this optimizer is up to max_iter of these.

    Args:
        params: tensors, or one parameter group.
        lr: first t, > 0; t itself without a line search. The very first t is at most 1 / |g|_1.
        max_iter: iterations of a step, >= 1.
        max_eval: evaluations of a step after which no iteration begins, >= 1; None is 5/4 max_iter.
        tolerance_grad: largest |g_i| that ends, >= 0.
        tolerance_change: |t d_i| and change of the loss that end, >= 0.
        history_size: pairs that are kept, >= 1.
        line_search_fn: "strong_wolfe", or None for t = lr.

    Raises:
        ValueError: if an argument is out of its range, or there are several groups; from `step`, if the loss or its
            gradient is not finite where the step begins.
        TypeError: if lr is a tensor; from `step`, without a closure or if a gradient is sparse.

    Cost: 2 history_size + 5 numbers a parameter; O(history_size n) an iteration beside one or two evaluations.
    Deviations:
        1. The default line search is strong_wolfe; torch's is none, and diverges where lr = 1 is too long.
        2. A pair is kept if s . y > eps |s| |y|, which scaling the loss does not change; torch wants s . y > 1e-10.
        3. Where the line search finds nothing, the pairs are dropped and the gradient's direction is tried once.
        4. A search is not broken off at max_eval, which could keep a step from ever moving.
        5. A small slope g . d does not end a step; torch's tolerance_change does, long before tolerance_grad is met.
    References: Nocedal & Wright 2006, Numerical Optimization, algorithms 7.4 and 7.5, eq. 7.20; Liu & Nocedal 1989,
        Mathematical Programming 45.
    Peer: torch.optim.LBFGS without line search, 1e-8 after 30 iterations (A); scipy.optimize.minimize on Rosenbrock's
        function, logistic regression and quadratics of condition 1e6, with line search (A).
    In production: use it for smooth full-batch problems of up to some million parameters; scipy's L-BFGS-B with bounds.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: Literal["strong_wolfe"] | None = "strong_wolfe",
    ):
        max_eval = max_iter * 5 // 4 if max_eval is None else max_eval
        require(lr=lr, tolerance_grad=tolerance_grad, tolerance_change=tolerance_change)
        if lr == 0:
            raise ValueError("lr must be > 0, got 0")
        for name, value in {"max_iter": max_iter, "max_eval": max_eval, "history_size": history_size}.items():
            if value < 1:
                raise ValueError(f"{name} must be >= 1, got {value}")
        if line_search_fn not in (None, "strong_wolfe"):
            raise ValueError(f"line_search_fn must be 'strong_wolfe' or None, got {line_search_fn!r}")
        defaults = {"lr": lr, "max_iter": max_iter, "max_eval": max_eval, "tolerance_grad": tolerance_grad}
        defaults |= {"tolerance_change": tolerance_change, "history_size": history_size}
        super().__init__(params, defaults | {"line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError(f"params must be one group, got {len(self.param_groups)}; B is over all of them")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Up to max_iter iterations.

        Args:
            closure: clears the gradients, computes the loss on all data, calls `backward` and returns the loss.

        Returns:
            The loss before the step.
        """
        if closure is None:
            raise TypeError("step takes a closure that evaluates the loss again, since the line search needs it")
        [group] = self.param_groups
        params, searching = group["params"], group["line_search_fn"] is not None
        state = self.state[params[0]]  # with torch's names and meaning, so that its states are taken over
        for name in ("func_evals", "n_iter"):
            state.setdefault(name, 0)
        first = evaluated(closure)
        value, g, evaluations = float(first), _flat_gradient(group), 1
        if not (math.isfinite(value) and g.isfinite().all()):
            raise ValueError(f"loss and gradient must be finite where a step begins, got a loss of {value}")
        for iteration in range(1, group["max_iter"] + 1):
            if len(g) == 0 or g.abs().max() <= group["tolerance_grad"]:
                break
            d = _direction(state, g, group["history_size"])
            slope, fresh = (g @ d).item(), not state["old_dirs"]
            if not slope < 0:
                break
            state["n_iter"] += 1
            t = group["lr"] * (min(1.0, 1.0 / g.abs().sum().item()) if fresh else 1.0)
            start = Place(0.0, value, slope, g)
            line = _Line(closure, group, d)
            if searching:
                here, n_eval = strong_wolfe(line.look, start, t)
            elif iteration < group["max_iter"]:
                here, n_eval = line.look(t), 1
            else:  # the next step evaluates it
                here, n_eval = Place(t, value, slope, g), 0
            line.move(here.t)
            evaluations += n_eval
            state.update(d=d, t=here.t, prev_flat_grad=g, prev_loss=value)
            change, length = abs(here.value - value), here.t * d.abs().max().item()
            value, g = here.value, here.gradient
            if here.t == 0 and not fresh:
                state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            elif length <= group["tolerance_change"] or (n_eval and change < group["tolerance_change"]):
                break
            if evaluations >= group["max_eval"] or not math.isfinite(value):
                break
        state["func_evals"] += evaluations
        return first


class _Line:
    """The loss along a direction from where the parameters are now."""

    def __init__(self, closure: Callable[[], Any], group: dict[str, Any], direction: Tensor):
        self.closure, self.group, self.direction = closure, group, direction
        self.params = _as_real(group["params"])
        self.origin = [p.clone() for p in self.params]

    def move(self, t: float) -> None:
        parts = self.direction.split([p.numel() for p in self.params])
        for p, start, part in zip(self.params, self.origin, parts, strict=True):
            p.copy_(start.add(part.view_as(p), alpha=t))

    def look(self, t: float) -> Place:
        self.move(t)
        try:
            value = float(evaluated(self.closure))
            g = _flat_gradient(self.group)
        except BaseException:
            self.move(0.0)  # a closure that raises leaves no trial behind
            raise
        return Place(t, value, (g @ self.direction).item(), g)


def _direction(state: dict[str, Any], g: Tensor, history_size: int) -> Tensor:
    """-B g by two passes over the pairs, after the last step has become one."""
    if "old_dirs" not in state:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
    else:
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = (y @ s).item()
        if curvature > torch.finfo(g.dtype).eps * (y.norm() * s.norm()).item():
            for name, new in {"old_dirs": y, "old_stps": s, "ro": 1.0 / curvature}.items():
                state[name] = [*state[name], new][-history_size:]
            state["H_diag"] = curvature / (y @ y).item()
    pairs = list(zip(state["old_stps"], state["old_dirs"], map(float, state["ro"]), strict=True))
    q, shares = -g, []
    for s, y, rho in reversed(pairs):
        shares.append(rho * (s @ q).item())
        q.sub_(y, alpha=shares[-1])
    q.mul_(float(state["H_diag"]))
    for (s, y, rho), share in zip(pairs, reversed(shares), strict=True):
        q.add_(s, alpha=share - rho * (y @ q).item())
    return q


def _as_real(tensors: list[Tensor]) -> list[Tensor]:
    return [torch.view_as_real(t) if t.is_complex() else t for t in tensors]


def _flat_gradient(group: dict[str, Any]) -> Tensor:
    with_gradients(group, "LBFGS")  # refuses sparse ones
    grads = [torch.zeros_like(p) if p.grad is None else p.grad.resolve_conj() for p in group["params"]]
    return torch.cat([g.reshape(-1) for g in _as_real(grads)])
