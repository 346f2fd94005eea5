"""What each id of a tokenizer stands for, the model's tokens and the added ones together."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from breadth.text.added_tokens import AddedTokens
from breadth.text.decode import token_bytes
from breadth.text.model import Model


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
    def _integers(self) -> NDArray[np.object_]:
        return np.array(range(max(self.token_of) + 1), dtype=object)

    def listed(self, ids: NDArray[np.int32]) -> list[int]:
        """Ids as Python's integers: taken from a table, which is twice as fast as making new ones, and shares them."""
        return self._integers[ids].tolist()

    def tokens_of(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> list[str]:
        """Tokens of ids; ValueError for an id that is no token's."""
        ids = list(ids)
        skipped = self.special if skip_special_tokens else ()
        try:
            return [self.token_of[i] for i in ids if i not in skipped]
        except KeyError:
            raise self._unknown(ids) from None

    def bytes_of(self, ids: Iterable[int], *, skip_special_tokens: bool = False) -> bytes:
        """Bytes of ids of a byte-level tokenizer; ValueError for an id that is no token's."""
        ids = list(ids)
        table = self._bytes_without_special if skip_special_tokens else self._bytes
        try:
            return b"".join(map(table.__getitem__, ids))
        except KeyError:
            raise self._unknown(ids) from None

    def _unknown(self, ids: list[int]) -> ValueError:
        place = next(place for place, i in enumerate(ids) if i not in self.token_of)
        return ValueError(
            f"ids has {ids[place]} at {place}, which is no token's; the {len(self.token_of)} tokens have ids up to "
            f"{max(self.token_of)}"
        )
