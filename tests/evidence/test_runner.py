import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from breadth.evidence import runner
from breadth.evidence.runner import CRASH
from breadth.evidence.store import TIMING, Store
from breadth.evidence.verdict import judge, speed
from tests.evidence import planted

COUNT = "SELECT count(*) FROM cell"


def measured(path):
    """Every row but its timing columns."""
    with sqlite3.connect(path) as db:
        columns = [row[1] for row in db.execute("PRAGMA table_info(cell)") if row[1] not in (*TIMING, "measured_at")]
        cells = db.execute(f"SELECT {', '.join(columns)} FROM cell ORDER BY key").fetchall()
        studies = db.execute("SELECT id, name, header FROM study ORDER BY id").fetchall()
        plans = db.execute("SELECT * FROM plan ORDER BY study_id, position").fetchall()
    return cells, studies, plans


def test_planted_truth_is_found_end_to_end(tmp_path):
    plan = planted.plan(
        (planted.DUMMY, planted.LOGISTIC, planted.STUMP, planted.TWIN), (planted.table(n=600),), seeds=2
    )
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(plan, store)
    calls = {v.contender: v.call for v in judge(study)}
    assert calls == {"dummy": "BASELINE", "logistic": "BETTER", "stump": "BETTER", "twin": "EQUIVALENT"}
    assert study.unrun == ()
    curves = {c.contender: c.curve for c in study.cells if c.curve}
    assert set(curves) == {"logistic"}
    first = next(c for c in study.cells if c.contender == "logistic" and (c.repeat, c.fold) == (0, 0))
    assert curves["logistic"][-1] == pytest.approx(first.values["log loss"], rel=1e-12)


def test_a_second_run_measures_nothing_and_says_the_same_and_fresh_measures_again(tmp_path, monkeypatch):
    path = tmp_path / "db.sqlite"
    plan = planted.plan((planted.DUMMY, planted.STUMP))
    with Store(path) as store:
        first = runner.run(plan, store)
        puts = []
        monkeypatch.setattr(store, "put", lambda key, cell: puts.append(key))
        second = runner.run(plan, store)
        assert puts == []
        assert runner.remaining(plan, store) == 0
        runner.run(planted.plan((planted.DUMMY, planted.STUMP), resume=False), store)
        assert len(puts) == 10
    assert first.cells == second.cells


def test_two_workers_and_one_worker_measure_the_same(tmp_path):
    entries = (planted.DUMMY, planted.STUMP, planted.LOGISTIC)
    rows = []
    for jobs in (1, 2):
        with Store(tmp_path / f"{jobs}.sqlite") as store:
            rows.append(runner.run(planted.plan(entries, jobs=jobs), store).cells)
    untimed = [[(c.contender, c.fold, c.status, c.values["log loss"], c.curve) for c in cells] for cells in rows]
    assert untimed[0] == untimed[1]


def test_threads_backend_measures_the_same(tmp_path):
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(planted.plan((planted.DUMMY, planted.STUMP), jobs=2, backend="threading"), store)
    assert [c.status for c in study.cells] == ["ok"] * 10


def test_dask_backend_runs_on_a_real_local_cluster(tmp_path):
    pytest.importorskip("distributed", reason="the dask extra is not installed")
    with Store(tmp_path / "dask.sqlite") as store:
        study = runner.run(planted.plan((planted.DUMMY, planted.STUMP), jobs=2, backend="dask"), store)
    with Store(tmp_path / "loky.sqlite") as store:
        local = runner.run(planted.plan((planted.DUMMY, planted.STUMP), jobs=1), store)
    assert [c.values["log loss"] for c in study.cells] == [c.values["log loss"] for c in local.cells]


def test_a_quality_cell_has_one_thread(tmp_path):
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(planted.plan((planted.DUMMY, planted.COUNTING, planted.SINGLE), jobs=2, threads=2), store)
    assert {c.error for c in study.cells} == {""}


def test_a_contender_that_raises_is_a_failed_row_with_its_reason_and_is_tried_again(tmp_path):
    plan = planted.plan((planted.DUMMY, planted.BROKEN, planted.UNDECIDED), rounds=2)
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(plan, store)
        assert runner.remaining(plan, store) == 5 + 2 + 5  # broken everywhere, undecided fails only where it is scored
    verdicts = {v.contender: v for v in judge(study)}
    assert verdicts["dummy"].call == "BASELINE"
    assert verdicts["broken"].call == "FAILED"
    assert verdicts["broken"].reason == "5 of 5 splits failed; 5 ×: ValueError: this contender never works"
    assert "NaN or infinite" in verdicts["undecided"].reason
    rows = {s.contender: s for s in speed(study)}
    assert rows["broken"].reason == "ValueError: this contender never works"
    assert rows["dummy"].rounds == 2


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_contender_that_kills_its_process_fails_alone(tmp_path, rounds):
    plan = planted.plan((planted.DUMMY, planted.DEADLY, planted.STUMP), jobs=2, folds=2, rounds=rounds)
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(plan, store)
    assert {(c.contender, c.status, c.error) for c in study.cells} == {
        ("dummy", "ok", ""),
        ("stump", "ok", ""),
        ("deadly", "failed", CRASH),
    }
    assert study.unrun == ()


