"""From text to ids: cut at added tokens, normalise, cut into words, ask the model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from breadth.text.added_tokens import AddedToken
from breadth.text.align import Piece
from breadth.text.bpe import BPE
from breadth.text.bpe_encoder import AT_ONCE
from breadth.text.byte_alphabet import utf8_bytes
from breadth.text.encoding import Encoding
from breadth.text.id_table import IdTable
from breadth.text.matching import members
from breadth.text.normalise import ByteLevel as ByteNormalizer
from breadth.text.normalise import Normalizer
from breadth.text.patterns import Scanner
from breadth.text.pre_tokenize import Metaspace, PreTokenizer, Split, Words, scanner_of, spells_bytes, words_of

Special = Literal["all"] | Collection[str]


class Cutter:
    """Text to ids, and to ids with what each stands for.

    Args:
        table: model and added tokens.
        normalizer: what happens to the text between added tokens.
        pre_tokenizer: how it is cut into words; None makes each stretch one word.
    """

    def __init__(self, table: IdTable, normalizer: Normalizer | None, pre_tokenizer: PreTokenizer | None) -> None:
        self.table, self.model, self.added = table, table.model, table.added
        self.normalizer, self.pre_tokenizer = normalizer, pre_tokenizer
        # a byte-level model takes bytes: what comes in their printable alphabet is to be read back
        spelled = spells_bytes(pre_tokenizer) or any(isinstance(each, ByteNormalizer) for each in members(normalizer))
        self._reads_bytes = bool(getattr(self.model, "byte_level", False)) and spelled
        self._is_direct = self._reads_bytes == spells_bytes(pre_tokenizer)
        self._is_first_special = any(
            isinstance(each, Metaspace) and each.prepend_scheme == "first" for each in members(pre_tokenizer)
        )
        # whether a piece begins the text is known without following its characters only in the plainest case
        plain = normalizer is None and isinstance(pre_tokenizer, Metaspace)
        self._follows = self._is_first_special and not plain
        # what scans and encodes at once: a model, a scanner or none, and what must not be in a text of one word
        self._at_once: tuple[BPE, Scanner | None, str | None] | None = None
        if isinstance(self.model, BPE) and self._is_direct:
            scanner = scanner_of(pre_tokenizer) if self._reads_bytes else None
            if scanner is not None:
                self._at_once = self.model, scanner, None
            elif not self._reads_bytes and pre_tokenizer is None:
                self._at_once = self.model, None, None
            elif not self._reads_bytes and isinstance(pre_tokenizer, Split) and pre_tokenizer.keeps_without:
                self._at_once = self.model, None, pre_tokenizer.keeps_without

    def ignored(self, text: str, allowed: Special, disallowed: Special) -> Collection[AddedToken]:
        """Special tokens that count as ordinary text, after those that are not allowed have been looked for."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, got {type(text).__name__}; decode bytes first")
        for name, given in (("allowed_special", allowed), ("disallowed_special", disallowed)):
            if given != "all" and (isinstance(given, str) or not isinstance(given, Collection)):
                raise TypeError(f"{name} must be 'all' or a set of special tokens, got {given!r}")
        if allowed == "all" and not disallowed:
            return ()
        special = [token for token in self.added.tokens if token.special]
        ignored = [token for token in special if allowed != "all" and token.content not in allowed]
        for token in ignored if disallowed == "all" else special:
            if (disallowed == "all" or token.content in disallowed) and token.content in text:
                raise ValueError(
                    f"text holds the special token {token.content!r} at character {text.index(token.content)}; name "
                    "it in allowed_special to get its id, or leave it out of disallowed_special to encode it as text"
                )
        return ignored

    def ids(self, text: str, ignored: Collection[AddedToken]) -> list[int]:
        """Ids of a text; special tokens among `ignored` count as ordinary text."""
        data = utf8_bytes(text)  # a lone surrogate is reported at its place in the whole
        if not self._follows and not self.added.in_text.may_occur(text):
            if self.normalizer is None:
                plain = text
            else:
                plain = self.normalizer(text)
                data = utf8_bytes(plain)
            if not self.added.in_normalised.may_occur(plain):
                if self._at_once is not None and 0 < data.size <= AT_ONCE:
                    bpe, scanner, cuts = self._at_once
                    if cuts is None or cuts not in plain:
                        ids = bpe.encode_text(data, scanner, self.table.listed)
                        if ids is not None:
                            return ids
                return self.table.listed(self.model.encode_words(*self._words(plain, first=True))[0])
        ids = []
        for piece, token in self._stretches(text, ignored, follow=self._follows):
            if token is not None:
                ids.append(token.id)
                continue
            if piece.spans is None:
                words = self._words(piece.text, first=piece.start == 0)
            else:
                words = words_of(self._cut(piece), as_bytes=self._reads_bytes)
            ids += self.table.listed(self.model.encode_words(*words)[0])
        return ids

    def _words(self, text: str, *, first: bool) -> Words:
        """Bytes and word ends of normalised text without added tokens."""
        if self.pre_tokenizer is None or not self._is_direct:
            return words_of(self._cut(Piece(text)), as_bytes=self._reads_bytes)
        if self._is_first_special and isinstance(self.pre_tokenizer, Metaspace):
            return self.pre_tokenizer.split(text, first=first)
        return self.pre_tokenizer.split(text)

    def _cut(self, piece: Piece) -> list[Piece]:
        pieces = [piece] if self.pre_tokenizer is None else self.pre_tokenizer(piece)
        return [each for each in pieces if each.text]

    def _stretches(
        self, text: str, ignored: Collection[AddedToken], *, follow: bool
    ) -> Iterator[tuple[Piece, AddedToken | None]]:
        """Added tokens and the normalised text between them; `follow` says where each character comes from."""
        for begin, end, token in self.added.in_text.find(text, ignored):
            piece = Piece.original(text[begin:end], begin) if follow else Piece(text[begin:end], None, begin)
            if token is not None:
                yield piece, token
                continue
            if self.normalizer is not None:
                changed = self.normalizer.align(piece.text) if follow else (self.normalizer(piece.text), None)
                piece = piece.rewritten(*changed)
            for inner_begin, inner_end, inner in self.added.in_normalised.find(piece.text, ignored):
                yield piece.cut(inner_begin, inner_end), inner

    def follow(self, text: str, sequence: int, ignored: Collection[AddedToken]) -> Encoding:
        """Ids of the first or second text, and what each stands for."""
        utf8_bytes(text)
        encoding = Encoding()
        n_words = 0
        for piece, token in self._stretches(text, ignored, follow=True):
            if token is not None:
                encoding.ids.append(token.id)
                encoding.tokens.append(piece.text)
                encoding.offsets.append((int(piece.followed[0, 0]), int(piece.followed[-1, 1])))
                encoding.words.append(n_words)
                n_words += 1
                continue
            pieces = self._cut(piece)
            data, ends = words_of(pieces, as_bytes=self._reads_bytes)
            ids, ends_of_ids = self.model.encode_words(data, ends, with_ends=True)
            id_ends = cast(NDArray[np.int64], ends_of_ids)  # as they were asked for
            encoding.ids += ids.tolist()
            encoding.tokens += self.table.tokens_of(ids.tolist())
            encoding.offsets += self._offsets(pieces, data, id_ends)
            encoding.words += (np.searchsorted(ends, id_ends) + n_words).tolist()
            n_words += len(ends)
        n = len(encoding)
        encoding.type_ids = [sequence] * n
        encoding.sequences = list[int | None]([sequence] * n)
        encoding.special_tokens_mask, encoding.attention_mask = [0] * n, [1] * n
        return encoding

    def _offsets(
        self, pieces: Sequence[Piece], data: NDArray[np.uint8], id_ends: NDArray[np.int64]
    ) -> list[tuple[int, int]]:
        """Begin and end in the original text of each id, given the bytes that it stands for."""
        if not len(id_ends):
            return []
        spans = np.concatenate([piece.followed for piece in pieces])  # (characters, 2)
        if not self._reads_bytes:
            spans = spans[np.cumsum((data & 0xC0) != 0x80) - 1]  # (bytes, 2)
        begins = np.append(0, id_ends[:-1])
        last = np.maximum(id_ends - 1, begins)
        return list(zip(spans[begins, 0].tolist(), spans[last, 1].tolist(), strict=True))
