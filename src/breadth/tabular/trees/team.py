"""Threads that stay for a whole fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any


class Team:
    """Threads that call a kernel together, each with its own number; in it they may wait for one another.

    Either all of them get a task or none does, whenever the caller is interrupted: it hands the task to one thread,
    which no signal reaches, and that one passes it on.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._tasks: list[SimpleQueue] = []
        self._done: SimpleQueue = SimpleQueue()
        self._results: SimpleQueue = SimpleQueue()
        self._threads: list[Thread] = []
        if n_threads > 1:
            self._tasks = [SimpleQueue() for _ in range(n_threads)]
            for t in range(n_threads):
                thread = Thread(target=self._lead if t == 0 else partial(self._follow, t), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _lead(self) -> None:
        while (task := self._tasks[0].get()) is not None:
            for queue in self._tasks[1:]:
                queue.put(task)
            outcomes = [_outcome(task, 0), *(self._done.get() for _ in self._tasks[1:])]
            self._results.put((outcomes[0][0], next((error for _, error in outcomes if error is not None), None)))
        for queue in self._tasks[1:]:
            queue.put(None)

    def _follow(self, t: int) -> None:
        while (task := self._tasks[t].get()) is not None:
            self._done.put(_outcome(task, t))

    def run(self, task: Callable[[int], Any]) -> Any:
        """Call task(0), …, task(n_threads - 1) side by side and return what task(0) does."""
        if not self._threads:
            return task(0)
        self._tasks[0].put(task)
        result, error = self._results.get()
        if error is not None:
            raise error
        return result

    def close(self) -> None:
        """Let the threads go, when they have ended what they do."""
        if self._threads:
            self._tasks[0].put(None)
            for thread in self._threads:
                thread.join()


def _outcome(task: Callable[[int], Any], t: int) -> tuple[Any, BaseException | None]:
    try:
        return task(t), None
    except BaseException as error:  # raised again in the thread that called `run`
        return None, error
