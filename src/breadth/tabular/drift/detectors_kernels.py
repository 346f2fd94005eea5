"""Kernels of drift detection on streams: one pass over new values, the state carried in an array."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

NONE, WARNING, DRIFT = 0, 1, 2  # what a value sets off

# places in the state of DDM, EDDM and Page–Hinkley
SEEN, MEAN, LEVEL, LEAST, SPREAD, LAST, ERRORS, ALARM = range(8)
STATE = 8

# places in ADWIN's: numbers, then rows of buckets that each hold 2^row values
WIDTH, TOTAL, VARIANCE, TICK, ROWS, FLAG = range(6)
HEADER = 6  # ROWS starts at 1
MAX_ROWS = 60


@njit(cache=True, nogil=True, error_model="numpy")
def ddm(x, state, warm_start, warning_threshold, drift_threshold, out):
    """Error rate p and s = sqrt(p (1 - p) / n) against the least p + s so far; out (n,) uint8, state changed."""
    for i in range(x.shape[0]):
        if state[ALARM] == DRIFT:
            state[:] = 0.0
            state[LEVEL] = np.inf
        state[SEEN] += 1.0
        n = state[SEEN]
        state[MEAN] += (x[i] - state[MEAN]) / n
        p = state[MEAN]
        s = math.sqrt(p * (1.0 - p) / n)
        alarm = NONE
        if n > warm_start:
            if p + s <= state[LEVEL]:
                state[LEVEL], state[LEAST], state[SPREAD] = p + s, p, s
            if p + s > state[LEAST] + drift_threshold * state[SPREAD]:
                alarm = DRIFT
            elif p + s > state[LEAST] + warning_threshold * state[SPREAD]:
                alarm = WARNING
        state[ALARM] = alarm
        out[i] = alarm


@njit(cache=True, nogil=True, error_model="numpy")
def eddm(x, state, warm_start, alpha, beta, out):
    """Mean and deviation of the distances between errors against their largest mean + 2 deviations so far."""
    for i in range(x.shape[0]):
        if state[ALARM] == DRIFT:
            state[:] = 0.0
        state[SEEN] += 1.0
        if x[i] == 1.0:
            state[ERRORS] += 1.0
            count = state[ERRORS]
            distance = state[SEEN] - state[LAST]
            before = distance - state[MEAN]
            state[MEAN] += before / count
            state[SPREAD] += before * (distance - state[MEAN])
            if state[SEEN] > warm_start:
                deviation = math.sqrt(state[SPREAD] / (count - 1.0)) if count > 1.0 else 0.0
                reach = state[MEAN] + 2.0 * deviation
                if reach > state[LEVEL]:
                    state[LEVEL] = reach
                elif count > warm_start:
                    share = reach / state[LEVEL]
                    state[ALARM] = DRIFT if share < beta else (WARNING if share < alpha else NONE)
            state[LAST] = state[SEEN]
        out[i] = state[ALARM]


@njit(cache=True, nogil=True, error_model="numpy")
def page_hinkley(x, state, min_instances, delta, threshold, alpha, up, down, out):
    """Sums of deviations from the running mean, less and more delta, against their least and their largest."""
    for i in range(x.shape[0]):
        if state[ALARM] == DRIFT:
            state[:] = 0.0
            state[LEAST] = np.inf  # least sum of those less delta
            state[LAST] = -np.inf  # largest sum of those more delta
        state[SEEN] += 1.0
        state[MEAN] += (x[i] - state[MEAN]) / state[SEEN]
        deviation = x[i] - state[MEAN]
        state[LEVEL] = alpha * state[LEVEL] + deviation - delta
        state[SPREAD] = alpha * state[SPREAD] + deviation + delta
        state[LEAST] = min(state[LEAST], state[LEVEL])
        state[LAST] = max(state[LAST], state[SPREAD])
        alarm = NONE
        if state[SEEN] >= min_instances:
            rise, fall = state[LEVEL] - state[LEAST], state[LAST] - state[SPREAD]
            if (up and rise > threshold) or (down and fall > threshold):
                alarm = DRIFT
        state[ALARM] = alarm
        out[i] = alarm


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _merge_over_full(totals, variances, counts, first):
    """While a row is full, its two oldest buckets become one of the next row; the last row that was touched."""
    room = totals.shape[1]
    row, size = 0, 1.0
    while counts[row] == room:
        oldest = first[row]
        next_oldest = oldest + 1 if oldest + 1 < room else 0
        a, b = totals[row, oldest], totals[row, next_oldest]
        step = a - b
        at = first[row + 1] + counts[row + 1]
        at = at if at < room else at - room
        totals[row + 1, at] = a + b
        variances[row + 1, at] = variances[row, oldest] + variances[row, next_oldest] + 0.5 * step * step / size
        counts[row + 1] += 1
        counts[row] -= 2
        first[row] = next_oldest + 1 if next_oldest + 1 < room else 0
        row += 1
        size *= 2.0
    return row


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _drop_oldest(state, totals, variances, counts, first):
    row = int(state[ROWS]) - 1
    size = 2.0**row
    total = totals[row, first[row]]
    state[WIDTH] -= size
    state[TOTAL] -= total
    step = total / size - state[TOTAL] / state[WIDTH]
    state[VARIANCE] -= variances[row, first[row]] + size * state[WIDTH] * step * step / (size + state[WIDTH])
    counts[row] -= 1
    first[row] = first[row] + 1 if first[row] + 1 < totals.shape[1] else 0
    if counts[row] == 0:
        state[ROWS] -= 1.0


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _is_cut(state, totals, counts, first, delta, min_window_length):
    """Whether some border between buckets splits the window into two parts whose means differ by more than chance."""
    width = state[WIDTH]
    old, new = 0.0, width
    old_total, new_total = 0.0, state[TOTAL]
    log_term = math.log(2.0 * math.log(width) / delta)
    scale = 2.0 * state[VARIANCE] / width * log_term
    rest = 2.0 / 3.0 * log_term
    room = totals.shape[1]
    size = 2.0 ** (state[ROWS] - 1.0)
    for row in range(int(state[ROWS]) - 1, -1, -1):
        at = first[row]
        for _ in range(counts[row] - (row == 0)):  # behind the newest bucket there is no other part
            old += size
            new -= size
            old_total += totals[row, at]
            new_total -= totals[row, at]
            at = at + 1 if at + 1 < room else 0
            if new >= min_window_length and old >= min_window_length:
                left, right = old - min_window_length + 1.0, new - min_window_length + 1.0
                share = (left + right) / (left * right)
                beyond = abs(old_total * new - new_total * old) / (old * new) - rest * share
                if beyond > 0.0 and beyond * beyond > scale * share:
                    return True
        size *= 0.5
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def adwin(x, state, totals, variances, counts, first, delta, clock, min_window_length, grace_period, out):
    """A window in buckets of doubling size that drops its oldest while two parts of it differ; out (n,) uint8.

    totals, variances (MAX_ROWS, buckets of a row at most + 1): rings of buckets, those of row r of 2^r values each.
    counts, first (MAX_ROWS,): buckets in each ring, and the place of its oldest.
    """
    room = totals.shape[1]
    width, total, variance, tick, rows, alarm = state
    for i in range(x.shape[0]):
        value = x[i]
        if alarm == DRIFT:
            width, total, variance, tick, rows = 0.0, 0.0, 0.0, 0.0, 1.0
            counts[:] = 0
        if width > 0.0:
            step = value * width - total
            variance += step * step / (width * (width + 1.0))
        width += 1.0
        total += value
        at = first[0] + counts[0]
        at = at if at < room else at - room
        totals[0, at] = value
        variances[0, at] = 0.0
        counts[0] += 1
        if counts[0] == room:
            rows = max(rows, 1.0 + _merge_over_full(totals, variances, counts, first))
        tick += 1.0
        alarm = 0.0
        if tick == clock:
            tick = 0.0
            if width > grace_period:
                state[WIDTH], state[TOTAL], state[VARIANCE], state[ROWS] = width, total, variance, rows
                while _is_cut(state, totals, counts, first, delta, min_window_length):
                    _drop_oldest(state, totals, variances, counts, first)
                    alarm = float(DRIFT)
                width, total, variance, rows = state[WIDTH], state[TOTAL], state[VARIANCE], state[ROWS]
        out[i] = int(alarm)
    state[WIDTH], state[TOTAL], state[VARIANCE] = width, total, variance
    state[TICK], state[ROWS], state[FLAG] = tick, rows, alarm
