from dataclasses import replace

import numpy as np
import pytest

from breadth.evidence.study import Cell, Contender, Measure, Study, Table
from breadth.evidence.verdict import judge, rank, speed

LOSS = Measure("log loss", "lower", margin=0.01)


def simulated(effects, *, rng, tables=1, folds=5, repeats=2, noise=0.02, between=0.1):
    """A study whose true effect per contender is known; splits share a difficulty, as real ones do."""
    cells = []
    for t in range(tables):
        for r in range(repeats):
            for f in range(folds):
                difficulty = rng.normal(0, between)
                for name, effect in effects.items():
                    value = 0.5 + difficulty + effect + rng.normal(0, noise)
                    cells.append(
                        Cell("quality", f"t{t}", name, r, f, r, "ok", values={"log loss": value}, n_train=80, n_test=20)
                    )
    return Study(
        name="simulated",
        question="Which is best?",
        measures=(LOSS,),
        baseline="base",
        contenders=tuple(Contender(n, "test") for n in effects),
        tables=tuple(Table(f"t{t}", "binary", 100, 3, 2) for t in range(tables)),
        cells=tuple(cells),
        signature={},
    )


def calls(study, **settings):
    return {v.contender: v.call for v in judge(study, **settings)}


def test_planted_truth_is_found():
    study = simulated(
        {"base": 0.0, "better": -0.1, "worse": 0.1, "same": 0.0}, rng=np.random.default_rng(0), noise=0.004
    )
    assert calls(study) == {"base": "BASELINE", "better": "BETTER", "worse": "WORSE", "same": "EQUIVALENT"}


def test_higher_is_better_turns_the_calls_round_but_not_the_sign_of_the_difference():
    study = simulated({"base": 0.0, "more": 0.1}, rng=np.random.default_rng(0), noise=0.004)
    study = replace(study, measures=(replace(LOSS, direction="higher"),))
    (_, more) = judge(study)
    assert more.call == "BETTER"
    assert more.difference == pytest.approx(0.1, abs=0.01)
    assert more.low < 0.1 < more.high


def test_identical_contenders_are_told_apart_in_at_most_five_percent_of_200_replays():
    rng = np.random.default_rng(11)
    wrong = 0
    for _ in range(200):
        study = simulated({"base": 0.0, "a": 0.0, "b": 0.0, "c": 0.0}, rng=rng, noise=0.05)
        wrong += bool({"BETTER", "WORSE"} & set(calls(study).values()))
    assert wrong <= 10


def test_null_replays_hold_when_the_splits_of_a_replay_share_a_common_luck():
    # Correlated splits: each contender has a luck of the data set that no number of folds averages away, of the size
    # that the correction assumes (n_test / n_train of the variance).
    rng = np.random.default_rng(12)
    wrong = 0
    for _ in range(200):
        luck = rng.normal(0, 0.05 * np.sqrt(0.25), 2)
        study = simulated({"base": luck[0], "a": luck[1]}, rng=rng, noise=0.05)
        wrong += bool({"BETTER", "WORSE"} & set(calls(study).values()))
    assert wrong <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def test_a_certain_difference_inside_the_margin_is_equivalent():
    study = simulated({"base": 0.0, "a": 0.004}, rng=np.random.default_rng(2), noise=0.0001)
    (_, a) = judge(study)
    assert a.p < 1e-6
    assert a.call == "EQUIVALENT"


def test_exactly_equal_scores_are_equivalent():
    study = simulated({"base": 0.0, "a": 0.0}, rng=np.random.default_rng(3), noise=0.0)
    (_, a) = judge(study)
    assert (a.call, a.difference, a.p) == ("EQUIVALENT", 0.0, 1.0)


def test_noise_gives_cannot_tell_with_the_difference_it_could_have_seen():
    study = simulated({"base": 0.0, "a": 0.01}, rng=np.random.default_rng(4), noise=0.1)
    (_, a) = judge(study)
    assert a.call == "CAN'T TELL"
    assert a.smallest > abs(a.difference)
    assert a.low < 0 < a.high


