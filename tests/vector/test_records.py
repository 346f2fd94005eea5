"""Records: ids to slots, tombstones and metadata."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from breadth.vector.records import Records, as_ids
from breadth.vector.rows import Rows


def test_slots_are_numbered_in_order_and_never_reused():
    records = Records()
    assert records.add([7, 8, 9], None, 3) == 0
    assert_array_equal(records.remove([8]), [1])
    assert records.add([8], None, 1) == 3
    first, buried = records.upsert([7, 10], None, 2)
    assert (first, buried.tolist()) == (4, [0])
    assert_array_equal(records.alive.view, [0, 0, 1, 1, 1, 1])
    assert len(records) == 4 and records.n_slots == 6
    assert_array_equal(records.slots([10, 9, 7]), [5, 2, 4])
    assert_array_equal(records.ids_at(np.array([[2, 3]])), [[9, 8]])


def test_keep_renumbers_and_forgets():
    records = Records()
    records.add(["a", "b", "c", "d"], [{"n": i} for i in range(4)], 4)
    records.remove(["a", "c"])
    records.keep(np.array([1, 3]))
    assert records.n_slots == 2 and "a" not in records
    assert records.slots(["d", "b"]).tolist() == [1, 0]
    assert records.metadata(["d"]) == [{"n": 3}]
    records.remove(["b", "d"])
    records.keep(np.zeros(0, np.int64))
    records.add([1], None, 1)  # of an index that holds nothing the ids may be of another kind
    assert records.allowed({"n": {"$exists": False}}).tolist() == [1]


def test_what_arrays_hold_is_read_back():
    for ids in ([3, -4, 2**63 - 1, -(2**63)], ["", "a\0", "日本", "a" * 1000]):
        records = Records()
        records.add(ids, [{"s": "x\0y", "i": 2**63 - 1}, {}, {"b": True, "f": 0.1}, {"s": ""}], 4)
        records.remove(ids[1:2])
        again = Records.from_arrays(*records.to_arrays())
        assert len(again) == 3 and ids[1] not in again
        assert again.ids_at(np.array([0, 2, 3])).tolist() == [ids[0], ids[2], ids[3]]
        assert again.metadata([ids[0], *ids[2:]]) == records.metadata([ids[0], *ids[2:]])
        assert again.metadata([ids[2]]) == [{"b": True, "f": 0.1}]
        assert again.add([ids[1]], [{"s": "new"}], 1) == 4


def test_numbers_of_a_field_become_floats_when_the_first_float_comes():
    records = Records()
    records.add([1, 2], [{"x": 3}, {"x": True and 4}], 2)
    records.add([3], [{"x": 3.5}], 1)
    assert records.metadata([1, 3]) == [{"x": 3.0}, {"x": 3.5}]
    assert records.allowed({"x": {"$gte": 3.5}}).tolist() == [0, 1, 1]
    exact = Records()
    exact.add([1], [{"x": 2**53 + 1}], 1)
    with pytest.raises(ValueError, match="'x' mixes floats with integers beyond 2\\^53"):
        exact.add([2], [{"x": 0.5}], 1)
    assert len(exact) == 1


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ("abc", TypeError, "ids must be a list or array"),
        (5, TypeError, "ids must be a list or array"),
        ([True], TypeError, "all integers or all strings"),
        ([None], TypeError, "all integers or all strings"),
        (np.array([1.0]), TypeError, "all integers or all strings"),
        (["a", "b", "a"], ValueError, "'a' is given more than once"),
        (np.array([2**63], np.uint64), ValueError, "must fit 64 bits"),
        (["\ud800"], ValueError, "lone surrogate"),
    ],
)
def test_ids_that_are_none_are_named(ids, error, message):
    with pytest.raises(error, match=message):
        as_ids(ids)


def test_missing_and_known_ids_are_named_five_at_most():
    records = Records()
    records.add(np.arange(10), None, 10)
    with pytest.raises(ValueError, match="ids: 0, 1, 2, 3, 4 and 5 more are in the index already; upsert replaces"):
        records.add(np.arange(10), None, 10)
    with pytest.raises(KeyError, match="ids: 12 is not in the index"):
        records.remove([3, 12])
    assert 3 in records and len(records) == 10
    assert records.metadata(np.array([3], np.uint8)) == [{}]


@pytest.mark.parametrize("field", ["", "$x", 3])
def test_field_names_that_filters_could_not_say_are_refused(field):
    with pytest.raises(ValueError, match=r"metadata\[0\]: a field name is a string"):
        Records().add([1], [{field: 1}], 1)


def test_rows_grow_and_keep_what_they_hold():
    rows = Rows(np.zeros((0, 2)))
    expected = np.zeros((0, 2))
    for n in (1, 0, 5, 100, 3):
        more = np.random.default_rng(n).normal(size=(n, 2))
        rows.append(more)
        expected = np.vstack([expected, more])
        assert_array_equal(rows.view, expected)
    assert len(rows) == 109
