"""Added positions beside mpmath, and what order a Transformer sees without any."""

from __future__ import annotations

import copy
import pickle

import mpmath
import pytest
import torch

from breadth.nn.attention.attend import attend
from breadth.nn.positions import LearnedPositions, NoPE, SinusoidalPositions, sinusoidal


@pytest.mark.parametrize("base", [10_000.0, 100.0])
def test_sinusoids_are_those_of_thirty_digits_at_far_negative_and_fractional_positions(base):
    positions = [0, 1, 2, 77, 4096, 100_000, -3, 0.5]
    found = sinusoidal(torch.tensor(positions, dtype=torch.float64), 12, base=base, dtype=torch.float64)
    with mpmath.workdps(30):
        for row, p in zip(found.tolist(), positions, strict=True):
            for i in range(6):
                angle = mpmath.mpf(p) / mpmath.mpf(base) ** (mpmath.mpf(2 * i) / 12)
                # an angle of 1e5 carries an error of 1e5 eps
                assert row[2 * i] == pytest.approx(float(mpmath.sin(angle)), abs=1e-16 * abs(p) + 1e-15)
                assert row[2 * i + 1] == pytest.approx(float(mpmath.cos(angle)), abs=1e-16 * abs(p) + 1e-15)


def test_a_shift_is_one_rotation_for_all_positions():
    table = sinusoidal(torch.arange(50), 8, dtype=torch.float64)
    theta = 10_000.0 ** -(torch.arange(0, 8, 2, dtype=torch.float64) / 8) * 7
    sine, cosine = table[:43, 0::2], table[:43, 1::2]
    # sin(a + t), cos(a + t)
    torch.testing.assert_close(table[7:, 0::2], sine * theta.cos() + cosine * theta.sin(), rtol=0, atol=1e-14)
    torch.testing.assert_close(table[7:, 1::2], cosine * theta.cos() - sine * theta.sin(), rtol=0, atol=1e-14)


def test_the_module_adds_the_rows_of_its_positions():
    layer = SinusoidalPositions(6)
    x = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = sinusoidal(torch.arange(200), 6, dtype=torch.float64)
    assert torch.equal(layer(x), x + rows[:5])
    assert torch.equal(layer(x, start=131), x + rows[131:136])  # the table grows
    each = torch.tensor([[0, 1, 2, 3, 4], [9, 9, 9, 9, 9], [4, 3, 2, 1, 0]])
    torch.testing.assert_close(layer(x, positions=each), x + rows[each], rtol=0, atol=1e-15)
    torch.testing.assert_close(layer(x, positions=each[2]), x + rows[each[2]], rtol=0, atol=1e-15)
    assert layer(x[:, :0]).shape == (3, 0, 6)
    assert not layer.state_dict()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_rounds_the_sum_once_and_not_the_table(dtype):
    layer = SinusoidalPositions(6).to(dtype)
    x = torch.full((1, 9, 6), 100.0, dtype=dtype)
    expected = (x.double() + sinusoidal(torch.arange(9), 6, dtype=torch.float64)).to(dtype)
    ours = layer(x)
    assert ours.dtype == dtype
    # one unit of 100's last place, where the float32 sum lies within its own error of a tie
    torch.testing.assert_close(ours, expected, rtol=torch.finfo(dtype).eps, atol=0)
    assert (ours == expected).double().mean() > 0.9


def test_a_table_made_while_generating_serves_training_copies_and_pickles():
    layer = SinusoidalPositions(4)
    with torch.inference_mode():
        layer(torch.zeros(1, 3, 4))
    x = torch.zeros(1, 3, 4, requires_grad=True)
    layer(x).square().sum().backward()
    torch.testing.assert_close(x.grad, 2 * layer(torch.zeros(1, 3, 4)))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(torch.zeros(1, 3, 4)), layer(torch.zeros(1, 3, 4)))


