from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from breadth.lm import MLA, Layer, LMConfig, MoE, Rope
from tests.lm.models import BOTH_SIDES, KINDS, TRANSLATOR

PLAIN = KINDS["plain"]
MIXED = MoE(n_experts=8, top_k=2, d_ff=4)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: replace(PLAIN, vocab_size=0), r"LMConfig\.vocab_size must be an integer >= 1, got 0"),
        (lambda: replace(PLAIN, d_ff=2.5), r"LMConfig\.d_ff must be an integer >= 1, got 2\.5"),
        (lambda: replace(PLAIN, n_heads=True), r"LMConfig\.n_heads must be an integer"),
        (lambda: replace(PLAIN, n_kv_heads=3), r"LMConfig\.n_kv_heads must divide n_heads=4, got 3"),
        (lambda: replace(PLAIN, layers=()), r"LMConfig\.layers must hold at least one"),
        (lambda: replace(PLAIN, layers=[Layer()]), r"LMConfig\.layers must be a tuple of Layer"),
        (lambda: replace(PLAIN, layers=(Layer(rope=1),)), r"LMConfig\.layers\[0\]\.rope must index one of 1 ropes"),
        (lambda: replace(PLAIN, ropes=()), r"LMConfig\.layers\[0\]\.rope is 0, and ropes is empty"),
        (lambda: replace(PLAIN, ropes=(Rope(16),)), r"LMConfig\.ropes\[0\]\.dim must be <= 8"),
        (lambda: replace(PLAIN, layers=(Layer(moe=True),)), r"LMConfig\.layers\[0\]\.moe is True, and moe is None"),
        (lambda: replace(PLAIN, norm="batch"), r"LMConfig\.norm must be one of 'rms', 'layer', got 'batch'"),
        (lambda: replace(PLAIN, qk_norm="each"), r"LMConfig\.qk_norm must be one of"),
        (lambda: replace(PLAIN, activation="tanh"), r"LMConfig\.activation must be one of"),
        (lambda: replace(PLAIN, norm_eps=-1.0), r"LMConfig\.norm_eps must be >= 0"),
        (lambda: replace(PLAIN, softcap=0.0), r"LMConfig\.softcap must be > 0"),
        (lambda: replace(PLAIN, temperature=(0.0, 1.0)), r"LMConfig\.temperature needs a floor > 0"),
        (lambda: replace(PLAIN, relative=(1, 20)), r"LMConfig\.relative needs >= 2 buckets"),
        (lambda: replace(PLAIN, relative=(8, 4)), r"LMConfig\.relative needs a max_distance > 4"),
        (lambda: replace(PLAIN, relative=(8, 20), alibi=True), r"LMConfig\.alibi must be False"),
        (lambda: replace(PLAIN, learned_positions=5), r"LMConfig\.learned_positions must be >= context_length=512"),
        (lambda: replace(PLAIN, activation="clamped_swiglu", gated=False), r"LMConfig\.gated must be True"),
        (lambda: replace(PLAIN, parallel=True, norm_placement="post"), r"LMConfig\.norm_placement must be 'pre'"),
        (lambda: replace(PLAIN, mla=MLA(None, 4, 4, 4, 4), ropes=(Rope(4),)), r"LMConfig\.mla needs"),
        (lambda: replace(TRANSLATOR, encoder=PLAIN), r"LMConfig\.encoder must have causal=False"),
        (lambda: replace(TRANSLATOR, vocab_size=7), r"LMConfig\.encoder must have the decoder's vocab_size"),
        (lambda: replace(BOTH_SIDES, layers=(Layer(rope=None, chunk=4),)), r"chunk needs a causal model"),
        (lambda: Layer(window=0), r"Layer\.window must be an integer >= 1, got 0"),
        (lambda: Layer(window=4, chunk=4), r"Layer\.chunk must be None beside window=4"),
        (lambda: Rope(7), r"Rope\.dim must be even"),
        (lambda: Rope(8, theta=1.0), r"Rope\.theta must be > 1"),
        (lambda: Rope(8, kind="dynamic"), r"Rope\.kind must be one of"),
        (lambda: Rope(8, factor=0.5), r"Rope\.factor must be >= 1"),
        (lambda: Rope(8, kind="yarn"), r"Rope\.original_context must be >= 1 for kind 'yarn'"),
        (lambda: Rope(8, kind="llama3", original_context=9, low=4.5), r"Rope\.low and Rope\.high"),
        (lambda: Rope(8, kind="yarn", original_context=9, beta_slow=64.0), r"Rope\.beta_slow and Rope\.beta_fast"),
        (lambda: Rope(8, mscale=0.0), r"Rope\.mscale must be > 0"),
        (lambda: replace(MIXED, top_k=9), r"MoE\.top_k must be <= the 8 experts"),
        (lambda: replace(MIXED, n_groups=3), r"MoE\.n_groups must divide n_experts=8"),
        (lambda: replace(MIXED, n_groups=4, top_groups=5), r"MoE\.top_groups must be <= n_groups=4"),
        (lambda: replace(MIXED, n_groups=8, top_groups=1), r"MoE\.top_k must be <= the 1 experts"),
        (lambda: replace(MIXED, score="tanh"), r"MoE\.score must be one of"),
        (lambda: MLA(0, 4, 4, 4, 4), r"MLA\.q_rank must be an integer >= 1"),
        (lambda: MLA(None, 4, 4, 4, 0), r"MLA\.v_dim must be an integer >= 1"),
    ],
)
def test_an_error_names_the_field(make, told):
    with pytest.raises((ValueError, TypeError), match=told):
        make()


def test_configs_are_values():
    assert replace(PLAIN) == PLAIN
    assert hash(replace(PLAIN)) == hash(PLAIN)
    assert replace(PLAIN, tied=True) != PLAIN
    with pytest.raises(AttributeError):
        PLAIN.tied = True


def test_a_config_needs_no_torch():
    code = (
        "import sys; from breadth.lm import LMConfig, Layer; LMConfig(vocab_size=2, d_model=2, n_heads=1, n_kv_heads=1,"
        " head_dim=2, d_ff=2, layers=(Layer(rope=None),)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert LMConfig.__dataclass_params__.frozen
