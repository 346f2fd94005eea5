"""Every switch of a model is seen by some family: with one changed, the logits of its checkpoint are others.

The fields of the configuration are counted, so that a new one needs an entry here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

import breadth.lm
from breadth.lm.config import MLA, Layer, LMConfig, MoE, Rope
from breadth.lm.model import LM
from tests.lm.hf.test_load_peers import tolerance
from tests.lm.hf.tiny import VOCAB

SIZES = {"vocab_size", "d_model", "n_heads", "n_kv_heads", "head_dim", "d_ff"}  # other tensors: see below
DROPOUTS = {"embed_dropout", "attention_dropout", "residual_dropout"}  # in training alone: see below
MOE_SIZES, MLA_SIZES = {"n_experts", "d_ff"}, {"kv_rank", "nope_dim", "rope_dim", "v_dim"}

Change = Callable[[LMConfig], LMConfig]


def to(**values: Any) -> Change:
    return lambda config: replace(config, **values)


def layers(**values: Any) -> Change:
    return lambda config: replace(config, layers=tuple(replace(layer, **values) for layer in config.layers))


def rope(**values: Any) -> Change:
    return lambda config: replace(config, ropes=tuple(replace(table, **values) for table in config.ropes))


def moe(**values: Any) -> Change:
    return lambda config: replace(config, moe=replace(config.moe, **values))


def mla(**values: Any) -> Change:
    return lambda config: replace(config, mla=replace(config.mla, **values))


CHANGES: dict[type, dict[str, tuple[str, Change]]] = {
    LMConfig: {
        "layers": ("llama", lambda config: replace(config, layers=config.layers[:-1])),
        "ropes": ("gemma3", lambda config: replace(config, ropes=config.ropes[::-1])),
        "causal": ("llama", to(causal=False)),
        "norm": ("llama", to(norm="layer")),
        "norm_eps": ("gpt2", to(norm_eps=1e-3)),
        "norm_placement": ("olmo2", to(norm_placement="residual")),
        "final_norm": ("llama", to(final_norm=False)),
        "embed_norm": ("bert", to(embed_norm=False)),
        "qk_norm": ("olmo2", to(qk_norm=None)),
        "attention_scale": ("gemma3", to(attention_scale=None)),
        "softcap": ("gemma2", to(softcap=None)),
        "sinks": ("gpt_oss", to(sinks=False)),
        "qkv_bias": ("qwen2", to(qkv_bias=False)),
        "o_bias": ("llama_biased", to(o_bias=False)),
        "ffn_bias": ("llama_biased", to(ffn_bias=False)),
        "temperature": ("llama4", to(temperature=None)),
        "relative": ("t5", to(relative=(16, 12))),
        "alibi": ("llama", to(alibi=True)),
        "mla": ("deepseek_v3", mla(q_rank=None)),
        "activation": ("gpt2", to(activation="gelu")),
        "gated": ("llama", to(gated=False)),
        "moe": ("qwen3_moe", moe(top_k=2)),
        "parallel": ("falcon", to(parallel=False)),
        "learned_positions": ("gpt2", to(learned_positions=0)),
        "span_positions": ("llama", to(span_positions=256)),
        "sinusoidal": ("llama", to(sinusoidal=True)),
        "token_types": ("bert", to(token_types=0)),
        "embed_scale": ("gemma3", to(embed_scale=1.0)),
        "tied": ("llama", to(tied=True)),
        "logit_scale": ("t5", to(logit_scale=1.0)),
        "logit_softcap": ("gemma2", to(logit_softcap=None)),
        "mlm_head": ("bert", to(mlm_head=False)),
        "encoder": ("t5", lambda config: replace(config, encoder=replace(config.encoder, norm_eps=0.1))),
    },
    Layer: {
        "rope": ("smollm3", layers(rope=0)),
        "window": ("mistral", layers(window=10)),
        "chunk": ("llama4", layers(chunk=9)),
        "moe": ("qwen3_moe", layers(moe=True)),
        "qk_norm": ("llama4", layers(qk_norm=False)),
    },
    Rope: {
        "dim": ("glm", rope(dim=32)),
        "theta": ("llama", rope(theta=9000.0)),
        "kind": ("llama3.1", rope(kind="default")),
        "factor": ("gemma3", rope(factor=4.0)),
        "original_context": ("llama3.1", rope(original_context=64)),
        "low": ("llama3.1", rope(low=2.0)),
        "high": ("llama3.1", rope(high=3.0)),
        "beta_fast": ("gpt_oss", rope(beta_fast=1.5)),
        "beta_slow": ("deepseek_v3", rope(beta_slow=4.0)),
        "truncate": ("gpt_oss", rope(truncate=True)),
        "mscale": ("gpt_oss", rope(mscale=1.0)),
    },
    MoE: {
        "top_k": ("qwen3_moe", moe(top_k=2)),
        "shared_d_ff": ("kimi_k2", moe(shared_d_ff=0)),
        "score": ("deepseek_v3", moe(score="softmax")),
        "normalize": ("qwen3_moe", moe(normalize=False)),
        "scale": ("kimi_k2", moe(scale=2.5)),
        "correction": ("deepseek_v3", moe(correction=False)),
        "n_groups": ("deepseek_v3", moe(n_groups=1, top_groups=1)),
        "top_groups": ("deepseek_v3", moe(top_groups=4)),
        "bias": ("gpt_oss", moe(bias=False)),
        "scale_input": ("llama4", moe(scale_input=False)),
    },
    MLA: {"q_rank": ("deepseek_v3", mla(q_rank=None))},
}
CASES = [(kind, field, *entry) for kind, entries in CHANGES.items() for field, entry in entries.items()]


def draw(*shape: int, seed: int) -> torch.Tensor:
    return torch.randint(3, VOCAB, shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def logits(model: LM) -> torch.Tensor:
    ids = draw(2, 40, seed=0)
    source = {} if model.config.encoder is None else {"source": draw(2, 40, seed=1)}
    return model(ids, **source)


@pytest.fixture(scope="module")
def original(peer):
    made = {}

    def make(name):
        if name not in made:
            model = breadth.lm.load(peer(name).folder)
            made[name] = model, logits(model)
            same = logits(with_weights_of(model, model.config))
            assert torch.equal(same, made[name][1]), "the way of copying changes nothing"
        return made[name]

    return make


def with_weights_of(model: LM, config: LMConfig) -> LM:
    """A model of another configuration, with the same weights where both have them."""
    torch.manual_seed(0)
    other = LM(config).eval()
    held = model.state_dict()
    with torch.no_grad():
        for name, tensor in other.state_dict().items():
            if name in held and held[name].shape == tensor.shape:
                tensor.copy_(held[name])
    return other


@pytest.mark.parametrize(("kind", "field", "name", "change"), CASES, ids=[f"{c[0].__name__}.{c[1]}" for c in CASES])
def test_a_changed_switch_moves_the_logits(original, kind, field, name, change):
    model, reference = original(name)
    config = change(model.config)
    assert config != model.config
    moved = (logits(with_weights_of(model, config)) - reference).abs().max().item()
    assert moved >= 20 * tolerance(name), f"{kind.__name__}.{field} moves {name} by {moved:.1e}"


@pytest.mark.parametrize("kind", CHANGES, ids=lambda kind: kind.__name__)
def test_every_field_is_changed_or_is_a_size(kind):
    sizes = {LMConfig: SIZES | DROPOUTS | {"context_length"}, MoE: MOE_SIZES, MLA: MLA_SIZES}.get(kind, set())
    assert {field.name for field in fields(kind)} == set(CHANGES[kind]) | sizes


@pytest.mark.parametrize("field", sorted(DROPOUTS))
@pytest.mark.parametrize("name", ["llama", "falcon", "bert", "t5", "deepseek_v3", "gemma3"])
def test_a_changed_dropout_moves_the_logits_in_training_alone(original, name, field):
    model, reference = original(name)
    encoder = None if model.config.encoder is None else replace(model.config.encoder, **{field: 0.3})
    still = dict.fromkeys(DROPOUTS, 0.0)
    for stack in ("decoder", "encoder"):
        if stack == "encoder" and encoder is None:
            continue
        changed = {field: 0.3} if stack == "decoder" else {"encoder": encoder}
        other = with_weights_of(model, replace(model.config, **(still | changed)))
        assert torch.equal(logits(other), reference)
        torch.manual_seed(0)
        moved = (logits(other.train()) - reference).abs().max().item()
        assert moved >= 20 * tolerance(name), f"{field} of the {stack} moves {name} by {moved:.1e}"


@pytest.mark.parametrize("field", sorted(SIZES))
def test_another_size_does_not_fit_the_tensors(original, peer, field):
    model, _ = original("llama")
    torch.manual_seed(0)
    config = replace(model.config, **{field: getattr(model.config, field) * 2})
    shapes = {name: tensor.shape for name, tensor in LM(config).state_dict().items()}
    assert shapes != {name: tensor.shape for name, tensor in model.state_dict().items()}
