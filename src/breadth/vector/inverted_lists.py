"""Lists of vectors or codes in one array, each list contiguous, all of them growing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from breadth.vector.rows import Rows


class InvertedLists:
    """Entries by list: list l holds positions starts[l] to starts[l] + sizes[l] of every array.

    A list that outgrows its place moves to the end and leaves a gap. `compact` closes the gaps, and is called when
    they outweigh the entries. Lists filled by one `add` have no gaps and no room to spare.

    Attributes:
        starts, sizes: shape (lists,), int64.
        arrays: name to Rows, all alike in length: "slots" (int64), and what the index keeps for each entry.
    """

    def __init__(self, starts: NDArray[np.int64], sizes: NDArray[np.int64], arrays: dict[str, NDArray]) -> None:
        self.starts, self.sizes = starts, sizes
        self._room = sizes.copy()
        self.arrays = {name: Rows(array) for name, array in arrays.items()}

    @classmethod
    def empty(cls, n_lists: int, arrays: dict[str, NDArray]) -> InvertedLists:
        """Lists without entries; `arrays` of length 0 say the dtypes and widths."""
        return cls(np.zeros(n_lists, dtype=np.int64), np.zeros(n_lists, dtype=np.int64), arrays)

    def __len__(self) -> int:
        return int(self.sizes.sum())

    def add(self, labels: NDArray[np.int32], entries: dict[str, NDArray]) -> None:
        """Append entry i to list labels[i], for all i in order; `entries` has the names of `arrays`."""
        count = np.bincount(labels, minlength=len(self.sizes))
        need = self.sizes + count
        self._make_room(np.flatnonzero(need > self._room), need)
        order = np.argsort(labels, kind="stable")
        listed = labels[order]
        rank = np.arange(len(labels)) - np.repeat(np.cumsum(count) - count, count)
        at = self.starts[listed] + self.sizes[listed] + rank
        for name, rows in self.arrays.items():
            rows.view[at] = entries[name][order]
        self.sizes = need
        if len(self.arrays["slots"]) > 2 * len(self) + 1024:
            self.compact()

    def _make_room(self, lists: NDArray[np.int64], need: NDArray[np.int64]) -> None:
        """Move lists to the end, where they have room for `need` entries and half as many again if they grew before."""
        room = np.where(self.sizes[lists] > 0, need[lists] + need[lists] // 2, need[lists])
        end = len(self.arrays["slots"])
        starts = end + np.cumsum(room) - room
        for rows in self.arrays.values():
            data = rows.view
            rows.append(np.zeros((int(room.sum()), *data.shape[1:]), dtype=data.dtype))
            for list_, start in zip(lists, starts, strict=True):
                size = self.sizes[list_]
                rows.view[start : start + size] = data[self.starts[list_] :][:size]
        self.starts = self.starts.copy()
        self.starts[lists], self._room[lists] = starts, room

    def positions(self) -> NDArray[np.int64]:
        """The position of every entry, list by list."""
        first = np.repeat(self.starts - (np.cumsum(self.sizes) - self.sizes), self.sizes)
        return first + np.arange(len(self))

    def among(self, allowed: NDArray[np.uint8]) -> tuple[NDArray[np.int64], dict[str, NDArray]]:
        """The lists of all entries whose slot is allowed, and copies of their rows of every array."""
        at = self.positions()
        kept = allowed[self.arrays["slots"].view[at]].view(np.bool_)
        labels = np.repeat(np.arange(len(self.sizes)), self.sizes)[kept]
        return labels, {name: rows.view[at[kept]] for name, rows in self.arrays.items()}

    def compact(self, kept: NDArray[np.bool_] | None = None) -> None:
        """Close the gaps, and leave out entries whose `kept`, in the order of `positions`, is False."""
        at = self.positions()
        if kept is not None:
            labels = np.repeat(np.arange(len(self.sizes)), self.sizes)[kept]
            at, self.sizes = at[kept], np.bincount(labels, minlength=len(self.sizes))
        for name, rows in self.arrays.items():
            self.arrays[name] = Rows(rows.view[at])
        self.starts = np.cumsum(self.sizes) - self.sizes
        self._room = self.sizes.copy()
