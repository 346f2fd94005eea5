"""What answers of a served model cost in time and money: first token, tokens a second, percentiles, price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.score import Score, signature


class Latency(NamedTuple):
    """Times of a set of requests, in seconds; percentiles by their number, 50, 95, 99."""

    time_to_first_token: dict[float, Score]
    time_per_output_token: dict[float, Score]  # after the first; of requests with two tokens or more
    total: dict[float, Score]
    tokens_per_second: float  # output tokens of all requests over the time from the first start to the last end
    requests_per_second: float
    n: int


def percentile(values: ArrayLike, q: float, *, confidence: float = 0.95, name: str = "percentile") -> Score:
    """A percentile with an interval that holds for any distribution.

    The q-th percentile is that of linear interpolation between order statistics. The interval ends at order statistics
    x_(l) and x_(u), chosen by the binomial chance that so many of n values lie below the true percentile, with at least
    (1 + confidence)/2 on either side.

    Args:
        values: numbers (n,), finite.
        q: in [0, 100].
        confidence: least coverage, in (0, 1).
        name: what the signature calls it.

    Returns:
        Score. An end is infinite where n values are too few to bound it: the upper end of p99 takes 368 of them.

    Raises:
        ValueError: if values are empty or not finite, or an argument is out of range.

    Cost: O(n log n).
    References: Thompson 1936, "On confidence ranges for the median"; Conover 1999, section 3.2.
    Peer: numpy.percentile, equal; coverage by simulation (B).
    In production: quote p95 and p99 with it: of 100 requests the second worst says little about p99.
    """
    x = np.sort(checks.numbers("values", values).astype(np.float64, copy=False))
    checks.share("confidence", confidence)
    if not 0 <= q <= 100:
        raise ValueError(f"q must be in [0, 100], got {q!r}")
    n, share = len(x), q / 100
    tail = (1 - confidence) / 2
    # P(x_(l) > true percentile) = P(Binomial(n, share) < l) <= tail, and so above
    below = np.concatenate(([0.0], binom.cdf(np.arange(n), n, share)))  # [l]: P(fewer than l lie below)
    lower = int(np.searchsorted(below, tail, "right")) - 1  # greatest l that holds, counted from 1; 0: none
    upper = int(np.searchsorted(below, 1 - tail, "left"))  # least u with P(Binomial < u) >= 1 - tail
    low = float(x[lower - 1]) if lower >= 1 else -np.inf
    high = float(x[upper - 1]) if upper <= n else np.inf
    line = signature(f"{name}_p{q:g}", n=n, ci=f"{100 * confidence:g}% order statistics")
    return Score(float(np.percentile(x, q)), low, high, line)


def latency_summary(
    start: ArrayLike,
    token_times: Sequence[ArrayLike],
    *,
    percentiles: Sequence[float] = (50, 95, 99),
    confidence: float = 0.95,
) -> Latency:
    """Times of streamed answers, from when each request was sent and each of its tokens arrived.

    Time to first token is t_1 - start; time per output token (t_m - t_1) / (m - 1); the total t_m - start.

    Args:
        start: when each request was sent, seconds of any clock, shape (requests,).
        token_times: when its tokens arrived, on the same clock, rising, at least one a request.
        percentiles: wanted, in [0, 100].
        confidence: of their intervals, in (0, 1).

    Returns:
        Latency.

    Raises:
        ValueError: if there is no request, one has no token, a time is not finite, or time runs backwards.

    Cost: O(tokens + requests log requests).
    References: Agrawal et al. 2024, "Etalon: holistic performance evaluation of LLM inference", arXiv:2407.07000,
        section 2.
    Peer: the same by numpy over a made-up trace (B).
    In production: keep requests coming at the rate of real use (open loop); waiting for each answer before the next
        request hides the queue.
    """
    sent = checks.numbers("start", start).astype(np.float64, copy=False)
    if len(sent) != len(token_times):
        raise ValueError(f"token_times has {len(token_times)} requests and start {len(sent)}; they must be alike")
    first, last, count = np.empty(len(sent)), np.empty(len(sent)), np.empty(len(sent), np.int64)
    for i, times in enumerate(token_times):
        arrived = np.asarray(times, np.float64)
        if arrived.ndim != 1 or not len(arrived):
            raise ValueError(f"token_times: request {i} has no token; leave out what failed, and count it")
        if not np.isfinite(arrived).all() or (np.diff(arrived) < 0).any() or arrived[0] < sent[i]:
            raise ValueError(f"token_times: times of request {i} must be finite and rise from its start")
        first[i], last[i], count[i] = arrived[0], arrived[-1], len(arrived)

    def read(name: str, values: Floats) -> dict[float, Score]:
        if not len(values):
            return {}
        return {q: percentile(values, q, confidence=confidence, name=name) for q in percentiles}

    several = count > 1
    span = float(last.max() - sent.min())
    return Latency(
        read("time_to_first_token", first - sent),
        read("time_per_output_token", (last - first)[several] / (count[several] - 1)),
        read("total_time", last - sent),
        float(count.sum() / span) if span else float("inf"),
        float(len(sent) / span) if span else float("inf"),
        len(sent),
    )


def price(
    input_tokens: ArrayLike,
    output_tokens: ArrayLike,
    *,
    per_million_input: float,
    per_million_output: float,
    cached_tokens: ArrayLike = 0,
    per_million_cached: float | None = None,
) -> Floats:
    """What requests cost: (input - cached) x price + cached x its price + output x its price, prices a million tokens.

    Args:
        input_tokens, output_tokens: whole numbers >= 0, shape (requests,) or one number.
        per_million_input, per_million_output: prices >= 0, in any currency.
        cached_tokens: of the input, read from the provider's cache.
        per_million_cached: their price; None: that of input.

    Returns:
        Cost of each request, in that currency, shape (requests,).

    Raises:
        ValueError: if a count or price is negative or not finite, or more tokens are cached than put in.

    Cost: O(requests).
    References: none: arithmetic.
    Peer: by hand (B).
    In production: sum it, and divide by answers that were right: cheap wrong answers are dear.
    """
    counts = [np.asarray(c, np.float64) for c in (input_tokens, output_tokens, cached_tokens)]
    names = ("input_tokens", "output_tokens", "cached_tokens")
    for name, c in zip(names, counts, strict=True):
        if not np.isfinite(c).all() or (c < 0).any() or (c != np.rint(c)).any():
            raise ValueError(f"{name} must hold whole numbers >= 0")
    prices = (
        per_million_input,
        per_million_output,
        per_million_input if per_million_cached is None else per_million_cached,
    )
    for name, value in zip(("per_million_input", "per_million_output", "per_million_cached"), prices, strict=True):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and >= 0, got {value!r}")
    taken, given, cached = counts
    if (cached > taken).any():
        raise ValueError("cached_tokens must not be more than input_tokens")
    return ((taken - cached) * prices[0] + given * prices[1] + cached * prices[2]) / 1e6
