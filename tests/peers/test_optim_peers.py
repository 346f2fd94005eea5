"""Update rules beside torch.optim: 1,000 steps on the same random gradients, in float64."""

from __future__ import annotations

import copy
import functools

import pytest
import torch

from breadth.nn.optim import SGD, Adagrad, Adam, AdamW, Muon, RMSprop, batches

STEPS = 1000
# rtol: the same sums in another order, a rounding each in 1,000 steps; atol: where a parameter passes 0
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


# all options at once, as far as they go together
CASES = [
    (SGD, torch.optim.SGD, {}),
    (SGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1, "maximize": True}),
    (SGD, torch.optim.SGD, {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1}),
    (
        Adagrad,
        torch.optim.Adagrad,
        {"lr_decay": 0.01, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True},
    ),
    (RMSprop, torch.optim.RMSprop, {"alpha": 0.9}),
    (RMSprop, torch.optim.RMSprop, {"weight_decay": 0.1, "momentum": 0.9, "centered": True, "maximize": True}),
    (Adam, torch.optim.Adam, {}),
    (Adam, torch.optim.Adam, {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
    (AdamW, torch.optim.AdamW, {}),
    (AdamW, torch.optim.AdamW, {"weight_decay": 0.1, "amsgrad": True, "maximize": True}),
]
# each alone
MORE_CASES = [
    (SGD, torch.optim.SGD, {"weight_decay": 0.1}),
    (SGD, torch.optim.SGD, {"maximize": True}),
    (SGD, torch.optim.SGD, {"momentum": 0.9}),
    (SGD, torch.optim.SGD, {"momentum": 0.9, "dampening": 0.4}),
    (SGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
    (Adagrad, torch.optim.Adagrad, {}),
    (Adagrad, torch.optim.Adagrad, {"lr_decay": 0.01}),
    (Adagrad, torch.optim.Adagrad, {"weight_decay": 0.1}),
    (Adagrad, torch.optim.Adagrad, {"initial_accumulator_value": 0.5}),
    (Adagrad, torch.optim.Adagrad, {"maximize": True, "eps": 0.1}),
    (RMSprop, torch.optim.RMSprop, {"weight_decay": 0.1}),
    (RMSprop, torch.optim.RMSprop, {"momentum": 0.9}),
    (RMSprop, torch.optim.RMSprop, {"centered": True}),
    (RMSprop, torch.optim.RMSprop, {"maximize": True, "alpha": 0.5, "eps": 0.1}),
    (Adam, torch.optim.Adam, {"weight_decay": 0.1}),
    (Adam, torch.optim.Adam, {"amsgrad": True}),
    (Adam, torch.optim.Adam, {"maximize": True, "betas": (0.5, 0.9999)}),
    (Adam, torch.optim.Adam, {"decoupled_weight_decay": True, "weight_decay": 0.1}),
    (Adam, torch.optim.Adam, {"betas": (0.0, 0.0), "eps": 0.1}),
    (
        Adam,
        torch.optim.Adam,
        {"weight_decay": 0.1, "amsgrad": True, "maximize": True, "decoupled_weight_decay": True},
    ),
    (AdamW, torch.optim.AdamW, {"weight_decay": 0.0}),
]


def name(case):
    ours, _, chosen = case
    return "-".join([ours.__name__, *(f"{k}={v}" for k, v in chosen.items())])


def leaves(dtype=torch.float64):
    """Parameters of many shapes and layouts: a number, none, some that are cut into pieces, and transposed ones."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    tensors = [normal(), normal(0, 3), normal(5), normal(7, 9), normal(9, 7).T]
    return [t.requires_grad_() for t in tensors]


@functools.cache
def random_gradients(steps, dtype=torch.float64):
    """Of sizes from 1e-3 to 1e3; that of the third leaf is an expanded number, and the first has none on odd steps."""
    generator = torch.Generator().manual_seed(1)
    shapes = [leaf.shape for leaf in leaves()]
    sizes = [10 ** (6 * torch.rand(shape, generator=generator, dtype=torch.float64) - 3) for shape in shapes]
    found = []
    for step in range(steps):
        grads = [
            torch.randn(shape, generator=generator, dtype=dtype) * size
            for shape, size in zip(shapes, sizes, strict=True)
        ]
        grads[2] = grads[2][0].expand(grads[2].shape)
        found.append([None if i == 0 and step % 2 else g for i, g in enumerate(grads)])
    return found


def run(optimizers, steps=STEPS):
    """Step all optimizers on the same gradients."""
    columns = [[p for group in o.param_groups for p in group["params"]] for o in optimizers]
    for grads in random_gradients(steps, columns[0][0].dtype):
        for optimizer, params in zip(optimizers, columns, strict=True):
            for p, g in zip(params, grads, strict=True):
                p.grad = g
            optimizer.step()
    return columns


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr(batches, "ELEMENTS_PER_THREAD", 32)  # so that small tensors are cut and grouped, too


@pytest.mark.parametrize(
    "case", [*CASES, *(pytest.param(case, marks=pytest.mark.slow) for case in MORE_CASES)], ids=name
)
def test_a_thousand_steps_on_random_gradients_end_where_those_of_torch_end(case):
    make_ours, make_theirs, chosen = case
    ours, theirs = run([make_ours(leaves(), lr=0.01, **chosen), make_theirs(leaves(), lr=0.01, **chosen)])
    for our, their, start in zip(ours, theirs, leaves(), strict=True):
        torch.testing.assert_close(our, their, **CLOSE)
        assert our.numel() == 0 or not torch.equal(our, start)


ELEMENTWISE = [
    (SGD, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (Adagrad, torch.optim.Adagrad, {"initial_accumulator_value": 0.5}),
    (RMSprop, torch.optim.RMSprop, {"momentum": 0.9, "centered": True}),
    (Adam, torch.optim.Adam, {"amsgrad": True, "weight_decay": 0.1}),
    (AdamW, torch.optim.AdamW, {}),
]


@pytest.mark.parametrize("case", ELEMENTWISE, ids=name)
def test_groups_keep_rates_of_their_own_and_a_parameter_without_gradient_stays(case):
    make_ours, make_theirs, chosen = case
    ends = []
    for make in (make_ours, make_theirs):
        first, second = leaves(), leaves()
        still = torch.ones(3, dtype=torch.float64, requires_grad=True)
        groups = [{"params": first, "lr": 0.1, "weight_decay": 0.0}, {"params": [*second, still], "maximize": True}]
        optimizer = make(groups, lr=0.01, **chosen)
        for grads in random_gradients(50):
            for p, g in zip([*first, *second], [*grads, *grads], strict=True):
                p.grad = g
            optimizer.step()
        assert torch.equal(still, torch.ones(3, dtype=torch.float64))
        assert make is make_theirs or still not in optimizer.state
        ends.append([*first, *second])
    for our, their in zip(*ends, strict=True):
        torch.testing.assert_close(our, their, **CLOSE)


@pytest.mark.parametrize("case", ELEMENTWISE, ids=name)
def test_complex_parameters_move_as_pairs_of_real_ones(case):
    make_ours, make_theirs, chosen = case
    dtype = torch.complex128
    ours, theirs = run(
        [make_ours(leaves(dtype), lr=0.01, **chosen), make_theirs(leaves(dtype), lr=0.01, **chosen)], 100
    )
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, **CLOSE)
    p = torch.ones(2, dtype=dtype, requires_grad=True)
    p.grad = torch.full((2,), 1 + 1j, dtype=dtype).conj()  # a view that only says it is conjugated
    make_ours([p], lr=0.01, **chosen).step()
    assert (p.imag > 0).all() and (p.real < 1).all()


@pytest.mark.parametrize("case", ELEMENTWISE, ids=name)
def test_states_of_torch_are_taken_over_and_given_back(case):
    make_ours, make_theirs, chosen = case
    began = [make_ours(leaves(), lr=0.01, **chosen), make_theirs(leaves(), lr=0.01, **chosen)]
    run(began, 20)
    went_on = []
    for make, begun in zip((make_ours, make_ours, make_theirs, make_theirs), 2 * began, strict=True):
        optimizer = make(leaves(), lr=0.5, **chosen)
        optimizer.load_state_dict(copy.deepcopy(begun.state_dict()))  # else both would count the same step
        went_on.append(optimizer)
    for ends in zip(*run(went_on, 20), strict=True):
        for end in ends[:-1]:
            torch.testing.assert_close(end, ends[-1], **CLOSE)


# without centring: the variance of rounded moments may be negative, which torch makes NaN
HALF = [case if case[0] is not RMSprop else (*case[:2], {"momentum": 0.9}) for case in ELEMENTWISE]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("case", HALF, ids=name)
def test_half_precision_takes_the_step_of_float32_and_rounds_it_once(case, dtype):
    make_ours, make_theirs, chosen = case
    half = [p.detach().to(dtype).requires_grad_() for p in leaves()]
    optimizer = make_ours(half, lr=0.01, **chosen)
    grads = [[g if g is None else (g / 64).to(dtype) for g in step] for step in random_gradients(11)]
    for step in grads:
        # what torch makes in float32 of the parameters and states that are stored
        wide = [p.detach().float().requires_grad_() for p in half]
        peer = make_theirs(wide, lr=0.01, **chosen)
        peer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        for p, w, g in zip(half, wide, step, strict=True):
            p.grad, w.grad = g, None if g is None else g.float()
        optimizer.step()
        peer.step()
        for p, w in zip(half, wide, strict=True):
            assert p.dtype == dtype and p.isfinite().all()
            # of two float32 values that differ in their last digits one may round up where the other rounds down
            torch.testing.assert_close(p, w.to(dtype), rtol=torch.finfo(dtype).eps, atol=0)
            assert (p != w.to(dtype)).sum() <= 0.02 * p.numel()


def test_a_coordinate_without_gradient_stays_finite_in_half_precision():
    ends = []
    for make in (Adam, torch.optim.Adam):
        p = torch.ones(2, dtype=torch.float16, requires_grad=True)
        p.grad = torch.tensor([0.0, 1e-4], dtype=torch.float16)  # the square of 1e-4 is 0 in float16, as eps is
        make([p], lr=0.01).step()
        ends.append(p.detach())
    torch.testing.assert_close(ends[0], torch.tensor([1, 0.99], dtype=torch.float16), rtol=1e-3, atol=0)
    assert not ends[1].isfinite().any(), "torch computes 0 / 0 and 1e-4 / 0"


MUON = [
    {},
    {"nesterov": False, "weight_decay": 0.0},
    {"adjust_lr_fn": "match_rms_adamw"},
    {"momentum": 0.5, "ns_steps": 3, "ns_coefficients": (2.0, -1.5, 0.5), "eps": 1e-3, "adjust_lr_fn": "original"},
]


@pytest.mark.parametrize("chosen", MUON, ids=lambda o: name((Muon, None, o)))
def test_muon_is_torchs_in_bfloat16(chosen):
    def matrices():
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(s, generator=generator).requires_grad_() for s in ((16, 8), (1, 5), (7, 7))]

    optimizers = [
        Muon(matrices(), lr=0.01, ns_dtype=torch.bfloat16, **chosen),
        torch.optim.Muon(matrices(), lr=0.01, **chosen),
    ]
    generator = torch.Generator().manual_seed(1)
    columns = [o.param_groups[0]["params"] for o in optimizers]
    for _ in range(STEPS):
        grads = [torch.randn(p.shape, generator=generator) for p in columns[0]]
        for optimizer, params in zip(optimizers, columns, strict=True):
            for p, g in zip(params, grads, strict=True):
                p.grad = g
            optimizer.step()
    for our, their in zip(*columns, strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=0)
