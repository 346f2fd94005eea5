"""Decoding many ids through a table of what each reads as in the midst of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, cast

from breadth.text.decode import Decoder
from breadth.text.id_table import IdTable


class DecodeTable:
    """Text of ids by a decoder, whose steps see only the tokens whose neighbours matter.

    At the beginning of a text, and around bytes that make characters together, tokens go through the decoder's steps;
    of all others the text is looked up, which takes a tenth of the time.

    Args:
        decoder: what undoes the pre-tokenizer; None joins tokens by spaces.
        table: the token of each id.

    Cost: about 50 ns an id, and a microsecond the first time that an id is met.
    Peer: tokenizers.Tokenizer.decode, exact (A); `decode_tokens`, which does without a table (B).
    """

    def __init__(self, decoder: Decoder | None, table: IdTable) -> None:
        self._decoder, self._table = decoder, table
        self._plain = _PlainTexts(decoder, table)

    def __reduce__(self) -> tuple[type[Self], tuple[Decoder | None, IdTable]]:
        return type(self), (self._decoder, self._table)  # steps are functions, which cannot be sent to other processes

    def text(self, ids: Sequence[int]) -> str:
        """Text of ids; ValueError for an id that is no token's."""
        if self._decoder is None:
            return " ".join(self._table.tokens_of(ids))
        try:
            plain: list[str | None] = list(map(self._plain.__getitem__, ids))
        except (KeyError, TypeError):
            raise self._table.unknown(ids) from None
        step = self._decoder.begin()
        parts: list[str | None] = []
        token_of = self._table.token_of
        at, n = 0, len(ids)
        while at < n:
            parts += step.push(token_of[ids[at]])
            at += 1
            if step.settled:
                try:
                    end = plain.index(None, at)
                except ValueError:
                    end = n
                parts += plain[at:end]
                at = end
        return "".join(cast(list[str], [*parts, *step.end()]))  # the slices end before each None


class _PlainTexts(dict[int, str | None]):
    """What each id reads as where nothing around it matters, None where something does; filled as ids are met."""

    def __init__(self, decoder: Decoder | None, table: IdTable) -> None:
        super().__init__()
        self._step = None if decoder is None else decoder.begin()
        self._table = table

    def __missing__(self, i: int) -> str | None:
        token = self._table.token_of[i]
        self[i] = text = token if self._step is None else self._step.plain(token)
        return text
