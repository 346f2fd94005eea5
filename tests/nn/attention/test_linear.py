"""Linear attention beside its quadratic twin: every score, from logarithms, in float64."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from breadth.nn.attention.linear import LinearAttention, LinearState, linear_attention, linear_attention_step
from tests.nn.attention.twins import log_elu_plus_one, log_relu, quadratic

LOG_FEATURES = {"elu": log_elu_plus_one, "relu": log_relu, "exp": lambda x: x}
# float64: a few dozen roundings of terms that are all positive
EXACT = {"rtol": 1e-12, "atol": 1e-13}


def inputs(batch, heads, shared, length, n_keys, dim=8, value_dim=5, *, mean=0.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) + mean).to(dtype)

    v = torch.randn(batch, shared, n_keys, value_dim, generator=generator, dtype=torch.float64).to(dtype)
    return draw(batch, heads, length, dim), draw(batch, shared, n_keys, dim), v


@pytest.mark.parametrize("feature_map", ["elu", "relu", "exp"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("batch", "heads", "shared", "length", "n_keys"),
    [(2, 4, 2, 19, 19), (1, 3, 1, 7, 23), (1, 2, 2, 23, 7), (2, 1, 1, 1, 9), (1, 2, 1, 1, 1), (3, 2, 2, 8, 1)],
)
def test_both_forms_equal_the_quadratic_twin(feature_map, causal, batch, heads, shared, length, n_keys):
    q, k, v = inputs(batch, heads, shared, length, n_keys)
    ours = linear_attention(q, k, v, causal=causal, feature_map=feature_map, chunk=5)
    expected = quadratic(q, k, v, LOG_FEATURES[feature_map], causal=causal)
    torch.testing.assert_close(ours, expected, **EXACT)


@pytest.mark.parametrize("chunk", [1, 2, 64, 1000])
def test_the_chunk_changes_nothing(chunk):
    q, k, v = inputs(1, 2, 1, 130, 130)
    ours = linear_attention(q, k, v, causal=True, chunk=chunk)
    torch.testing.assert_close(ours, quadratic(q, k, v, log_elu_plus_one, causal=True), **EXACT)


def test_blocks_of_keys_and_queries_are_joined_without_a_seam():
    q, k, v = inputs(1, 1, 1, 300, 600)  # more than one block of either, and keys before the first query
    for causal in (False, True):
        expected = quadratic(q, k, v, log_elu_plus_one, causal=causal)
        torch.testing.assert_close(linear_attention(q, k, v, causal=causal), expected, **EXACT)


def test_a_feature_map_can_be_any_function():
    q, k, v = inputs(2, 2, 2, 9, 9)
    ours = linear_attention(q, k, v, causal=True, feature_map=lambda x: torch.cat((x.exp(), (-x).exp()), -1))
    expected = quadratic(q, k, v, lambda x: np.concatenate((x, -x), -1), causal=True)
    torch.testing.assert_close(ours, expected, **EXACT)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("feature_map", ["elu", "relu"])
def test_masked_keys_are_as_if_they_were_not_there_and_a_fully_masked_row_gives_zero(causal, feature_map):
    q, k, v = inputs(3, 2, 1, 11, 11)
    mask = torch.ones(3, 1, 1, 11, dtype=torch.bool)
    mask[0, ..., :4] = False  # padded on the left: the first queries of the causal form see nothing
    mask[1, ..., 7:] = False
    mask[2] = False
    q, k, v = (t.requires_grad_() for t in (q, k, v))
    ours = linear_attention(q, k, v, causal=causal, mask=mask, feature_map=feature_map, chunk=3)
    expected = quadratic(q.detach(), k.detach(), v.detach(), LOG_FEATURES[feature_map], causal=causal, mask=mask)
    torch.testing.assert_close(ours.detach(), expected, **EXACT)
    assert torch.equal(ours[2], torch.zeros_like(ours[2]))
    for gradient in torch.autograd.grad(ours.sum(), (q, k, v)):
        assert gradient.isfinite().all()
        assert torch.equal(gradient[2], torch.zeros_like(gradient[2]))


def test_gradients_equal_those_of_explicit_scores():
    tensors = [t.requires_grad_() for t in inputs(2, 4, 2, 13, 13)]
    q, k, v = tensors
    ours = linear_attention(q, k, v, causal=True, chunk=4)
    f, g = torch.where(q > 0, q + 1, q.exp()), torch.where(k > 0, k + 1, k.exp())
    g, w = g.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
    scores = (f @ g.mT).tril()
    expected = scores / scores.sum(-1, keepdim=True) @ w
    cotangent = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad(ours, tensors, cotangent), torch.autograd.grad(expected, tensors, cotangent), strict=True
    ):
        torch.testing.assert_close(a, b, **EXACT)


def test_rows_of_the_normalised_form_sum_to_one_and_those_without_the_normaliser_to_thousands():
    q, k, _ = inputs(1, 2, 2, 512, 512, dim=64)
    ones = torch.ones(1, 2, 512, 1, dtype=torch.float64)
    for causal in (False, True):
        torch.testing.assert_close(linear_attention(q, k, ones, causal=causal), ones, rtol=1e-14, atol=0)
    f, g = torch.nn.functional.elu(q) + 1, torch.nn.functional.elu(k) + 1
    assert (f @ (g.mT @ ones)).min() > 1000


@pytest.mark.parametrize("mean", [1e4, -1e4])
@pytest.mark.parametrize("feature_map", ["elu", "exp"])
@pytest.mark.parametrize("causal", [False, True])
def test_inputs_far_from_zero_keep_their_weights(mean, feature_map, causal):
    q, k, v = inputs(1, 2, 1, 17, 17, mean=mean)
    expected = quadratic(q, k, v, LOG_FEATURES[feature_map], causal=causal)
    # exponents near 1e4 carry an absolute error of 1e4 eps, which is the relative one of their exponential
    torch.testing.assert_close(
        linear_attention(q, k, v, causal=causal, feature_map=feature_map, chunk=4), expected, rtol=1e-11, atol=1e-11
    )
    single = [t.float() for t in (q, k, v)]
    expected = quadratic(*single, LOG_FEATURES[feature_map], causal=causal)
    torch.testing.assert_close(
        linear_attention(*single, causal=causal, feature_map=feature_map, chunk=4).double(),
        expected,
        rtol=2e-5,  # 8 features and 17 keys, each within a few eps = 6e-8: differences of float32 at 1e4 are exact
        atol=2e-5,
    )


@pytest.mark.parametrize("order", [1, -1])
def test_keys_whose_scales_leap_by_hundreds_of_powers_of_e_each_count_for_the_queries_that_see_them(order):
    steps = torch.arange(24, dtype=torch.float64)
    climb = order * 50.0 * steps - 700  # beside the last key's scale the first one's is e^-1150
    k = climb[None, None, :, None] + torch.randn(1, 1, 24, 4, generator=torch.Generator().manual_seed(0)).double()
    q, _, v = inputs(1, 1, 1, 24, 24, dim=4)
    expected = quadratic(q, k, v, log_elu_plus_one, causal=True)
    # absolute errors of exponents up to 1300
    torch.testing.assert_close(linear_attention(q, k, v, causal=True), expected, rtol=1e-11, atol=1e-11)
    q, k, v = (t.float() for t in (q, k, v))
    expected = quadratic(q, k, v, log_elu_plus_one, causal=True)
    torch.testing.assert_close(linear_attention(q, k, v, causal=True).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("causal", [False, True])
def test_half_precision_is_summed_in_float32_and_rounded_once(dtype, causal):
    q, k, v = inputs(1, 2, 1, 300, 300, dim=16, mean=20.0, dtype=dtype)  # scores near 6,400 a key: their sum is 2e6
    ours = linear_attention(q, k, v, causal=causal)
    assert ours.dtype == dtype
    expected = quadratic(q, k, v, log_elu_plus_one, causal=causal)
    # half a unit of the result's last place, and float32's sums of 300 terms
    torch.testing.assert_close(ours.double(), expected, rtol=torch.finfo(dtype).eps / 2, atol=1e-6)


def test_lengths_of_zero_give_empty_or_zero_outputs():
    for length, n_keys in [(0, 5), (5, 0), (0, 0)]:
        q, k, v = (t.requires_grad_() for t in inputs(2, 2, 1, length, n_keys))
        for causal in (False, True):
            out = linear_attention(q, k, v, causal=causal)
            assert out.shape == (2, 2, length, 5)
            assert torch.equal(out, torch.zeros_like(out))
    q, k, v = inputs(0, 2, 1, 4, 4)
    assert linear_attention(q, k, v, causal=True).shape == (0, 2, 4, 5)


def test_strides_do_not_matter():
    q, k, v = inputs(2, 4, 2, 12, 12)
    expected = linear_attention(q, k, v, causal=True)
    transposed = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in (q, k, v)]
    assert not transposed[0].is_contiguous()
    torch.testing.assert_close(linear_attention(*transposed, causal=True), expected, rtol=1e-14, atol=1e-14)
    one = k[:, :1].expand(2, 2, 12, 8)
    torch.testing.assert_close(
        linear_attention(q, one, v), linear_attention(q, one.contiguous(), v), rtol=1e-14, atol=1e-14
    )


def test_autocast_gives_its_dtype_and_the_sums_stay_in_float32():
    q, k, v = inputs(1, 2, 2, 70, 70, mean=20.0, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        ours = linear_attention(q, k, v, causal=True)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, linear_attention(q, k, v, causal=True).bfloat16())


@pytest.mark.parametrize("feature_map", ["elu", "relu", "exp"])
def test_one_token_after_another_gives_the_rows_of_the_causal_form(feature_map):
    q, k, v = inputs(2, 4, 2, 21, 21, mean=-1.0)
    expected = linear_attention(q, k, v, causal=True, feature_map=feature_map, chunk=6)
    first, state = linear_attention_step(q[:, :, :10], k[:, :, :10], v[:, :, :10], feature_map=feature_map, chunk=4)
    rows = [first]
    for t in range(10, 21):
        before = copy.deepcopy(state)
        one = slice(t, t + 1)
        row, new = linear_attention_step(q[:, :, one], k[:, :, one], v[:, :, one], state, feature_map=feature_map)
        assert torch.equal(before.kv, state.kv)  # a state can be continued twice
        assert new.kv.shape == state.kv.shape
        rows.append(row)
        state = new
    torch.testing.assert_close(torch.cat(rows, 2), expected, **EXACT)


def test_a_decoding_step_of_many_keys_and_one_query_sees_every_key():
    q, k, v = inputs(1, 2, 1, 1, 40)
    torch.testing.assert_close(
        linear_attention(q, k, v, causal=True), linear_attention(q, k, v), rtol=1e-14, atol=1e-14
    )


class _Largest(TorchDispatchMode):
    """Number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.elements = max(self.elements, out.numel())
        return out


