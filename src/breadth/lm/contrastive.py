"""Contrastive search, which keeps away from what was said, and contrastive decoding, from what an amateur would say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from breadth.lm.pipeline import Pipeline
from breadth.lm.sampling import FILTERED
from breadth.lm.session import Reader, Session
from breadth.lm.streaming import Choice


def degeneration_penalty(candidates: Tensor, past: Tensor, valid: Tensor | None = None) -> Tensor:
    """How much a candidate resembles what came before it: max_j cos(h_v, h_j).

    Args:
        candidates: hidden states h_v of a text with candidate v appended, shape (batch, k, d).
        past: hidden states h_j of the text, shape (batch, length, d).
        valid: bool, shape (batch, length), False for padding.

    Returns:
        Largest cosine, in [-1, 1], shape (batch, k).

    Cost: O(k length d) for a row.
    References: Su et al. 2022, arXiv:2202.06417, eq. 5 (second term).
    Peer: torch.nn.functional.cosine_similarity pair by pair in float64, 1e-12 (B).
    """
    cosine = _unit(candidates) @ _unit(past).transpose(1, 2)  # (B, k, T)
    return (cosine if valid is None else cosine.masked_fill(~valid[:, None], -math.inf)).amax(-1)


def contrastive_scores(probabilities: Tensor, penalty: Tensor, *, alpha: float) -> Tensor:
    """The model's confidence less the degeneration penalty: (1 - alpha) p(v | x) - alpha max_j cos(h_v, h_j).

    Args:
        probabilities: p(v | x) of the candidates, shape (batch, k).
        penalty: of `degeneration_penalty`, shape (batch, k).
        alpha: in [0, 1]; 0 is greedy decoding.

    Returns:
        Scores, shape (batch, k).

    Raises:
        ValueError: if alpha is outside [0, 1].

    Cost: O(k) for a row.
    References: Su et al. 2022, arXiv:2202.06417, eq. 5.
    Peer: every candidate scored by hand in float64 on models small enough to enumerate, equal choices (B).
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"penalty_alpha must be in [0, 1], got {alpha}")
    return (1 - alpha) * probabilities - alpha * penalty


class ContrastiveSearch:
    """Of the k likeliest tokens, the one that is likely and unlike what was said: contrastive search.

    All k candidates are read by the model, each in a row of its own, and the rows become copies of the one chosen.

    Args:
        session: the rows; the model must give hidden states.
        pipeline: steps before the candidates are chosen.
        alpha: weight of the degeneration penalty, in [0, 1].
        k: candidates, >= 1; more than the vocabulary means all.

    Raises:
        ValueError: if alpha or k is out of its range, or two models are contrasted already.

    Cost: a call of the model on k tokens a row for each step, and a copy of the cache.
    Deviations: the hidden states are those that the head reads, after the last normaliser.
    References: Su et al. 2022, arXiv:2202.06417, eq. 5; Su & Collier 2023, arXiv:2210.14140.
    Peer: every candidate scored by hand in float64 on models small enough to enumerate, equal choices (B);
        transformers 5 moved its own to code on its hub.
    In production: use it with alpha 0.6 and k 4 where text must be deterministic and must not repeat itself.
    """

    def __init__(self, session: Reader, pipeline: Pipeline, *, alpha: float, k: int) -> None:
        if not isinstance(session, Session):
            raise ValueError("contrastive search takes one model, got two")
        contrastive_scores(torch.zeros(1), torch.zeros(1), alpha=alpha)
        if k < 1:
            raise ValueError(f"top_k must be >= 1, got {k}")
        self.reader, self.pipeline, self.alpha = session, pipeline, alpha
        self.k = min(k, session.model.config.vocab_size)
        self._logits: Tensor | None = None  # of the next token, (B, V)
        self._past: Tensor | None = None  # hidden states of what was read, (B, T, d)

    @torch.inference_mode()
    def advance(self, live: Sequence[bool]) -> list[list[Choice]]:
        """Decide on each live row's next token."""
        session, k, batch = self.reader, self.k, len(live)
        if self._logits is None or self._past is None:
            logits, past = session.read_hidden()
            each = len(logits) // batch  # 1, or k where the first step was broken off
            self._logits, self._past = logits[::each], past[::each]
        if len(session.ids) == batch:
            session.fork(k)
        logits, past = self._logits, self._past
        valid = None if session.valid is None else session.valid[::k]
        scores = logits
        if len(self.pipeline):
            generated = torch.arange(session.length, device=logits.device) >= session.start
            scores = self.pipeline(session.known[::k], logits, valid=valid, generated=generated.expand(batch, -1))
        log_p = scores.log_softmax(-1)
        if torch.isnan(log_p).any():
            raise ValueError("logits hold NaN")
        values, tokens = log_p.topk(k)  # (B, k)
        session.append(tokens.view(-1))
        after, hidden = session.read_hidden()
        hidden = hidden[:, -1].view(batch, k, -1)
        penalty = degeneration_penalty(hidden, past, valid)
        ranked = contrastive_scores(values.exp(), penalty, alpha=self.alpha).masked_fill(values == FILTERED, FILTERED)
        best = ranked.argmax(-1)  # (B,)
        each = torch.arange(batch, device=best.device)
        rows = each * k + best
        session.reorder(rows.repeat_interleave(k))
        chosen = tokens[each, best]
        raw = logits.log_softmax(-1)[each, chosen]
        self._logits, self._past = after[rows], torch.cat([past, hidden[each, best][:, None]], 1)
        choices = zip(chosen.tolist(), raw.tolist(), values[each, best].tolist(), strict=True)
        return [[Choice(*choice)] if live[r] else [] for r, choice in enumerate(choices)]

    def mark(self) -> Any:
        """Where the rows end, and what the model said of them."""
        return self.reader.mark(), self._logits, self._past

    def rewind(self, mark: Any) -> None:
        """Forget what came after a mark."""
        where, self._logits, self._past = mark
        self.reader.rewind(where)


