"""Memory on the way: beside what torch keeps for the gradient, what its operators make, and the published formula."""

from __future__ import annotations

import subprocess
import sys
import weakref
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from breadth.lm import LM, Layer, LMConfig
from breadth.lm.activation_memory import inference_activation_bytes, training_activation_bytes
from breadth.lm.presets import PRESETS, tiny

BATCH, LENGTH = 44, 48  # enough numbers for the norm's own gradient: small tensors go another way


def storage(t):
    return t.untyped_storage().data_ptr()


def kept_for_gradients(model, ids):
    """Bytes of the tensors that autograd saves, each once, without parameters, rotary tables and integers."""
    found = {}
    stacks = [model.decoder] if model.encoder is None else [model.decoder, model.encoder]
    others = {storage(p) for p in [*model.parameters(), *model.buffers()]}
    for stack in stacks:
        others |= {storage(t) for pair in stack.step(torch.zeros(1, ids.shape[1], 1)).turned for t in pair}

    def pack(t):
        if storage(t) not in others and t.dim() and t.dtype != torch.int64:
            found[t.data_ptr(), t.numel()] = t  # which keeps it, so that no other gets its place
        return t

    source = {} if model.encoder is None else {"source": ids}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        F.cross_entropy(model(ids, **source).flatten(0, 1), ids.flatten())
    return sum(t.numel() * t.element_size() for t in found.values())


@pytest.mark.parametrize("name", [name for name in PRESETS if tiny(name).mla is None])
def test_training_keeps_what_torch_saves(name):
    config = tiny(name)
    counted = kept_for_gradients(LM(config), torch.zeros(BATCH, LENGTH, dtype=torch.int64) + torch.arange(LENGTH))
    ours = training_activation_bytes(config, LENGTH, BATCH, bytes_per_number=4)
    plain = config.encoder is None and not config.sinks
    if plain and not any(layer.moe or layer.window or layer.chunk for layer in config.layers):
        assert ours == counted
    assert ours == pytest.approx(counted, rel=0.01)


def test_training_keeps_what_torch_saves_of_latents():
    """Keys and values of unequal width: torch's kernel for a CPU takes the way with scores."""
    config = tiny("deepseek-v3")
    config = replace(config, mla=replace(config.mla, q_rank=32, kv_rank=32))
    counted = kept_for_gradients(LM(config), torch.arange(LENGTH).expand(BATCH, -1))
    assert training_activation_bytes(config, LENGTH, BATCH, bytes_per_number=4, scores=True) == pytest.approx(
        counted, rel=0.01
    )


def test_training_keeps_what_torch_saves_with_dropout():
    config = replace(tiny("gpt2-xl"), embed_dropout=0.1, attention_dropout=0.2, residual_dropout=0.3)
    counted = kept_for_gradients(LM(config), torch.arange(LENGTH).expand(BATCH, -1))
    ours = training_activation_bytes(config, LENGTH, BATCH, bytes_per_number=4)
    masks = BATCH * LENGTH * (17 * config.d_model + 8 * config.n_heads * LENGTH)  # a CPU keeps them as numbers
    assert ours + 3 * masks == counted


@pytest.mark.parametrize(("s", "b", "h", "a"), [(2048, 1, 12288, 96), (1024, 4, 1600, 25)])
def test_training_keeps_what_is_published_for_gpt_s_layer(s, b, h, a):
    """sbh (34 + 5 as / h) a layer: Korthikanti et al. 2022, eq. 1; and 4 sbh + 4 sbv behind them."""
    made = [
        LMConfig(
            vocab_size=50000,
            d_model=h,
            n_heads=a,
            n_kv_heads=a,
            head_dim=h // a,
            d_ff=4 * h,
            layers=(Layer(rope=None),) * n,
            norm="layer",
            gated=False,
            activation="gelu_tanh",
            attention_dropout=0.1,
            residual_dropout=0.1,
        )
        for n in (1, 2)
    ]
    one, two = (training_activation_bytes(config, s, b, scores=True) for config in made)
    statistics = 2 * s * b * 2 * 4  # of two norms
    assert two - one == s * b * h * 34 + 5 * a * s * s * b + statistics
    assert 2 * one - two == s * b * (4 * h + 4 * 50000 + 8)
    again = [training_activation_bytes(config, s, b, scores=True, recompute=True) for config in made]
    assert again[1] - again[0] == 2 * s * b * h, "only a layer's input"
    assert again[0] == one + 2 * s * b * h


