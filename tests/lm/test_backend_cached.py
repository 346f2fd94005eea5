"""Answers that are kept in a file. Nothing here needs torch: a spawned process imports this module again."""

from __future__ import annotations

import multiprocessing
import sqlite3

import pytest

from breadth.lm.backend import Caps, Sampling, Score, Scripted
from breadth.lm.backend_cached import Cached


def test_what_was_answered_is_not_asked_again(tmp_path):
    script = Scripted(lambda p: f"to {p}", scores=lambda p, c: -float(len(c)))
    cached = Cached(script, tmp_path / "a.sqlite")
    first = cached.generate(["a", "b", "a"])
    assert len(script.asked) == 2, "the same prompt twice is one question"
    again = Cached(script, tmp_path / "a.sqlite")
    assert again.generate(["b", "a", "a"]) == [first[1], first[0], first[0]]
    assert (again.hits, again.misses, len(script.asked)) == (3, 0, 2)
    again.generate(["a"], Sampling(max_tokens=3))
    assert again.misses == 1, "other options are another question"
    assert cached.score("p", ["x", "yy"]) == [Score(-1.0, 1), Score(-2.0, 1)]
    assert again.score("p", ["yy", "zzz"]) == [Score(-2.0, 1), Score(-3.0, 1)]
    other = Scripted(lambda p: "other", name="other")
    assert Cached(other, tmp_path / "a.sqlite").generate(["a"])[0].text == "other"


class Deaf(Scripted):
    """One that ignores seeds."""

    caps = Caps(seed=False)


def test_draws_without_a_seed_are_never_kept(tmp_path):
    script = Scripted(["one", "two", "three"])
    cached = Cached(script, tmp_path / "a.sqlite")
    hot = Sampling(temperature=1.0)
    assert [cached.generate(["a"], hot)[0].text for _ in range(2)] == ["one", "two"]
    seeded = Sampling(temperature=1.0, seed=1)
    assert [cached.generate(["a"], seeded)[0].text for _ in range(2)] == ["three", "three"]
    cached = Cached(Deaf(["one", "two"]), tmp_path / "b.sqlite")
    assert len({cached.generate(["a"], seeded)[0].text for _ in range(2)}) == 2, (
        "a seed that is ignored repeats nothing"
    )


def test_a_file_that_is_no_cache_is_named(tmp_path):
    (tmp_path / "x").write_text("not a database, but long enough to be taken for the head of one" * 20)
    with pytest.raises(ValueError, match="is no cache of answers"):
        Cached(Scripted([]), tmp_path / "x")


def _many(path, begin):
    cached = Cached(Scripted(lambda p: p), path)
    for i in range(begin, begin + 40):
        cached.generate([f"p{i}"])


def test_processes_share_one_file(tmp_path):
    path = tmp_path / "a.sqlite"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_many, args=(path, begin)) for begin in (0, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    with sqlite3.connect(path) as store:
        assert store.execute("SELECT count(*) FROM answers").fetchone() == (60,)
