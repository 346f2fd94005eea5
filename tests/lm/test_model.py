from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from breadth.lm import LM, Layer
from tests.lm.models import BOTH_SIDES, KINDS, TRANSLATOR, ids, perturbed

ALL = pytest.mark.parametrize("kind", KINDS)
CLOSE = {"rtol": 0, "atol": 2e-12}


@ALL
def test_no_token_sees_one_that_follows(kind):
    model, tokens = perturbed(KINDS[kind]), ids(2, 20)
    other = tokens.clone()
    other[:, 12:] = ids(2, 8, seed=1)
    with torch.no_grad():
        a, b = model(tokens), model(other)
    assert_close(a[:, :12], b[:, :12], **CLOSE)
    assert (a[:, 12:] - b[:, 12:]).abs().max() > 1e-2


@ALL
def test_every_parameter_has_a_gradient_and_it_is_that_of_differences(kind):
    model, tokens = perturbed(KINDS[kind]).train(), ids(2, 24)

    def loss():
        return torch.nn.functional.cross_entropy(model(tokens)[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())

    names, parameters = zip(*model.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss(), parameters)
    g = torch.Generator().manual_seed(0)
    for name, gradient in zip(names, gradients, strict=True):
        assert torch.isfinite(gradient).all(), name
        assert gradient.any(), name
    direction = [torch.randn(p.shape, generator=g, dtype=p.dtype) for p in parameters]
    with torch.no_grad():
        found = []
        for sign in (1, -1):
            for p, d in zip(parameters, direction, strict=True):
                p.add_(d, alpha=sign * 1e-6)
            found.append(loss())
            for p, d in zip(parameters, direction, strict=True):
                p.sub_(d, alpha=sign * 1e-6)
    expected = sum((a * d).sum() for a, d in zip(gradients, direction, strict=True))
    assert_close((found[0] - found[1]) / 2e-6, expected, rtol=2e-5, atol=2e-5)


@ALL
def test_the_same_call_gives_the_same_bits(kind):
    model, tokens = perturbed(KINDS[kind], dtype=torch.float32), ids(2, 20)
    with torch.no_grad():
        assert model(tokens).equal(model(tokens))
        assert model(tokens).equal(copy.deepcopy(model)(tokens))


@ALL
def test_bfloat16_is_float32_but_for_rounding(kind):
    model, tokens = perturbed(KINDS[kind], dtype=torch.float32), ids(2, 20)
    half = copy.deepcopy(model).to(torch.bfloat16)
    rounded = copy.deepcopy(half).float()  # the same weights
    with torch.no_grad():
        found, expected = half(tokens), rounded(tokens)
        cache = half.make_cache(2, 20)
        pieces = [half(tokens[:, :10], cache=cache)] + [half(tokens[:, i : i + 1], cache=cache) for i in range(10, 20)]
    assert found.dtype == torch.bfloat16
    # eight bits, and a few layers; a router may tip on a token or two, so that the median is told
    assert (found.float() - expected).abs().median() < 0.02 * expected.abs().max()
    assert (torch.cat(pieces, 1).float() - expected).abs().median() < 0.02 * expected.abs().max()


def test_weights_are_drawn_again_from_the_same_seed():
    models = []
    for _ in range(2):
        torch.manual_seed(5)
        models.append(LM(KINDS["sinks"]))
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert a.equal(b)


@ALL
def test_a_new_model_starts_near_the_uniform_distribution(kind):
    torch.manual_seed(0)
    config = replace(KINDS[kind], d_model=64, logit_softcap=None)
    model, tokens = LM(config), ids(8, 60)
    with torch.no_grad():
        logits = model(tokens)
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids(8, 60, seed=1).flatten())
    assert math.log(61) - 0.05 < loss < math.log(61) + 0.6
    assert logits.std() < 1.5


@pytest.mark.parametrize("config", [*KINDS.values(), BOTH_SIDES, TRANSLATOR], ids=[*KINDS, "both sides", "translator"])
def test_a_model_without_memory_has_the_same_names_and_shapes(config):
    with torch.device("meta"):
        empty = LM(config)
    assert all(t.is_meta for t in empty.state_dict().values())
    full = LM(config)
    assert {n: t.shape for n, t in empty.state_dict().items()} == {n: t.shape for n, t in full.state_dict().items()}
    empty.load_state_dict(full.state_dict(), assign=True)
    if config.tied:
        empty.head.weight = empty.embed.weight
    given = {} if config.encoder is None else {"source": ids(1, 5)}
    with torch.no_grad():
        assert empty(ids(1, 7), **given).equal(full(ids(1, 7), **given))


