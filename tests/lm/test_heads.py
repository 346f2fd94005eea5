from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from breadth.lm.heads import (
    NextSentence,
    SentenceEmbedder,
    SequenceClassifier,
    SequenceRegressor,
    SpanReader,
    TokenTagger,
    best_spans,
    pool,
)
from tests.lm.models import BOTH_SIDES, KINDS, ids, perturbed

F64 = torch.float64


def test_pooling_takes_real_tokens_alone():
    g = torch.Generator().manual_seed(0)
    states = torch.randn(3, 6, 4, generator=g, dtype=F64)
    states[1, 4:] = torch.nan  # padding may hold anything
    valid = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [False] * 3 + [True] * 3])
    for pooling, expected in (
        ("first", [states[0, 0], states[1, 0], states[2, 3]]),
        ("last", [states[0, 5], states[1, 3], states[2, 5]]),
        ("mean", [states[0].mean(0), states[1, :4].mean(0), states[2, 3:].mean(0)]),
    ):
        assert_close(pool(states, valid, pooling=pooling), torch.stack(expected), rtol=1e-14, atol=1e-14)
    assert_close(pool(states[:1], pooling="last"), states[:1, -1])
    with pytest.raises(ValueError, match="padding alone"):
        pool(states, torch.zeros(3, 6, dtype=torch.bool))
    with pytest.raises(ValueError, match="'first', 'last', 'mean', got 'max'"):
        pool(states, pooling="max")


@pytest.mark.parametrize("make", [
    lambda m: SequenceClassifier(m, 3),
    lambda m: SequenceClassifier(m, 3, pooling="mean"),
    SequenceRegressor,
    lambda m: TokenTagger(m, 5),
    SpanReader,
    SentenceEmbedder,
])  # fmt: skip
@pytest.mark.parametrize("config", [BOTH_SIDES, KINDS["plain"]], ids=["both sides", "causal"])
def test_what_is_behind_a_text_makes_no_difference(make, config):
    torch.manual_seed(0)
    head = make(perturbed(config)).double()
    tokens = ids(2, 9)
    valid = torch.arange(9) < torch.tensor([[9], [6]])
    both, alone = head(tokens, valid=valid), head(tokens[1:, :6])
    both, alone = (both, alone) if isinstance(both, tuple) else ((both,), (alone,))
    for together, by_itself in zip(both, alone, strict=True):
        row = together[1] if together.shape[1:2] != (9,) else together[1, :6]
        assert_close(row, by_itself[0], rtol=0, atol=2e-12)
    sum(t.nan_to_num(neginf=0).sum() for t in both).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for n, p in head.named_parameters()
               if "model.head" not in n and "mlm" not in n and "types" not in n)  # fmt: skip


def test_embeddings_have_length_one_and_rank_a_text_first_for_itself():
    head = SentenceEmbedder(perturbed(BOTH_SIDES))
    with torch.no_grad():
        vectors = head(ids(5, 12))
    assert_close(vectors.norm(dim=1), torch.ones(5, dtype=F64), rtol=0, atol=1e-12)
    assert ((vectors @ vectors.T).argmax(1) == torch.arange(5)).all()


def test_the_best_span_is_that_of_two_loops():
    g = torch.Generator().manual_seed(1)
    start, end = torch.randn(20, 9, generator=g, dtype=F64), torch.randn(20, 9, generator=g, dtype=F64)
    allowed = torch.rand(20, 9, generator=g) < 0.7
    allowed[:, 4] = True
    for longest in (1, 3, 9):
        found = best_spans(start, end, max_length=longest, allowed=allowed)
        for r in range(20):
            spans = [
                (float(start[r, i] + end[r, j]), i, j)
                for i in range(9)
                for j in range(i, min(i + longest, 9))
                if allowed[r, i] and allowed[r, j]
            ]
            assert (float(found.score[r]), int(found.start[r]), int(found.end[r])) == max(spans)


def test_a_head_learns_which_segment_comes_first():
    """Next-sentence prediction on three tokens that count up, and three that go on counting or start anew."""
    torch.manual_seed(0)
    head = NextSentence(perturbed(BOTH_SIDES, dtype=torch.float32)).float()
    head.model.reset_parameters()
    optimizer = torch.optim.Adam(head.parameters(), 3e-3)
    types, steps = torch.tensor([0] * 3 + [1] * 3), torch.arange(3)

    def batch(n):
        first, anew = torch.randint(0, 8, (n,)), torch.randint(0, 2, (n,))
        second = first + 3 + anew * torch.randint(1, 8, (n,))
        return torch.cat((first[:, None] + steps, second[:, None] + steps), 1) % 8, anew

    for _ in range(120):
        tokens, label = batch(48)
        loss = torch.nn.functional.cross_entropy(head(tokens, types=types.expand(len(tokens), -1)), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tokens, label = batch(500)
        right = head(tokens, types=types.expand(500, -1)).argmax(-1) == label
    assert right.double().mean() > 0.85


def test_what_heads_refuse():
    model = perturbed(KINDS["plain"])
    with pytest.raises(ValueError, match="both sides and have two token_types"):
        NextSentence(model)
    with pytest.raises(ValueError, match="n_classes must be >= 2, got 1"):
        SequenceClassifier(model, 1)
    with pytest.raises(ValueError, match="n_tags"):
        TokenTagger(model, 1)
    with pytest.raises(ValueError, match="max_length"):
        best_spans(torch.zeros(1, 3), torch.zeros(1, 3), max_length=0)
    with pytest.raises(ValueError, match="one shape"):
        best_spans(torch.zeros(1, 3), torch.zeros(1, 4), max_length=1)
    with pytest.raises(ValueError, match="got 'sum'"):
        SentenceEmbedder(model, pooling="sum")
