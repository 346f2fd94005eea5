"""What the update rules do, on gradients for which the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from breadth.nn.optim import GD, SGD, Adagrad, Adam, AdamW, Muon, MuonClip, RMSprop, batches

# rtol: a few roundings a step, in another order
CLOSE = {"rtol": 1e-12, "atol": 1e-14}
EVERY = [SGD, Adagrad, RMSprop, Adam, AdamW, Muon]


def leaf(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def path(optimizer, gradients):
    """The optimizer's one parameter after each of the gradients, shape (steps, ...)."""
    [p] = optimizer.param_groups[0]["params"]
    seen = []
    for g in gradients:
        p.grad = torch.as_tensor(g, dtype=p.dtype)
        optimizer.step()
        seen.append(p.detach().clone())
    return torch.stack(seen)


def steps(make, gradients, **options):
    """What each gradient moves a parameter that starts at 0 by."""
    moved = path(make([leaf(np.zeros(np.shape(gradients)[1:]))], **options), gradients)
    return torch.diff(moved, dim=0, prepend=torch.zeros_like(moved[:1]))


def test_gradient_descent_on_a_quadratic_is_a_power_of_a_matrix():
    rng = np.random.default_rng(0)
    Q, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    eigenvalues = np.array([0.01, 0.5, 1.0, 2.0])
    H, start = Q * eigenvalues @ Q.T, rng.normal(size=4)
    theta, hessian = leaf(start), torch.tensor(H)
    optimizer, losses = GD([theta], lr=0.5), []

    def closure():
        optimizer.zero_grad()
        total = 0.0
        for part in (0.25, 0.75):  # the objective in two parts, whose gradients add up
            loss = part * 0.5 * theta @ hessian @ theta
            loss.backward()
            total += loss.item()
        return total

    for t in range(1, 101):
        losses.append(optimizer.step(closure))
        expected = Q * (1 - 0.5 * eigenvalues) ** t @ Q.T @ start
        np.testing.assert_allclose(theta.detach().numpy(), expected, rtol=1e-12, atol=1e-14)
    assert losses[0] == pytest.approx(0.5 * start @ H @ start, rel=1e-14), "the loss before the step"
    assert np.all(np.diff(losses) <= 0), "with lr <= 2 / L every step lowers the loss"


def test_gradient_descent_wants_the_whole_objective():
    theta = leaf([1.0])
    theta.grad = leaf([1.0]).detach()
    with pytest.raises(TypeError, match="step takes a closure that computes the loss on all data; use SGD"):
        GD([theta]).step()
    assert theta.item() == 1


@pytest.mark.parametrize("momentum", [0.5, 0.9, 0.99])
def test_momentum_is_a_weighted_sum_of_gradients_and_no_average(momentum):
    gradients = np.random.default_rng(0).normal(size=(200, 3))
    moved = steps(SGD, gradients, lr=0.1, momentum=momentum)
    for t in (0, 1, 50, 199):
        weights = momentum ** np.arange(t, -1, -1)
        np.testing.assert_allclose(moved[t], -0.1 * weights @ gradients[: t + 1], **CLOSE)
    forever = np.ones((3000, 1))
    constant = steps(SGD, forever, lr=0.1, momentum=momentum)
    assert constant[-1].item() == pytest.approx(-0.1 / (1 - momentum), rel=1e-12), "weights total 1 / (1 - momentum)"
    averaged = steps(SGD, forever, lr=0.1, momentum=momentum, dampening=momentum)
    assert averaged[-1].item() == pytest.approx(-0.1, rel=1e-12), "with dampening = momentum they total 1"


def test_nesterov_is_momentum_whose_gradient_is_taken_ahead():
    H, start, lr, momentum = np.diag([0.3, 1.0]), np.array([1.0, -2.0]), 0.2, 0.9
    # Sutskever et al. 2013, eqs. 3 and 4
    theta, v = start.copy(), np.zeros(2)
    behind = []
    for _ in range(50):
        v = momentum * v - lr * H @ (theta + momentum * v)
        theta = theta + v
        behind.append(theta + momentum * v)  # where the next gradient is taken: the point that SGD keeps
    ahead = leaf(start)
    optimizer = SGD([ahead], lr=lr, momentum=momentum, nesterov=True)
    for expected in behind:
        ahead.grad = torch.tensor(H) @ ahead.detach()
        optimizer.step()
        np.testing.assert_allclose(ahead.detach().numpy(), expected, **CLOSE)


