"""Which vector lies where: ids to slots, which slots are alive, and their metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.dtypes import StringDType
from numpy.typing import NDArray

from breadth.vector.filters import Value, parse
from breadth.vector.index import Filter, Ids, Metadata
from breadth.vector.metadata import Table, strings_from_arrays, strings_to_arrays
from breadth.vector.rows import Rows

_SHOWN = 5  # ids that an error lists


class Records:
    """The book-keeping of an index. Slots are numbered in the order of addition, and never reused.

    A removed vector's slot stays as a tombstone (`alive` 0) until `keep` renumbers the slots. An upsert buries the
    old slot and opens a new one. Every change is checked as a whole before anything is changed.

    Attributes:
        alive: Rows of uint8, one a slot: 1 if its vector can be found.
        n_alive: how many are.
        table: the metadata, one row a slot.
    """

    def __init__(self) -> None:
        self.alive = Rows(np.zeros(0, dtype=np.uint8))
        self.n_alive = 0
        self.table = Table()
        self._ids = Rows(np.zeros(0, dtype=np.int64))
        self._slots: dict[int | str, int] | None = {}  # None: not built yet from a loaded file

    @property
    def n_slots(self) -> int:
        """Slots, with the tombstones."""
        return len(self.alive)

    def __len__(self) -> int:
        return self.n_alive

    def __contains__(self, id: object) -> bool:
        return id in self._slot_of

    @property
    def _slot_of(self) -> dict[int | str, int]:
        if self._slots is None:
            slots = np.flatnonzero(self.alive.view)
            self._slots = dict(zip(self._ids.view[slots].tolist(), slots.tolist(), strict=True))
        return self._slots

    def add(self, ids: Ids, metadata: Metadata | None, n: int) -> int:
        """Open slots for n new ids; returns the first, and the others follow it.

        Raises:
            ValueError: if an id is there already or comes twice, or there are not n ids and entries of metadata.
        """
        listed = self._listed(ids, n)
        there = [id for id in listed if id in self._slot_of]
        if there:
            raise ValueError(f"ids: {_some(there)} in the index already; upsert replaces, and remove takes out")
        return self._open(listed, metadata, n)

    def upsert(self, ids: Ids, metadata: Metadata | None, n: int) -> tuple[int, NDArray[np.int64]]:
        """Open slots for n ids, and bury those that the ids had; returns the first new slot, and the buried ones."""
        listed = self._listed(ids, n)
        old = np.array([self._slot_of[id] for id in listed if id in self._slot_of], dtype=np.int64)
        first = self._open(listed, metadata, n)
        self._bury(old)
        return first, old

    def remove(self, ids: Ids) -> NDArray[np.int64]:
        """Bury the slots of ids, and return them.

        Raises:
            KeyError: if some ids are not there; it names them.
            ValueError: if an id comes twice.
        """
        listed = self._listed(ids, None)
        slots = self._found(listed)
        for id in listed:
            del self._slot_of[id]
        self._bury(slots)
        return slots

    def slots(self, ids: Ids) -> NDArray[np.int64]:
        """The slot of each id; raises KeyError as `remove` does."""
        return self._found(self._listed(ids, None))

    def ids_at(self, slots: NDArray) -> NDArray:
        """The ids in slots of any shape: int64 or StringDType."""
        return self._ids.view[slots]

    def metadata(self, ids: Ids) -> list[dict[str, Value]]:
        """The metadata of each id; raises KeyError as `remove` does."""
        return [self.table.row(slot) for slot in self.slots(ids).tolist()]

    def allowed(self, filter: Filter | None) -> NDArray[np.uint8]:
        """Which slots a search may return, shape (slots,): 1 where alive and allowed. Not to be written to."""
        if filter is None:
            return self.alive.view
        return self.alive.view & self.table.allowed(parse(filter)).view(np.uint8)

    def keep(self, slots: NDArray[np.int64]) -> None:
        """Renumber: slot slots[i] becomes i, and all others are forgotten. All living slots must be among them."""
        self._ids = Rows(self._ids.view[slots])
        self.alive = Rows(self.alive.view[slots])
        self.table.keep(slots)
        self._slots = None

    def to_arrays(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """Settings and arrays for a store."""
        fields, arrays = self.table.to_arrays()
        ids = self._ids.view
        text = isinstance(ids.dtype, StringDType)
        if text:
            arrays["ids.strings"], arrays["ids.ends"] = strings_to_arrays(ids.tolist())
        else:
            arrays["ids"] = ids
        arrays["alive"] = self.alive.view
        return {"string_ids": text, "fields": fields}, arrays

    @classmethod
    def from_arrays(cls, meta: dict[str, Any], arrays: dict[str, NDArray]) -> Records:
        """The inverse of `to_arrays`."""
        records = cls()
        if meta["string_ids"]:
            strings = strings_from_arrays(arrays["ids.strings"], arrays["ids.ends"])
            records._ids = Rows(np.array(strings, dtype=StringDType()))
        else:
            records._ids = Rows(arrays["ids"])
        records.alive = Rows(arrays["alive"])
        records.n_alive = int(np.count_nonzero(arrays["alive"]))
        records.table = Table.from_arrays(meta["fields"], arrays, len(arrays["alive"]))
        records._slots = None
        return records

    def _open(self, listed: list, metadata: Metadata | None, n: int) -> int:
        checked = self.table.check(metadata, n)
        first = self.n_slots
        dtype = StringDType() if n and isinstance(listed[0], str) else np.dtype(np.int64)
        if first == 0 and n:
            self._ids = Rows(np.zeros(0, dtype=dtype))
        self.table.append(checked, n)
        if n:
            self._ids.append(np.array(listed, dtype=dtype))
            self.alive.append(np.ones(n, dtype=np.uint8))
        self._slot_of.update(zip(listed, range(first, first + n), strict=True))
        self.n_alive += n
        return first

    def _bury(self, slots: NDArray[np.int64]) -> None:
        self.alive.view[slots] = 0
        self.n_alive -= len(slots)

    def _found(self, listed: list) -> NDArray[np.int64]:
        missing = [id for id in listed if id not in self._slot_of]
        if missing:
            raise KeyError(f"ids: {_some(missing)} not in the index")
        return np.array([self._slot_of[id] for id in listed], dtype=np.int64)

    def _listed(self, ids: Ids, n: int | None) -> list:
        """The ids as Python ints or strs, distinct, of the index's kind, and n of them."""
        listed = as_ids(ids)
        if n is not None and len(listed) != n:
            raise ValueError(f"ids must be as many as the vectors, {n}, got {len(listed)}")
        if listed and self.n_slots:
            kind = str if isinstance(self._ids.view.dtype, StringDType) else int
            if not isinstance(listed[0], kind):
                raise TypeError(f"ids of this index are of type {kind.__name__}, got {listed[0]!r}")
        return listed


