"""One SQLite file that holds every measured cell, and which studies the cells belong to.

Only the process that started a run writes. A cell's row is keyed by everything that decides its numbers, so a run
that was interrupted, or repeated, finds what it measured already. Times, memory and dates stand in columns of their
own: they are all that may differ between two runs of the same plan.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from breadth.evidence.study import Cell, Contender, Measure, Stage, Study, Table, Unrun

TIMING = ("fit_seconds", "predict_seconds", "peak_bytes")
APPLICATION_ID = 0x62726474  # "brdt": tells our files from other programs'
VERSION = 1
SCHEMA = """
CREATE TABLE cell (
    key TEXT PRIMARY KEY, stage TEXT NOT NULL, table_name TEXT NOT NULL, contender TEXT NOT NULL,
    repeat INTEGER NOT NULL, fold INTEGER NOT NULL, seed INTEGER NOT NULL, status TEXT NOT NULL, error TEXT NOT NULL,
    n_train INTEGER NOT NULL, n_test INTEGER NOT NULL, measures TEXT NOT NULL, curve TEXT NOT NULL,
    chosen TEXT NOT NULL, fit_seconds REAL, predict_seconds REAL, peak_bytes REAL, measured_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE study (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, header TEXT NOT NULL, moment TEXT NOT NULL, updated_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE plan (
    study_id TEXT NOT NULL REFERENCES study (id), position INTEGER NOT NULL, key TEXT NOT NULL,
    stage TEXT NOT NULL, table_name TEXT NOT NULL, contender TEXT NOT NULL, PRIMARY KEY (study_id, position)
) WITHOUT ROWID;
"""


class StoreError(OSError):
    """The database cannot be used; the message names the file and the mend. What was stored before is untouched."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A cell to be measured and the key that its row will have."""

    key: str
    stage: Stage
    table: str
    contender: str


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One line of the database's list of studies."""

    id: str
    name: str
    updated_at: str
    cells: int
    planned: int


class Store:
    """An open database; use it as a context manager.

    Args:
        path: the SQLite file; created where it does not exist, unless must_exist.
        must_exist: refuse to create it, for commands that only read.

    Raises:
        StoreError: if the file cannot be opened or written, is damaged, or belongs to another program.
    """

    def __init__(self, path: Path | str, *, must_exist: bool = False) -> None:
        self.path = Path(path)
        if must_exist and not self.path.exists():
            raise StoreError(f"database {self.path} does not exist; run `breadth compare` first, or name one with --db")
        if not self.path.parent.is_dir():
            raise StoreError(f"database {self.path}: the folder {self.path.parent} does not exist; create it first")
        if self.path.is_dir():
            raise StoreError(
                f"database {self.path} is a folder; name a file in it, such as {self.path / 'breadth.sqlite'}"
            )
        try:
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self._open()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def __enter__(self) -> Store:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._db.close()

    def cells(self, keys: Iterable[str]) -> dict[str, Cell]:
        """The stored cells among the given keys."""
        found: dict[str, Cell] = {}
        for key in keys:
            row = self._one("SELECT * FROM cell WHERE key = ?", (key,))
            if row is not None:
                found[key] = _to_cell(row)
        return found

    def put(self, key: str, cell: Cell) -> None:
        """Write one cell, replacing an older one of the same key; durable when the call returns."""
        values = {name: value for name, value in cell.values.items() if value == value}  # NaN is "undefined": no entry
        self._write(
            "INSERT OR REPLACE INTO cell VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(key, cell.stage, cell.table, cell.contender, cell.repeat, cell.fold, cell.seed),
                *(cell.status, cell.error, cell.n_train, cell.n_test),
                json.dumps({name: value for name, value in values.items() if name not in TIMING}),
                json.dumps(cell.curve),
                json.dumps(cell.chosen),
                *(values.get(name) for name in TIMING),
                _now(),
            ),
        )

    def begin(self, study_id: str, study: Study, planned: Sequence[Planned], moment: Mapping[str, str]) -> None:
        """Write or refresh a study's header and its plan; `study.cells` is not looked at.

        Args:
            study_id: content key of the plan, so that the same command refreshes the same study.
            study: question, measures, contenders, tables, signature.
            planned: every cell of the study, in order.
            moment: what may differ between two runs of the same plan (date, load), added to the signature on reading.
        """
        header = {
            "question": study.question,
            "measures": [asdict(m) for m in study.measures],
            "baseline": study.baseline,
            "contenders": [asdict(c) for c in study.contenders],
            "tables": [asdict(t) for t in study.tables],
            "signature": study.signature,
        }
        rows = [(study_id, i, p.key, p.stage, p.table, p.contender) for i, p in enumerate(planned)]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT OR REPLACE INTO study VALUES (?, ?, ?, ?, ?)",
                (study_id, study.name, json.dumps(header, ensure_ascii=False), json.dumps(dict(moment)), _now()),
            )
            self._db.execute("DELETE FROM plan WHERE study_id = ?", (study_id,))
            self._db.executemany("INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise self._explain(error) from error

    def studies(self) -> tuple[StudyRow, ...]:
        """Every study, the latest first."""
        return tuple(
            StudyRow(*row)
            for row in self._all(
                "SELECT s.id, s.name, s.updated_at, count(c.key), count(p.key) FROM study s "
                "JOIN plan p ON p.study_id = s.id LEFT JOIN cell c ON c.key = p.key "
                "GROUP BY s.id ORDER BY s.updated_at DESC, s.id"
            )
        )

    def load_study(self, name: str) -> Study:
        """Read one study back: everything that a table or a report prints.

        Args:
            name: a study's id, or the name of a comparison for its latest study.

        Raises:
            ValueError: if there is none; the message lists what there is.
            StoreError: if the file is damaged.
        """
        row = self._one(
            "SELECT id, name, header, moment FROM study WHERE id = ?1 OR name = ?1 ORDER BY updated_at DESC LIMIT 1",
            (name,),
        )
        if row is None:
            known = sorted({s.name for s in self.studies()})
            raise ValueError(f"database {self.path} holds no study {name!r}; it has {', '.join(known) or 'none yet'}")
        header = json.loads(row["header"])
        cells = self._all(
            "SELECT c.* FROM plan p JOIN cell c USING (key) WHERE p.study_id = ? ORDER BY position", (row["id"],)
        )
        missing = self._all(
            "SELECT p.stage, p.table_name, p.contender FROM plan p LEFT JOIN cell c USING (key) "
            "WHERE p.study_id = ? AND c.key IS NULL ORDER BY position",
            (row["id"],),
        )
        return Study(
            name=row["name"],
            question=header["question"],
            measures=tuple(Measure(**m) for m in header["measures"]),
            baseline=header["baseline"],
            contenders=tuple(Contender(**c) for c in header["contenders"]),
            tables=tuple(Table(**t) for t in header["tables"]),
            cells=tuple(_to_cell(c) for c in cells),
            signature={**header["signature"], **json.loads(row["moment"])},
            unrun=tuple(
                Unrun(stage, table, contender, count)
                for (stage, table, contender), count in Counter(map(tuple, missing)).items()
            ),
        )

    def seconds(self, table: str, contender: str, stage: Stage) -> float | None:
        """Mean of fit and predict seconds of that contender's stored cells on that data set, for time estimates."""
        row = self._one(
            "SELECT avg(coalesce(fit_seconds + coalesce(predict_seconds, 0), predict_seconds)) FROM cell "
            "WHERE table_name = ? AND contender = ? AND stage = ? AND status = 'ok'",
            (table, contender, stage),
        )
        return row[0] if row is not None else None

    def _open(self) -> None:
        self._db.row_factory = sqlite3.Row
        version, application = (
            self._db.execute(f"PRAGMA {p}").fetchone()[0] for p in ("user_version", "application_id")
        )
        empty = not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not empty and application != APPLICATION_ID:
            self._db.close()
            raise StoreError(f"database {self.path} belongs to another program; name another file with --db")
        if version > VERSION:
            self._db.close()
            raise StoreError(
                f"database {self.path} was written by a newer breadth (schema {version}, this one knows {VERSION}); "
                "upgrade breadth, or name another file with --db"
            )
        damage = self._db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if damage != "ok":
            self._db.close()
            raise sqlite3.DatabaseError(damage)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # a cell costs seconds, its fsync milliseconds
        if empty:
            pragmas = f"PRAGMA user_version = {VERSION}; PRAGMA application_id = {APPLICATION_ID};"
            self._db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} {pragmas} COMMIT;")
        self._db.execute("BEGIN IMMEDIATE")  # finds out now, not after the first fit, that nothing can be written
        self._db.execute("COMMIT")

    def _write(self, statement: str, values: tuple) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _one(self, statement: str, values: tuple = ()) -> sqlite3.Row | None:
        rows = self._all(statement, values)
        return rows[0] if rows else None

    def _all(self, statement: str, values: tuple = ()) -> list[sqlite3.Row]:
        try:
            with closing(self._db.execute(statement, values)) as cursor:
                return cursor.fetchall()
        except sqlite3.Error as error:
            raise self._explain(error) from error

    def _explain(self, error: sqlite3.Error) -> StoreError:
        text = str(error)
        if isinstance(error, sqlite3.OperationalError):
            if "locked" in text:
                return StoreError(
                    f"database {self.path} is in use by another run; wait for it, or name another with --db"
                )
            if "full" in text:
                return StoreError(
                    f"database {self.path}: the disk is full; what was measured is kept: free space and run again"
                )
            return StoreError(
                f"database {self.path} cannot be written ({text}); mend its permissions, or name another file with --db"
            )
        damaged = self.path.with_name(self.path.name + ".damaged")
        return StoreError(
            f"database {self.path} is damaged or no SQLite file ({text}); it was left as it is: "
            f"move it away (mv {self.path} {damaged}), or name another file with --db"
        )


def _to_cell(row: sqlite3.Row) -> Cell:
    timing = {name: row[name] for name in TIMING if row[name] is not None}
    return Cell(
        stage=row["stage"],
        table=row["table_name"],
        contender=row["contender"],
        repeat=row["repeat"],
        fold=row["fold"],
        seed=row["seed"],
        status=row["status"],
        error=row["error"],
        values={**json.loads(row["measures"]), **timing},
        curve=tuple(json.loads(row["curve"])),
        n_train=row["n_train"],
        n_test=row["n_test"],
        chosen=json.loads(row["chosen"]),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
