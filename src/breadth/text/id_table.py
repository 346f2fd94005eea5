"""What each id of a tokenizer stands for, the model's tokens and the added ones together."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breadth.text.added_tokens import AddedTokens
from breadth.text.arguments import check_iterable
from breadth.text.decode import token_bytes
from breadth.text.model import Model

MANY = 48  # ids from which on a kernel's call costs less than looking them up one by one
FEW = 256  # ids up to which new integers take less time than a look at the table


class IdTable:
    """Ids to tokens and bytes.

    Args:
        model: ids and tokens.
        added: the added tokens; one that the model has too must have the same id there.

    Raises:
        ValueError: if an added token has another id in the model, or the id of another token of it.
    """

    def __init__(self, model: Model, added: AddedTokens) -> None:
        self.model, self.added = model, added
        for token in added.tokens:
            known = model.token_to_id(token.content)
            if known is not None and known != token.id:
                raise ValueError(
                    f"added token {token.content!r} has id {token.id}, but the model's vocabulary has it as {known}; "
                    "give it that id"
                )

    @functools.cached_property
    def token_of(self) -> dict[int, str]:
        """Token of each id."""
        tokens = {i: token for token, i in self.model.get_vocab().items()}
        return tokens | {i: token.content for i, token in self.added.by_id.items()}

    @functools.cached_property
    def special(self) -> frozenset[int]:
        """Ids of special tokens."""
        return frozenset(token.id for token in self.added.tokens if token.special)

    @functools.cached_property
    def _bytes(self) -> dict[int, bytes]:
        table = {i: token_bytes(token) for i, token in self.token_of.items()}
        return table | {i: token.content.encode() for i, token in self.added.by_id.items()}

    @functools.cached_property
    def _bytes_without_special(self) -> dict[int, bytes]:
        return self._bytes | dict.fromkeys(self.special, b"")

    @functools.cached_property
    def _spelling(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32]]:
        """What `join_bytes` reads: the bytes of all ids, where those of each begin and how many they are."""
        sizes = np.full(max(self._bytes) + 1, -1, dtype=np.int32)
        begins = np.zeros(len(sizes), dtype=np.int64)
        ids = np.fromiter(self._bytes, dtype=np.int64, count=len(self._bytes))
        sizes[ids] = np.fromiter(map(len, self._bytes.values()), dtype=np.int32, count=len(self._bytes))
        begins[ids] = np.cumsum(sizes[ids]) - sizes[ids]
        return np.frombuffer(b"".join([*self._bytes.values(), bytes(8)]), dtype=np.uint8), begins, sizes

    @functools.cached_property
    def _sizes_without_special(self) -> NDArray[np.int32]:
        sizes = self._spelling[2].copy()
        sizes[list(self.special)] = 0
        return sizes

    @functools.cached_property
    def _integers(self) -> NDArray[np.object_]:
        return np.array(range(max(self.token_of) + 1), dtype=object)

    def listed(self, ids: NDArray[np.int32]) -> list[int]:
        """Ids as Python's integers: many from a table, which is twice as fast as making new ones, and shares them."""
        return ids.tolist() if len(ids) < FEW else self._integers[ids].tolist()

    def tokens_of(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> list[str]:
        """Tokens of ids; ValueError for an id that is no token's."""
        ids = self.listed_ids(ids, skip_special_tokens=skip_special_tokens)
        try:
            return [self.token_of[i] for i in ids]
        except (KeyError, TypeError):
            raise self.unknown(ids) from None

    def listed_ids(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> list[int]:
        """Ids as a list of Python's integers, of an array or tensor too."""
        listed: Any = ids if type(ids) is list else ids.tolist() if hasattr(ids, "tolist") else ids
        if type(listed) is not list:
            check_iterable("ids", listed, "a list or array of integers")
            listed = list(listed)
        if skip_special_tokens and self.special:
            return [i for i in listed if i not in self.special]
        return listed

    def bytes_of(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> bytes:
        """Bytes of ids of a byte-level tokenizer; ValueError for an id that is no token's."""
        listed = ids if type(ids) is list else self.listed_ids(ids)
        if len(listed) >= MANY:
            from breadth.text.decode_kernels import join_bytes

            spelling, begins, sizes = self._spelling
            try:
                numbers = np.frombuffer(array("i", listed), dtype=np.int32)  # refuses what is not an integer
            except (TypeError, OverflowError):
                raise self.unknown(listed) from None
            out, place = join_bytes(
                numbers, spelling, begins, self._sizes_without_special if skip_special_tokens else sizes
            )
            if place >= 0:
                raise self.unknown(listed)
            return out[:-8].tobytes()
        table = self._bytes_without_special if skip_special_tokens else self._bytes
        try:
            return b"".join(map(table.__getitem__, listed))
        except (KeyError, TypeError):
            raise self.unknown(listed) from None

    def unknown(self, ids: Sequence[int]) -> ValueError:
        """The error that names the first id that is no token's; what is not an integer is none."""
        known = self.token_of
        place = next(place for place, i in enumerate(ids) if not hasattr(i, "__index__") or int(i) not in known)
        return ValueError(
            f"ids has {ids[place]!r} at {place}, which is no token's; "
            f"the {len(known)} tokens have ids up to {max(known)}"
        )
