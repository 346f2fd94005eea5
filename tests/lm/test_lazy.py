"""LazyLLM beside the model itself where nothing leaves, and beside a loop over tokens and layers where some do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from breadth.lm import LM, Layer, LMConfig, Rope
from breadth.lm.lazy import LazyLM
from breadth.lm.prune import Prune, dynamic_schedule, layer_wise_schedule, static_schedule
from tests.lm.models import KINDS

CONFIG = LMConfig(
    vocab_size=31,
    d_model=12,
    n_heads=4,
    n_kv_heads=2,
    head_dim=4,
    d_ff=10,
    layers=(Layer(),) * 4,
    ropes=(Rope(4, theta=100.0),),
    context_length=64,
    norm_eps=1e-5,
)


def made(config: LMConfig = CONFIG, seed: int = 0) -> LM:
    """Weights wide enough that attention is far from even."""
    model = LM(config).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for p in model.parameters():
        p.data = torch.randn(p.shape, generator=generator, dtype=p.dtype) * (
            1.5 / p.shape[-1] ** 0.5 if p.dim() > 1 else 0.3
        )
        if p.dim() == 1:
            p.data += 1
    return model


def some(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(31, (1, n), generator=torch.Generator().manual_seed(seed))


class ByHand:
    """Every token's state at every layer, made when it is wanted and remembered; one head, one key at a time."""

    def __init__(self, model: LM, schedule):
        self.w = {name: p.detach().numpy() for name, p in model.state_dict().items()}
        self.rules = {rule.after: rule for rule in schedule}
        self.ids: list[int] = []
        self.state: dict[tuple[int, int], np.ndarray] = {}  # (layer, token) -> what goes into the layer
        self.kv: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
        self.times: dict[tuple[int, int], int] = {}

    @staticmethod
    def norm(x, w):
        return x / np.sqrt((x * x).mean() + 1e-5) * w

    @staticmethod
    def turn(x, place):
        theta = 100.0 ** (-np.arange(2) / 2)
        z = (x[:2] + 1j * x[2:]) * np.exp(1j * place * theta)
        return np.concatenate((z.real, z.imag))

    def probabilities(self, layer, token, seen):
        """(heads, seen tokens up to this one)."""
        w = self.w
        name = f"decoder.blocks.{layer}"
        x = self.norm(self.state[layer, token], w[f"{name}.pre.0.weight"])
        q = (w[f"{name}.attention.qkv.weight"] @ x)[:16].reshape(4, 4)
        out = []
        for h in range(4):
            scores = np.array([self.turn(q[h], token) @ self.kv[layer, j][0][h // 2] for j in seen]) / 2
            p = np.exp(scores - scores.max())
            out.append(p / p.sum())
        return np.array(out)

    def layer(self, layer, token, seen):
        w, name = self.w, f"decoder.blocks.{layer}"
        seen = [j for j in seen if j <= token]
        p = self.probabilities(layer, token, seen)
        y = np.concatenate([sum(p[h, i] * self.kv[layer, j][1][h // 2] for i, j in enumerate(seen)) for h in range(4)])
        x = self.state[layer, token] + w[f"{name}.attention.o.weight"] @ y
        up = w[f"{name}.ffn.up.weight"] @ self.norm(x, w[f"{name}.pre.1.weight"])
        gate, up = up[:10], up[10:]
        return x + w[f"{name}.ffn.down.weight"] @ (gate / (1 + np.exp(-gate)) * up)

    def read(self, ids):
        w = self.w
        for token in ids:
            self.state[0, len(self.ids)] = w["embed.weight"][token]
            self.ids.append(token)
        seen = list(range(len(self.ids)))
        for layer in range(4):
            new = [t for t in seen if (layer, t) not in self.kv]
            for t in new:
                x = self.norm(self.state[layer, t], w[f"decoder.blocks.{layer}.pre.0.weight"])
                k, v = (w[f"decoder.blocks.{layer}.attention.qkv.weight"] @ x)[16:].reshape(2, 2, 4)
                self.kv[layer, t] = np.array([self.turn(head, t) for head in k]), v
            for t in new:
                self.state[layer + 1, t] = self.layer(layer, t, seen)
                self.times[layer, t] = self.times.get((layer, t), 0) + 1
            if layer in self.rules:
                importance = self.probabilities(layer, len(self.ids) - 1, seen).mean(0)
                seen = [seen[i] for i in self.rules[layer].select(torch.from_numpy(importance), len(self.ids))]
        return w["head.weight"] @ self.norm(self.state[4, len(self.ids) - 1], w["decoder.norm.weight"])


SCHEDULES = {
    "static": static_schedule(1, 0.4),
    "after the first layer": static_schedule(0, 0.2),
    "layer-wise": layer_wise_schedule(4, end_keep=0.25),
    "dynamic": dynamic_schedule(4, mass=0.7),
    "threshold": (Prune(after=0, threshold=0.03), Prune(after=2, threshold=0.06)),
}


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_prompt_and_tokens_after_it_are_those_of_a_loop_over_tokens_with_revival(schedule):
    model = made()
    lazy, by_hand = LazyLM(model, schedule, length=40), ByHand(model, schedule)
    ids = some(30)
    for begin, end in ((0, 20), (20, 21), (21, 22), (22, 26), (26, 27), (27, 28), (28, 29), (29, 30)):
        found = lazy.read(ids[:, begin:end])
        exact = by_hand.read(ids[0, begin:end].tolist())
        np.testing.assert_allclose(found[0], exact, rtol=1e-10, atol=1e-10)
    assert set(by_hand.times.values()) == {1}
    counts = [sum(layer == wanted for layer, _ in by_hand.times) for wanted in range(4)]
    assert lazy.computed == counts
    assert counts[0] == 30 and counts[-1] < 30


def test_tokens_that_left_come_back_when_a_later_token_looks_at_them():
    """Of 20 tokens the prompt keeps 4 at the last layer; the next ones look elsewhere, and those are computed then."""
    lazy = LazyLM(made(), static_schedule(1, 0.2), length=40)
    lazy.read(some(20))
    assert lazy.computed == [20, 20, 4, 4] and lazy.seen == [20, 20, 4, 4]
    for token in some(12, seed=3)[0]:
        lazy.read(token.view(1, 1))
    assert lazy.computed[:2] == [32, 32]
    assert 4 + 12 < lazy.computed[2] <= 32 and lazy.computed[2] == lazy.computed[3]


@pytest.mark.parametrize("schedule", [(), layer_wise_schedule(4, end_keep=1.0), dynamic_schedule(4, mass=1.0)])
def test_it_is_the_model_itself_where_nothing_leaves(schedule):
    model = made()
    lazy, ids = LazyLM(model, schedule, length=30), some(24)
    whole = model(ids)[0]
    np.testing.assert_allclose(lazy.read(ids[:, :15]).detach(), whole[None, 14].detach(), rtol=1e-10, atol=1e-10)
    for t in range(15, 24):
        np.testing.assert_allclose(lazy.read(ids[:, t : t + 1]), whole[None, t].detach(), rtol=1e-10, atol=1e-10)
    assert lazy.computed == [24] * 4


@pytest.mark.parametrize("kind", ["plain", "learned", "sinks", "chunks", "windows"])
def test_other_kinds_of_layers_prune_nothing_wrongly_either(kind):
    """Switches of attention and its neighbours, with windows and chunks opened so that layers see the whole text."""
    config = KINDS[kind]
    config = replace(config, layers=tuple(replace(layer, window=None, chunk=None) for layer in config.layers))
    torch.manual_seed(0)
    model = LM(config).double().eval()
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)
    ids = some(20)
    lazy = LazyLM(model, (Prune(after=0, keep=1.0),), length=25)
    np.testing.assert_allclose(lazy.read(ids[:, :16]), model(ids)[:, 15].detach(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(lazy.read(ids[:, 16:]), model(ids)[:, -1].detach(), rtol=1e-9, atol=1e-9)
    fewer = LazyLM(model, (Prune(after=0, keep=0.3),), length=25)
    fewer.read(ids)
    assert fewer.computed[:2] == [20, 6]


def test_generating_takes_the_likeliest_tokens_one_by_one():
    model, ids = made(), some(10)
    tokens = LazyLM(model, (), length=30).generate(ids, max_new_tokens=6)
    for n in range(6):
        assert int(model(ids)[0, -1].argmax()) == tokens[n]
        ids = torch.cat((ids, torch.tensor([[tokens[n]]])), 1)


def test_a_text_of_one_token_and_one_that_keeps_one_token_are_read():
    lazy = LazyLM(made(), static_schedule(0, 1e-6), length=5)
    assert lazy.read(some(1)).isfinite().all() and lazy.computed == [1, 1, 1, 1]
    assert lazy.read(some(3)).isfinite().all() and lazy.seen == [4, 1, 1, 1]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: LazyLM(made(KINDS["windows"]), (), length=5), "see the whole text"),
        (lambda: LazyLM(made(KINDS["latent"]), (), length=5), "latent attention has none"),
        (lambda: LazyLM(made(KINDS["distances"]), (), length=5), "bias for distances"),
        (lambda: LazyLM(made(), (), length=65), r"length must be in \[1, 64\]"),
        (lambda: LazyLM(made(), static_schedule(3, 0.5), length=9), "after layer 3: behind the last of 4"),
        (lambda: LazyLM(made(), (), length=5).read(some(6)), "room for 5 tokens, got 6 more than the 0 read"),
        (lambda: LazyLM(made(), (), length=5).read(some(6).view(2, 3)), r"\(1, T >= 1\), got \(2, 3\)"),
        (lambda: LazyLM(made(), (), length=5).read(some(0)), r"got \(1, 0\)"),
        (lambda: LazyLM(made(), (), length=5).read(torch.tensor([[31]])), r"\[0, 31\), got 31 to 31"),
        (lambda: LazyLM(made(), (), length=5).generate(some(2), max_new_tokens=0), "max_new_tokens must be >= 1"),
    ],
)
def test_bad_input_is_refused_by_name(call, words):
    with pytest.raises(ValueError, match=words):
        call()
