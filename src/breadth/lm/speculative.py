"""Speculative decoding: a small model proposes, the large one checks several tokens in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from breadth.lm.draws import Uniforms, draw_from
from breadth.lm.pipeline import Pipeline
from breadth.lm.session import Reader, Session
from breadth.lm.streaming import Choice

_FIRST, _PROPOSE, _ACCEPT = 0, 1, 2  # what a stream of uniform numbers is for


def acceptance(target: Tensor, draft: Tensor) -> Tensor:
    """Probability that a token drawn from the draft's distribution is kept: sum_v min(p(v), q(v)).

    Args:
        target: p, shape (..., vocabulary).
        draft: q, shape of target.

    Returns:
        beta in [0, 1], shape (...,).

    References: Leviathan et al. 2023, arXiv:2211.17192, theorem 3.5 and definition 3.1.
    Peer: the share of draws kept, within its noise (B).
    """
    return torch.minimum(target, draft).sum(-1)


def expected_tokens(alpha: float, tokens: int) -> float:
    """Tokens that one call of the target gives on average: (1 - alpha^(gamma+1)) / (1 - alpha).

    Args:
        alpha: probability that a proposed token is kept, in [0, 1], taken as the same at each place.
        tokens: gamma, how many are proposed.

    Returns:
        In [1, gamma + 1].

    Raises:
        ValueError: if alpha is outside [0, 1] or tokens below 1.

    References: Leviathan et al. 2023, arXiv:2211.17192, eq. 1.
    Peer: the sum 1 + alpha + ... + alpha^gamma, 1e-12 (B).
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha}")
    if tokens < 1:
        raise ValueError(f"tokens must be >= 1, got {tokens}")
    return float(tokens + 1) if alpha == 1 else (1 - alpha ** (tokens + 1)) / (1 - alpha)


def residual(target: Tensor, draft: Tensor) -> Tensor:
    """What to draw from where a proposal was rejected: max(0, p - q), not normalised.

    Where p = q up to rounding there is nothing left, and p stands in.

    Args:
        target: p, shape (..., vocabulary).
        draft: q, shape of target.

    Returns:
        Weights, shape (..., vocabulary).

    References: Leviathan et al. 2023, arXiv:2211.17192, section 2.3.
    Peer: beta-weighted, kept and redrawn tokens together are distributed as p, 1e-12 (B).
    """
    rest = (target - draft).clamp(min=0)
    return torch.where(rest.sum(-1, keepdim=True) > 0, rest, target)


