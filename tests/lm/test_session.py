"""Prompts of unequal length: read one by one where padding costs more, and the same either way."""

from __future__ import annotations

import pytest
import torch

from breadth.lm import LM, generate
from breadth.lm.session import Session
from tests.lm.models import KINDS, ids, perturbed

LENGTHS = (5, 90, 130, 40)
# layers keep the whole text even of the longest prompt; of the others some keep a window
WHOLE = ("plain", "learned", "distances", "behind", "sinusoids", "latent without a query's")


def prompts(lengths: tuple[int, ...] = LENGTHS) -> list[torch.Tensor]:
    return [ids(1, n, seed=n)[0] for n in lengths]


@pytest.fixture
def shapes(monkeypatch):
    """Of the ids of each call of a model."""
    seen = []
    call = LM.forward
    monkeypatch.setattr(
        LM, "forward", lambda self, ids, **given: seen.append(tuple(ids.shape)) or call(self, ids, **given)
    )
    return seen


@pytest.mark.parametrize("kind", WHOLE)
def test_logits_now_and_of_later_tokens_are_those_of_padded_rows(kind, shapes, monkeypatch):
    model = perturbed(KINDS[kind])
    found = []
    for apart in (True, False):
        session = Session(model, prompts(), room=6)
        if not apart:
            monkeypatch.setattr(session, "_uneven", lambda: False)
        logits = [session.read()[0]]
        for i in range(3):
            session.append(torch.tensor([i, 3, 1, 2]))
            logits.append(session.read()[0])
        assert session.cache.length == 133
        found.append(torch.stack(logits))
    assert shapes == [(1, n) for n in LENGTHS] + 3 * [(4, 1)] + [(4, 130)] + 3 * [(4, 1)]
    torch.testing.assert_close(*found, rtol=0, atol=1e-10)


def test_rows_get_the_tokens_that_they_get_alone(shapes):
    model = perturbed(KINDS["plain"])
    together = generate(model, [p.tolist() for p in prompts()], max_new_tokens=8).ids
    assert shapes[:4] == [(1, n) for n in LENGTHS]
    assert together == [generate(model, p.tolist(), max_new_tokens=8).ids[0] for p in prompts()]


@pytest.mark.parametrize(
    ("kind", "lengths", "given", "first"),
    [
        ("plain", (70, 70), {}, (2, 70)),
        ("plain", (5, 8, 20), {}, (3, 20)),
        ("plain", (129, 130), {}, (2, 130)),
        ("windows", LENGTHS, {}, (4, 130)),
        ("plain", LENGTHS, {"prefill_chunk": 50}, (4, 50)),
    ],
    ids=["of one length", "short", "little padding", "layers with a window", "in stretches"],
)
def test_what_gains_nothing_is_read_at_once(kind, lengths, given, first, shapes):
    Session(perturbed(KINDS[kind]), prompts(lengths), room=6, **given).read()
    assert shapes[0] == first


def test_a_cache_that_does_not_fit_takes_no_rows():
    model = perturbed(KINDS["plain"])
    rows = [model.make_cache(1, 9) for _ in range(2)]
    for row in rows:
        model(ids(1, 9), cache=row)
    for cache in (model.make_cache(3, 20), model.make_cache(2, 8), rows[0]):
        with pytest.raises(ValueError, match="empty cache for 2 rows of 9 tokens is needed"):
            cache.gather(rows)