@pytest.mark.parametrize("causal", [False, True])
def test_multiplications_grow_with_the_length_and_no_tensor_is_larger_than_the_output(causal):
    counts = {}
    for length in (1024, 2048, 4096):
        q, k, v = inputs(1, 2, 1, length, length, dim=16, value_dim=16, dtype=torch.float32)
        with torch.no_grad(), FlopCounterMode(display=False) as counter, _Largest() as largest:
            linear_attention(q, k, v, causal=causal)
        counts[length] = counter.get_total_flops()
        assert largest.elements <= q.numel()
    assert math.log2(counts[2048] / counts[1024]) == pytest.approx(1, abs=0.02)
    assert math.log2(counts[4096] / counts[2048]) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"q": torch.zeros(2, 3, 4)}, ValueError, "q must have shape"),
        ({"q": torch.zeros(1, 3, 4, 8)}, ValueError, "multiple of those of k"),
        ({"k": torch.zeros(1, 2, 6, 7)}, ValueError, "must agree"),
        ({"v": torch.zeros(1, 2, 6, 5, dtype=torch.int64)}, TypeError, "v must be floating point"),
        ({"mask": torch.ones(1, 1, 4, 6, dtype=torch.bool)}, ValueError, "hide a key only from all queries"),
        ({"mask": torch.ones(7, dtype=torch.bool)}, ValueError, "mask must be broadcastable"),
        ({"mask": torch.ones(6)}, TypeError, "mask must be boolean"),
        ({"chunk": 0}, ValueError, "chunk must be >= 1, got 0"),
        ({"feature_map": "softmax"}, ValueError, "feature_map must be .* got 'softmax'"),
    ],
)
def test_what_does_not_fit_is_named(change, error, message):
    given = {"q": torch.zeros(1, 4, 4, 8), "k": torch.zeros(1, 2, 6, 8), "v": torch.zeros(1, 2, 6, 5)} | change
    with pytest.raises(error, match=message):
        linear_attention(given.pop("q"), given.pop("k"), given.pop("v"), **given)