class Peak(TorchDispatchMode):
    """Most bytes that operators' results hold at once; those of given storages are not counted."""

    def __init__(self, others):
        super().__init__()
        self.others, self.users, self.size, self.now, self.peak = others, {}, {}, 0, 0

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        out = op(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, torch.Tensor) and storage(t) and storage(t) not in self.others:
                place = storage(t)
                if place not in self.users:
                    self.users[place], self.size[place] = 0, t.untyped_storage().nbytes()
                    self.now += self.size[place]
                    self.peak = max(self.peak, self.now)
                self.users[place] += 1
                weakref.finalize(t, self.end, place)
        return out

    def end(self, place):
        self.users[place] -= 1
        if not self.users[place]:
            del self.users[place]
            self.now -= self.size[place]


@torch.no_grad()
@pytest.mark.parametrize(("past", "length"), [(0, 48), (36, 12)])
@pytest.mark.parametrize("name", [name for name in PRESETS if tiny(name).causal and not tiny(name).encoder])
def test_inference_makes_what_torch_s_operators_make(name, past, length):
    config = tiny(name)
    config = replace(config, layers=tuple(replace(layer, window=None, chunk=None) for layer in config.layers))
    model, ids = LM(config).eval(), torch.arange(48).expand(BATCH, -1)
    cache = model.make_cache(BATCH, 48)
    model(ids, cache=cache)  # makes room and tables
    cache.truncate(past)
    others = {storage(t) for t in [*model.parameters(), *model.buffers()]}
    others |= {storage(t) for store in cache.stores for t in store.kept}
    with Peak(others) as found:
        model(ids[:, past : past + length], cache=cache, last=True)
    scores = config.mla is not None or (config.sinks and past > 0)
    ours = inference_activation_bytes(config, length, BATCH, past=past, bytes_per_number=4, scores=scores)
    assert ours == pytest.approx(found.peak, rel=0.15)


def test_scores_grow_with_the_square_and_all_else_with_the_length():
    config = tiny("llama-3.2-1b")
    for count in (training_activation_bytes, inference_activation_bytes):
        assert count(config, 400, 2) == pytest.approx(4 * count(config, 200, 1), rel=0.01)
        assert count(config, 4000, scores=True) > 60 * count(config, 400, scores=True)
        assert count(config, 40, bytes_per_number=4) <= 2 * count(config, 40)
    step = inference_activation_bytes(config, 1, past=999, scores=True)
    assert step < inference_activation_bytes(config, 1000, scores=True) / 500
    source = tiny("t5-base")
    assert training_activation_bytes(source, 8, source_length=800) > 20 * training_activation_bytes(source, 8)
    assert inference_activation_bytes(source, 1, source_length=800) > 20 * inference_activation_bytes(source, 1)


def test_bad_input_is_named():
    config = tiny("gpt2-xl")
    for count in (training_activation_bytes, inference_activation_bytes):
        with pytest.raises(ValueError, match="length, batch and source_length must be >= 1, got 0, 1 and 0"):
            count(config, 0)
        with pytest.raises(ValueError, match="length, batch and source_length must be >= 1, got 4, 0 and 4"):
            count(config, 4, 0)
    with pytest.raises(ValueError, match="past must be >= 0, got -1"):
        inference_activation_bytes(config, 4, past=-1)


def test_nothing_here_imports_torch():
    code = "import sys, breadth.lm.activation_memory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
