"""What every index and engine must do: one contract, called with a way to make an empty index.

`CONTRACT` lists the clauses. Each takes `make(dim, metric)`, which returns an empty index, and a folder.
`python -m tests.vector.contract MODULE CLASS` runs all of them in an environment of its own, without pytest.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from breadth.vector.index import VectorIndex

METRICS = ("cosine", "dot", "euclidean")
DIM = 8
N = 300

Make = Callable[..., VectorIndex]


def vectors(n: int = N, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def metadata(n: int = N) -> list[dict]:
    rows: list[dict] = []
    for i in range(n):
        row: dict = {"number": i, "half": i / 2, "even": i % 2 == 0, "lang": ("en", "de", 'f"r')[i % 3]}
        if i % 5 == 0:
            del row["number"]
        rows.append(row)
    return rows


def exact(X: np.ndarray, Q: np.ndarray, metric: str) -> np.ndarray:
    """Scores by a double loop's formula in float64, shape (queries, vectors); larger is nearer."""
    A, B = Q.astype(np.float64), X.astype(np.float64)
    if metric == "euclidean":
        return -np.linalg.norm(A[:, None] - B[None], axis=2)
    if metric == "cosine":
        A, B = A / np.linalg.norm(A, axis=1, keepdims=True), B / np.linalg.norm(B, axis=1, keepdims=True)
    return A @ B.T


def assert_found(hits, truth: np.ndarray, ids: np.ndarray, metric: str, k: int, recall: float = 0.95) -> None:
    """Hits are k rows with the scores of their ids, best first, and nearly all of the true ones."""
    assert hits.ids.shape == hits.scores.shape == (len(truth), k), (hits.ids.shape, (len(truth), k))
    assert hits.scores.dtype == np.float32
    position = {id: i for i, id in enumerate(ids.tolist())}
    sign = -1 if metric == "euclidean" else 1
    found = 0
    for row in range(len(truth)):
        at = [position[id] for id in hits.ids[row].tolist()]
        assert len(set(at)) == k
        # float32 vectors and sums, and some engines give the square of a distance
        np.testing.assert_allclose(hits.scores[row], sign * truth[row, at], rtol=1e-4, atol=2e-5)
        assert (np.diff(sign * hits.scores[row]) <= 1e-6).all()
        found += np.sum(truth[row, at] >= np.sort(truth[row])[-k] - 1e-6) if k else 0
    assert found >= recall * k * len(truth), found / max(1, k * len(truth))


def raises(error: type[Exception] | tuple[type[Exception], ...], text: str, call: Callable[[], object]) -> None:
    try:
        call()
    except error as raised:
        assert text in str(raised), f"{text!r} is not in {str(raised)!r}"
        return
    raise AssertionError(f"{error} was not raised")


def search_finds_the_nearest_with_their_scores(make: Make, folder: Path) -> None:
    X, Q = vectors(), vectors(20, seed=1)
    for metric in METRICS:
        index = make(DIM, metric=metric)
        assert isinstance(index, VectorIndex)
        assert (index.dim, index.metric, len(index)) == (DIM, metric, 0)
        ids = np.arange(N) * 7 - 50  # negative ones too
        index.add(ids, X)
        assert len(index) == N and -50 in index and -49 not in index
        for k in (1, 10):
            hits = index.search(Q, k)
            assert hits.ids.dtype == np.int64
            assert_found(hits, exact(X, Q, metric), ids, metric, k)
        assert_found(index.search(Q[:1], N), exact(X, Q[:1], metric), ids, metric, N)
        assert index.search(Q[:0], 3).ids.shape[0] == 0


def ids_may_be_strings(make: Make, folder: Path) -> None:
    X = vectors(40)
    index = make(DIM, metric="cosine")
    names = np.array([f"Zeile {i}: Grüße\n" for i in range(40)])
    index.add(names.tolist(), X)
    hits = index.search(X[:5], 3)
    assert hits.ids[:, 0].tolist() == names[:5].tolist()
    assert names[3] in index and "x" not in index
    raises(TypeError, "ids of this index are", lambda: index.add([1], X[:1]))


