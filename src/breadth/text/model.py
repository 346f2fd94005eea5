"""What a tokenizer asks of its model: words of bytes in, ids out."""

from __future__ import annotations

from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@runtime_checkable
class Model(Protocol):
    """Ids and tokens; knows nothing of normalising a text or of splitting it into words.

    One object serves many threads at once: `encode_words` holds no state that a caller could see.
    """

    @property
    def n_tokens(self) -> int:
        """Number of tokens; ids lie in [0, largest id], usually without a gap."""
        ...

    def token_to_id(self, token: str) -> int | None:
        """Id of a token; None if the vocabulary lacks it."""
        ...

    def id_to_token(self, i: int) -> str:
        """Token of an id; IndexError for an id that the vocabulary lacks."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, in the order of ids; a copy."""
        ...

    def encode_words(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], *, with_ends: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Ids of a text's words, in order.

        Args:
            data: UTF-8 of the normalised text, shape (bytes,).
            ends: byte end of each word, not falling; word i is `data[ends[i - 1] : ends[i]]`, shape (words,).
            with_ends: also tell where each id's bytes end.

        Returns:
            Ids, shape (ids,), and the byte end of each id in `data`, shape (ids,), or None if not asked for.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """The `model` object of a `tokenizer.json`."""
        ...

    @classmethod
    def from_json(cls, obj: dict[str, Any]) -> Self:
        """A model from the `model` object of a `tokenizer.json`."""
        ...
