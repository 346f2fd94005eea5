"""Mixture of experts: a router sends each token to a few of many feed-forward layers, and their load is balanced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.lm.config import LMConfig, MoE
from breadth.lm.feed_forward import FeedForward, activate, linear


class Routing(NamedTuple):
    """Where a layer's router sent its tokens.

    Attributes:
        scores: of each token and expert, (tokens, n_experts): probabilities, or sigmoids.
        chosen: experts of each token, (tokens, top_k).
        weights: theirs in the sum, (tokens, top_k).
    """

    scores: Tensor
    chosen: Tensor
    weights: Tensor


def route(logits: Tensor, moe: MoE, correction: Tensor | None = None) -> Routing:
    """Experts of each token and their weights, from the router's logits.

    s = softmax(logits) or sigmoid(logits); the top_k of s + correction are chosen, among the groups that are kept;
    their weights are s, divided by their sum where the model normalises, times scale.

    Args:
        logits: shape (tokens, n_experts).
        moe: the settings.
        correction: shape (n_experts,), or None.

    Returns:
        Scores, chosen experts and weights, at least in float32.

    Cost: O(tokens n_experts).
    References: Shazeer et al. 2017, arXiv:1701.06538, eqs. 2-5; DeepSeek-AI 2024, arXiv:2412.19437, eqs. 12-16.
    Peer: a loop over tokens in Python (B); transformers' Qwen 3 MoE, DeepSeek-V3, Llama 4 and GPT-OSS (A).
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    scores = logits.softmax(-1) if moe.score == "softmax" else logits.sigmoid()
    choice = scores if correction is None else scores + correction
    if moe.n_groups > 1:
        groups = choice.view(len(choice), moe.n_groups, -1)
        best = groups.topk(min(2, groups.shape[-1]), -1).values.sum(-1).topk(moe.top_groups, -1).indices
        dropped = torch.ones_like(groups[..., 0], dtype=torch.bool).scatter_(1, best, False)
        choice = groups.masked_fill(dropped[..., None], -torch.inf).flatten(1)
    chosen = choice.topk(moe.top_k, -1).indices
    weights = scores.gather(1, chosen)
    if moe.normalize:
        weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
    return Routing(scores, chosen, weights * moe.scale)


