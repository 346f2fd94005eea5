"""Heads on a model that sees both sides: two sentences in order or not, classes, tags, spans, numbers, embeddings.

Each takes a `breadth.lm.LM` and is trained together with it. A causal model serves too, if its last token is read:
pass pooling="last".
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from breadth.lm.feed_forward import linear
from breadth.lm.model import LM

Pooling = Literal["first", "last", "mean"]


def pool(states: Tensor, valid: Tensor | None = None, *, pooling: Pooling = "mean") -> Tensor:
    """One vector a text: that of its first or last token, or the mean of all.

    Args:
        states: shape (B, T, d_model).
        valid: bool, (B, T), False for padding on either side; None means that there is none.
        pooling: "first" is BERT's [CLS], "last" a decoder's, which alone has seen the whole text.

    Returns:
        Shape (B, d_model).

    Raises:
        ValueError: if pooling is unknown, valid has another shape, or a row is nothing but padding.

    Cost: one pass over states.
    References: Devlin et al. 2018, arXiv:1810.04805, section 3 (first); Reimers & Gurevych 2019, arXiv:1908.10084,
        section 3 (mean).
    Peer: a loop over rows (B); sentence-transformers' mean pooling as its formula says.
    """
    if pooling not in get_args(Pooling):
        raise ValueError(f"pooling must be one of {', '.join(map(repr, get_args(Pooling)))}, got {pooling!r}")
    if valid is None:
        return states.mean(1) if pooling == "mean" else states[:, 0 if pooling == "first" else -1]
    if valid.shape != states.shape[:2]:
        raise ValueError(f"valid must have shape {tuple(states.shape[:2])}, got {tuple(valid.shape)}")
    if not bool(valid.any(1).all()):
        raise ValueError("valid must be True once in each row at least: a text of padding alone has no vector")
    if pooling == "mean":
        weights = valid.to(states.dtype)[..., None]
        return (states.masked_fill(~valid[..., None], 0)).sum(1) / weights.sum(1)
    places = torch.arange(valid.shape[1], device=valid.device)
    if pooling == "first":
        place = places.masked_fill(~valid, valid.shape[1]).amin(1)
    else:
        place = places.masked_fill(~valid, -1).amax(1)
    return states[torch.arange(len(states), device=states.device), place]


class Pooler(nn.Module):
    """tanh(W h + b) of the first token's state: BERT's vector of a text.

    Args:
        d_model: width.

    Attributes:
        dense: the linear map.

    References: Devlin et al. 2018, arXiv:1810.04805, section 3; the tanh is that of the authors' code.
    Peer: transformers' BertPooler (A).
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.dense = _drawn(d_model, d_model)

    def forward(self, states: Tensor, valid: Tensor | None = None) -> Tensor:
        """(B, T, d_model) -> (B, d_model)."""
        return torch.tanh(self.dense(pool(states, valid, pooling="first")))


class NextSentence(nn.Module):
    """Whether the second segment follows the first: logits (B, 2), index 0 for "it does".

    Args:
        model: one that sees both sides, with two token types.

    Attributes:
        pooler, classifier: BERT's `pooler` and `cls.seq_relationship`.

    Raises:
        ValueError: if the model is causal, or has fewer than two token types.

    References: Devlin et al. 2018, arXiv:1810.04805, section 3.1, task 2.
    Peer: transformers' BertForPreTraining with the same weights, 2e-5 (A).
    In production: RoBERTa and its successors leave this task out; it is here to read and to compare.
    """

    def __init__(self, model: LM) -> None:
        super().__init__()
        if model.config.causal or model.config.token_types < 2:
            raise ValueError(
                f"model must see both sides and have two token_types, got causal={model.config.causal} and "
                f"token_types={model.config.token_types}"
            )
        self.model = model
        self.pooler = Pooler(model.config.d_model)
        self.classifier = _drawn(model.config.d_model, 2)

    def forward(self, ids: Tensor, *, types: Tensor, valid: Tensor | None = None) -> Tensor:
        return self.classifier(self.pooler(self.model.states(ids, valid=valid, types=types), valid))


