import numpy as np
import pytest

from breadth.evidence import cell, memory
from breadth.evidence.cell import Job, Split
from breadth.evidence.measures import MEASURES
from breadth.evidence.problem import from_arrays
from tests.evidence import planted

FIRST = MEASURES["classification"][0]


def quality(entry, table, fold=0, **settings):
    job = Job("quality", table.table.name, entry.name, 0, fold, 0, "key")
    return cell.quality(entry, table.problem, table.X, table.y, job, Split(2, 0, fold), measure=FIRST, **settings)


def test_a_class_that_the_training_rows_lack_gets_probability_zero():
    X = np.random.default_rng(0).normal(size=(21, 2))
    y = np.array([0] * 10 + [2] * 10 + [1])  # a single row of class 1: in one fold it is held out
    table = from_arrays("rare", X, y, task="multiclass")
    results = [quality(planted.DUMMY, table, fold) for fold in (0, 1)]
    assert [r.status for r in results] == ["ok", "ok"]
    assert max(r.values["log loss"] for r in results) > 3  # one certain error among eleven rows
    assert max(r.values["accuracy"] for r in results) <= 0.5


def test_a_cell_says_how_many_rows_it_saw():
    result = quality(planted.LOGISTIC, planted.table(n=101))
    assert (result.n_train, result.n_test) == (50, 51)
    assert result.curve[-1] == pytest.approx(result.values["log loss"])


def test_a_search_in_which_nothing_can_be_fitted_fails_with_the_last_reason():
    table = planted.table()
    broken = planted.STUMP.having(criterion="none such")
    result = quality(broken, table, tune=2)
    assert result.status == "failed"
    assert "none of 2 configurations could be fitted (because of InvalidParameterError" in result.error


def test_probes_add_values_about_the_fitted_estimator():
    def depth(estimator, X, y, problem, values):
        assert len(X) == len(y) == 60
        return {"depth": float(estimator.get_depth())}

    result = quality(planted.STUMP, planted.table(), probes=(depth,))
    assert result.values["depth"] == 1.0


@pytest.mark.skipif(not memory.CLEAR.exists(), reason="the kernel does not reset its high-water mark")
def test_peak_memory_counts_what_a_call_needs_even_when_it_gives_it_back():
    peak = memory.watch()
    np.ones(4_000_000)
    first = peak()
    again = memory.watch()
    np.ones(4_000_000)
    assert 30e6 < first < 60e6  # 32 MB, and what numpy needs beside
    assert 30e6 < again() < 60e6
