"""One token's step by kernels beside the ordinary blocks, and each kernel beside NumPy in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from breadth.lm import LM, Layer, fast_step, generate, step_kernels
from breadth.lm.fast_step import FastBlock
from breadth.lm.presets import tiny
from breadth.lm.step import Step
from breadth.quant.packed import pack
from tests.lm.models import KINDS, ids, perturbed

PRESETS = ("gpt2-xl", "palm-540b", "glm-10b", "llama-3.2-1b", "olmo-2-7b", "gemma-3-4b", "qwen3-0.6b", "smollm3-3b",
           "llama-4-scout", "gpt-oss-20b", "deepseek-v3")  # fmt: skip
CONFIGS = {**KINDS, **{name: tiny(name) for name in PRESETS}}
# of the layers of each kind of model; the others have experts, latents, biases of distances or a window that moves
NONE = {
    "latent",
    "latent without a query's",
    "distances",
    "slopes",
    "sinks",
    "gpt-oss-20b",
    "deepseek-v3",
    "llama-4-scout",
}


@pytest.fixture
def used(monkeypatch):
    """Layers of blocks that were computed by kernels."""
    seen = []
    compute = FastBlock.__call__
    monkeypatch.setattr(FastBlock, "__call__", lambda self, *a: seen.append(self.attention.index) or compute(self, *a))
    return seen


def decoded(model: LM, tokens: torch.Tensor, *, prompt: int = 6) -> torch.Tensor:
    """Logits of the tokens behind the prompt, read one at a time."""
    cache = model.make_cache(1, tokens.shape[1])
    model(tokens[:, :prompt], cache=cache)
    return torch.cat([model(tokens[:, i : i + 1], cache=cache) for i in range(prompt, tokens.shape[1])], 1)


@pytest.mark.parametrize("name", CONFIGS)
def test_logits_are_those_of_the_ordinary_blocks(name, used, monkeypatch):
    model = perturbed(CONFIGS[name], dtype=torch.float32)
    tokens = ids(1, 24, vocab=CONFIGS[name].vocab_size)
    fast = decoded(model, tokens)
    assert (not used) == (name in NONE)
    used.clear()
    monkeypatch.setattr(fast_step, "served", lambda *_: False)
    ordinary = decoded(model, tokens)
    assert not used
    torch.testing.assert_close(fast, ordinary, rtol=0, atol=1e-5 * float(ordinary.abs().max().clamp(min=1)))


@pytest.mark.parametrize("format", ["int8", "int4"])
@pytest.mark.parametrize("name", ["plain", "learned"])
def test_packed_weights_are_served_too(name, format, used):
    model = pack(perturbed(KINDS[name], dtype=torch.float32), format)
    tokens = ids(1, 20)
    fast = decoded(model, tokens)
    assert used
    with torch.no_grad():
        whole = model(tokens)[:, 6:]
    torch.testing.assert_close(fast, whole, rtol=0, atol=2e-5 * float(whole.abs().max()))


def test_a_window_that_moves_is_read_by_its_own_layer(used):
    config = replace(KINDS["plain"], layers=(Layer(window=5), Layer(), Layer(window=70)))
    model, tokens = perturbed(config, dtype=torch.float32), ids(1, 150)
    fast = decoded(model, tokens)
    with torch.no_grad():
        whole = model(tokens)[:, 6:]
    torch.testing.assert_close(fast, whole, rtol=0, atol=1e-5 * float(whole.abs().max()))
    assert set(used) == {1, 2}, "the first layer's cache is shorter than the text"


def test_rows_that_fork_change_places_or_go_back_find_their_keys(used):
    model, tokens = perturbed(KINDS["plain"], dtype=torch.float32), ids(1, 30)
    cache = model.make_cache(1, 40)
    model(tokens[:, :10], cache=cache)
    for i in range(10, 15):
        model(tokens[:, i : i + 1], cache=cache)
    other = cache.fork(1)
    cache.truncate(12)
    cache.reorder([0])
    with torch.no_grad():
        again = model(tokens[:, 20:21], cache=cache)
        ahead = model(tokens[:, 21:22], cache=other)
        first = model(torch.cat((tokens[:, :12], tokens[:, 20:21]), 1))[:, -1:]
        second = model(torch.cat((tokens[:, :15], tokens[:, 21:22]), 1))[:, -1:]
    torch.testing.assert_close(again, first, rtol=0, atol=1e-5 * float(first.abs().max()))
    torch.testing.assert_close(ahead, second, rtol=0, atol=1e-5 * float(second.abs().max()))
    assert len(used) == 7 * 3


def test_hooks_are_called(used):
    model, tokens = perturbed(KINDS["plain"], dtype=torch.float32), ids(1, 12)
    cache, seen = model.make_cache(1, 20), []
    model(tokens, cache=cache)
    handle = model.decoder.blocks[1].ffn.register_forward_hook(lambda module, given, made: seen.append(made.shape))
    model(tokens[:, :1], cache=cache)
    assert seen == [(1, 1, 32)] and used == [0, 2]
    handle.remove()
    model(tokens[:, :1], cache=cache)
    assert used == [0, 2, 0, 1, 2]


@pytest.mark.parametrize("change", ["training", "two rows", "float64", "before", "mask"])
def test_what_the_kernels_are_not_made_for_goes_through_the_blocks(change, used):
    dtype = torch.float64 if change == "float64" else torch.float32
    model, tokens = perturbed(KINDS["plain"], dtype=dtype), ids(2 if change == "two rows" else 1, 9)
    cache = model.train(change == "training").make_cache(len(tokens), 20)
    model(tokens, cache=cache)
    given = {"before": {"before": lambda index, x: x}, "mask": {"mask": torch.ones(1, 10, dtype=torch.bool)}}
    model(tokens[:, :1], cache=cache, **given.get(change, {}))
    assert not used


def test_what_is_given_as_input_is_not_written_to():
    model = perturbed(KINDS["plain"], dtype=torch.float32)
    cache = model.make_cache(1, 20)
    model(ids(1, 9), cache=cache)
    x = torch.randn(1, 1, 32)
    kept = x.clone()
    model(inputs=x, cache=cache)
    assert torch.equal(x, kept)


def test_a_cache_that_another_model_goes_on_with_is_read_by_its_weights():
    one, two = (perturbed(KINDS["plain"], seed=seed, dtype=torch.float32) for seed in (0, 5))
    found = []
    for first in (one, two):
        cache = one.make_cache(1, 20)
        one(ids(1, 9), cache=cache)
        first(ids(1, 1), cache=cache)
        cache.truncate(9)
        found.append(two(ids(1, 1), cache=cache))
    assert torch.equal(*found)


def test_greedy_text_is_that_of_the_ordinary_blocks(monkeypatch):
    model = perturbed(tiny("llama-3.2-1b"), dtype=torch.float32)
    found = generate(model, [3, 1, 4], max_new_tokens=30).ids
    monkeypatch.setattr(Step, "single", False, raising=False)
    monkeypatch.setattr(fast_step, "served", lambda *_: False)
    assert generate(model, [3, 1, 4], max_new_tokens=30).ids == found


# ---- each kernel


def normal(*shape: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) + mean).astype(np.float32)


@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize("rows", [1, 5])
def test_norms_are_numpy_s(rows, mean):
    x, weight, bias = normal(rows, 37, mean=mean), normal(37, seed=1), normal(37, seed=2)
    y, z = np.empty_like(x), x.copy()
    step_kernels.rms_norm(x, weight, np.float32(1e-5), y)
    exact = x.astype(float)
    np.testing.assert_allclose(y, exact / np.sqrt((exact**2).mean(-1, keepdims=True) + 1e-5) * weight, rtol=1e-5)
    step_kernels.layer_norm(z, weight, bias, np.float32(1e-5), z)
    exact = (exact - exact.mean(-1, keepdims=True)) / np.sqrt(exact.var(-1, keepdims=True) + 1e-5) * weight + bias
    np.testing.assert_allclose(z, exact, rtol=1e-5, atol=1e-5 if mean == 0 else 4e-3)  # of 24 bits 14 are the mean's


@pytest.mark.parametrize("size", [1.0, 1e3])
@pytest.mark.parametrize("softcap", [0.0, 2.5])
@pytest.mark.parametrize("sinks", [False, True])
@pytest.mark.parametrize(("first", "past"), [(0, 0), (0, 9), (4, 9), (9, 9)])
def test_attention_of_one_query_is_numpy_s(first, past, sinks, softcap, size):
    shared, heads, width, room = 2, 6, 7, 12
    given = normal(heads + 2 * shared, width) * np.float32(size)
    keys, values = normal(shared, room, width, seed=1), normal(shared, room, width, seed=2)
    sink = normal(heads, seed=3) if sinks else np.empty(0, np.float32)
    old_keys, old_values, y = keys.copy(), values.copy(), np.empty((heads, width), np.float32)
    step_kernels.attend(given, keys, values, first, past, 0.4, np.float32(softcap), sink, y)
    assert np.array_equal(keys[:, past], given[heads : heads + shared]) and np.array_equal(values[:, past], given[-2:])
    rest = np.arange(room) != past
    assert np.array_equal(keys[:, rest], old_keys[:, rest]) and np.array_equal(values[:, rest], old_values[:, rest])
    for h in range(heads):
        k, v = (t[h // 3, first : past + 1].astype(float) for t in (keys, values))
        scores = k @ given[h].astype(float) * 0.4
        scores = softcap * np.tanh(scores / softcap) if softcap else scores
        scores = np.append(scores, sink[h : h + 1])
        shares = np.exp(scores - scores.max())
        shares = (shares / shares.sum())[: past + 1 - first]
        np.testing.assert_allclose(y[h], shares @ v, rtol=0, atol=3e-6 * size * (size if not softcap else 1))


def test_turning_is_that_of_the_tables():
    x, angle = normal(3, 10), np.random.default_rng(1).uniform(size=3)
    cos, sin = np.tile(np.cos(angle), 2), np.concatenate((-np.sin(angle), np.sin(angle)))
    y = x.copy()
    step_kernels.turn(y, cos.astype(np.float32), sin.astype(np.float32))
    z = (x[:, :3] + 1j * x[:, 3:6]) * np.exp(1j * angle)
    np.testing.assert_allclose(y[:, :6], np.concatenate((z.real, z.imag), 1), rtol=0, atol=1e-6)
    assert np.array_equal(y[:, 6:], x[:, 6:]), "the other features are not turned"
