"""What models cost: beside the model itself, torch's counter of operations, and published figures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields, replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from breadth.lm import LM
from breadth.lm.accounting import (
    active_parameters,
    diff,
    flops_per_token,
    kv_bytes,
    kv_bytes_per_token,
    parameters,
    weight_bytes,
)
from breadth.lm.config import MLA, Layer, LMConfig, MoE
from breadth.lm.hf.families import describe
from breadth.lm.presets import PRESETS, preset, tiny
from breadth.quant import Int4Linear, Int8Linear
from breadth.quant.fp8 import encode_fp8
from breadth.quant.mxfp4 import encode_mxfp4

PLAIN = LMConfig(
    vocab_size=96, d_model=48, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=64, layers=2 * (Layer(rope=None),)
)


def numbers(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_those_of_the_model_at_full_size_and_in_small(name):
    with torch.device("meta"):
        assert parameters(preset(name)) == numbers(LM(preset(name)))
    assert parameters(tiny(name)) == numbers(LM(tiny(name)))


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [  # billions, as published: GPT-OSS leaves the embedding out of what is active
        ("gpt2-xl", 1.558, 1.558),
        ("palm-540b", 540.35, 540.35),
        ("llama-3.2-1b", 1.236, 1.236),
        ("olmo-2-7b", 7.299, 7.299),
        ("qwen3-30b-a3b", 30.53, 3.35),
        ("deepseek-v3", 671, 37),
        ("kimi-k2", 1026, 32),
        ("gpt-oss-20b", 20.91, 3.61 + 0.58),
        ("gpt-oss-120b", 116.83, 5.13 + 0.58),
    ],
)
def test_parameters_are_those_published(name, total, active):
    assert parameters(preset(name)) / 1e9 == pytest.approx(total, rel=1e-3)
    assert active_parameters(preset(name)) / 1e9 == pytest.approx(active, rel=0.03)


@pytest.mark.parametrize("name", [name for name in PRESETS if tiny(name).causal and not tiny(name).encoder])
def test_operations_are_those_that_torch_counts(name):
    config = tiny(name)
    model, length = LM(config), 21
    ids = torch.zeros(1, length, dtype=torch.int64)
    cache = model.make_cache(1, length)
    model(ids[:, :-1], cache=cache)
    # attention as products of matrices, which are what torch counts on a CPU
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(ids[:, -1:], cache=cache)
    ours, counted = flops_per_token(config, length), counter.get_total_flops()
    if config.mla is not None:  # decoding absorbs two maps, and works on the latents
        m, h, n = config.mla, config.n_heads, len(config.layers)
        ours += 2 * n * h * length * ((m.kv_rank + m.rope_dim + m.kv_rank) - (m.nope_dim + m.rope_dim + m.v_dim))
    assert counted == ours


def test_a_cache_takes_what_its_tensors_take():
    model = LM(PLAIN)
    cache = model.make_cache(3, 40)
    model(torch.zeros(3, 40, dtype=torch.int64), cache=cache)
    held = sum(t.numel() * 4 for store in cache.stores for t in store.kept)
    assert kv_bytes(PLAIN, 40, bytes_per_number=4) * 3 == held


def test_windows_and_latents_bound_the_cache():
    windowed = replace(PLAIN, layers=(Layer(rope=None, window=10), Layer(rope=None)))
    assert kv_bytes_per_token(PLAIN) == 2 * 2 * 2 * 16 * 2
    assert kv_bytes(windowed, 100) == 110 * 2 * 2 * 16 * 2
    assert kv_bytes(windowed, 4) == kv_bytes(PLAIN, 4)
    assert kv_bytes(PLAIN) == kv_bytes(PLAIN, 2048)
    assert kv_bytes(PLAIN, 0) == 0
    assert kv_bytes_per_token(preset("deepseek-v3")) == 61 * (512 + 64) * 2
    by_heads = replace(preset("deepseek-v3"), mla=None, head_dim=128, attention_scale=None)
    assert kv_bytes_per_token(by_heads) / kv_bytes_per_token(preset("deepseek-v3")) == pytest.approx(128 * 256 / 576)


def test_weights_in_each_format():
    config = preset("gpt-oss-20b")
    assert weight_bytes(config, "bf16") / 1e9 == pytest.approx(41.8, abs=0.05)
    assert weight_bytes(config, "mxfp4") / 2**30 == pytest.approx(12.8, abs=0.05)  # arXiv:2508.10925, table 1
    assert weight_bytes(preset("gpt-oss-120b"), "mxfp4") / 2**30 == pytest.approx(60.8, abs=0.05)
    assert weight_bytes(config, "fp32") == 4 * parameters(config)
    sizes = [weight_bytes(config, kind) for kind in ("fp32", "bf16", "fp8", "int4")]
    assert sizes == sorted(sizes, reverse=True)
    assert weight_bytes(config, "fp8") / weight_bytes(config, "int8") == pytest.approx(1, rel=1e-2)
    dense = replace(PLAIN, layers=(Layer(rope=None),), d_model=64, d_ff=256, tied=True)
    shapes = [(4 * 16 + 2 * 2 * 16, 64), (64, 4 * 16), (512, 64), (64, 256)]
    for kind, stored in (
        ("int8", lambda w: Int8Linear.from_linear(w).state_dict().values()),
        ("int4", lambda w: Int4Linear.from_linear(w).state_dict().values()),
        ("fp8", lambda w: encode_fp8(w.weight.detach())),
    ):
        layers = [torch.nn.Linear(columns, rows, bias=False) for rows, columns in shapes]
        found = sum(t.numel() * t.element_size() for layer in layers for t in stored(layer))
        saved = weight_bytes(dense, "bf16") - weight_bytes(dense, kind)
        assert saved == 2 * sum(rows * columns for rows, columns in shapes) - found, kind
    experts = replace(PLAIN, layers=(Layer(rope=None, moe=True),), moe=MoE(4, 2, 32), d_model=64)
    saved = weight_bytes(experts, "bf16") - weight_bytes(experts, "mxfp4")
    weights = torch.randn(4, 64, 64), torch.randn(4, 64, 32)
    stored = sum(t.numel() for w in weights for t in encode_mxfp4(w))
    assert saved == 2 * sum(w.numel() for w in weights) - stored


def test_differences_are_only_what_differs():
    one, other = preset("gpt-oss-20b"), preset("gpt-oss-120b")
    assert diff(one, one) == {}
    assert diff(one, other) == {"layers": (24, 36), "moe.n_experts": (32, 128)}
    found = diff(preset("smollm3-3b"), preset("qwen3-0.6b"))
    assert found["layers.rope"] == ((0, 0, 0, None), 0)
    assert "norm" not in found and found["qk_norm"] == (None, "head")
    assert diff(PLAIN, replace(PLAIN, moe=MoE(4, 2, 8)))["moe.top_k"] == (None, 2)
    assert diff(replace(PLAIN, moe=MoE(4, 2, 8)), PLAIN)["moe.top_k"] == (2, None)


@pytest.mark.parametrize("name", PRESETS)
def test_the_small_one_keeps_every_switch(name):
    full, small = preset(name), tiny(name)
    sizes = {
        "vocab_size", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff", "context_length", "layers", "ropes",
        "moe", "mla", "attention_scale", "encoder", "relative", "temperature", "learned_positions", "span_positions",
        "embed_scale", "logit_scale",
    }  # fmt: skip
    for field in fields(LMConfig):
        a, b = getattr(full, field.name), getattr(small, field.name)
        assert a == b if field.name not in sizes else bool(a) == bool(b), field.name
    for field in fields(Layer):
        assert {bool(getattr(x, field.name)) for x in full.layers} == {
            bool(getattr(x, field.name)) for x in small.layers
        }
    model = LM(small)
    given = {"source": torch.zeros(1, 5, dtype=torch.int64)} if small.encoder else {}
    assert model(torch.zeros(2 if not given else 1, 20, dtype=torch.int64), **given).isfinite().all()


@pytest.mark.parametrize("name", [name for name in PRESETS if name not in ("palm-540b", "glm-10b")])
def test_a_family_of_checkpoints_has_it_at_both_sizes(name):
    assert describe(preset(name))[0] is describe(tiny(name))[0]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"name must be one of gpt2-xl, .*, got 'gpt5'"):
        preset("gpt5")
    with pytest.raises(ValueError, match=r"format must be one of .*, got 'int3'"):
        weight_bytes(PLAIN, "int3")
    with pytest.raises(ValueError, match="length must be >= 1, got 0"):
        flops_per_token(PLAIN, 0)
    with pytest.raises(ValueError, match="length and source_length must be >= 0, got -1 and 0"):
        kv_bytes(PLAIN, -1)


def test_nothing_here_imports_torch():
    code = "import sys, breadth.lm.presets, breadth.lm.accounting; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_latent_attention_without_a_latent_of_queries():
    config = replace(PLAIN, n_kv_heads=4, mla=MLA(None, 16, 8, 8, 12))
    assert parameters(config) == numbers(LM(config))