def as_ids(ids: Ids) -> list:
    """Ids as Python ints or strs.

    Raises:
        TypeError: if they are no sequence, or not all integers or all strings.
        ValueError: if one comes twice, does not fit 64 bits, or is no valid Unicode.
    """
    if isinstance(ids, str | bytes) or not isinstance(ids, Sequence | np.ndarray):
        raise TypeError(f"ids must be a list or array of integers or strings, got {ids!r}")
    listed: list = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
    if any(isinstance(id, np.generic) for id in listed):
        listed = [id.item() if isinstance(id, np.generic) else id for id in listed]
    kinds = {type(id) for id in listed}
    if len(kinds) > 1 or not kinds <= {int, str}:
        wrong = next((id for id in listed if type(id) not in (int, str)), listed[0] if listed else None)
        raise TypeError(f"ids must be all integers or all strings, got {sorted(k.__name__ for k in kinds)} ({wrong!r})")
    if len(set(listed)) < len(listed):
        seen: set = set()
        twice = [id for id in listed if id in seen or seen.add(id)]
        raise ValueError(f"ids must be distinct, but {_some(twice)} given more than once")
    for id in listed:
        if isinstance(id, int):
            if not -(2**63) <= id < 2**63:
                raise ValueError(f"ids must fit 64 bits, got {id}")
        else:
            try:
                id.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"ids must be valid Unicode, got a lone surrogate in {id!r}") from error
    return listed


def _some(ids: list) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    verb = "is" if len(ids) == 1 else "are"
    return f"{', '.join(map(repr, ids[:_SHOWN]))}{more} {verb}"
