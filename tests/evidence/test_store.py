import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from breadth.evidence.store import Planned, Store, StoreError
from breadth.evidence.study import Cell, Contender, Measure, Study, Table, Unrun

CELL = Cell(
    "quality", "t", "a", 0, 1, 7, "ok", values={"log loss": 0.25, "fit_seconds": 1.5}, curve=(0.6, 0.25), n_train=8,
    n_test=2, chosen={"depth": 3},
)  # fmt: skip
STUDY = Study(
    name="demo",
    question="Which?",
    measures=(Measure("log loss", "lower", 0.01),),
    baseline="a",
    contenders=(Contender("a", "test", {"depth": 2}), Contender("b", "test")),
    tables=(Table("t", "binary", 10, 2, 2, "note", 1.0),),
    cells=(),
    signature={"versions": "x 1"},
)
PLANNED = [Planned("k1", "quality", "t", "a"), Planned("k2", "quality", "t", "b")]


def test_a_study_comes_back_as_it_went_in_with_what_is_still_to_run(tmp_path):
    with Store(tmp_path / "db.sqlite") as store:
        store.begin("id1", STUDY, PLANNED, {"date": "today"})
        store.put("k1", CELL)
    with Store(tmp_path / "db.sqlite", must_exist=True) as store:
        study = store.load_study("demo")
        assert store.load_study("id1") == study
        (row,) = store.studies()
    expected = replace(
        STUDY, cells=(CELL,), signature={"versions": "x 1", "date": "today"}, unrun=(Unrun("quality", "t", "b", 1),)
    )
    assert study == expected
    assert (row.id, row.name, row.cells, row.planned) == ("id1", "demo", 1, 2)


def test_the_same_plan_refreshes_its_study_and_a_new_one_stands_beside_it(tmp_path):
    with Store(tmp_path / "db.sqlite") as store:
        store.begin("id1", STUDY, PLANNED, {"date": "monday"})
        store.begin("id1", STUDY, PLANNED[:1], {"date": "tuesday"})
        store.begin("id2", replace(STUDY, baseline="b"), PLANNED, {"date": "friday"})
        assert [s.id for s in store.studies()] == ["id2", "id1"] or len(store.studies()) == 2
        assert store.load_study("id1").signature["date"] == "tuesday"
        assert store.load_study("id2").baseline == "b"


def test_undefined_values_are_left_out_and_a_cell_is_replaced_by_its_key(tmp_path):
    with Store(tmp_path / "db.sqlite") as store:
        store.put("k", replace(CELL, values={"AUC": float("nan"), "peak_bytes": float("nan")}))
        store.put("k", replace(CELL, values={"AUC": float("nan"), "log loss": 0.5}))
        assert store.cells(["k", "absent"])["k"].values == {"log loss": 0.5}
        assert store.seconds("t", "a", "quality") is None


def test_an_unknown_study_lists_the_known(tmp_path):
    with Store(tmp_path / "db.sqlite") as store:
        with pytest.raises(ValueError, match="none yet"):
            store.load_study("demo")
        store.begin("id1", STUDY, PLANNED, {})
        with pytest.raises(ValueError, match="it has demo"):
            store.load_study("other")


def test_a_folder_a_missing_folder_and_a_missing_file_are_named_with_the_mend(tmp_path):
    with pytest.raises(StoreError, match="is a folder; name a file in it"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="does not exist; create it first"):
        Store(tmp_path / "no" / "db.sqlite")
    with pytest.raises(StoreError, match="run `breadth compare` first"):
        Store(tmp_path / "db.sqlite", must_exist=True)
    assert list(tmp_path.iterdir()) == []


def test_a_corrupt_database_is_left_as_it_is(tmp_path):
    path = tmp_path / "db.sqlite"
    path.write_bytes(b"this is not SQLite at all" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"damaged or no SQLite file .*mv .*db\.sqlite\.damaged"):
        Store(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["db.sqlite"]


def test_damage_inside_an_intact_header_is_found_before_anything_runs(tmp_path):
    path = tmp_path / "db.sqlite"
    with Store(path) as store:
        for i in range(200):
            store.put(f"k{i}", CELL)
    raw = bytearray(path.read_bytes())
    raw[4096:] = b"\xff" * (len(raw) - 4096)
    path.write_bytes(raw)
    with pytest.raises(StoreError, match="damaged"):
        Store(path)
    assert path.read_bytes() == bytes(raw)


def test_another_programs_database_and_a_newer_schema_are_refused(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE photos (id)")
    with pytest.raises(StoreError, match="belongs to another program"):
        Store(other)
    newer = tmp_path / "newer.sqlite"
    Store(newer).__exit__(None, None, None)
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer breadth"):
        Store(newer)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder in which nobody can create a file")
def test_an_unwritable_place_is_one_clear_error():
    with pytest.raises(StoreError, match=r"cannot be written .* name another file with --db"):
        Store("/proc/breadth.sqlite")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_file_is_one_clear_error(tmp_path):
    path = tmp_path / "db.sqlite"
    Store(path).__exit__(None, None, None)
    path.chmod(0o444)
    with pytest.raises(StoreError, match="cannot be written"):
        Store(path)


def test_a_database_held_by_another_run_is_said_to_be_in_use(tmp_path, monkeypatch):
    path = tmp_path / "db.sqlite"
    Store(path).__exit__(None, None, None)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda p, timeout, **k: connect(p, timeout=0, **k))
    holder = connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StoreError, match="in use by another run"):
            Store(path)
    finally:
        holder.close()