class Experts(nn.Module):
    """Feed-forward layers of which each token passes top_k: y = sum_e w_e down_e(act(up_e x)), and a shared one.

    Tokens are sorted by expert, so that each expert that is hit works on one block, and its weights alone are read.

    Args:
        config: of the model, with `moe`.

    Attributes:
        router: linear map to the logits of experts.
        correction: bias of the choice, shape (n_experts,), float32; a buffer, for no gradient moves it. Or None.
        up, down: (n_experts, 2 d_ff, d_model) with gate rows first, and (n_experts, d_model, d_ff).
        up_bias, down_bias: (n_experts, 2 d_ff) and (n_experts, d_model), or None.
        shared: feed-forward layer of all tokens, or None.

    Cost: top_k / n_experts of the weights a token; a loop over the experts that are hit.
    References: as of `route`; DeepSeek-AI 2024, arXiv:2401.06066, section 3.2 (shared experts).
    Peer: a loop over tokens and their experts, value and gradients, float64, 1e-12 (B).
    """

    def __init__(self, config: LMConfig) -> None:
        super().__init__()
        moe = config.moe
        assert moe is not None
        self.moe, self.activation, self.gated = moe, config.activation, config.gated
        n, d, inner = moe.n_experts, config.d_model, moe.d_ff
        self.router = linear(d, n, bias=moe.bias)
        self.register_buffer("correction", torch.zeros(n, dtype=torch.float32) if moe.correction else None)
        wide = inner * (2 if config.gated else 1)
        self.up, self.down = nn.Parameter(torch.empty(n, wide, d)), nn.Parameter(torch.empty(n, d, inner))
        self.up_bias = nn.Parameter(torch.zeros(n, wide)) if moe.bias else None
        self.down_bias = nn.Parameter(torch.zeros(n, d)) if moe.bias else None
        self.shared = FeedForward(config, moe.shared_d_ff) if moe.shared_d_ff else None
        self.record: list[Routing] | None = None  # see `routings`

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])  # (N, D)
        routing = route(self._logits(rows), self.moe, self.correction)
        if self.record is not None:
            self.record.append(routing)
        y = self.dispatch(rows, routing.chosen, routing.weights.to(x.dtype))
        if self.shared is not None:
            y = y + self.shared(rows)
        return y.view(x.shape)

    def dispatch(self, rows: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Sum over each token's experts: rows (N, D), chosen and weights (N, top_k) -> (N, D)."""
        k = chosen.shape[1]
        order = chosen.flatten().argsort(stable=True)  # (N k,) slots by expert
        sorted_weights = weights.flatten()[order, None]
        inputs = rows[order // k]
        if self.moe.scale_input:
            inputs = inputs * sorted_weights
        counts = torch.bincount(chosen.flatten(), minlength=self.moe.n_experts).tolist()
        outputs, start = [], 0
        for e, count in enumerate(counts):
            if count:
                outputs.append(self._expert(e, inputs[start : start + count]))
                start += count
        y = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        if not self.moe.scale_input:
            y = y * sorted_weights
        return torch.empty_like(y).index_copy(0, order, y).view(-1, k, y.shape[-1]).sum(1)

    def _expert(self, e: int, x: Tensor) -> Tensor:
        up_bias = None if self.up_bias is None else self.up_bias[e]
        down_bias = None if self.down_bias is None else self.down_bias[e]
        return F.linear(
            activate(F.linear(x, self.up[e], up_bias), self.activation, self.gated), self.down[e], down_bias
        )

    def _logits(self, rows: Tensor) -> Tensor:
        """In float32 at least: two experts that tie in half precision need not tie."""
        if rows.dtype.itemsize >= 4 or not isinstance(self.router, nn.Linear):
            return self.router(rows)
        bias = self.router.bias
        return F.linear(rows.float(), self.router.weight.float(), None if bias is None else bias.float())


@contextmanager
def routings(model: nn.Module) -> Iterator[list[Routing]]:
    """Collect where each call's tokens are sent, layer by layer, while the context lasts.

        with routings(model) as where:
            loss = cross_entropy(model(ids), ...)
        loss = loss + 0.01 * sum(load_balancing_loss(r) for r in where) / len(where)

    Args:
        model: one that has `Experts`; without any the list stays empty.
    """
    found: list[Routing] = []
    experts = [module for module in model.modules() if isinstance(module, Experts)]
    try:
        for module in experts:
            module.record = found
        yield found
    finally:
        for module in experts:
            module.record = None


def load_balancing_loss(routing: Routing, *, valid: Tensor | None = None) -> Tensor:
    """n sum_i f_i P_i: f_i is the share of tokens' choices that fell on expert i, P_i its mean probability.

    It is 1 where both are uniform, and n where all go to one expert with certainty; its gradient flows through P alone.

    Args:
        routing: of a layer.
        valid: bool, one for each token: False leaves it out, as padding. Any shape.

    Returns:
        A number.

    Raises:
        ValueError: if valid has not one entry a token, or none is True.

    Cost: O(tokens n_experts).
    Deviations: the paper has top_k = 1; with more, f is the share of all choices, so that it sums to 1 all the same.
        Sigmoid scores are divided by their sum over experts to be probabilities (DeepSeek-V3, eq. 19).
    References: Fedus, Zoph & Shazeer 2022, arXiv:2101.03961, eqs. 4-6; DeepSeek-AI 2024, arXiv:2412.19437, eqs. 17-20.
    Peer: the sum written as loops, float64, and transformers' load_balancing_loss_func over top_k (A).
    In production: 0.01 of it beside the task's loss; or no loss, and `balance_` after each step.
    """
    scores, chosen = routing.scores, routing.chosen
    if valid is not None:
        keep = valid.flatten()
        if len(keep) != len(scores) or not bool(keep.any()):
            raise ValueError(f"valid must have one entry for each of {len(scores)} tokens, one True at least")
        scores, chosen = scores[keep], chosen[keep]
    n = scores.shape[1]
    share = torch.bincount(chosen.flatten(), minlength=n).to(scores.dtype) / chosen.numel()
    probability = (scores / scores.sum(-1, keepdim=True)).mean(0)
    return n * (share * probability).sum()


def balance_(correction: Tensor, chosen: Tensor, *, rate: float = 0.001) -> Tensor:
    """Raise the correction of experts with less than the mean load by rate, and lower that of those with more.

    b_i <- b_i + rate sign(mean load - load_i): balance without a loss that pulls at the model's weights.

    Args:
        correction: of an `Experts`, shape (n_experts,); changed in place.
        chosen: experts of the step's tokens, any shape, from all devices if there are several.
        rate: >= 0; 0.001 in DeepSeek-V3, and 0 for its last tokens.

    Returns:
        correction.

    Raises:
        ValueError: if rate < 0.

    Cost: O(tokens top_k).
    References: Wang et al. 2024, arXiv:2408.15664, algorithm 1; DeepSeek-AI 2024, arXiv:2412.19437, section 2.1.2.
    Peer: counts and signs in Python (B).
    In production: call it once an optimizer step for each layer, under `routings`.
    """
    if not rate >= 0:
        raise ValueError(f"rate must be >= 0, got {rate}")
    with torch.no_grad():
        load = torch.bincount(chosen.flatten(), minlength=len(correction)).to(correction.dtype)
        return correction.add_((load.mean() - load).sign(), alpha=rate)