def filters_allow_what_they_say(make: Make, folder: Path) -> None:
    X, Q, rows = vectors(), vectors(6, seed=1), metadata()
    index = make(DIM, metric="euclidean")
    index.add(np.arange(N), X, rows)
    cases = [
        ({"lang": "en"}, lambda r: r["lang"] == "en"),
        ({"lang": 'f"r', "even": True}, lambda r: r["lang"] == 'f"r' and r["even"]),
        ({"number": {"$gte": 100, "$lt": 113}}, lambda r: 100 <= r.get("number", -1) < 113),
        ({"number": {"$gt": 290.5}}, lambda r: r.get("number", -1) > 290.5),
        ({"half": {"$lte": 4}}, lambda r: r["half"] <= 4),
        ({"half": 7}, lambda r: r["half"] == 7),
        ({"number": {"$ne": 3}}, lambda r: r.get("number") != 3),
        ({"lang": {"$in": ["de", "none"]}}, lambda r: r["lang"] == "de"),
        ({"number": {"$nin": [1, 2, 3]}}, lambda r: r.get("number") not in (1, 2, 3)),
        ({"number": {"$exists": False}}, lambda r: "number" not in r),
        ({"$not": {"number": {"$gt": 20}}}, lambda r: not r.get("number", -1) > 20),
        (
            {"$or": [{"half": {"$lt": 2}}, {"number": 250}, {"number": 251}]},
            lambda r: r["half"] < 2 or r.get("number") == 251,
        ),
        (
            {"$not": {"$or": [{"lang": "en"}, {"number": {"$exists": True}}]}},
            lambda r: r["lang"] != "en" and "number" not in r,
        ),
        (
            {"$and": [{"even": False}, {"$not": {"lang": {"$in": ["en", "de"]}}}]},
            lambda r: not r["even"] and r["lang"] == 'f"r',
        ),
        ({"lang": "none"}, lambda r: False),
        ({}, lambda r: True),
    ]
    for filter, allows in cases:
        allowed = np.array([allows(row) for row in rows])
        k = min(10, int(allowed.sum()))
        hits = index.search(Q, 10, filter)
        truth = np.where(allowed, exact(X, Q, "euclidean"), -np.inf)
        try:
            assert_found(hits, truth, np.arange(N), "euclidean", k)
        except AssertionError as error:
            raise AssertionError(f"{filter}: {error}") from error


def filters_that_make_no_sense_are_errors(make: Make, folder: Path) -> None:
    X = vectors(30)
    index = make(DIM, metric="dot")
    index.add(np.arange(30), X, metadata(30))
    raises(ValueError, "no vector has the field 'yaer'", lambda: index.search(X[:1], 3, {"yaer": 3}))
    raises(ValueError, "unknown operator '$near'", lambda: index.search(X[:1], 3, {"number": {"$near": 3}}))
    raises(ValueError, "unknown operator '$xor'", lambda: index.search(X[:1], 3, {"$xor": [{"number": 3}]}))
    raises(ValueError, "is of kind int", lambda: index.search(X[:1], 3, {"number": "3"}))
    raises(TypeError, "filter must be a mapping", lambda: index.search(X[:1], 3, "number = 3"))


def upsert_replaces_and_remove_takes_out(make: Make, folder: Path) -> None:
    X, rows = vectors(), metadata()
    for metric in METRICS:
        index = make(DIM, metric=metric)
        index.add(np.arange(N), X, rows)
        moved = vectors(3, seed=9) * 2
        index.upsert([5, 6, 1000], moved, [{"lang": "it"}, {}, {"number": 9}])
        assert len(index) == N + 1 and 1000 in index
        assert index.metadata([6, 5, 1000, 7]) == [{}, {"lang": "it"}, {"number": 9}, rows[7]]
        assert index.search(moved[:1], 2, {"lang": "it"}).ids.tolist() == [[5]]
        gone = np.arange(100, 200)
        index.remove(gone)
        assert len(index) == N - 99 and 150 not in index
        Y = np.vstack([X, moved[2:]])
        Y[5:7] = moved[:2]
        kept = np.ones(N + 1, bool)
        kept[gone] = False
        truth = np.where(kept, exact(Y, X[:20], metric), -np.inf)
        assert_found(index.search(X[:20], 10), truth, np.r_[np.arange(N), 1000], metric, 10)
        index.add(gone[:2], X[gone[:2]])  # an id may come again
        assert index.search(X[gone[0]][None], 1).ids.tolist() == [[100]] or metric == "dot"
        index.remove([*range(100), 100, 101, *range(200, N), 1000])
        assert len(index) == 0
        raises(ValueError, "k must be in [1, 0]", lambda index=index: index.search(X[:1], 1))
        index.add([3], X[:1])
        assert index.search(X[:1], 1).ids.tolist() == [[3]]