class Speculative:
    """Text distributed as the target model's, with fewer calls of it.

    The draft proposes x_1..x_gamma one by one from q_i; the target reads them in one call, which gives p_1..p_gamma+1.
    x_i is kept with probability min(1, p_i(x_i) / q_i(x_i)); at the first that is not, a token is drawn from
    max(0, p_i - q_i), and after the last from p_gamma+1. p and q are what the pipeline's steps make of the models'
    logits; greedily, x_i is kept if it is the target's argmax.

    Rows keep unequal numbers of tokens. Both caches are cut back to the shortest row, and the tokens that other rows
    have beyond are read again with the next ones; a row that is more than gamma ahead waits.

    Args:
        reader: the rows as the target reads them.
        drafter: the same rows, `copies` of each, as the draft reads them.
        pipeline: the steps.
        tokens: gamma >= 1.
        copies: rows for each prompt, which the target reads once.
        seed: as of `generate`; None decodes greedily.

    Attributes:
        proposed: tokens proposed.
        accepted: those of them that were kept.

    Raises:
        ValueError: if the target is no single model, or tokens is below 1.

    Cost: a round is gamma calls of the draft and one of the target on gamma + 1 tokens a row (up to 2 gamma + 1 where
        rows differ); it gives `expected_tokens` of them.
    Deviations: a row's random numbers go by place, so that its text does not depend on the other rows.
    References: Leviathan et al. 2023, arXiv:2211.17192, algorithm 1; Chen et al. 2023, arXiv:2302.01318.
    Peer: greedy: equal to greedy decoding; sampled: chi-square against the target's exact distribution over all texts
        of a small model (B).
    In production: use it with a draft at least ten times cheaper that agrees on most tokens, for small batches: what it
        saves is reading the target's weights.
    """

    def __init__(
        self,
        reader: Reader,
        drafter: Session,
        pipeline: Pipeline,
        *,
        tokens: int = 4,
        copies: int = 1,
        seed: int | Sequence[int] | None = None,
    ) -> None:
        if not isinstance(reader, Session):
            raise ValueError("speculative decoding takes one target model, got two that are contrasted")
        if tokens < 1:
            raise ValueError(f"draft_tokens must be >= 1, got {tokens}")
        self.reader, self.drafter, self.pipeline, self.gamma, self.copies = reader, drafter, pipeline, tokens, copies
        rows = len(drafter.ids)
        self._uniforms = None if seed is None else [Uniforms(seed, rows, kind=kind) for kind in range(3)]
        self._limits: Tensor | None = None  # where each row ends; None before the first token
        self.proposed = self.accepted = 0

    def mark(self) -> Any:
        """Where the rows end."""
        limits = None if self._limits is None else self._limits.clone()
        return self.reader.mark(), self.drafter.mark(), limits, (self.proposed, self.accepted)

    def rewind(self, mark: Any) -> None:
        """Forget what came after a mark."""
        target, draft, self._limits, (self.proposed, self.accepted) = mark
        self.reader.rewind(target)
        self.drafter.rewind(draft)

    @torch.inference_mode()
    def advance(self, live: Sequence[bool]) -> list[list[Choice]]:
        """Decide on the next tokens of each live row: one at first, then one to gamma + 1 a round."""
        if self._limits is None:
            return self._first(live)
        limits, room = self._limits, self.reader.ids.shape[1]
        alive = torch.tensor(live, device=limits.device)
        slowest = int(limits[alive].min())
        limits = limits.where(alive, slowest)  # what a row holds that has ended is read no further
        on = alive & (limits - slowest <= self.gamma)
        counts = (room - 1 - limits).clamp(0, self.gamma).where(on, 0)  # proposals, leaving room for the token after
        q = self._propose(limits, counts, on, alive)
        logits, begin = self.reader.read_ragged(limits + counts, slowest - 1)
        steps = int(counts.max())
        rows = torch.arange(len(limits), device=limits.device)
        places = (limits[:, None] - 1 - begin + torch.arange(steps + 1, device=limits.device)).clamp(
            0, logits.shape[1] - 1
        )
        logits = logits[rows[:, None], places]  # (B, steps + 1, V): after a row's last token and each proposal
        scores = [self._steps(logits[:, i], limits + counts.clamp(max=i)) for i in range(steps + 1)]
        p = [each.double().softmax(-1) for each in scores]
        kept = self._keep(p, q, limits, counts)
        extra = self._after(p, q, limits, counts, kept)
        ids = self.reader.ids
        ids[rows[on], (limits + kept)[on]] = extra[on]
        tokens = ids.gather(1, (limits[:, None] + torch.arange(steps + 1, device=ids.device)).clamp(max=room - 1))
        logprobs, drawn = (
            each.log_softmax(-1).gather(-1, tokens[..., None]).squeeze(-1) for each in (logits, torch.stack(scores, 1))
        )
        if logprobs[on].isnan().any():
            raise ValueError("logits hold NaN")
        new = zip(tokens.tolist(), logprobs.tolist(), drawn.tolist(), (kept + 1).where(on, 0).tolist(), strict=True)
        found = [[Choice(*each) for each in zip(*lists, strict=True)][:n] for *lists, n in new]
        self.proposed += int(counts.sum())
        self.accepted += int(kept.where(on, 0).sum())
        self._limits = (limits + kept + 1).where(on, limits)
        return found

    def _first(self, live: Sequence[bool]) -> list[list[Choice]]:
        """The prompt's last logits give the first token, as in plain decoding."""
        reader = self.reader
        logits, _ = reader.read()
        if len(reader.ids) < len(live):
            reader.fork(self.copies)
        logits = logits.repeat_interleave(len(live) // len(logits), 0)
        self.drafter.ids = reader.ids  # one set of tokens for both
        limits = torch.full((len(live),), reader.length, device=logits.device)
        scores = self._steps(logits, limits)
        tokens = self._pick(scores.double().softmax(-1), limits, _FIRST)
        reader.ids[:, reader.length] = tokens
        self._limits = limits + 1
        log_p, drawn = logits.log_softmax(-1), scores.log_softmax(-1)
        return [[Choice(t, float(log_p[r, t]), float(drawn[r, t]))] for r, t in enumerate(tokens.tolist())]

    def _propose(self, limits: Tensor, counts: Tensor, on: Tensor, alive: Tensor) -> list[Tensor]:
        """Write proposals behind each row; the distributions they were drawn from, each (B, V)."""
        q = []
        rows = torch.arange(len(limits), device=limits.device)
        for i in range(int(counts.max())):
            ends = limits + counts.clamp(max=i)
            behind = int(ends[on].min())
            # a row that has ended is as long as the shortest: in the cache no row may have padding behind its tokens
            logits, begin = self.drafter.read_ragged(ends.where(alive, behind), behind - 1)
            logits = logits[rows, (ends - 1 - begin).clamp(0, logits.shape[1] - 1)]
            q.append(self._steps(logits, ends).double().softmax(-1))
            going = counts > i
            self.reader.ids[rows[going], ends[going]] = self._pick(q[-1], ends, _PROPOSE)[going]
        return q

    def _keep(self, p: list[Tensor], q: list[Tensor], limits: Tensor, counts: Tensor) -> Tensor:
        """How many proposals of each row are kept, (B,)."""
        kept = torch.zeros_like(counts)
        going = torch.ones_like(counts, dtype=torch.bool)
        rows = torch.arange(len(limits), device=limits.device)
        last = self.reader.ids.shape[1] - 1
        for i in range(len(q)):
            tokens = self.reader.ids[rows, (limits + i).clamp(max=last)]
            if self._uniforms is None:
                keep = p[i].argmax(-1) == tokens
            else:
                u = self._uniforms[_ACCEPT].row((limits + i - self.reader.start).tolist()).to(limits.device)
                keep = u * q[i][rows, tokens] < p[i][rows, tokens]
            going &= keep & (counts > i)
            kept += going
        return kept

    def _after(self, p: list[Tensor], q: list[Tensor], limits: Tensor, counts: Tensor, kept: Tensor) -> Tensor:
        """The token after those that were kept, (B,)."""
        weights = torch.stack(p, 1)[torch.arange(len(kept), device=kept.device), kept]  # (B, V)
        if q and self._uniforms is not None:
            proposed = torch.stack([*q, torch.zeros_like(q[0])], 1)[torch.arange(len(kept), device=kept.device), kept]
            weights = torch.where((kept < counts)[:, None], residual(weights, proposed), weights)
        return self._pick(weights, limits + kept, _FIRST)

    def _pick(self, weights: Tensor, ends: Tensor, kind: int) -> Tensor:
        if self._uniforms is None:
            return weights.argmax(-1)
        return draw_from(weights, self._uniforms[kind].row((ends - self.reader.start).tolist()))

    def _steps(self, logits: Tensor, ends: Tensor) -> Tensor:
        """Logits after the pipeline, which sees each row up to its own end."""
        reader = self.reader
        if not self.pipeline.looks_back:
            return self.pipeline(reader.ids[:, :1], logits) if len(self.pipeline) else logits
        width = int(ends.max())
        places = torch.arange(width, device=ends.device) - (width - ends)[:, None]
        ids = reader.ids.gather(1, places.clamp(min=0))
        full = reader.valid
        valid = places >= (0 if full is None else (~full[:, : reader.start]).sum(1)[:, None])
        return self.pipeline(ids, logits, valid=valid, generated=places >= reader.start)