def test_no_rate_of_adagrad_ever_rises():
    rng = np.random.default_rng(0)
    # the second coordinate is silent at times, the third has ever smaller gradients, the fourth none
    gradients = rng.normal(size=(500, 4)) * [1, 1, 1, 0]
    gradients[rng.random(500) < 0.9, 1] = 0
    gradients[:, 2] *= 0.97 ** np.arange(500)
    optimizer = Adagrad([leaf(np.zeros(4))], lr=0.1)
    [p] = optimizer.param_groups[0]["params"]
    rates = []
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
        rates.append(0.1 / (optimizer.state[p]["sum"].sqrt() + 1e-10))
    rates = torch.stack(rates)
    assert (torch.diff(rates, dim=0) <= 0).all()
    assert rates[-1, 1] > 2 * rates[-1, 0], "a rare coordinate's is higher than a frequent one's, no more"
    # the accumulator sums over the past of its own coordinate
    np.testing.assert_allclose(optimizer.state[p]["sum"], (gradients**2).sum(0), **CLOSE)


def test_adagrads_rate_dies_out_as_one_over_the_root_of_time():
    for size in (1e-6, 1.0, 1e6):
        moved = steps(Adagrad, np.full((400, 1), size), lr=0.1, eps=0.0)
        np.testing.assert_allclose(moved[:, 0], -0.1 / np.sqrt(np.arange(1, 401)), rtol=1e-11)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1.0, 1e30, -1.0])
@pytest.mark.parametrize("make", [Adam, AdamW])
def test_adams_step_under_a_constant_gradient_is_lr_since_its_second_moment_is_not_centred(make, size):
    gradients = np.full((300, 1), size)
    moved = steps(make, gradients, lr=0.01, eps=0.0, weight_decay=0.0)
    # a variance would be 0 here, and the step infinite; 1e-11: 1 - 0.999^t loses three digits at t = 1
    np.testing.assert_allclose(moved[:, 0], -0.01 * np.sign(size), rtol=1e-11)


def test_adams_second_moment_is_the_mean_square_and_rmsprop_centred_holds_the_variance():
    rng = np.random.default_rng(0)
    gradients = 3 + 0.5 * rng.normal(size=(3000, 1))
    optimizers = {
        "raw": Adam([leaf([0.0])], betas=(0.9, 0.99)),
        "centred": RMSprop([leaf([0.0])], alpha=0.99, centered=True),
    }
    for optimizer in optimizers.values():
        path(optimizer, gradients)
    weights = 0.01 * 0.99 ** np.arange(2999, -1, -1)
    raw, centred = (next(iter(o.state.values())) for o in optimizers.values())
    np.testing.assert_allclose(raw["exp_avg_sq"], weights @ gradients**2, rtol=1e-12)
    assert raw["exp_avg_sq"].item() == pytest.approx(9.25, rel=0.1)
    variance = centred["square_avg"] - centred["grad_avg"] ** 2
    np.testing.assert_allclose(variance, weights @ gradients**2 - (weights @ gradients) ** 2, rtol=1e-9)
    assert variance.item() == pytest.approx(0.25, rel=0.5)


def test_a_constant_gradient_leaves_centred_rmsprop_finite_where_rounding_makes_the_variance_negative():
    moved = {}
    for name, make in {"ours": RMSprop, "torch": torch.optim.RMSprop}.items():
        p = torch.zeros(2000, requires_grad=True)
        optimizer = make([p], lr=1e-3, centered=True)
        for _ in range(3000):
            p.grad = torch.linspace(0.1, 10, 2000)
            optimizer.step()
        moved[name] = p.detach()
    assert moved["ours"].isfinite().all()
    assert moved["torch"].isnan().any(), "the deviation would not be worth a line otherwise"


def test_amsgrad_never_takes_a_larger_step_for_a_smaller_gradient_and_adam_does():
    gradients = np.concatenate([np.full(50, 10.0), np.full(2000, 0.1)])[:, None]
    plain = steps(Adam, gradients, lr=0.01, betas=(0.0, 0.9))[-1]
    held = steps(Adam, gradients, lr=0.01, betas=(0.0, 0.9), amsgrad=True)[-1]
    assert plain.item() == pytest.approx(-0.01, rel=1e-6), "the large gradients are forgotten"
    peak = 100 * (1 - 0.9**50)
    assert held.item() == pytest.approx(-0.01 * 0.1 / math.sqrt(peak), rel=1e-6), "the largest v is remembered"


