"""A sharded checkpoint of 2 GB is read into no more memory than its weights, its largest tensor and 200 MB."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from breadth.lm.hf.files import INDEX, Checkpoint, Pending, write_checkpoint

SETTINGS = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 9,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
}
PROBE = """
import json, resource, sys
import torch, breadth.lm, breadth.lm.model, breadth.lm.hf.load
def now():
    with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmRSS")).split()[1]) * 1024
before = now()
model = breadth.lm.load(sys.argv[1])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
weights = sum(p.numel() * p.element_size() for p in model.parameters())
print(json.dumps([before, peak, weights, str(model.embed.weight.dtype)]))
"""


def tensors(settings):
    d, f = settings["hidden_size"], settings["intermediate_size"]
    kv = d // settings["num_attention_heads"] * settings["num_key_value_heads"]
    yield "model.embed_tokens.weight", (settings["vocab_size"], d)
    yield "lm_head.weight", (settings["vocab_size"], d)
    yield "model.norm.weight", (d,)
    for i in range(settings["num_hidden_layers"]):
        for name, shape in (
            ("self_attn.q_proj", (d, d)),
            ("self_attn.k_proj", (kv, d)),
            ("self_attn.v_proj", (kv, d)),
            ("self_attn.o_proj", (d, d)),
            ("mlp.gate_proj", (f, d)),
            ("mlp.up_proj", (f, d)),
            ("mlp.down_proj", (d, f)),
            ("input_layernorm", (d,)),
            ("post_attention_layernorm", (d,)),
        ):
            yield f"model.layers.{i}.{name}.weight", shape


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's account of memory")
def test_loading_needs_the_model_and_one_tensor(tmp_path):
    pending = [
        Pending(name, shape, torch.float32, lambda shape=shape: torch.full(shape, 0.01))
        for name, shape in tensors(SETTINGS)
    ]
    write_checkpoint(tmp_path, pending, shard_bytes=500_000_000)
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS))
    assert len(set(json.loads((tmp_path / INDEX).read_text())["weight_map"].values())) >= 4
    entries = Checkpoint(tmp_path).entries.values()
    total, largest = (function(e.stop - e.start for e in entries) for function in (sum, max))
    assert 1.9e9 < total < 2.2e9
    run = subprocess.run([sys.executable, "-c", PROBE, tmp_path], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    before, peak, weights, dtype = json.loads(run.stdout)
    assert dtype == "torch.float32"
    assert weights == total
    assert peak - before <= weights + largest + 200e6, (peak - before - weights - largest) / 1e6
    assert peak - before >= 0.99 * weights, "the probe sees the weights"
