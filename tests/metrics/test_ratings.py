"""Strengths from games beside the likelihood written out, and what has no estimate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize
from scipy.special import expit

from breadth.metrics import bradley_terry, elo

few = settings(max_examples=25, deadline=None)
NU = {"rao-kupper": 1.8, "davidson": 0.7}


def chances(model, x, nu):
    """P(win), P(loss), P(tie) of a difference x, each as its paper writes it with strengths p_i, p_j."""
    p, q = np.exp(x / 2), np.exp(-x / 2)
    if model == "rao-kupper":
        win, loss = p / (p + nu * q), q / (q + nu * p)
        return win, loss, (nu**2 - 1) * p * q / ((p + nu * q) * (q + nu * p))
    total = p + q + nu * np.sqrt(p * q)
    return p / total, q / total, nu * np.sqrt(p * q) / total


def played(n_games=400, n=5, model="davidson", seed=0):
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=n)
    theta -= theta.mean()
    a = rng.integers(0, n, n_games)
    b = (a + rng.integers(1, n, n_games)) % n
    win, loss, tie = chances(model, theta[a] - theta[b], NU[model])
    assert_allclose(win + loss + tie, 1)
    u = rng.random(n_games)
    return theta, a, b, np.where(u < win, 1.0, np.where(u < win + loss, 0.0, 0.5))


@pytest.mark.parametrize("model", NU)
def test_strengths_with_ties_are_the_maximum_of_the_likelihood_written_out(model):
    _, a, b, outcome = played(model=model)

    def minus_log_likelihood(z):
        theta = np.append(z[:4], -z[:4].sum())
        nu = np.exp(z[4]) + (1 if model == "rao-kupper" else 0)
        win, loss, tie = chances(model, theta[a] - theta[b], nu)
        return -np.log(np.where(outcome == 1, win, np.where(outcome == 0, loss, tie))).sum()

    best = minimize(minus_log_likelihood, np.zeros(5), method="BFGS", options={"gtol": 1e-7})
    found = bradley_terry(a, b, outcome, ties=model, scale=1, centre=0)
    assert found.log_likelihood == pytest.approx(-best.fun, abs=1e-9)
    assert_allclose(found.rating[:4], best.x[:4], atol=2e-6, err_msg="where BFGS stops")
    nu = np.exp(best.x[4]) + (1 if model == "rao-kupper" else 0)
    assert found.tie == pytest.approx(nu, abs=1e-5)
    assert f"ties:{model}" in found.signature


def test_ties_that_count_half_are_half_a_win_of_each():
    _, a, b, outcome = played()
    found = bradley_terry(a, b, outcome)
    tied = outcome == 0.5
    apart = bradley_terry(
        [*a[~tied], *a[tied], *b[tied]], [*b[~tied], *b[tied], *a[tied]],
        [*outcome[~tied], *np.ones(2 * tied.sum())], weight=[*np.ones((~tied).sum()), *np.full(2 * tied.sum(), 0.5)],
    )  # fmt: skip
    assert_allclose([found.rating, found.low], [apart.rating, apart.low], rtol=1e-9)
    assert found.rating.mean() == pytest.approx(1000)


@pytest.mark.parametrize("interval", ["hessian", "bootstrap"])
@pytest.mark.parametrize("ties", ["half", "davidson", "rao-kupper"])
def test_intervals_cover(interval, ties):
    model = "davidson" if ties == "half" else ties
    hits, total = 0, 0
    for seed in range(20 if interval == "hessian" else 6):
        theta, a, b, outcome = played(300, model=model, seed=seed)
        if ties == "half":
            outcome = (np.random.default_rng(seed).random(300) < expit(theta[a] - theta[b])).astype(float)
        found = bradley_terry(a, b, outcome, ties=ties, interval=interval, n_resamples=50, scale=1, centre=0)
        hits += int(((found.low <= theta) & (theta <= found.high)).sum())
        total += 5
    assert hits / total >= 0.86  # 0.95 aimed at; the players of one season depend on each other


def test_a_thousand_against_one_is_no_difficulty():
    found = bradley_terry(["a", "a"], ["b", "b"], [1, 0], weight=[10**8, 1], scale=1, centre=0, interval=None)
    assert found.rating[0] - found.rating[1] == pytest.approx(np.log(10**8), rel=1e-9)
    assert found.ranking() == ["a", "b"]
    one = bradley_terry(["a"], ["b"], [0.5])
    assert_allclose(one.rating, 1000)


seasons = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([0, 0.5, 1])).filter(lambda g: g[0] != g[1]),
    max_size=20,
)


@few
@given(seasons)
def test_who_is_called_first_and_the_order_of_games_do_not_matter_and_a_win_helps(games):
    games = [*games, *((i, j, 0.5) for i in range(4) for j in range(i))]
    a, b, outcome = (np.array(column) for column in zip(*games, strict=True))
    found = bradley_terry(a, b, outcome, interval=None)
    turned = bradley_terry(b[::-1], a[::-1], 1 - outcome[::-1], interval=None)
    assert_allclose(found.rating, turned.rating, atol=1e-6)
    more = bradley_terry([*a, 2], [*b, 0], [*outcome, 1], interval=None)
    assert more.rating[2] - more.rating[0] > found.rating[2] - found.rating[0]


@pytest.mark.parametrize(
    ("games", "message"),
    [
        (([], [], []), "first is empty"),
        ((["a"], ["a"], [1]), "game 0: 'a' plays against himself"),
        ((["a"], ["b"], [2]), "outcome must be 1"),
        ((["a"], ["b"], [np.nan]), "outcome holds NaN"),
        ((["a"], ["b"], []), "outcome is empty"),
        ((["a"], ["b", "c"], [1]), "must be alike long"),
        ((["a"], ["b"], [1]), "a never lost to the other 1 players"),
        ((["a", "b", "c", "d"], ["b", "a", "d", "c"], [1] * 4), "a, b never played against the other 2 players"),
    ],
)
def test_games_without_an_estimate_are_named(games, message):
    with pytest.raises(ValueError, match=message):
        bradley_terry(*games)


def test_games_that_all_tie_have_no_tie_parameter():
    with pytest.raises(ValueError, match="every game is a tie"):
        bradley_terry(["a"], ["b"], [0.5], ties="davidson")
    ring = np.arange(60)  # each player is beaten once: a draw that misses a game has no estimate
    with pytest.raises(ValueError, match="needs more games: in 50 draws running"):
        bradley_terry(ring, np.roll(ring, 1), np.ones(60), interval="bootstrap")


def test_elo_is_its_recursion_and_depends_on_the_order():
    found = elo(["a", "b"], ["b", "c"], [1, 0.5], k=20)
    moved = 20 * (0.5 - 1 / (1 + 10 ** ((1000 - 990) / 400)))
    assert_allclose(found.rating, [1010, 990 + moved, 1000 - moved], atol=1e-9)
    assert found.rating.sum() == pytest.approx(3000)
    _, a, b, outcome = played()
    assert not np.allclose(elo(a, b, outcome).rating, elo(a[::-1], b[::-1], outcome[::-1]).rating)
    drawn = elo(a, b, outcome, interval="bootstrap", n_resamples=50)
    assert (drawn.low < drawn.high).all() and "ci:95% bootstrap" in drawn.signature
    with pytest.raises(ValueError, match="k must be > 0"):
        elo(a, b, outcome, k=0)
