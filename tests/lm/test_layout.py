"""Weights by column: the same model, shared weights still shared, and files as before."""

from __future__ import annotations

import torch

from breadth.lm import LM, load, save
from breadth.lm.config import Layer, LMConfig, Rope
from breadth.lm.layout import columns_

CONFIG = LMConfig(
    vocab_size=96, d_model=48, n_heads=4, n_kv_heads=2, head_dim=16, d_ff=64, layers=2 * (Layer(),), ropes=(Rope(16),),
    context_length=64, tied=True,
)  # fmt: skip


def test_values_and_logits_stay_and_the_memory_is_by_column(tmp_path):
    torch.manual_seed(0)
    model = LM(CONFIG).eval()
    ids = torch.randint(0, 96, (2, 20))
    before, weights = model(ids), {name: p.clone() for name, p in model.named_parameters()}
    assert columns_(model) is model
    assert all(torch.equal(p, weights[name]) for name, p in model.named_parameters())
    weight = model.decoder.blocks[0].ffn.up.weight
    assert weight.stride() == (1, weight.shape[0])
    assert model.head.weight is model.embed.weight
    torch.testing.assert_close(model(ids), before, rtol=0, atol=1e-5 * float(before.detach().abs().max()))
    save(model, tmp_path)
    assert torch.equal(load(tmp_path)(ids), before), "what is written does not depend on the layout"


def test_other_types_stay_as_they_are():
    model = columns_(LM(CONFIG).bfloat16())
    assert all(p.is_contiguous() for p in model.parameters())