def test_learned_positions_are_rows_of_the_weight_and_get_their_gradients():
    torch.manual_seed(0)
    layer = LearnedPositions(7, 4).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    weight = layer.weight.detach().numpy()
    for start in (0, 4):
        expected = torch.stack([x[:, t] + torch.tensor(weight[start + t]) for t in range(3)], 1)
        assert torch.equal(layer(x, start=start).detach(), expected)
    each = torch.tensor([[0, 6, 6], [1, 2, 3]])
    layer(x, positions=each).sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [1, 1, 1, 1, 0, 0, 2]
    assert layer(x[:, :0], start=7).shape == (2, 0, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sinusoidal(torch.arange(3), 5), "dim must be even and >= 2, got 5"),
        (lambda: SinusoidalPositions(0), "dim must be even and >= 2, got 0"),
        (lambda: sinusoidal(torch.arange(3), 4, base=0), "base must be > 0, got 0"),
        (lambda: SinusoidalPositions(4)(torch.zeros(2, 3, 5)), r"x must have shape .*4\), got \(2, 3, 5\)"),
        (lambda: SinusoidalPositions(4)(torch.zeros(2, 3, 4), start=-1), "start must be >= 0, got -1"),
        (lambda: LearnedPositions(0, 4), "n_positions and dim must be >= 1, got 0 and 4"),
        (lambda: LearnedPositions(8, 4)(torch.zeros(1, 3, 4), start=6), "positions 6 to 8 need n_positions > 8"),
        (lambda: LearnedPositions(8, 4)(torch.zeros(1, 2, 4), positions=torch.tensor([0, 8])), "got 0 to 8"),
        (lambda: LearnedPositions(8, 4)(torch.zeros(1, 2, 4), positions=torch.tensor([-1, 0])), "got -1 to 0"),
        (lambda: LearnedPositions(8, 4)(torch.zeros(3, 2, 4), positions=torch.zeros(2, 2, dtype=torch.int64)),
         r"positions must have shape \(L,\) = \(2,\) or \(B, L\) = \(3, 2\), got \(2, 2\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_positions_are_integers():
    with pytest.raises(TypeError, match=r"positions must be integers, got torch.float32"):
        SinusoidalPositions(4)(torch.zeros(1, 2, 4), positions=torch.zeros(2))


def transformer(x, *, causal, positions, seed=0):
    """Two layers of attention with two heads and a feed-forward part, from fixed weights; x (B, L, 8)."""
    generator = torch.Generator().manual_seed(seed)

    def weight(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[0] ** 0.5

    x = positions(x)
    for _ in range(2):
        q, k, v = ((x @ weight(8, 8)).unflatten(-1, (2, 4)).transpose(1, 2) for _ in range(3))
        x = x + attend(q, k, v, causal=causal).transpose(1, 2).flatten(2) @ weight(8, 8)
        x = x + torch.relu(x @ weight(8, 16)) @ weight(16, 8)
    return x


def test_without_positions_full_attention_is_permutation_equivariant_and_a_causal_mask_breaks_that():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 9, 8, generator=generator, dtype=torch.float64)
    order = torch.tensor([3, 0, 8, 1, 7, 2, 6, 4, 5])
    nope = NoPE()
    assert nope(x, start=5) is x

    def moved(*, causal, positions):
        """How far f(P x) is from P f(x)."""
        permuted = transformer(x[:, order], causal=causal, positions=positions)
        return (permuted - transformer(x, causal=causal, positions=positions)[:, order]).abs().max()

    assert moved(causal=False, positions=nope) < 1e-12
    assert moved(causal=True, positions=nope) > 0.1
    # and positions break it for full attention, which needs them
    assert moved(causal=False, positions=SinusoidalPositions(8)) > 0.1


def test_without_positions_two_orders_of_earlier_tokens_look_alike_to_one_causal_layer_but_not_to_two():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 5, 8, generator=generator, dtype=torch.float64)
    swapped = x[:, [1, 0, 2, 3, 4]]

    def attention(x, seed):
        w = torch.randn(8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        q, k, v = x[:, None] @ w, x[:, None], x[:, None]
        return x + attend(q, k, v, causal=True)[:, 0]

    last, other = attention(x, 3)[:, -1], attention(swapped, 3)[:, -1]
    torch.testing.assert_close(last, other, rtol=1e-13, atol=1e-13)  # a softmax over the same set
    last, other = attention(attention(x, 3), 4)[:, -1], attention(attention(swapped, 3), 4)[:, -1]
    assert (last - other).abs().max() > 1e-3


def test_a_head_with_equal_scores_counts_the_positions_under_a_causal_mask():
    # reads 1 from the first token, 0 from all others: the output at position t is 1 / t, exactly
    q = torch.zeros(1, 1, 100, 4, dtype=torch.float64)
    v = torch.zeros(1, 1, 100, 1, dtype=torch.float64)
    v[..., 0, :] = 1
    found = attend(q, q, v, causal=True, engine="naive")[0, 0, :, 0]
    assert torch.equal(found, 1 / torch.arange(1, 101, dtype=torch.float64))
    everywhere = attend(q, q, v, engine="naive")[0, 0, :, 0]
    assert torch.equal(everywhere, torch.full_like(everywhere, 0.01))  # without the mask nobody can tell
