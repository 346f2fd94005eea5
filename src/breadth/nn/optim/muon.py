"""Muon: momentum whose singular values are all moved near 1, and MuonClip, which keeps attention's logits bounded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from breadth.nn.optim.batches import evaluated, gradients, require, require_fraction, with_gradients
from breadth.nn.optim.qk_clip import LogitReporter, qk_clip_, require_finite

AdjustLR = Literal["original", "match_rms_adamw"]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def newton_schulz(
    X: Tensor,
    *,
    steps: int = 5,
    coefficients: tuple[float, float, float] = COEFFICIENTS,
    eps: float = 1e-7,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Move all singular values of X near 1: with X = U S V^T, about U V^T, the nearest semi-orthogonal matrix.

        X <- X / max(|X|_F, eps);  steps times: X <- a X + b (X X^T) X + c (X X^T)^2 X

    Each step maps a singular value s to a s + b s^3 + c s^5. The default coefficients have the steepest slope at 0
    that keeps five steps within [0.68, 1.14] for s >= 0.01; they do not converge to 1, and need not.

    Args:
        X: matrices, shape (..., m, n).
        steps: iterations, >= 0.
        coefficients: a, b, c.
        eps: least norm that is divided by, > 0; a matrix of zeros stays one.
        dtype: of the iteration; None is that of X.

    Returns:
        The moved matrices, shape (..., m, n), in `dtype`.

    Raises:
        ValueError: if X has fewer than two dimensions, or steps or eps is out of range.

    Cost: 2 steps r^2 (2 max(m, n) + r) flops for r = min(m, n).
    References: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks" (coefficients);
        Bernstein & Newhouse 2024, arXiv:2409.20325, section 2; Björck & Bowie 1971, SIAM J. Numer. Anal. 8 (family).
    Peer: the polynomial on the singular values of an SVD, float64, 1e-10 (B).
    In production: use it inside Muon; for an orthogonal factor to full precision use torch.linalg.svd or qr.
    """
    if X.ndim < 2:
        raise ValueError(f"X must have shape (..., m, n), got {tuple(X.shape)}")
    if steps < 0 or not eps > 0:
        raise ValueError(f"steps must be >= 0 and eps > 0, got {steps} and {eps}")
    a, b, c = coefficients
    tall = X.shape[-2] > X.shape[-1]
    Y = X.to(dtype or X.dtype)
    Y = Y.mT if tall else Y  # (..., r, max(m, n)): the Gram matrix is the smaller one
    Y = Y / torch.linalg.matrix_norm(Y, keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = Y @ Y.mT  # (..., r, r)
        if Y.ndim == 2:
            Y = torch.addmm(Y, torch.addmm(gram, gram, gram, beta=b, alpha=c), Y, beta=a)
        else:
            Y = a * Y + (b * gram + c * (gram @ gram)) @ Y
    return Y.mT if tall else Y


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every direction of a weight matrix moves by about the same amount.

        B <- momentum B + (1 - momentum) G;  M = (1 - momentum) G + momentum B with nesterov, else B
        W <- (1 - lr weight_decay) W - lr r newton_schulz(M)

    with r = sqrt(max(1, m / n)) ("original") or 0.2 sqrt(max(m, n)) ("match_rms_adamw": the update then has AdamW's
    usual root mean square, so that its lr and weight_decay carry over).

    Args:
        params: matrices of hidden layers, each of two dimensions, or groups of them. Embeddings, heads, gains and
            biases go to AdamW.
        lr: learning rate, >= 0.
        weight_decay: decoupled, scaled by lr, >= 0.
        momentum: in [0, 1).
        nesterov: look ahead.
        ns_coefficients: of `newton_schulz`.
        eps: of `newton_schulz`, > 0.
        ns_steps: iterations of it, >= 0.
        adjust_lr_fn: r; None is "original".
        ns_dtype: dtype of the iteration. None: bfloat16 on an accelerator; on a CPU, where half precision is the slower
            one, the parameter's or float32.

    Raises:
        ValueError: if a parameter is no matrix, or an argument is out of its range.
        TypeError: if lr is a tensor, or a parameter is complex; from `step`, if a gradient is sparse.

    Cost: one state of W's size; an m x n matrix takes 2 ns_steps r^2 (2 max(m, n) + r) flops, r = min(m, n).
    Deviations: ns_dtype; torch.optim.Muon iterates in bfloat16 everywhere.
    References: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; Liu et al. 2025,
        arXiv:2502.16982, eq. 4 and section 2.2 (matching the root mean square).
    Peer: torch.optim.Muon with ns_dtype=torch.bfloat16, every option (A); float64 by the band of singular values (B).
    In production: use it for the matrices of a Transformer's blocks beside AdamW for the rest; MuonClip where logits
        of attention grow.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        adjust_lr_fn: AdjustLR | None = None,
        *,
        ns_dtype: torch.dtype | None = None,
    ):
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov}
        defaults |= {"ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps}
        defaults |= {"adjust_lr_fn": adjust_lr_fn, "ns_dtype": ns_dtype}
        _require(defaults)
        super().__init__(params, defaults)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take a state of torch.optim.Muon too, whose iteration is in bfloat16."""
        super().__setstate__(state)
        for group in self.param_groups:
            group.setdefault("ns_dtype", torch.bfloat16)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of matrices, with options of their own."""
        super().add_param_group(param_group)
        _require_matrices(self.param_groups[-1])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient; returns the closure's loss, if there is one."""
        loss = evaluated(closure)
        for group in self.param_groups:
            _update(self.state, group, with_gradients(group, "Muon"))
        return loss


class MuonClip(torch.optim.Optimizer):
    """Muon, and after each step QK-clip: heads whose largest logit was above tau have W_q and W_k scaled back.

        B <- momentum B + G;  W <- W - lr (0.2 sqrt(max(m, n)) newton_schulz(B) + weight_decay W)
        for each head h with S_h > tau:  gamma = tau / S_h,  W_q^h, W_k^h <- sqrt(gamma) W_q^h, sqrt(gamma) W_k^h

    S_h is what the layer reported for the batch behind the gradient; on that batch and those weights the clipped logit
    is tau. No forward or backward pass is changed.

    Args:
        params: as Muon's.
        attention: layers with `max_logits` and `qk_heads`, see `LogitReporter`. Their projections need not be among
            `params`.
        tau: largest logit that is left alone, > 0.
        lr: learning rate, >= 0; AdamW's carries over.
        weight_decay: decoupled, scaled by lr, >= 0.
        momentum: in [0, 1).
        ns_coefficients: of `newton_schulz`.
        eps: of `newton_schulz`, > 0.
        ns_steps: iterations of it, >= 0.
        ns_dtype: dtype of the iteration, as Muon's.

    Attributes:
        gamma: what the heads of each layer were scaled by in the last step, one tensor (n_heads,) a layer; 1 where
            nothing was done.

    Raises:
        ValueError: if an argument is out of its range, a parameter is no matrix, or a report is not finite.
        RuntimeError: from `step`, if a layer has reported nothing since the last step.
        TypeError: if lr is a tensor, or a parameter is complex; from `step`, if a gradient is sparse.

    Cost: Muon's, and one pass over W_q and W_k.
    Deviations:
        1. The momentum is an average, as Muon's; newton_schulz divides by the norm, so that the step is the same.
        2. Layers with grouped keys: see `qk_clip_`.
    References: Kimi Team 2025, arXiv:2507.20534, section 2.1, algorithm 1 (tau = 100).
    Peer: algorithm 1 in NumPy float64, 1e-10 (B); logits stay at tau where Muon's alone grow past it (B).
    In production: use it for large models without QK normalisation, which bounds logits too but cannot be absorbed by
        latent attention.
    """

    def __init__(
        self,
        params: ParamsT,
        attention: Sequence[LogitReporter],
        *,
        tau: float = 100.0,
        lr: float = 2e-4,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        ns_coefficients: tuple[float, float, float] = COEFFICIENTS,
        eps: float = 1e-7,
        ns_steps: int = 5,
        ns_dtype: torch.dtype | None = None,
    ):
        if not 0 < tau < math.inf:
            raise ValueError(f"tau must be > 0 and finite, got {tau}")
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": False}
        defaults |= {"ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps}
        defaults |= {"adjust_lr_fn": "match_rms_adamw", "ns_dtype": ns_dtype}
        _require(defaults)
        super().__init__(params, defaults)
        self.attention, self.tau = list(attention), tau
        self.gamma: list[Tensor] = []

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of matrices, with options of their own."""
        super().add_param_group(param_group)
        _require_matrices(self.param_groups[-1])

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Muon's update, then the clip; clears the layers' reports and returns the closure's loss, if there is one."""
        loss = evaluated(closure)
        reports = []
        for i, layer in enumerate(self.attention):
            if layer.max_logits is None:
                raise RuntimeError(f"attention[{i}] has reported no max_logits since the last step; run it forward")
            require_finite(layer.max_logits)  # before anything is changed
            reports.append(layer.max_logits)
        for group in self.param_groups:
            _update(self.state, group, with_gradients(group, "MuonClip"))
        self.gamma = []
        for layer, largest in zip(self.attention, reports, strict=True):
            self.gamma.append(qk_clip_(layer.qk_heads(), largest, tau=self.tau))
            layer.max_logits = None
        return loss


def _update(state: Any, group: dict[str, Any], found: list[Tensor]) -> None:
    lr, momentum = group["lr"], group["momentum"]
    for W, G in zip(found, gradients(found), strict=True):
        if "momentum_buffer" not in state[W]:
            state[W]["momentum_buffer"] = torch.zeros_like(W)
        B = state[W]["momentum_buffer"]
        B.lerp_(G, 1 - momentum)
        M = G.lerp(B, momentum) if group["nesterov"] else B
        own = torch.promote_types(W.dtype, torch.float32) if W.device.type == "cpu" else torch.bfloat16
        how = {"steps": group["ns_steps"], "coefficients": group["ns_coefficients"], "eps": group["eps"]}
        update = newton_schulz(M, dtype=group["ns_dtype"] or own, **how)
        m, n = W.shape
        matching = group["adjust_lr_fn"] == "match_rms_adamw"
        r = 0.2 * math.sqrt(max(m, n)) if matching else math.sqrt(max(1, m / n))
        W.mul_(1 - lr * group["weight_decay"])
        W.add_(update, alpha=-lr * r)


def _require(options: dict[str, Any]) -> None:
    require(lr=options["lr"], weight_decay=options["weight_decay"])
    require_fraction(momentum=options["momentum"])
    if options["adjust_lr_fn"] not in (None, *get_args(AdjustLR)):
        known = ", ".join(map(repr, get_args(AdjustLR)))
        raise ValueError(f"adjust_lr_fn must be None or one of {known}, got {options['adjust_lr_fn']!r}")
    if len(options["ns_coefficients"]) != 3:
        raise ValueError(f"ns_coefficients must be three numbers, got {options['ns_coefficients']}")
    if options["ns_steps"] < 0 or not options["eps"] > 0:
        raise ValueError(f"ns_steps must be >= 0 and eps > 0, got {options['ns_steps']} and {options['eps']}")


def _require_matrices(group: dict[str, Any]) -> None:
    for i, p in enumerate(group["params"]):
        if p.ndim != 2:
            raise ValueError(f"params[{i}] must be a matrix, got shape {tuple(p.shape)}; give it to AdamW")
        if p.is_complex():
            raise TypeError(f"params[{i}] must be real, got {p.dtype}")