def test_one_failed_split_is_a_failed_row_with_its_reason():
    study = simulated({"base": 0.0, "a": -0.3}, rng=np.random.default_rng(5))
    broken = [replace(c, status="failed", error="ValueError: no", values={}) for c in study.cells if c.contender == "a"]
    kept = tuple(c for c in study.cells if c is not next(c for c in study.cells if c.contender == "a"))
    (_, a) = judge(replace(study, cells=(*kept, broken[0])))
    assert a.call == "FAILED"
    assert "1 of 10 splits failed" in a.reason
    assert "ValueError: no" in a.reason
    assert a.n == 9


def test_a_baseline_that_failed_leaves_nothing_to_tell():
    study = simulated({"base": 0.0, "a": 0.0}, rng=np.random.default_rng(6))
    cells = tuple(replace(c, status="failed", error="boom") if c.contender == "base" else c for c in study.cells)
    verdicts = {v.contender: v for v in judge(replace(study, cells=cells))}
    assert verdicts["base"].call == "FAILED"
    assert verdicts["a"].call == "CAN'T TELL"
    assert "baseline" in verdicts["a"].reason


@pytest.mark.parametrize(("n_cells", "call"), [(0, "NOT RUN"), (1, "CAN'T TELL")])
def test_too_few_splits_are_said_to_be_too_few(n_cells, call):
    study = simulated({"base": 0.0, "a": 0.0}, rng=np.random.default_rng(7))
    mine = [c for c in study.cells if c.contender == "a"][:n_cells]
    base = [c for c in study.cells if c.contender == "base"]
    (_, a) = judge(replace(study, cells=(*base, *mine)))
    assert a.call == call
    assert a.reason


def test_the_margin_of_a_regression_measure_follows_the_spread_of_the_target():
    study = simulated({"base": 0.0, "a": 0.0}, rng=np.random.default_rng(8))
    rmse = replace(LOSS, margin_of="target spread")
    study = replace(study, measures=(rmse,), tables=(replace(study.tables[0], spread=250.0),))
    assert judge(study)[1].margin == 2.5


def test_an_unknown_measure_lists_the_known_ones():
    study = simulated({"base": 0.0}, rng=np.random.default_rng(9))
    with pytest.raises(ValueError, match=r"has \['log loss'\]"):
        judge(study, measure="AUC")


def test_ranks_over_several_data_sets_find_the_planted_order():
    rng = np.random.default_rng(10)
    study = simulated({"base": 0.0, "best": -0.1, "worst": 0.1}, rng=rng, tables=8, noise=0.01)
    ranking = rank(study)
    assert dict(zip(ranking.contenders, ranking.ranks, strict=True)) == {"base": 2, "best": 1, "worst": 3}
    assert ranking.tells
    assert rank(replace(study, tables=study.tables[:1])) is None
    four = rank(replace(study, tables=study.tables[:4]))
    assert four.test.p_f < 0.05
    assert not four.tells  # agreement of four data sets is no general verdict


def test_ranks_of_identical_contenders_tell_in_at_most_five_percent_of_200_replays():
    rng = np.random.default_rng(13)
    tells = sum(
        rank(simulated({"base": 0.0, "a": 0.0, "b": 0.0}, rng=rng, tables=8, repeats=1)).tells for _ in range(200)
    )
    assert tells <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)


def test_a_contender_without_a_value_everywhere_is_named_as_left_out_of_the_ranks():
    study = simulated({"base": 0.0, "a": 0.0, "b": 0.0}, rng=np.random.default_rng(14), tables=3)
    cells = tuple(c for c in study.cells if not (c.contender == "b" and c.table == "t1"))
    assert rank(replace(study, cells=cells)).left_out == ("b",)


def test_speed_ratios_are_paired_within_rounds():
    def cell(name, round_, fit):
        return Cell("speed", "t0", name, round_, 0, 0, "ok", values={"fit_seconds": fit, "predict_seconds": fit / 10})

    study = simulated({"base": 0.0, "a": 0.0}, rng=np.random.default_rng(15))
    # The machine slows down tenfold in round 1; the ratio does not notice.
    cells = [cell("base", 0, 1.0), cell("a", 0, 0.5), cell("base", 1, 10.0), cell("a", 1, 5.0), cell("base", 2, 1.0)]
    rows = {s.contender: s for s in speed(replace(study, cells=tuple(cells)))}
    assert rows["a"].fit_ratio == 0.5
    assert rows["a"].predict_ratio == 0.5
    assert rows["base"].fit_ratio == 1.0
    assert rows["a"].rounds == 2
    assert np.isnan(rows["a"].peak_bytes)