def test_tied_models_have_one_matrix():
    model = LM(replace(KINDS["plain"], tied=True))
    assert model.head.weight is model.embed.weight
    assert sum("head" in name for name, _ in model.named_parameters()) == 0


# ---- what a call may be given


def test_last_and_hidden_are_parts_of_the_whole():
    model, tokens = perturbed(KINDS["behind"]), ids(2, 9)
    with torch.no_grad():
        full = model(tokens)
        assert_close(model(tokens, last=True), full[:, -1:], **CLOSE)
        logits, states = model(tokens, hidden=True)
        assert_close(logits, full, **CLOSE)
        assert_close(model.logits(states), full, **CLOSE)
        assert_close(model.states(tokens), states, **CLOSE)


def test_embeddings_may_be_given_in_place_of_ids():
    model, tokens = perturbed(KINDS["windows"]), ids(2, 9)
    with torch.no_grad():
        assert_close(model(inputs=model.embed_ids(tokens)), model(tokens), **CLOSE)
    cache = model.make_cache(2, 9)
    pieces = [model(inputs=model.embed_ids(tokens[:, a:b]), cache=cache) for a, b in ((0, 4), (4, 5), (5, 9))]
    with torch.no_grad():
        assert_close(torch.cat(pieces, 1), model(tokens), **CLOSE)


@pytest.mark.parametrize("kind", ["plain", "windows", "chunks", "sinks", "latent", "distances", "slopes", "learned"])
def test_a_mask_of_what_is_seen_anyway_changes_nothing(kind):
    model, tokens = perturbed(KINDS[kind]), ids(2, 15)
    triangle = torch.ones(15, 15, dtype=torch.bool).tril()
    with torch.no_grad():
        full = model(tokens)
        for mask in (triangle, triangle.expand(2, 15, 15), triangle.expand(1, 1, 15, 15)):
            assert_close(model(tokens, mask=mask), full, **CLOSE)


def test_texts_packed_in_one_row_are_read_as_if_alone():
    model, tokens = perturbed(KINDS["windows"]), ids(1, 17)
    text = torch.tensor([0] * 7 + [1] * 10)
    place = torch.tensor([*range(7), *range(10)])
    mask = (text[:, None] == text) & torch.ones(17, 17, dtype=torch.bool).tril()
    with torch.no_grad():
        packed = model(tokens, mask=mask, positions=place)
        assert_close(packed[:, :7], model(tokens[:, :7]), **CLOSE)
        assert_close(packed[:, 7:], model(tokens[:, 7:]), **CLOSE)


@pytest.mark.parametrize("kind", ["plain", "chunks", "learned", "sinusoids"])
def test_positions_that_are_counted_may_be_given(kind):
    model, tokens = perturbed(KINDS[kind]), ids(2, 9)
    with torch.no_grad():
        full = model(tokens)
        assert_close(model(tokens, positions=torch.arange(9)), full, **CLOSE)
        shifted = model(tokens, positions=torch.arange(9).expand(2, 9) + 5)
    change = (shifted - full).abs().max()
    assert change < 1e-11 if kind == "plain" else change > 1e-3  # rotation knows distances alone


def test_a_model_that_sees_both_sides():
    model, tokens = perturbed(BOTH_SIDES), ids(2, 9)
    types = (torch.arange(9) > 4).long().expand(2, 9)
    other = tokens.clone()
    other[:, 8] = (other[:, 8] + 1) % 61
    with torch.no_grad():
        full = model(tokens, types=types)
        assert (model(other, types=types)[:, 0] - full[:, 0]).abs().max() > 1e-3
        assert (model(tokens) - full).abs().max() > 1e-3
        assert_close(model(tokens), model(tokens, types=torch.zeros_like(types)), **CLOSE)
        valid = torch.arange(9) < torch.tensor([[9], [6]])
        padded = model(tokens, types=types, valid=valid)
        assert_close(padded[1:, :6], model(tokens[1:, :6], types=types[1:, :6]), **CLOSE)
        left = model(tokens.flip(1), types=types.flip(1), valid=valid.flip(1))
        assert_close(left[1:, 3:], model(tokens.flip(1)[1:, 3:], types=types.flip(1)[1:, 3:]), **CLOSE)


def test_a_window_that_looks_to_both_sides():
    config = replace(BOTH_SIDES, layers=(Layer(rope=None, window=3),))
    model, tokens = perturbed(config), ids(1, 12)
    other = tokens.clone()
    other[:, 6] = (other[:, 6] + 1) % 61
    with torch.no_grad():
        change = (model(tokens) - model(other)).abs().amax((0, 2))
        padded = model(tokens, valid=torch.arange(12)[None] < 11)
        assert_close(padded[:, :11], model(tokens[:, :11]), **CLOSE)
    assert (change > 1e-6).nonzero().flatten().tolist() == [4, 5, 6, 7, 8]


