from dataclasses import replace

import numpy as np
import pytest

from breadth.evidence.cell import Split
from breadth.evidence.problem import from_arrays
from breadth.evidence.settings import Settings, seconds
from tests.evidence import planted


def keys(plan, stage="quality"):
    return [j.key for j in plan.jobs if j.stage == stage]


def test_a_key_changes_with_whatever_decides_the_number_and_with_nothing_else():
    entries = (planted.DUMMY, planted.STUMP)
    base = planted.plan(entries)
    assert len(set(keys(base))) == len(base.jobs) == 10
    assert keys(planted.plan(entries, jobs=3, backend="threading", budget=5.0, resume=False)) == keys(base)
    assert keys(planted.plan(entries, seeds=2))[:10] == keys(base)
    one = keys(planted.plan((planted.STUMP,)))
    assert set(one) < set(keys(base))
    for other in (
        planted.plan((planted.STUMP.having(max_depth=2),)),
        planted.plan((planted.STUMP,), (planted.table(seed=1),)),
        planted.plan((planted.STUMP,), folds=4),
        planted.plan((planted.STUMP,), tune=2),
        planted.plan((replace(planted.STUMP, origin="lightgbm"),)),
    ):
        assert not set(keys(other)) & set(one)


def test_times_are_keyed_by_threads_and_machine_and_quality_is_not():
    one, two = (planted.plan((planted.DUMMY,), rounds=2, threads=t) for t in (1, 2))
    assert keys(one) == keys(two)
    assert not set(keys(one, "speed")) & set(keys(two, "speed"))


def test_repeats_are_laid_out_whole_so_that_a_short_run_has_something_of_everything():
    plan = planted.plan(
        (planted.DUMMY, planted.STUMP), (planted.table("a"), planted.table("b", seed=1)), seeds=2, rounds=1
    )
    order = [(j.stage, j.repeat, j.table) for j in plan.jobs]
    assert order == sorted(order)
    assert plan.study.signature["split"].startswith("5-fold × 2 seeds")


def test_large_tables_may_have_fewer_repeats():
    settings = Settings(seeds=2, large_seeds=1)
    assert (settings.repeats(49_999), settings.repeats(50_000)) == (2, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baseline": "nobody"}, "baseline must be one of"),
        ({"tables": (planted.table(), planted.table())}, "named twice"),
        ({"tables": (planted.table(n=8),)}, "8 rows; 5-fold"),
        ({"folds": 1}, "folds must be >= 2"),
        ({"seeds": 0}, "seeds must be >= 1"),
        ({"budget": 0.0}, "budget must be > 0"),
    ],
)
def test_a_plan_that_cannot_run_is_refused_with_what_would_be_right(change, message):
    with pytest.raises(ValueError, match=message):
        planted.plan((planted.DUMMY,), **change)


def test_mixed_tasks_and_targets_without_recurring_classes_are_refused():
    X = np.random.default_rng(0).normal(size=(40, 2))
    regression = from_arrays("r", X, X[:, 0], task="regression")
    with pytest.raises(ValueError, match="compare them separately"):
        planted.plan((planted.DUMMY,), (planted.table(), regression))
    unique = from_arrays("ids", X, np.arange(40) // 2, task="multiclass")
    with pytest.raises(ValueError, match="no class has the 5 rows"):
        planted.plan((planted.DUMMY,), (unique,))


def test_splits_are_disjoint_cover_all_rows_and_keep_the_share_of_classes():
    table = planted.table(n=100)
    held_out = []
    for fold in range(5):
        train, test = Split(5, 3, fold).rows(table.y, table.problem)
        assert not set(train) & set(test)
        assert abs(table.y[test].mean() - table.y.mean()) < 0.05
        held_out += list(test)
    assert sorted(held_out) == list(range(100))
    other = Split(5, 4, 0).rows(table.y, table.problem)[1]
    assert set(other) != set(Split(5, 3, 0).rows(table.y, table.problem)[1])


@pytest.mark.parametrize(("text", "value"), [("60s", 60), ("90", 90), ("5m", 300), ("1.5h", 5400)])
def test_durations(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "0s", "-3s", "soon", "5 days"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration such as 60s"):
        seconds(text)
