"""Coded distances beside NumPy's integers and float64."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from breadth.vector.distance_kernels import BLOCK, Coded, bits_of, distance, dot, encode_rows, prefetch_row


@njit
def dots(codes, query, squared=False):
    out = np.zeros(codes.shape[0])
    for i in range(codes.shape[0]):
        prefetch_row(codes, i)
        out[i] = dot(codes, i, query, query.shape[0] // BLOCK, squared)
    return out


@njit
def distances(coded, query, factor):
    out = np.zeros(coded.codes.shape[0])
    for i in range(out.shape[0]):
        out[i] = distance(coded, i, query, factor)
    return out


@njit
def bits(value):
    return bits_of(value)


def encoded(vectors, centre, levels, weight, dtype):
    padded = -(-vectors.shape[1] // BLOCK) * BLOCK
    codes, affine = np.zeros((len(vectors), padded), dtype=dtype), np.empty((len(vectors), 2), dtype=np.float32)
    encode_rows(vectors, centre, levels, weight, codes, affine)
    return codes, affine


@pytest.mark.parametrize("blocks", [1, 2, 5, 129])
def test_integer_dot_products_are_exact_up_to_the_largest_sum_of_32_bits(blocks):
    dim = blocks * BLOCK
    rng = np.random.default_rng(blocks)
    codes = rng.integers(-127, 128, (6, dim)).astype(np.int8)
    levels = min(2**15 - 1, (2**31 - 1) // (127 * dim))
    query = rng.integers(-levels, levels + 1, dim).astype(np.int16)
    codes[0], codes[1] = 127, -127
    for given in (query, np.full(dim, levels, dtype=np.int16), np.full(dim, -levels, dtype=np.int16)):
        np.testing.assert_array_equal(dots(codes, given), codes.astype(np.int64) @ given.astype(np.int64))


def test_float_dot_products_are_those_of_float64_to_rounding():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 96)).astype(np.float32), rng.normal(size=96).astype(np.float32)
    expected = x.astype(np.float64) @ y.astype(np.float64)
    bound = np.abs(x.astype(np.float64)) @ np.abs(y) * 96 * np.finfo(np.float32).eps  # Higham 2002, eq. 3.5, doubled
    assert (np.abs(dots(x, y) - expected) <= bound).all()
    far = x + np.float32(1000)
    expected = ((far.astype(np.float64) - far[0]) ** 2).sum(axis=1)
    np.testing.assert_allclose(dots(far, far[0], True), expected, rtol=1e-5)  # no cancellation


def test_codes_are_the_entries_rounded_to_steps_of_the_largest_one():
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(40, 50)).astype(np.float32)
    vectors[3] = 0
    vectors[4] = 1e18 * vectors[5]
    vectors[6, 7] = 1e6  # one entry takes nearly all levels
    centre = np.zeros(50, dtype=np.float32)
    codes, affine = encoded(vectors, centre, 127, 2, np.int8)
    step = np.abs(vectors).max(axis=1) / 127
    np.testing.assert_allclose(affine[:, 0], step, rtol=1e-6)  # float32
    assert (codes[:, 50:] == 0).all()
    decoded = codes[:, :50] * affine[:, :1].astype(np.float64)
    assert (np.abs(decoded - vectors) <= 0.5001 * step[:, None]).all()  # half a step, and float32's rounding
    np.testing.assert_allclose(affine[:, 1], (decoded**2).sum(axis=1), rtol=1e-5)  # float32 sums of 50 terms
    assert (codes[3] == 0).all()


@pytest.mark.parametrize(("weight", "dtype"), [(1, np.int8), (2, np.int8), (1, np.float32), (-1, np.float32)])
def test_coded_distances_are_those_of_the_decoded_vectors(weight, dtype):
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(30, 40)).astype(np.float32), rng.normal(size=(1, 40)).astype(np.float32)
    centre = x.mean(axis=0) if weight != 1 else np.zeros(40, dtype=np.float32)
    coded = Coded(*encoded(x, centre, 127 if dtype == np.int8 else 0, weight, dtype), np.float32(weight))
    query, affine = encoded(
        y, centre, 32767 if dtype == np.int8 else 0, weight, np.int16 if dtype == np.int8 else dtype
    )
    ours = distances(coded, query[0], -coded.weight * affine[0, 0])
    left = coded.codes[:, :40] * coded.affine[:, :1].astype(np.float64)
    right = query[0, :40] * np.float64(affine[0, 0])
    expected = -left @ right if weight == 1 else ((left - right) ** 2).sum(axis=1) - (weight == 2) * right @ right
    np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-4)  # float32 products of size 40
    true = -x.astype(np.float64) @ y[0] if weight == 1 else ((x - y).astype(np.float64) ** 2).sum(axis=1)
    assert np.corrcoef(ours, true)[0, 1] > 0.9995  # eight bits of standard normal entries


def test_bits_are_those_of_float32():
    for value in (0.0, 1.5, -3.25, np.inf):
        assert bits(np.float32(value)) == np.float32(value).view(np.int32)
