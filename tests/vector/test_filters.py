"""Filters: what they say, and what makes no sense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from breadth.vector.filters import And, Condition, Not, Or, parse
from breadth.vector.records import Records


def test_a_filter_is_its_conditions_joined():
    year = (Condition("year", "$gte", 2020), Condition("year", "$lt", 2024))
    assert parse({"lang": "en"}) == Condition("lang", "$eq", "en")
    assert parse({"year": {"$gte": np.int32(2020), "$lt": 2024}}) == And(year)
    assert parse({"$or": [{"a": 1.5}, {"$not": {"b": {"$in": {True}}}}]}) == Or(
        (Condition("a", "$eq", 1.5), Not(Condition("b", "$in", (True,))))
    )
    assert parse({}) == And(())


@pytest.mark.parametrize(
    ("filter", "error", "message"),
    [
        ([], TypeError, "filter must be a mapping"),
        ({3: 4}, TypeError, "a field name must be a string, got 3"),
        ({"a": {}}, ValueError, "the field 'a' has no condition"),
        ({"a": {"$is": 3}}, ValueError, r"unknown operator '\$is' for the field 'a'; there are \$eq"),
        ({"$nor": []}, ValueError, r"unknown operator '\$nor'"),
        ({"$or": []}, ValueError, r"\$or takes a list of at least one filter"),
        ({"$and": {"a": 1}}, ValueError, r"\$and takes a list"),
        ({"a": {"$in": []}}, ValueError, "list of at least one value"),
        ({"a": {"$in": "abc"}}, ValueError, "list of at least one value"),
        ({"a": None}, TypeError, "must be a str, int, float or bool, got None"),
        ({"a": {"$gt": float("nan")}}, ValueError, "must be finite"),
        ({"a": {"$gt": True}}, TypeError, "truth has no order"),
        ({"a": 2**64}, ValueError, "must fit 64 bits"),
        ({"a": {"$exists": 1}}, TypeError, "must be True or False"),
    ],
)
def test_filters_that_make_no_sense_are_named(filter, error, message):
    with pytest.raises(error, match=message):
        parse(filter)


@pytest.mark.parametrize(
    ("filter", "kind"),
    [({"s": 3}, "str"), ({"i": "3"}, "int"), ({"i": True}, "int"), ({"b": 1}, "bool"), ({"b": {"$gt": 0}}, "bool")],
)
def test_a_value_of_another_kind_is_an_error_not_an_empty_answer(filter, kind):
    records = Records()
    records.add([1], [{"s": "a", "i": 1, "b": True}], 1)
    with pytest.raises(ValueError, match=f"is of kind {kind}, so .* cannot compare it with"):
        records.allowed(filter)


def test_integers_beyond_float64_are_compared_exactly():
    records = Records()
    records.add([1, 2, 3], [{"x": 2**53}, {"x": 2**53 + 1}, {"x": 2**53 + 2}], 3)
    assert records.allowed({"x": {"$gt": float(2**53)}}).tolist() == [0, 1, 1]
    assert records.allowed({"x": float(2**53)}).tolist() == [1, 0, 0]
    assert records.allowed({"x": {"$in": [2**53 + 1, 0.5]}}).tolist() == [0, 1, 0]
    assert records.allowed({"x": 0.5}).tolist() == [0, 0, 0]


values = st.one_of(st.integers(-3, 3), st.sampled_from([-1.5, 0.0, 0.5, 2.0]))
words = st.sampled_from(["", "a", "b", "ä"])
order = st.sampled_from(["$gt", "$gte", "$lt", "$lte", "$eq", "$ne"])
several = st.sampled_from(["$in", "$nin"])
leaves = st.one_of(
    st.builds(lambda o, v: {"n": {o: v}}, order, values),
    st.builds(lambda o, v: {"w": {o: v}}, order, words),
    st.builds(lambda o, v: {"n": {o: v}}, several, st.lists(values, min_size=1, max_size=3)),
    st.builds(lambda o, v: {"w": {o: v}}, several, st.lists(words, min_size=1, max_size=3)),
    st.builds(lambda f, v: {f: {"$exists": v}}, st.sampled_from(["n", "w"]), st.booleans()),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda p: {"$and": p}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda p: {"$or": p}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda p: {"$not": p}, inner),
    ),
    max_leaves=6,
)


MEETS = {
    "$exists": lambda x, value: (x is not None) == value,
    "$eq": lambda x, value: x is not None and x == value,
    "$ne": lambda x, value: x is None or x != value,
    "$in": lambda x, value: x is not None and x in value,
    "$nin": lambda x, value: x is None or x not in value,
    "$gt": lambda x, value: x is not None and x > value,
    "$gte": lambda x, value: x is not None and x >= value,
    "$lt": lambda x, value: x is not None and x < value,
    "$lte": lambda x, value: x is not None and x <= value,
}


def by_hand(filter, row):
    """Slow twin: the filter on one row's metadata."""
    for key, given_ in filter.items():
        if key == "$and":
            met = all(by_hand(part, row) for part in given_)
        elif key == "$or":
            met = any(by_hand(part, row) for part in given_)
        elif key == "$not":
            met = not by_hand(given_, row)
        else:
            ((operator, value),) = given_.items()
            met = MEETS[operator](row.get(key), value)
        if not met:
            return False
    return True


rows = st.lists(st.fixed_dictionaries({}, optional={"n": st.integers(-3, 3), "w": words}), min_size=0, max_size=12)


@given(rows, filters)
def test_columns_answer_as_each_row_would_by_itself(rows, filter):
    rows = [{"n": 1, "w": "a"}, *rows]
    records = Records()
    records.add(np.arange(len(rows)), rows, len(rows))
    assert records.allowed(filter).tolist() == [by_hand(filter, row) for row in rows]
