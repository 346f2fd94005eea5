"""Caches compared: bytes are those of the tensors, and decoding through a cache charges what the whole text costs."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from breadth.evidence import contenders_cache as c
from breadth.evidence.problem import from_tokens
from breadth.evidence.sources import read_tokens
from breadth.lm.likelihood import token_logprobs

LENGTH = 256


@pytest.fixture(scope="module")
def prepared():
    return from_tokens("t", np.random.default_rng(0).integers(7, size=(6, LENGTH)), vocabulary=7, task="modelling")


def fitted(entry, prepared):
    entry = entry.having(steps=1)
    return entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X)


@pytest.mark.parametrize(
    ("entry", "numbers"),
    [(c.MHA, 2 * 64), (c.GQA, 2 * 32), (c.MQA, 2 * 16), (c.LATENT, 16 + 8)],
    ids=lambda v: getattr(v, "name", ""),
)
def test_bytes_are_those_of_the_tensors_that_a_cache_holds(entry, numbers, prepared):
    """Two layers of float32; keys and values of 4, 2 or 1 heads of 16, or a latent of 16 and a turned key of 8."""
    model = fitted(entry, prepared)
    assert model.kv_bytes_per_token == 2 * numbers * 4
    cache = model.model_.make_cache(3, LENGTH)
    with torch.inference_mode():
        model.model_(torch.from_numpy(prepared.X[:3]), cache=cache)
    assert cache.nbytes() == 3 * model.kv_bytes == 3 * LENGTH * model.kv_bytes_per_token


@pytest.mark.parametrize("entry", [c.WINDOW, c.START_WINDOW, c.LAST], ids=lambda e: e.name)
def test_what_forgets_keeps_an_eighth(entry, prepared):
    model = fitted(entry, prepared)
    assert model.kv_bytes == LENGTH / 8 * model.kv_bytes_per_token
    cache = model.model_.make_cache(2, LENGTH, **model.room)
    with torch.inference_mode():
        for t in range(LENGTH):
            model.model_(torch.from_numpy(prepared.X[:2, t : t + 1]), cache=cache)
    assert cache.nbytes() < 2 * LENGTH * model.kv_bytes_per_token  # a buffer is more than an eighth


@pytest.mark.parametrize("entry", [c.MHA, c.GQA, c.MQA, c.LATENT, c.WINDOW], ids=lambda e: e.name)
def test_token_by_token_costs_what_the_whole_text_costs(entry, prepared):
    model = fitted(entry, prepared)
    with torch.inference_mode():
        whole = -token_logprobs(model.model_, torch.from_numpy(prepared.X)).numpy()
    np.testing.assert_allclose(model.predict(prepared.X), whole, rtol=0, atol=2e-5)  # float32, other order of sums


def test_a_cache_that_forgets_costs_the_same_until_it_is_full(prepared):
    whole, last = fitted(c.MHA, prepared), fitted(c.START_WINDOW, prepared)
    assert last.model_ is whole.model_  # one training for both
    one, other = whole.predict(prepared.X), last.predict(prepared.X)
    full = LENGTH // 8
    np.testing.assert_allclose(one[:, :full], other[:, :full], rtol=0, atol=2e-5)
    assert np.abs(one[:, full:] - other[:, full:]).max() > 1e-3


@pytest.mark.slow
def test_what_lies_beyond_the_window_is_lost_and_what_all_keep_is_not():
    prepared = read_tokens("far-copies:96", task="modelling", length=96)
    found = {}
    for entry in (c.MHA, c.GQA, c.WINDOW, c.START_WINDOW, c.LAST):
        entry = entry.having(steps=200)
        model = entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X[:320])
        found[entry.name] = model.predict(prepared.X[320:]).mean()
    assert found["MHA"] < 2 and found["GQA, 2 key heads"] < 2
    for name in (c.WINDOW.name, c.START_WINDOW.name, c.LAST.name):
        assert found[name] > 3.3  # log 32 = 3.47: nothing is known of the next token