def contrast(expert: Tensor, amateur: Tensor, *, alpha: float = 0.1, amateur_temperature: float = 1.0) -> Tensor:
    """What an expert model finds likelier than an amateur, among the tokens that are plausible.

    log p_exp(v) - log p_ama(v) where p_exp(v) >= alpha max_w p_exp(w), else -inf, with p_ama = softmax(z_ama / tau).

    Args:
        expert: logits, shape (..., vocabulary).
        amateur: logits, shape of expert.
        alpha: plausibility threshold, in (0, 1]; 1 leaves the expert's likeliest token only, which is greedy decoding.
        amateur_temperature: tau > 0; below 1 sharpens what is penalised.

    Returns:
        Scores, shape (..., vocabulary); no log-probabilities, but the sum over a text is what decoding maximises.

    Raises:
        ValueError: if alpha is outside (0, 1], tau is not > 0, or shapes differ.

    Cost: O(vocabulary) for a row.
    References: Li et al. 2023, arXiv:2210.15097, section 3.2 (contrastive objective), 3.3 (the plausible set V_head and
        the CD-score) and 3.4 (temperature of the amateur).
    Peer: the formula token by token in float64, 1e-12; all texts of a small model enumerated (B).
    In production: use it by beam search with alpha 0.1 and an amateur of the same family, at most a tenth of its size.
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"contrast_alpha must be in (0, 1], got {alpha}")
    if not amateur_temperature > 0:
        raise ValueError(f"amateur_temperature must be > 0, got {amateur_temperature}")
    if expert.shape != amateur.shape:
        raise ValueError(f"amateur must have the shape of expert, {tuple(expert.shape)}, got {tuple(amateur.shape)}")
    log_p = expert.log_softmax(-1)
    implausible = log_p < log_p.amax(-1, keepdim=True) + math.log(alpha)
    return (log_p - (amateur / amateur_temperature).log_softmax(-1)).masked_fill(implausible, FILTERED)


class ContrastReader:
    """Two models that read the same rows, for contrastive decoding; what is decoded from are their contrasted logits.

    Args:
        expert: the rows as the model reads them.
        amateur: the same rows for the other model.
        alpha: plausibility threshold of `contrast`.
        amateur_temperature: of `contrast`.

    Cost: a call of each model for each step.
    """

    def __init__(self, expert: Reader, amateur: Reader, *, alpha: float, amateur_temperature: float) -> None:
        self.expert, self.amateur = expert, amateur
        self.alpha, self.amateur_temperature = alpha, amateur_temperature
        self.start = expert.start

    @property
    def ids(self) -> Tensor:
        """The tokens, with room."""
        return self.expert.ids

    @property
    def length(self) -> int:
        """How many there are in each row."""
        return self.expert.length

    @property
    def known(self) -> Tensor:
        """The tokens."""
        return self.expert.known

    @property
    def valid(self) -> Tensor | None:
        """What of them is no padding."""
        return self.expert.valid

    def read(self) -> tuple[Tensor, Tensor]:
        """The expert's logits, and the contrasted ones."""
        logits, other = self.expert.read()[0], self.amateur.read()[0]
        return logits, contrast(logits, other, alpha=self.alpha, amateur_temperature=self.amateur_temperature)

    def append(self, tokens: Tensor) -> None:
        """A token more in each row."""
        self.expert.append(tokens)
        self.amateur.append(tokens)

    def fork(self, copies: int) -> None:
        """Each row so many times."""
        self.expert.fork(copies)
        self.amateur.fork(copies)

    def reorder(self, rows: Tensor) -> None:
        """The rows given by number in place of those that are."""
        self.expert.reorder(rows)
        self.amateur.reorder(rows)

    def mark(self) -> Any:
        """Where the rows end."""
        return self.expert.mark(), self.amateur.mark()

    def rewind(self, mark: Any) -> None:
        """Forget what came after a mark."""
        self.expert.rewind(mark[0])
        self.amateur.rewind(mark[1])


def _unit(hidden: Tensor) -> Tensor:
    return hidden / hidden.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(hidden.dtype).tiny)
