from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from breadth.lm import MoE, Routing, balance_, load_balancing_loss, route, routings
from breadth.lm.moe import Experts
from tests.lm.models import KINDS, ids, perturbed

F64 = torch.float64
SETTINGS = {
    "softmax": MoE(n_experts=8, top_k=3, d_ff=20),
    "not normalised": MoE(n_experts=8, top_k=3, d_ff=20, normalize=False, scale=1.7),
    "sigmoid with correction and groups": MoE(
        n_experts=8, top_k=3, d_ff=20, score="sigmoid", correction=True, n_groups=4, top_groups=2, scale=2.5
    ),
    "fed by its score": MoE(
        n_experts=8, top_k=1, d_ff=20, score="sigmoid", normalize=False, scale_input=True, shared_d_ff=24
    ),
    "biases": MoE(n_experts=8, top_k=2, d_ff=20, bias=True),
    "all": MoE(n_experts=4, top_k=4, d_ff=20),
}
EACH = pytest.mark.parametrize("name", SETTINGS)


def route_slowly(logits, moe, correction):
    """(expert, weight) of one token, in the order of choice."""
    values = logits.tolist()
    if moe.score == "softmax":
        total = sum(torch.exp(v) for v in logits)
        scores = [torch.exp(v) / total for v in logits]
    else:
        scores = [1 / (1 + torch.exp(-v)) for v in logits]
    choice = [float(s.detach()) + (0 if correction is None else float(correction[e])) for e, s in enumerate(scores)]
    size = len(values) // moe.n_groups
    groups = [sorted(choice[g * size : (g + 1) * size])[-2:] for g in range(moe.n_groups)]
    kept = sorted(range(moe.n_groups), key=lambda g: -sum(groups[g]))[: moe.top_groups]
    able = [e for e in range(len(values)) if moe.n_groups == 1 or e // size in kept]
    chosen = sorted(able, key=lambda e: -choice[e])[: moe.top_k]
    total = sum(scores[e] for e in chosen) if moe.normalize else 1
    return [(e, scores[e] / total * moe.scale) for e in chosen]


def experts_slowly(layer, x):
    rows = []
    for token in x.flatten(0, 1):
        logits = layer.router(token)
        y = torch.zeros_like(token)
        for e, weight in route_slowly(logits, layer.moe, layer.correction):
            h = token * weight if layer.moe.scale_input else token
            h = layer.up[e] @ h + (0 if layer.up_bias is None else layer.up_bias[e])
            gate, up = h[: len(h) // 2], h[len(h) // 2 :]
            h = layer.down[e] @ (gate / (1 + torch.exp(-gate)) * up)
            h = h + (0 if layer.down_bias is None else layer.down_bias[e])
            y = y + (h if layer.moe.scale_input else h * weight)
        if layer.shared is not None:
            gate, up = layer.shared.up(token).chunk(2)
            y = y + layer.shared.down(gate / (1 + torch.exp(-gate)) * up)
        rows.append(y)
    return torch.stack(rows).view(x.shape)


def layer_of(name):
    config = replace(KINDS["plain"], moe=SETTINGS[name], layers=(replace(KINDS["plain"].layers[0], moe=True),))
    return perturbed(config).decoder.blocks[0].ffn


@EACH
@pytest.mark.parametrize("shape", [(2, 7), (1, 1)])
def test_value_and_gradients_are_those_of_a_loop_over_tokens_and_their_experts(name, shape):
    layer = layer_of(name)
    x = torch.randn(*shape, 32, generator=torch.Generator().manual_seed(3), dtype=F64, requires_grad=True)
    parameters = [x, *layer.parameters()]
    fast, slow = layer(x), experts_slowly(layer, x)
    assert_close(fast, slow, rtol=1e-12, atol=1e-12)
    weight = torch.randn_like(fast)
    found = torch.autograd.grad((fast * weight).sum(), parameters, allow_unused=True)
    expected = torch.autograd.grad((slow * weight).sum(), parameters, allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        if b is None:  # no expert of which was hit in the loop, or of a router without a say
            assert a is None or not a.any()
        else:
            assert_close(a, b, rtol=1e-11, atol=1e-12)


def test_a_correction_changes_the_choice_and_not_the_weights():
    moe = MoE(n_experts=4, top_k=2, d_ff=1, score="sigmoid", correction=True, normalize=False)
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=F64)
    plain = route(logits, moe, torch.zeros(4, dtype=F64))
    pushed = route(logits, moe, torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=F64))
    assert plain.chosen.tolist() == [[0, 1]]
    assert pushed.chosen.tolist() == [[3, 0]]
    assert_close(pushed.weights, logits.sigmoid()[:, [3, 0]])


def test_groups_are_dropped_even_where_scores_with_correction_are_negative():
    moe = MoE(n_experts=4, top_k=2, d_ff=1, score="sigmoid", correction=True, n_groups=2, top_groups=1)
    chosen = route(torch.tensor([[0.0, 0.1, 0.2, 0.3]], dtype=F64), moe, torch.full((4,), -5.0, dtype=F64)).chosen
    assert sorted(chosen[0].tolist()) == [2, 3]


def test_huge_logits_give_finite_weights():
    for moe in (SETTINGS["softmax"], SETTINGS["sigmoid with correction and groups"]):
        logits = torch.tensor([[3e4, -3e4, 1e4, -1e4, 0.0, 1.0, 2.0, 3.0], [-3e4] * 8])
        found = route(logits, moe, torch.zeros(8))
        assert torch.isfinite(found.weights).all()


def test_half_precision_is_routed_as_float32_is():
    layer = layer_of("softmax").to(torch.bfloat16)
    x = torch.randn(64, 32, generator=torch.Generator().manual_seed(0)).bfloat16()
    wide = route(x.float() @ layer.router.weight.float().T, layer.moe)
    model_of = [Routing(*t) for t in [route(layer._logits(x), layer.moe)]]
    assert model_of[0].chosen.equal(wide.chosen)


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_balancing_loss_is_that_of_the_loop(top_k):
    g = torch.Generator().manual_seed(top_k)
    logits = torch.randn(40, 6, generator=g, dtype=F64, requires_grad=True)
    found = load_balancing_loss(route(logits, MoE(n_experts=6, top_k=top_k, d_ff=1)))
    p = logits.softmax(-1)
    expected = torch.zeros((), dtype=F64)
    for e in range(6):
        share = sum(int(e in row.topk(top_k).indices) for row in p) / (40 * top_k)
        expected = expected + 6 * share * p[:, e].mean()
    assert_close(found, expected, rtol=1e-12, atol=0)
    for a, b in zip(torch.autograd.grad(found, logits), torch.autograd.grad(expected, logits), strict=True):
        assert_close(a, b, rtol=1e-12, atol=1e-15)


def test_balancing_loss_is_one_where_experts_share_alike_and_n_where_one_has_all():
    n = 4
    even = Routing(torch.full((8, n), 1 / n, dtype=F64), torch.arange(8)[:, None] % n, torch.ones(8, 1))
    one = Routing(torch.eye(n, dtype=F64)[[2] * 8], torch.full((8, 1), 2), torch.ones(8, 1))
    assert_close(load_balancing_loss(even), torch.tensor(1.0, dtype=F64))
    assert_close(load_balancing_loss(one), torch.tensor(4.0, dtype=F64))
    half = Routing(torch.cat((even.scores, one.scores)), torch.cat((even.chosen, one.chosen)), torch.ones(16, 1))
    assert_close(load_balancing_loss(half, valid=torch.arange(16).view(2, 8) < 8), torch.tensor(1.0, dtype=F64))
    with pytest.raises(ValueError, match="one entry for each of 16 tokens"):
        load_balancing_loss(half, valid=torch.ones(3, dtype=torch.bool))


def loads(model, tokens):
    with torch.no_grad(), routings(model) as where:
        model(tokens)
    return [torch.bincount(r.chosen.flatten(), minlength=r.scores.shape[1]) for r in where], where


def test_routings_are_collected_layer_by_layer_and_only_inside():
    model, tokens = perturbed(KINDS["latent"]), ids(2, 9)
    counts, where = loads(model, tokens)
    assert [len(where), int(counts[0].sum())] == [1, 2 * 9 * 3]
    model(tokens)
    assert len(where) == 1


def test_corrections_even_out_the_load_without_a_gradient():
    model, tokens = perturbed(KINDS["latent"]), ids(8, 60)
    (layer,) = (m for m in model.modules() if isinstance(m, Experts))
    before = loads(model, tokens)[0][0].double()
    weights = [p.detach().clone() for p in model.parameters()]
    for _ in range(60):
        balance_(layer.correction, loads(model, tokens)[1][0].chosen, rate=0.05)
    after = loads(model, tokens)[0][0].double()
    assert after.std() < 0.4 * before.std()
    assert all(torch.equal(a, b) for a, b in zip(weights, model.parameters(), strict=True))


def test_one_step_of_balance_is_a_sign():
    correction = torch.zeros(4, dtype=F64)
    balance_(correction, torch.tensor([[0, 1], [0, 2], [0, 1]]), rate=0.5)  # loads 3, 2, 1, 0; mean 1.5
    assert correction.tolist() == [-0.5, -0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="rate must be >= 0"):
        balance_(correction, torch.zeros(1, dtype=torch.int64), rate=-1.0)


def test_balancing_loss_trains_the_router_to_share():
    torch.manual_seed(0)
    layer = layer_of("softmax")
    x = torch.randn(400, 32, dtype=F64) + 1.0
    optimizer = torch.optim.Adam([layer.router.weight], 0.01)
    first = None
    for _ in range(100):
        loss = load_balancing_loss(route(layer._logits(x), layer.moe))
        first = loss.item() if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert first > 1.15
    assert loss < 1.05
