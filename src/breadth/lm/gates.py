"""Gates that learn which tokens to drop: a threshold on attention for each layer, and a small network that looks."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.lm.prune import Prune, Schedule

_STEEPEST = 60.0  # a dropped token's score above the largest kept one: its gradient grows with exp of it


class ThresholdGate(nn.Module):
    """A learned threshold for each layer: M_j = sigmoid((s_j - theta_l) / T) while it learns, then [s_j >= theta_l].

    The soft mask multiplies the layer's output, so that the loss tells theta what a token was worth; the penalty
    lambda mean(M) pushes it up.

    Args:
        n_layers: thresholds, >= 1.
        final: that of the last layer to begin with; layer l of n begins at final (l + 1) / n. With importance that sums
            to 1 over n tokens, 1 / n is what a token of average importance has.
        temperature: T > 0, width of the soft step.

    Attributes:
        theta: thresholds, shape (n_layers,).

    Raises:
        ValueError: if a number is out of its range.

    Cost: O(tokens) time a layer.
    Deviations: learning it and then the weights under hard masks (the paper's section 3.3) is the caller's loop.
    References: Kim et al. 2021, arXiv:2107.00910, sections 3.2 and 3.3.
    Peer: the equations in NumPy, float64, 1e-15; derivative by theta in closed form (B).
    In production: learn theta on the texts that will be read, then `schedule()` runs it in `LazyLM`.
    """

    def __init__(self, n_layers: int, *, final: float = 0.01, temperature: float = 1e-3):
        super().__init__()
        if n_layers < 1:
            raise ValueError(f"n_layers must be >= 1, got {n_layers}")
        if not 0 <= final < 1:
            raise ValueError(f"final must be in [0, 1), got {final}")
        if not temperature > 0:
            raise ValueError(f"temperature must be > 0, got {temperature}")
        self.theta = nn.Parameter(final * torch.arange(1, n_layers + 1) / n_layers)
        self.temperature = temperature

    def forward(self, importance: Tensor, layer: int, *, hard: bool = False) -> Tensor:
        """The mask M, shape of importance: in (0, 1), or with `hard` 0 and 1.

        Args:
            importance: s, shape (..., tokens).
            layer: whose threshold, in [0, n_layers).
            hard: as after learning; no gradient.

        Raises:
            ValueError: if there is no such layer.
        """
        if not 0 <= layer < len(self.theta):
            raise ValueError(f"layer must be in [0, {len(self.theta)}), got {layer}")
        above = importance - self.theta[layer]
        return (above >= 0).to(importance.dtype) if hard else torch.sigmoid(above / self.temperature)

    def schedule(self) -> Schedule:
        """What was learned, for a model of n_layers; behind the last layer there is nothing to prune."""
        thresholds = self.theta.detach().clamp(0, 1 - 1e-6).tolist()
        return tuple(Prune(after=layer, threshold=theta) for layer, theta in enumerate(thresholds[:-1]))


class TokenGate(nn.Module):
    """A small network that keeps or drops each token: p_i = softmax(MLP([local_i; global])), D_i drawn from p_i.

    local_i = MLP(x_i), global = sum_i D_i MLP(x_i) / sum_i D_i over the tokens still kept. In training D_i is a
    Gumbel-softmax sample, 0 or 1 going forward and soft going back; after it, D_i = [p_i(keep) >= 1/2]. A token that
    was dropped stays dropped.

    Args:
        d_model: of the tokens.
        hidden: width of local and global; None takes d_model // 2.

    Raises:
        ValueError: if a size is < 1.

    Cost: about 3 d_model hidden operations a token.
    Deviations: hidden is free, where the paper has C' = C / 2.
    References: Rao et al. 2021, arXiv:2106.02034, section 3.2.
    Peer: the equations token by token in NumPy, float64, 1e-12 (B).
    In production: train it with the model, `keep_loss` beside the model's own; take its top tokens where every text has
        to keep the same number.
    """

    def __init__(self, d_model: int, hidden: int | None = None):
        super().__init__()
        hidden = max(1, d_model // 2) if hidden is None else hidden
        if d_model < 1 or hidden < 1:
            raise ValueError(f"d_model and hidden must be >= 1, got {d_model} and {hidden}")
        self.local = nn.Sequential(nn.LayerNorm(d_model), nn.Linear(d_model, hidden), nn.GELU())
        self.all = nn.Sequential(nn.LayerNorm(d_model), nn.Linear(d_model, hidden), nn.GELU())
        self.out = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.GELU(), nn.Linear(hidden, 2))

    def scores(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """log p of (keep, drop), shape (batch, tokens, 2), for x of shape (batch, tokens, d_model).

        Args:
            x: the tokens.
            kept: D so far, shape (batch, tokens), in [0, 1]; None means that all are kept.
        """
        weight = x.new_ones(x.shape[:2]) if kept is None else kept
        everywhere = (weight[..., None] * self.all(x)).sum(1, keepdim=True)
        everywhere = everywhere / weight.sum(1)[:, None, None].clamp(min=1e-6)
        local = self.local(x)
        return self.out(torch.cat((local, everywhere.expand_as(local)), -1)).log_softmax(-1)

    def forward(self, x: Tensor, kept: Tensor | None = None, *, generator: torch.Generator | None = None) -> Tensor:
        """D, shape (batch, tokens): drawn in training, certain in evaluation.

        Args:
            x, kept: as of `scores`.
            generator: of the draws.
        """
        logp = self.scores(x, kept)
        if self.training:
            uniform = torch.rand(logp.shape, generator=generator, dtype=logp.dtype, device=logp.device)
            soft = (logp - uniform.clamp(min=1e-20).log().neg().log()).softmax(-1)[..., 0]
            decision = (soft >= 0.5).to(soft.dtype) + soft - soft.detach()
        else:
            decision = (logp[..., 0] >= math.log(0.5)).to(logp.dtype)
        return decision if kept is None else kept * decision


def gated_softmax(scores: Tensor, kept: Tensor) -> Tensor:
    """Softmax in which dropped tokens have no part, with a gradient that tells what a part was worth.

    A_ij = exp(s_ij) G_ij / sum_k exp(s_ik) G_ik, G_ij = 1 for i = j, else D_j. A token always sees itself, so that a
    dropped one still has an output, which nobody reads.

    Args:
        scores: s, -inf where a mask forbids, shape (batch, heads, tokens, tokens).
        kept: D, in [0, 1], shape (batch, tokens).

    Returns:
        Shape of scores; rows sum to 1.

    Raises:
        ValueError: if the shapes do not fit.

    Cost: O(size of scores) time.
    References: Rao et al. 2021, arXiv:2106.02034, section 3.3.
    Peer: torch's softmax over the kept tokens alone, float64, 1e-15 (B).
    """
    if scores.dim() != 4 or scores.shape[-1] != scores.shape[-2] or kept.shape != scores.shape[:1] + scores.shape[-1:]:
        raise ValueError(
            "scores must have shape (batch, heads, tokens, tokens) and kept (batch, tokens), got "
            f"{tuple(scores.shape)} and {tuple(kept.shape)}"
        )
    itself = torch.eye(scores.shape[-1], dtype=torch.bool, device=scores.device)
    gate = torch.where(itself, 1.0, kept[:, None, None, :].to(scores.dtype))
    largest = scores.masked_fill(gate == 0, -torch.inf).amax(-1, keepdim=True).detach()
    weight = (scores - largest).clamp(max=_STEEPEST).exp() * gate
    return weight / weight.sum(-1, keepdim=True)


def keep_loss(decisions: list[Tensor], shares: list[float]) -> Tensor:
    """How far the shares kept are from those wanted: mean over stages and texts of (rho_s - mean_i D_i)^2.

    Args:
        decisions: D of each stage, shape (batch, tokens).
        shares: rho of each stage, in [0, 1].

    Raises:
        ValueError: if there is no stage, their numbers differ, or a share is out of its range.

    References: Rao et al. 2021, arXiv:2106.02034, section 3.4.
    """
    if not decisions or len(decisions) != len(shares):
        raise ValueError(f"decisions and shares must be as many, at least one, got {len(decisions)} and {len(shares)}")
    if not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"shares must lie in [0, 1], got {shares}")
    kept = torch.stack([d.mean(-1) for d in decisions])  # (stages, batch)
    return F.mse_loss(kept, torch.tensor(shares, dtype=kept.dtype, device=kept.device)[:, None].expand_as(kept))