def test_a_step_refuses_other_positions_and_the_state_of_another_map():
    q, k, v = inputs(1, 2, 2, 3, 4)
    with pytest.raises(ValueError, match="same new positions, at least one, got 3 and 4"):
        linear_attention_step(q, k, v)
    with pytest.raises(ValueError, match="got 0 and 0"):
        linear_attention_step(q[:, :, :0], k[:, :, :0], v[:, :, :0])
    q = q[:, :, :1]
    k, v = k[:, :, :1], v[:, :, :1]
    _, state = linear_attention_step(q, k, v, feature_map="relu")
    with pytest.raises(ValueError, match=r"state must come from the same heads and feature map.*without log_scale"):
        linear_attention_step(q, k, v, state)
    other = LinearState(torch.zeros(1, 1, 8, 5), torch.zeros(1, 1, 8), torch.zeros(1, 1))
    with pytest.raises(ValueError, match=r"\(1, 2, 8, 5\), got \(1, 1, 8, 5\)"):
        linear_attention_step(q, k, v, other)


def test_the_layer_is_its_projections_around_the_function():
    torch.manual_seed(0)
    layer = LinearAttention(12, 4, n_kv_heads=2, causal=True).double()
    x = torch.randn(2, 9, 12, dtype=torch.float64)

    def heads(linear, n):
        projected = x.numpy() @ linear.weight.detach().numpy().T + linear.bias.detach().numpy()
        return torch.tensor(projected.reshape(2, 9, n, 3).transpose(0, 2, 1, 3))

    read = quadratic(
        heads(layer.q_proj, 4), heads(layer.k_proj, 2), heads(layer.v_proj, 2), log_elu_plus_one, causal=True
    )
    flat = read.numpy().transpose(0, 2, 1, 3).reshape(2, 9, 12)
    expected = flat @ layer.out_proj.weight.detach().numpy().T + layer.out_proj.bias.detach().numpy()
    torch.testing.assert_close(layer(x).detach(), torch.tensor(expected), **EXACT)

    rows, state = [], None
    for t in range(9):
        row, state = layer.step(x[:, t : t + 1], state)
        rows.append(row)
    torch.testing.assert_close(torch.cat(rows, 1), layer(x), **EXACT)


def test_the_layer_reads_a_context_behind_a_mask_and_refuses_to_step_without_order():
    torch.manual_seed(0)
    layer = LinearAttention(8, 2, bias=False).double()
    x, context = torch.randn(2, 3, 8, dtype=torch.float64), torch.randn(2, 5, 8, dtype=torch.float64)
    mask = (torch.arange(5) < 3)[None, None, None]
    torch.testing.assert_close(layer(x, context, mask=mask), layer(x, context[:, :3]), **EXACT)
    with pytest.raises(ValueError, match="step needs causal=True"):
        layer.step(x)
    with pytest.raises(ValueError, match="n_heads must divide d_model, got 3 and 8"):
        LinearAttention(8, 3)
    with pytest.raises(ValueError, match="n_kv_heads must divide n_heads, got 3 and 4"):
        LinearAttention(8, 4, n_kv_heads=3)