class SequenceClassifier(nn.Module):
    """Logits of a text's class, (B, n_classes): linear(pool(states)).

    Args:
        model: the model.
        n_classes: >= 2.
        pooling: as of `pool`; None takes BERT's `Pooler` for a model that sees both sides, and "last" for a causal one.

    Attributes:
        pooler: a `Pooler`, or None.
        classifier: the linear map.

    Raises:
        ValueError: if n_classes < 2.

    References: Devlin et al. 2018, arXiv:1810.04805, section 4.1.
    Peer: transformers' BertForSequenceClassification with the same weights, 2e-5 (A).
    """

    def __init__(self, model: LM, n_classes: int, *, pooling: Pooling | None = None) -> None:
        super().__init__()
        if n_classes < 2:
            raise ValueError(f"n_classes must be >= 2, got {n_classes}; a number is what SequenceRegressor gives")
        self.model = model
        self.pooling, self.pooler = _pooling(model, pooling)
        self.classifier = _drawn(model.config.d_model, n_classes)

    def forward(self, ids: Tensor, *, valid: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        return self.classifier(_pooled(self, ids, valid, types))


class SequenceRegressor(nn.Module):
    """A number for a text, (B,): linear(pool(states)).

    Args:
        model, pooling: as of `SequenceClassifier`.

    Attributes:
        pooler, regressor: as of `SequenceClassifier`.

    References: Devlin et al. 2018, arXiv:1810.04805, section 4.1 (STS-B).
    Peer: transformers' BertForSequenceClassification with one label, 2e-5 (A).
    """

    def __init__(self, model: LM, *, pooling: Pooling | None = None) -> None:
        super().__init__()
        self.model = model
        self.pooling, self.pooler = _pooling(model, pooling)
        self.regressor = _drawn(model.config.d_model, 1)

    def forward(self, ids: Tensor, *, valid: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        return self.regressor(_pooled(self, ids, valid, types)).squeeze(-1)


class TokenTagger(nn.Module):
    """Logits of each token's tag, (B, T, n_tags): linear(states).

    Args:
        model: the model.
        n_tags: >= 2.

    Attributes:
        classifier: the linear map.

    Raises:
        ValueError: if n_tags < 2.

    References: Devlin et al. 2018, arXiv:1810.04805, section 5.3 (named entities).
    Peer: transformers' BertForTokenClassification with the same weights, 2e-5 (A).
    """

    def __init__(self, model: LM, n_tags: int) -> None:
        super().__init__()
        if n_tags < 2:
            raise ValueError(f"n_tags must be >= 2, got {n_tags}")
        self.model = model
        self.classifier = _drawn(model.config.d_model, n_tags)

    def forward(self, ids: Tensor, *, valid: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        return self.classifier(self.model.states(ids, valid=valid, types=types))


class Spans(NamedTuple):
    """Spans of texts: first and last token of each, (B,), and the sum of their logits."""

    start: Tensor
    end: Tensor
    score: Tensor


class SpanReader(nn.Module):
    """Where an answer lies in a text: logits of its first and of its last token, each (B, T), -inf at padding.

    Args:
        model: the model.

    Attributes:
        outputs: the linear map to both.

    References: Devlin et al. 2018, arXiv:1810.04805, section 4.2.
    Peer: transformers' BertForQuestionAnswering with the same weights, 2e-5 (A).
    """

    def __init__(self, model: LM) -> None:
        super().__init__()
        self.model = model
        self.outputs = _drawn(model.config.d_model, 2)

    def forward(
        self, ids: Tensor, *, valid: Tensor | None = None, types: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        logits = self.outputs(self.model.states(ids, valid=valid, types=types))
        if valid is not None:
            logits = logits.masked_fill(~valid[..., None], -torch.inf)
        return logits[..., 0], logits[..., 1]


def best_spans(start: Tensor, end: Tensor, *, max_length: int, allowed: Tensor | None = None) -> Spans:
    """The span i <= j < i + max_length with the highest start_i + end_j.

    Args:
        start, end: logits, (B, T).
        max_length: tokens in a span, >= 1.
        allowed: bool, (B, T): tokens that may be in an answer, as those of the passage; None allows all.

    Returns:
        First and last token of each row's span, and its score.

    Raises:
        ValueError: if max_length < 1, shapes differ, or a row allows nothing.

    Cost: O(B T^2) memory.
    References: Devlin et al. 2018, arXiv:1810.04805, section 4.2.
    Peer: two loops over all spans (B).
    """
    if max_length < 1:
        raise ValueError(f"max_length must be >= 1, got {max_length}")
    if start.shape != end.shape or start.dim() != 2 or (allowed is not None and allowed.shape != start.shape):
        raise ValueError(f"start, end and allowed must have one shape (batch, length), got {tuple(start.shape)}")
    scores = start[:, :, None] + end[:, None, :]  # (B, T, T)
    length = start.shape[1]
    place = torch.arange(length, device=start.device)
    distance = place - place[:, None]
    scores = scores.masked_fill((distance < 0) | (distance >= max_length), -torch.inf)
    if allowed is not None:
        if not bool(allowed.any(1).all()):
            raise ValueError("allowed must be True once in each row at least")
        scores = scores.masked_fill(~(allowed[:, :, None] & allowed[:, None, :]), -torch.inf)
    best = scores.flatten(1).max(1)
    first = torch.div(best.indices, length, rounding_mode="floor")
    return Spans(first, best.indices % length, best.values)


class SentenceEmbedder(nn.Module):
    """A vector for a text, (B, d_model): the pooled states, of length 1 unless told otherwise.

    Args:
        model: the model.
        pooling: as of `pool`.
        normalize: divide by the length, so that a dot product is a cosine.

    Raises:
        ValueError: if pooling is unknown.

    References: Reimers & Gurevych 2019, arXiv:1908.10084, section 3.
    Peer: mean and length as their formulas say, row by row (B).
    """

    def __init__(self, model: LM, *, pooling: Pooling = "mean", normalize: bool = True) -> None:
        super().__init__()
        self.model = model
        self.pooling: Pooling = _pooling(model, pooling)[0]
        self.normalize = normalize

    def forward(self, ids: Tensor, *, valid: Tensor | None = None, types: Tensor | None = None) -> Tensor:
        vectors = pool(self.model.states(ids, valid=valid, types=types), valid, pooling=self.pooling)
        return F.normalize(vectors, dim=-1) if self.normalize else vectors


def _pooling(model: LM, pooling: Pooling | None) -> tuple[Pooling, Pooler | None]:
    if pooling is not None and pooling not in get_args(Pooling):
        raise ValueError(f"pooling must be one of {', '.join(map(repr, get_args(Pooling)))}, got {pooling!r}")
    if pooling is None and not model.config.causal:
        return "first", Pooler(model.config.d_model)
    return "last" if pooling is None else pooling, None


def _pooled(head: SequenceClassifier | SequenceRegressor, ids: Tensor, valid: Tensor | None, types: Tensor | None):
    states = head.model.states(ids, valid=valid, types=types)
    return pool(states, valid, pooling=head.pooling) if head.pooler is None else head.pooler(states, valid)


def _drawn(inputs: int, outputs: int) -> nn.Linear:
    """A linear map from N(0, 0.02^2), with bias 0."""
    made = linear(inputs, outputs, bias=True)
    nn.init.normal_(made.weight, 0.0, 0.02)
    nn.init.zeros_(made.bias)
    return made
