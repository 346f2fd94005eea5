"""Every engine of `attend` beside NumPy float64 that goes query by query: values, gradients, and the hard places."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from breadth.nn.attention.attend import attend
from breadth.nn.attention.masks import causal_mask, window_mask
from breadth.nn.attention.naive import attention_weights
from tests.nn.attention.dense_attention import drawn, exact_attention, summed_to, tensors, visible

RNG = np.random.default_rng(0)
N = 7  # length of `drawn`
SINKS = RNG.normal(size=4)
EMPTY = np.ones((N, N), bool)
EMPTY[[0, 3]] = False  # queries that see nothing
FORMS = {
    "plain": {},
    "causal": {"causal": True},
    "window back": {"causal": True, "window": 3},
    "window both ways": {"window": 3},
    "mask": {"mask": RNG.random((2, 1, N, N)) < 0.5},
    "mask of keys": {"mask": RNG.random((2, 1, 1, N)) < 0.7, "causal": True},
    "bias": {"bias": RNG.normal(size=(4, N, N))},
    "scale": {"scale": -0.7},
    "empty rows": {"mask": EMPTY},
    "sinks": {"sinks": SINKS},
    "sinks, causal": {"sinks": SINKS, "causal": True},
    "sinks, window": {"sinks": SINKS, "causal": True, "window": 2},
    "sinks, empty rows": {"sinks": SINKS, "mask": EMPTY},
    "sinks that take nothing or all": {"sinks": np.array([-np.inf, -1e4, 1e4, 0.0]), "causal": True},
    "softcap": {"softcap": 1.5, "causal": True},
    "all": {"causal": True, "window": 4, "mask": EMPTY, "bias": RNG.normal(size=(2, 1, N, N)), "sinks": SINKS},
    "all, softcap": {"window": 4, "mask": EMPTY, "bias": RNG.normal(size=(N,)), "sinks": SINKS, "softcap": 0.5},
}
ENGINES = ("naive", "sdpa", "banded", "flash", "auto")
LEARNED = ("q", "k", "v", "bias", "sinks")


def takes(engine: str, form: dict) -> bool:
    """What the docstring says of each engine; `bias` is learned here, for which flash has no gradient."""
    return {
        "naive": True,
        "auto": True,
        "sdpa": "softcap" not in form,
        "banded": "window" in form and not {"mask", "bias", "softcap"} & set(form),
        "flash": "sinks" in form and not {"bias", "softcap"} & set(form),
        "flex": "sinks" not in form,
    }[engine]


def assert_exact(given, form, engine, dtype=torch.float64, *, gradients=True, **tolerance):
    made = tensors({**given, **form}, dtype)
    grad = made.pop("grad")
    if not gradients:
        made = {name: t.detach() if isinstance(t, torch.Tensor) else t for name, t in made.items()}
    out = attend(**made, engine=engine)
    rounded = {name: t.detach().double().numpy() for name, t in made.items() if name in LEARNED}
    exact = exact_attention(**{**given, **form, **rounded})
    assert out.dtype == dtype
    np.testing.assert_allclose(out.detach().double().numpy(), exact.out, **tolerance)
    if gradients:
        out.backward(grad)
        for name in set(LEARNED) & set(made):
            expected = summed_to(getattr(exact, name), made[name].shape)
            size = np.abs(expected).max(initial=1.0)
            np.testing.assert_allclose(
                made[name].grad.double().numpy() / size, expected / size, **tolerance, err_msg=name
            )


@pytest.mark.parametrize("shared", [1, 2, 4])  # multi-query, grouped, a key head each
@pytest.mark.parametrize(
    ("engine", "form"),
    [pytest.param(e, form, id=f"{e}-{name}") for e in ENGINES for name, form in FORMS.items() if takes(e, form)],
)
def test_every_engine_is_the_softmax_of_numpy_in_value_and_gradient(engine, form, shared):
    # atol: sums of up to 7 terms of size 1, and their gradients
    assert_exact(drawn(shared=shared), form, engine, rtol=1e-12, atol=1e-13)
    # atol: the bar, for outputs of size 1, and of gradients' largest entry where that is above 1 (5.9 at most)
    assert_exact(drawn(shared=shared), form, engine, torch.float32, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("length", "n_keys"), [(1, 1), (1, 5), (5, 1), (3, 7), (9, 4), (130, 130), (70, 200), (200, 70)]
)
@pytest.mark.parametrize("engine", ENGINES)
def test_causal_and_windows_are_aligned_to_the_last_key_at_any_two_lengths(engine, length, n_keys):
    for form in ({"causal": True}, {"causal": True, "window": 5}, {"window": 5}, {"causal": True, "window": 10**6}):
        given = drawn(batch=1, heads=2, shared=1, length=length, n_keys=n_keys, dim=4, value_dim=4)
        for sinks in ({}, {"sinks": SINKS[:2]}):
            if takes(engine, form | sinks):
                # atol: sums of up to 200 terms of size 1
                assert_exact(given, form | sinks, engine, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("shape", [{"length": 0}, {"n_keys": 0}, {"length": 0, "n_keys": 0}, {"batch": 0}])
@pytest.mark.parametrize("engine", ENGINES)
def test_lengths_of_0_give_zeros_and_gradients_of_0(engine, shape):
    form = {"causal": True, "window": 2} | ({"sinks": SINKS} if engine != "banded" else {})
    assert_exact(drawn(**shape), form, engine, rtol=0, atol=0)


@pytest.mark.parametrize("engine", ["naive", "sdpa", "auto"])
def test_values_may_be_narrower_than_keys(engine):
    for form in ({"causal": True}, {"causal": True, "sinks": SINKS}):
        assert_exact(drawn(value_dim=3), form, engine, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("engine", ENGINES)
def test_half_precision_with_scores_beyond_its_range_stays_near_float64(engine, dtype):
    form = {"causal": True, "window": 9} | ({"sinks": SINKS} if engine != "banded" else {})
    eps = torch.finfo(dtype).eps
    # 4 eps: of inputs, probabilities and output, each rounded; gradients sum over up to 9 queries
    assert_exact(drawn(length=33, n_keys=33), form, engine, dtype, rtol=4 * eps, atol=9 * eps)
    huge = drawn(length=33, n_keys=33)
    huge["q"], huge["k"] = 300 * huge["q"], 300 * huge["k"]  # scores near 1e5, and float16 ends at 65504
    for value_dim in (8, 3):
        huge["v"], huge["grad"] = huge["v"][..., :value_dim], huge["grad"][..., :value_dim]
        if takes(engine, form) and (value_dim == 8 or engine in ("naive", "sdpa")):
            # 0.1: float32 scores of 1e5 are off by 1e-2, and one that is nearly tied weighs its key with that error
            assert_exact(huge, form, engine, dtype, gradients=False, rtol=eps, atol=0.1)


def test_gradients_at_huge_scores_are_exact_in_naive_and_lose_eps_times_the_score_in_flash():
    huge = drawn(length=33, n_keys=33)
    huge["q"], huge["k"] = 300 * huge["q"], 300 * huge["k"]
    # atol: a sum over 33 queries whose probabilities are all but 0 or 1
    assert_exact(huge, {"causal": True}, "naive", torch.float32, rtol=1e-6, atol=1e-5)
    # atol: eps max|s| = 6e-8 * 3e5 a probability, times gradients that sum to 10
    assert_exact(huge, {"causal": True}, "sdpa", torch.float32, rtol=0, atol=0.4)


def test_autocast_computes_in_its_dtype_and_returns_gradients_in_the_tensors_own():
    given, form = drawn(length=40, n_keys=40), {"causal": True, "window": 9, "sinks": SINKS}
    exact = exact_attention(**given, **form)
    for engine in ENGINES:
        made = tensors({**given, **form}, torch.float32)
        grad = made.pop("grad")
        with torch.autocast("cpu", torch.bfloat16):
            out = attend(**made, engine=engine)
        assert out.dtype == torch.bfloat16
        out.backward(grad.to(out.dtype))
        eps = torch.finfo(torch.bfloat16).eps
        np.testing.assert_allclose(out.detach().double().numpy(), exact.out, rtol=4 * eps, atol=4 * eps)
        for name in ("q", "k", "v", "sinks"):
            assert made[name].grad.dtype == torch.float32
            np.testing.assert_allclose(made[name].grad.numpy(), getattr(exact, name), rtol=4 * eps, atol=9 * eps)


@pytest.mark.parametrize("engine", ENGINES)
def test_views_and_expanded_tensors_are_read_as_what_they_show(engine):
    form = {"causal": True, "window": 3} | ({"sinks": torch.tensor(SINKS)} if engine != "banded" else {})
    made = tensors(drawn(length=40, n_keys=40))
    made.pop("grad")
    packed = {name: t.detach() for name, t in made.items()}
    expected = attend(**packed, **form, engine=engine)
    # (B, L, H, E) as projections give it
    views = {name: t.transpose(1, 2).contiguous().transpose(1, 2) for name, t in packed.items()}
    torch.testing.assert_close(attend(**views, **form, engine=engine), expected, rtol=1e-13, atol=1e-14)
    one = packed["k"][:1, :1, :1]
    leaves = [one.clone().requires_grad_(), one.expand(2, 2, 40, 8).clone().requires_grad_()]
    outs = [
        attend(packed["q"], leaf.expand(2, 2, 40, 8), packed["v"][:, :1].expand(2, 2, 40, 8), **form, engine=engine)
        for leaf in leaves
    ]
    torch.testing.assert_close(outs[0], outs[1], rtol=1e-13, atol=1e-14)
    for out in outs:
        out.backward(torch.ones(1, dtype=out.dtype).expand(out.shape))  # what .sum() hands back
    summed = leaves[1].grad.sum((0, 1, 2), keepdim=True)
    torch.testing.assert_close(leaves[0].grad, summed, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_nan_spoils_the_queries_that_meet_it_and_is_never_hidden(engine, dtype):
    form = {"causal": True, "window": 3} | ({"sinks": torch.tensor(SINKS)} if engine != "banded" else {})
    for name, spoiled in (("q", {20}), ("k", {20, 21, 22}), ("v", {20, 21, 22})):
        made = {n: t.detach().clone() for n, t in tensors(drawn(length=40, n_keys=40), dtype).items() if n != "grad"}
        made[name][0, 0, 20, 0] = torch.nan
        nan = attend(**made, **form, engine=engine).isnan().any(-1)
        assert not nan[1].any()
        assert not nan[0, 2:].any()  # heads of the other group
        rows = set(nan[0, 0].nonzero().flatten().tolist())
        assert rows == spoiled if name == "q" else rows >= spoiled


@pytest.mark.parametrize("sinks", [None, torch.tensor(SINKS)])
@pytest.mark.parametrize("engine", ["naive", "sdpa", "banded"])
def test_dropout_drops_probabilities_and_scales_up_the_rest(engine, sinks):
    torch.manual_seed(0)
    made = tensors(drawn(length=64, n_keys=64, value_dim=64))
    q, k = made["q"].detach(), made["k"].detach()
    v = torch.eye(64, dtype=torch.float64).expand(2, 2, 64, 64)  # the output is the probabilities
    whole = attend(q, k, v, causal=True, window=40, sinks=sinks, engine="naive")
    part = attend(q, k, v, causal=True, window=40, sinks=sinks, engine=engine, dropout=0.25)
    factor = (part / whole)[whole > 0]
    kept = factor[factor > 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 4 / 3), rtol=1e-12, atol=0)
    share = (factor == 0).double().mean()
    assert abs(share - 0.25) < 5 * (0.25 * 0.75 / factor.numel()) ** 0.5  # five standard deviations


def test_second_derivatives_through_the_flash_kernel_are_those_of_the_written_form():
    made = tensors(drawn(batch=1, heads=2, shared=1, length=3, n_keys=4, dim=2, value_dim=2))
    made.pop("grad")
    sinks = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    leaves = [*made.values(), sinks]
    curvature = []
    for engine in ("flash", "naive"):
        out = attend(*made.values(), causal=True, sinks=sinks, engine=engine)
        slopes = torch.autograd.grad(out.square().sum(), leaves, create_graph=True)
        curvature.append(torch.autograd.grad(sum(s.square().sum() for s in slopes), leaves))
    for flash, naive in zip(*curvature, strict=True):
        torch.testing.assert_close(flash, naive, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", FORMS)
def test_attention_weights_are_the_probabilities(name):
    given, form = drawn(), FORMS[name]
    made = tensors({**given, **form})
    ours = attention_weights(**{k: t for k, t in made.items() if k not in ("v", "grad")})
    expected = exact_attention(**given, **form).weights
    np.testing.assert_allclose(ours.detach().numpy(), expected, rtol=1e-13, atol=1e-15)  # sums of 7


def test_masks_are_what_a_double_loop_finds():
    for length, n_keys in ((0, 0), (1, 1), (1, 6), (5, 5), (3, 6), (6, 3), (0, 4)):
        assert np.array_equal(causal_mask(length, n_keys).numpy(), visible(length, n_keys, causal=True))
        for window in (1, 2, 10):
            for causal in (True, False):
                ours = window_mask(length, n_keys, window=window, causal=causal)
                assert np.array_equal(ours.numpy(), visible(length, n_keys, causal=causal, window=window))
    assert torch.equal(causal_mask(4), torch.ones(4, 4, dtype=torch.bool).tril())


def test_what_does_not_fit_is_refused_by_name():
    q, k = torch.zeros(2, 4, 5, 8), torch.zeros(2, 2, 6, 8)
    v, long = k, torch.zeros(2, 2, 7, 8)
    calls = [
        (
            ValueError,
            lambda: attend(q[0], k, v),
            r"q must have shape \(batch, heads, length, head_dim\), got \(4, 5, 8\)",
        ),
        (TypeError, lambda: attend(q.long(), k, v), "q must be floating point, got torch.int64"),
        (
            TypeError,
            lambda: attend(q, k.double(), v),
            "q, k and v must have one dtype, got torch.float32, torch.float64",
        ),
        (
            ValueError,
            lambda: attend(q, k, long),
            r"must agree, got q \(2, 4, 5, 8\), k \(2, 2, 6, 8\), v \(2, 2, 7, 8\)",
        ),
        (ValueError, lambda: attend(q[:, :3], k, v), "heads of q must be a multiple of those of k"),
        (ValueError, lambda: attend(q, k, v, mask=torch.ones(3, 6).bool()), r"broadcastable to .* = \(2, 4, 5, 6\)"),
        (ValueError, lambda: attend(q, k, v, bias=torch.ones(1, 2, 4, 5, 6)), "bias must be broadcastable"),
        (TypeError, lambda: attend(q, k, v, mask=torch.ones(5, 6)), "mask must be boolean.*what is added is bias"),
        (TypeError, lambda: attend(q, k, v, bias=torch.ones(5, 6).bool()), "a boolean tensor is mask"),
        (ValueError, lambda: attend(q, k, v, sinks=torch.zeros(2)), r"sinks must have one logit a head, shape \(4,\)"),
        (ValueError, lambda: attend(q, k, v, window=0), "window must be >= 1, got 0"),
        (ValueError, lambda: attend(q, k, v, softcap=0.0), "softcap must be > 0 and finite, got 0.0"),
        (ValueError, lambda: attend(q, k, v, scale=float("nan")), "scale must be finite, got nan"),
        (ValueError, lambda: attend(q, k, v, dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (ValueError, lambda: attend(q, k, v, engine="fast"), "engine must be one of 'auto', .* got 'fast'"),
        (ValueError, lambda: attend(q, k, v, softcap=1.0, engine="sdpa"), "engine 'sdpa' has no softcap"),
        (ValueError, lambda: attend(q, k, v, engine="banded"), "engine 'banded' needs a window"),
        (ValueError, lambda: attend(q, k, v, engine="flash"), "engine 'flash' is there for sinks"),
        (
            ValueError,
            lambda: attend(q, k, v[..., :3], sinks=torch.zeros(4), engine="flash"),
            "engine 'flash' needs .* equal head_dim",
        ),
        (ValueError, lambda: attend(q, k, v, dropout=0.1, engine="flex"), "engine 'flex' has no dropout"),
        (ValueError, lambda: attend(q.double(), k.double(), v.double(), engine="flex"), "has no float64 on a CPU"),
        (ValueError, lambda: attend(q, k, v, sinks=torch.zeros(4), engine="flex"), "has no sinks on a CPU"),
        (ValueError, lambda: attend(q, k.requires_grad_(), v, engine="flex"), "has no gradients on a CPU"),
        (ValueError, lambda: attention_weights(q, k, window=0), "window must be >= 1, got 0"),
        (ValueError, lambda: causal_mask(-1), "n_queries and n_keys must be >= 0, got -1"),
        (ValueError, lambda: window_mask(3, window=0), "window must be >= 1, got 0"),
    ]
    for error, call, says in calls:
        with pytest.raises(error, match=says):
            call()


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="flex_attention has to be compiled")
@pytest.mark.parametrize("name", ["causal", "window both ways", "empty rows", "softcap", "all but sinks"])
def test_flex_compiles_to_the_softmax_of_numpy(name):
    rows = {"causal": True, "window": 4, "mask": EMPTY, "bias": FORMS["bias"]["bias"]}
    form = rows if name == "all but sinks" else FORMS[name]
    # atol: the bar of float32
    assert_exact(drawn(), form, "flex", torch.float32, gradients=False, rtol=0, atol=2e-6)
    if name == "softcap":  # another number of the same form
        again = form | {"softcap": 2.5}
        assert_exact(drawn(), again, "flex", torch.float32, gradients=False, rtol=0, atol=2e-6)