def test_positions_of_a_block_in_parallel_are_those_of_the_formula():
    model, tokens = perturbed(replace(KINDS["parallel"], layers=(Layer(),))), ids(1, 1)
    (block,) = model.decoder.blocks
    with torch.no_grad():
        x = model.embed.weight[tokens[0, 0]]
        y = block.pre[0](x)
        v = block.attention.qkv(y)[-8:]  # a single token attends to itself
        expected = model.head(model.decoder.norm(x + block.attention.o(v.repeat(4)) + block.ffn(y)))
        assert_close(model(tokens)[0, 0], expected, **CLOSE)
    assert len(block.pre) == 1


# ---- what a call refuses


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ({"ids": torch.zeros(1, 0, dtype=torch.int64)}, ValueError, r"ids must have shape .* got \(1, 0\)"),
        ({"ids": torch.zeros(3, dtype=torch.int64)}, ValueError, r"ids must have shape .* got \(3,\)"),
        ({"ids": torch.zeros(1, 3)}, TypeError, "ids must be integers, got torch.float32"),
        ({"ids": torch.tensor([[61]])}, ValueError, r"ids must be in \[0, 61\), the vocabulary, got 61"),
        ({"ids": torch.tensor([[3, -1]])}, ValueError, "got -1"),
        ({"ids": ids(1, 513)}, ValueError, "ids of length 513, .* exceed the model's context_length of 512"),
        ({}, ValueError, "either ids or inputs"),
        ({"ids": ids(1, 3), "inputs": torch.zeros(1, 3, 32)}, ValueError, "either ids or inputs"),
        ({"ids": ids(1, 3), "valid": torch.ones(1, 3)}, TypeError, "valid must be boolean"),
        ({"ids": ids(1, 3), "valid": torch.ones(1, 4) > 0}, ValueError, r"valid must have shape \(1, 3\)"),
        ({"ids": ids(1, 3), "positions": torch.arange(4)}, ValueError, r"positions must have shape \(3,\)"),
        ({"ids": ids(1, 3), "positions": torch.arange(3) + 510}, ValueError, r"positions must be in \[0, 512\)"),
        ({"ids": ids(1, 3), "positions": torch.zeros(3)}, TypeError, "positions must be integers"),
        ({"ids": ids(1, 3), "mask": torch.ones(3, 3)}, TypeError, "mask must be boolean"),
        ({"ids": ids(1, 3), "mask": torch.ones(3, 4, dtype=torch.bool)}, ValueError, r"mask must have shape \(3, 3\)"),
        ({"ids": ids(1, 3), "types": torch.zeros(1, 3, dtype=torch.int64)}, ValueError, "types are given to a model"),
        ({"ids": ids(1, 3), "spans": torch.zeros(1, 3, dtype=torch.int64)}, ValueError, "spans are given to a model"),
        ({"ids": ids(1, 3), "source": ids(1, 3)}, ValueError, "source is given to a model that has no encoder"),
    ],
)  # fmt: skip
def test_an_error_names_the_argument(given, error, told):
    model = LM(KINDS["plain"])
    with pytest.raises(error, match=told):
        model(**given)


def test_the_cache_counts_towards_the_context():
    model = perturbed(replace(KINDS["plain"], context_length=8))
    cache = model.make_cache(1, 20)
    model(ids(1, 8), cache=cache)
    with pytest.raises(ValueError, match="length 9"):
        model(ids(1, 1), cache=cache)


def test_a_call_with_a_cache_has_no_gradient_and_one_without_has():
    model = perturbed(KINDS["plain"])
    assert model(ids(1, 3)).requires_grad
    assert not model(ids(1, 3), cache=model.make_cache(1, 3)).requires_grad


def test_a_cache_begun_while_generating_goes_on_outside():
    model, tokens = perturbed(KINDS["windows"]), ids(1, 9)
    with torch.inference_mode():
        cache = model.make_cache(1, 9)
        model(tokens[:, :5], cache=cache)
    found = model(tokens[:, 5:], cache=cache)
    assert_close(found, model(tokens)[:, 5:].detach(), **CLOSE)
    model(tokens).sum().backward()  # tables that were made in inference mode serve training


def test_scores_wholly_masked_give_no_nan():
    for config in (KINDS["windows"], KINDS["sinks"], KINDS["latent"], KINDS["distances"]):
        model = perturbed(config, dtype=torch.float32)
        valid = torch.tensor([[False] * 8 + [True], [True] * 9])
        assert torch.isfinite(model(ids(2, 9), valid=valid)).all()
