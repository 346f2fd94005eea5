"""A counter-based generator that kernels share: splitmix64, one 64-bit word of state."""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def draw_below(state, n):
    """Uniform integer in [0, n), n < 2^32, advancing state[0].

    References: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators", fig. 14.
    """
    z = state[0] + np.uint64(0x9E3779B97F4A7C15)
    state[0] = z
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64(((z >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))