def test_the_speed_pass_times_every_contender_in_every_round_with_its_memory_and_size(tmp_path):
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(planted.plan((planted.DUMMY, planted.SLOW), rounds=2), store)
    cells = [c for c in study.cells if c.stage == "speed"]
    assert [(c.repeat, c.contender) for c in cells] == [(0, "dummy"), (0, "slow"), (1, "dummy"), (1, "slow")]
    assert all({"fit_seconds", "predict_seconds", "model_bytes"} <= c.values.keys() for c in cells)
    rows = {s.contender: s for s in speed(study)}
    assert rows["slow"].fit_seconds >= 0.15  # it sleeps that long
    assert rows["slow"].fit_ratio > rows["dummy"].fit_ratio == 1


def test_a_spent_budget_stops_launching_and_what_was_not_run_is_visible(tmp_path):
    plan = planted.plan((planted.DUMMY, planted.SLOW), rounds=1, budget=1e-9)
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(plan, store)
        assert study.cells == ()
        assert sum(u.count for u in study.unrun) == len(plan.jobs) == 12
        assert {v.call for v in judge(study)} == {"NOT RUN"}
        rest = runner.run(planted.plan((planted.DUMMY, planted.SLOW), rounds=1), store)
    assert rest.unrun == ()


def test_every_contender_is_tuned_with_the_same_number_of_configurations(tmp_path):
    plan = planted.plan((planted.DUMMY, planted.STUMP), (planted.table(n=300),), tune=3, rounds=1)
    with Store(tmp_path / "db.sqlite") as store:
        study = runner.run(plan, store)
    chosen = [c.chosen for c in study.cells if c.contender == "stump" and c.stage == "quality"]
    assert all(set(c) == {"max_depth", "min_samples_leaf"} for c in chosen)
    assert all(c.chosen == {} for c in study.cells if c.contender == "dummy")
    assert study.signature["tuning"] == "3 random configurations each"


def test_an_estimate_learns_from_what_is_stored(tmp_path):
    plan = planted.plan((planted.DUMMY, planted.SLOW))
    with Store(tmp_path / "db.sqlite") as store:
        guess = runner.estimate(plan, None)
        assert guess > 0
        runner.run(plan, store)
        assert runner.estimate(plan, store) == 0
        again = runner.estimate(planted.plan((planted.DUMMY, planted.SLOW), resume=False), store)
    assert again >= 5 * 0.15


SCRIPT = """
from tests.evidence import planted
from breadth.evidence import runner
from breadth.evidence.store import Store
if __name__ == "__main__":
    import sys
    plan = planted.plan((planted.DUMMY, planted.SLOW, planted.STUMP), (planted.table("a"), planted.table("b", seed=1)),
                        seeds=2, jobs=2)
    assert len(plan.jobs) == 60
    with Store(sys.argv[1]) as store:
        print(runner.remaining(plan, store), flush=True)
        runner.run(plan, store)
"""


def test_a_run_killed_midway_continues_and_ends_with_the_rows_of_an_uninterrupted_one(tmp_path):
    script = tmp_path / "sixty_cells.py"
    script.write_text(SCRIPT)
    whole, killed = tmp_path / "whole.sqlite", tmp_path / "killed.sqlite"
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}

    def start(path):
        return subprocess.Popen(
            [sys.executable, script, path], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    assert start(whole).wait(timeout=300) == 0
    first = start(killed)
    stop = time.monotonic() + 300
    while _rows(killed) < 10 and time.monotonic() < stop:
        time.sleep(0.02)
    first.kill()  # SIGKILL: nothing of ours gets to clean up
    assert first.wait(timeout=30) == -signal.SIGKILL
    at_kill = _rows(killed)
    assert 10 <= at_kill < 60
    second = start(killed)
    output, _ = second.communicate(timeout=300)
    assert second.returncode == 0
    assert int(output) == 60 - at_kill
    assert measured(killed) == measured(whole)


def _rows(path):
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return db.execute(COUNT).fetchone()[0]
    except sqlite3.OperationalError:  # its tables are being made
        return 0