def a_bad_call_is_named_and_changes_nothing(make: Make, folder: Path) -> None:
    X = vectors(20)
    index = make(DIM, metric="cosine")
    index.add(np.arange(20), X, metadata(20))
    bad = X[:2].copy()
    bad[1, 3] = np.nan
    same: list[dict] = [{"number": 1}, {"number": "one"}]
    calls = [
        (ValueError, "8 columns", lambda: index.add([30, 31], np.zeros((2, 9)))),
        (ValueError, "shape (n, 8)", lambda: index.add([30], X[0])),
        (ValueError, "row 1 holds NaN or infinity", lambda: index.add([30, 31], bad)),
        (
            ValueError,
            "row 1 holds NaN or infinity",
            lambda: index.upsert([30, 31], np.where(np.isnan(bad), np.inf, bad)),
        ),
        (ValueError, "must not be zero", lambda: index.add([30, 31], X[:2] * [[1], [0]])),
        (TypeError, "real numbers", lambda: index.add([30], [["a"] * 8])),
        (ValueError, "given more than once", lambda: index.add([30, 30], X[:2])),
        (ValueError, "given more than once", lambda: index.upsert([30, 30], X[:2])),
        (ValueError, "7", lambda: index.add([30, 7], X[:2])),
        (ValueError, "as many as the vectors", lambda: index.add([30], X[:2])),
        (TypeError, "all integers or all strings", lambda: index.add([30, "a"], X[:2])),
        (TypeError, "all integers or all strings", lambda: index.add([1.5, 2.5], X[:2])),
        (ValueError, "64 bits", lambda: index.add([2**63], X[:1])),
        (ValueError, "an entry for each", lambda: index.add([30, 31], X[:2], [{}])),
        (ValueError, "kind", lambda: index.add([30, 31], X[:2], same)),
        (TypeError, "metadata[0] must be a mapping", lambda: index.add([30], X[:1], [None])),  # type: ignore[list-item]
        (TypeError, "str, int, float or bool", lambda: index.add([30], X[:1], [{"tags": ["a"]}])),
        (ValueError, "finite", lambda: index.add([30], X[:1], [{"half": float("nan")}])),
        (KeyError, "99", lambda: index.remove([3, 99])),
        (ValueError, "given more than once", lambda: index.remove([3, 3])),
        (KeyError, "99", lambda: index.metadata([99])),
        (ValueError, "k must be in [1, 20]", lambda: index.search(X[:1], 21)),
        (ValueError, "k must be in [1, 20]", lambda: index.search(X[:1], 0)),
        (TypeError, "k must be an integer", lambda: index.search(X[:1], 2.0)),  # type: ignore[arg-type]
        (ValueError, "queries must have 8 columns", lambda: index.search(np.zeros((1, 3)), 2)),
        (ValueError, "queries must be finite", lambda: index.search(bad, 2)),
        (ValueError, "queries must not be zero", lambda: index.search(np.zeros((1, 8)), 2)),
    ]
    for error, text, call in calls:
        raises(error, text, call)
        assert len(index) == 20 and 30 not in index and 3 in index
    assert index.search(X, 1).ids[:, 0].tolist() == list(range(20))
    assert index.metadata([7]) == metadata(20)[7:8]
    raises(ValueError, "metric must be", lambda: make(DIM, metric="hamming"))
    raises(ValueError, "dim must be at least 1", lambda: make(0, metric="dot"))


def nothing_to_add_and_one_vector_alone(make: Make, folder: Path) -> None:
    index = make(DIM, metric="euclidean")
    index.add([], np.zeros((0, DIM)))
    assert len(index) == 0
    index.add([4], np.ones((1, DIM)))
    index.remove([])
    hits = index.search(np.ones((3, DIM)), 1)
    assert hits.ids.tolist() == [[4]] * 3 and np.abs(hits.scores).max() < 1e-3


def a_saved_index_is_read_back(make: Make, folder: Path) -> None:
    X, Q, rows = vectors(), vectors(10, seed=1), metadata()
    for ids in (np.arange(N) * 3, np.array([f"id {i}" for i in range(N)])):
        index = make(DIM, metric="euclidean")
        index.add(ids, X, rows)
        index.remove(ids[:9])
        before = index.search(Q, 5, {"lang": {"$ne": "de"}})
        path = folder / "index"
        index.save(path)
        index.save(path)  # over the old file
        for mmap in (True, False):
            again = type(index).load(path, mmap=mmap)
            assert (again.dim, again.metric, len(again)) == (DIM, "euclidean", N - 9)
            after = again.search(Q, 5, {"lang": {"$ne": "de"}})
            assert after.ids.tolist() == before.ids.tolist()
            np.testing.assert_allclose(after.scores, before.scores, rtol=1e-6)
            assert again.metadata(ids[9:12]) == rows[9:12]
            again.add(ids[:1], X[:1], rows[:1])
            again.save(path)  # over the file that it is mapped from
            again.remove(ids[20:30])
            assert type(index).load(path, mmap=mmap).search(X[:1], 1).ids.tolist() == [[ids[0]]]
            index.save(path)
    raises(FileNotFoundError, "does not exist", lambda: index.save(folder / "nowhere" / "index"))
    raises(FileNotFoundError, "", lambda: type(index).load(folder / "nothing"))
    (folder / "foreign").write_text("ids,vectors\n" * 100)
    raises(ValueError, "is not a breadth index", lambda: type(index).load(folder / "foreign"))
    whole = path.read_bytes()
    (folder / "short").write_bytes(whole[: len(whole) // 2])
    raises(ValueError, "cut short", lambda: type(index).load(folder / "short"))


CONTRACT = (
    search_finds_the_nearest_with_their_scores,
    ids_may_be_strings,
    filters_allow_what_they_say,
    filters_that_make_no_sense_are_errors,
    upsert_replaces_and_remove_takes_out,
    a_bad_call_is_named_and_changes_nothing,
    nothing_to_add_and_one_vector_alone,
    a_saved_index_is_read_back,
)


def main() -> None:
    module, name = sys.argv[1:]
    make = getattr(importlib.import_module(module), name)
    for clause in CONTRACT:
        with tempfile.TemporaryDirectory() as folder:
            clause(make, Path(folder))
        print("kept:", clause.__name__, flush=True)


if __name__ == "__main__":
    main()
