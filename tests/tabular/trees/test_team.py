"""The threads of a fit: a task reaches all of them or none, and errors come back."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from breadth.tabular.trees.team import Team


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_every_thread_gets_its_number_and_the_first_one_answers(n_threads):
    team = Team(n_threads)
    seen = []
    assert [team.run(lambda t, r=r: (seen.append((r, t)), r + t)[1]) for r in range(20)] == list(range(20))
    team.close()
    assert sorted(seen) == [(r, t) for r in range(20) for t in range(n_threads)]


def test_an_error_of_any_thread_is_raised_where_the_task_was_given_and_the_team_goes_on():
    team = Team(3)
    with pytest.raises(ZeroDivisionError):
        team.run(lambda t: 1 // (t - 2))
    assert team.run(lambda t: t) == 0
    team.close()


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals reach the main thread")
def test_an_interrupted_caller_leaves_no_thread_waiting_for_another():
    """Tasks meet at a barrier, and interrupts come at all moments: the team must always close."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        interrupted = 0
        for k in range(40):
            team = Team(3)
            meeting = threading.Barrier(3)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0001 * k)
                for _ in range(100_000):
                    team.run(lambda t, meeting=meeting: meeting.wait())
            except KeyboardInterrupt:
                interrupted += 1
            began = time.monotonic()
            team.close()
            assert time.monotonic() - began < 60  # it hung for good before; no claim on speed
        assert interrupted == 40
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