@pytest.mark.parametrize("make", EVERY)
def test_a_closure_is_evaluated_with_gradients_on_and_its_loss_comes_back(make):
    W = leaf([[1.0, 2.0], [3.0, 4.0]])
    optimizer = make([W], lr=0.1)

    def closure():
        optimizer.zero_grad()
        loss = (W**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() == 30 and (W**2).sum() < 30
    assert optimizer.step() is None


@pytest.mark.parametrize("make", EVERY)
def test_what_has_no_gradient_or_no_elements_is_left_alone(make):
    still, empty = leaf([[1.0, 2.0]]), leaf(np.zeros((0, 4)))
    empty.grad = torch.zeros(0, 4, dtype=torch.float64)
    optimizer = make([still, empty], lr=0.1, weight_decay=0.1)
    optimizer.step()
    assert still.tolist() == [[1, 2]] and still not in optimizer.state
    make([leaf([[1.0]])], lr=0.1).step()  # nothing to do at all


@pytest.mark.parametrize("make", EVERY)
def test_memory_that_elements_share_is_refused_and_not_written_many_times(make):
    shared = torch.ones(1, 1, dtype=torch.float64).expand(300, 300).requires_grad_()
    shared.grad = torch.ones(300, 300, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="single memory location"):
        make([shared], lr=0.1).step()


@pytest.mark.parametrize("make", EVERY)
def test_nan_in_one_gradient_stays_in_its_own_tensor(make):
    ill, well = leaf(np.ones((2, 2))), leaf(np.ones((2, 2)))
    ill.grad, well.grad = (torch.full((2, 2), value, dtype=torch.float64) for value in (math.nan, 1.0))
    make([ill, well], lr=0.1).step()
    assert ill.isnan().all() and well.isfinite().all()


@pytest.mark.parametrize("make", EVERY)
def test_sparse_gradients_are_refused_by_name(make):
    weight = torch.ones(3, 2, requires_grad=True)
    weight.grad = torch.eye(3, 2).to_sparse()
    with pytest.raises(TypeError, match=rf"{make.__name__} takes dense gradients, got one of layout torch.sparse_coo"):
        make([weight], lr=0.1).step()


BAD = [
    *((make, {"lr": bad}) for make in (*EVERY, GD) for bad in (-1.0, math.nan, math.inf)),
    *((make, {"weight_decay": -0.1}) for make in EVERY),
    (SGD, {"momentum": -0.9}),
    (SGD, {"dampening": math.inf}),
    (Adagrad, {"lr_decay": -1.0}),
    (Adagrad, {"initial_accumulator_value": -1.0}),
    (RMSprop, {"alpha": 1.0}),
    (RMSprop, {"eps": -1.0}),
    (Adam, {"betas": (1.0, 0.9)}),
    (AdamW, {"betas": (0.9, -0.1)}),
    (Muon, {"momentum": 1.0}),
    (Muon, {"ns_steps": -1}),
    (Muon, {"eps": 0.0}),
    (Muon, {"ns_coefficients": (1.0, 2.0)}),
    (Muon, {"adjust_lr_fn": "adamw"}),
]


@pytest.mark.parametrize(("make", "bad"), BAD, ids=lambda x: x.__name__ if isinstance(x, type) else str(x))
def test_options_out_of_range_are_named(make, bad):
    [(key, value)] = bad.items()
    with pytest.raises(ValueError, match=key) as refused:
        make([leaf([[1.0]])], **bad)
    shown = next(v for v in value if not 0 <= v < 1) if key == "betas" else value
    assert str(shown) in str(refused.value)


def test_errors_name_what_would_be_right():
    with pytest.raises(ValueError, match=r"nesterov wants momentum > 0 and dampening = 0, got 0.0 and 0.0"):
        SGD([leaf([1.0])], nesterov=True)
    with pytest.raises(TypeError, match=r"lr must be a float, got a tensor; pass lr.item\(\)"):
        Adam([leaf([1.0])], lr=torch.tensor(0.1))
    for make in (Muon, lambda params: MuonClip(params, [])):
        with pytest.raises(ValueError, match=r"params\[1\] must be a matrix, got shape \(3,\); give it to AdamW"):
            make([leaf([[1.0]]), leaf([1.0, 2, 3])])
        with pytest.raises(TypeError, match=r"params\[0\] must be real, got torch.complex64"):
            make([torch.ones(1, 1, dtype=torch.complex64, requires_grad=True)])


def test_pieces_cover_every_element_once_whatever_the_layout(monkeypatch):
    monkeypatch.setattr(batches, "ELEMENTS_PER_THREAD", 10)
    most = 10 * torch.get_num_threads()
    params = [torch.zeros(s) for s in [(), (3,), (0,), (4,), (2 * most + 5,), (2,)]] + [torch.zeros(8, most).T]
    sizes = []
    for theta, g in batches.batches(params, [torch.ones_like(p) for p in params]):
        sizes.append(sum(t.numel() for t in theta))
        torch._foreach_add_(theta, g)
    assert all((p == 1).all() for p in params)
    assert sorted(size for size in sizes if size > most) == [most + 2, most + 3, 8 * most], (
        "pieces are equal, and what does not lie flat comes whole"
    )
    assert sum(sizes) == 3 * most + 7 * most + 15
    assert list(batches.batches([], [])) == []
