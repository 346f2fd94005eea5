"""What surrounds a SentencePiece model: its words, its byte-pair encoding, its decoding."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.text.align import Piece
from breadth.text.bpe import BPE
from breadth.text.charsmap import SentencePieceNormalizer
from breadth.text.decode import Step
from breadth.text.sentencepiece_parts_kernels import mark_symbols, word_ends
from breadth.text.trie import build_trie
from breadth.text.unigram import PieceType


@dataclass(frozen=True)
class SentencePieceWords:
    """A text normalised as SentencePiece does it, whole or cut before every ▁.

    Args:
        normalizer: rules and treatment of spaces.
        split_words: cut before every ▁, which changes nothing for a byte-pair model none of whose pieces holds one
            after its first character; a unigram model needs the whole text, as rounding decides between equal cuts.

    References: Kudo & Richardson 2018, section 3.
    Peer: sentencepiece.SentencePieceProcessor, ids and offsets, exact (A).
    """

    normalizer: SentencePieceNormalizer
    split_words: bool = False

    def __call__(self, piece: Piece) -> list[Piece]:
        if piece.spans is None:
            whole = piece.rewritten(self.normalizer(piece.text), None)
        else:
            whole = piece.rewritten(*self.normalizer.align(piece.text))
        if not self.split_words:
            return [whole]
        cuts = [0, *(i for i, char in enumerate(whole.text) if char == "▁" and i), len(whole.text)]
        return [whole.cut(begin, end) for begin, end in pairwise(cuts) if begin < end]

    def split(self, text: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The bytes of a text's words, one behind the other, and the end of each word."""
        data = self.normalizer.to_bytes(text)[0]
        if self.split_words:
            return data, word_ends(data)
        return data, np.array([len(data)] if len(data) else [], dtype=np.int64)


class SentencePieceBPE:
    """Byte-pair encoding as SentencePiece stores it: neighbours join to the piece with the highest score, left first.

    Args:
        vocab: piece and score, in the order of ids.
        types: type of each piece.
        byte_fallback: write an unknown character as the pieces of its UTF-8.

    Attributes:
        n_tokens: number of pieces.

    Raises:
        ValueError: if the vocabulary is empty, repeats a piece, or has no piece of type `unknown`.

    Cost: as `BPE`.
    Deviations: where a piece can be made from two pairs, their order is by the left part's length rather than by place.
    References: Sennrich et al. 2016, arXiv:1508.07909; Kudo & Richardson 2018.
    Peer: sentencepiece.SentencePieceProcessor with a bpe model, 8 MB of text, exact ids (A).
    In production: only to run such a model (Llama 2, Mistral, Gemma); train byte-level BPE instead.
    """

    def __init__(
        self, vocab: Sequence[tuple[str, float]], *, types: Sequence[PieceType], byte_fallback: bool = False
    ) -> None:
        ids: dict[str, int] = {}
        for i, (piece, _) in enumerate(vocab):
            if piece in ids:
                raise ValueError(f"vocab has the piece {piece!r} twice, as ids {ids[piece]} and {i}")
            ids[piece] = i
        if "unknown" not in types:
            raise ValueError("vocab has no piece of type 'unknown'")
        self.pieces = tuple(piece for piece, _ in vocab)
        self.scores = np.array([score for _, score in vocab], dtype=np.float64)
        self.types = tuple(types)
        self.byte_fallback = byte_fallback
        self.unk_id = self.types.index("unknown")
        normal = {piece for piece, kind in zip(self.pieces, types, strict=True) if kind == "normal"}
        by_score = sorted(normal, key=lambda piece: (-vocab[ids[piece]][1], ids[piece]))
        merges = [
            (piece[:cut], piece[cut:])
            for piece in by_score
            for cut in range(1, len(piece))
            if piece[:cut] in normal and piece[cut:] in normal
        ]
        self.bpe = BPE(ids, merges, unk_token=self.pieces[self.unk_id], fuse_unk=True, byte_fallback=byte_fallback)
        symbols = [i for i, kind in enumerate(types) if kind == "user_defined"]
        self._symbols = build_trie([self.pieces[i].encode("utf-8") for i in symbols], symbols) if symbols else None

    @property
    def n_tokens(self) -> int:
        """Number of pieces."""
        return len(self.pieces)

    def token_to_id(self, token: str) -> int | None:
        """Id of a piece; None if the vocabulary lacks it."""
        return self.bpe.token_to_id(token)

    def id_to_token(self, i: int) -> str:
        """Piece of an id; IndexError for an id that the vocabulary lacks."""
        return self.bpe.id_to_token(i)

    def get_vocab(self) -> dict[str, int]:
        """Piece -> id, in the order of ids; a copy."""
        return self.bpe.get_vocab()

    def encode_words(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], *, with_ends: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Ids of a text's words, in order; arguments and result as of `BPE.encode_words`."""
        if self._symbols is None:
            return self.bpe.encode_words(data, ends, with_ends=with_ends)
        ends, symbols = mark_symbols(data, ends, self._symbols.unit, self._symbols.value)
        if not (symbols >= 0).any():
            return self.bpe.encode_words(data, ends, with_ends=with_ends)
        ids: list[NDArray[np.int32]] = []
        id_ends: list[NDArray[np.int64]] = []
        bounds = np.flatnonzero(symbols >= 0)
        done = 0
        for at in [*bounds.tolist(), len(ends)]:
            if done < at:
                begin = int(ends[done - 1]) if done else 0
                part, part_ends = self.bpe.encode_words(
                    data[begin : ends[at - 1]], ends[done:at] - begin, with_ends=with_ends
                )
                ids.append(part)
                if part_ends is not None:
                    id_ends.append(part_ends + begin)
            if at < len(ends):
                ids.append(symbols[at : at + 1])
                id_ends.append(ends[at : at + 1])
            done = at + 1
        return np.concatenate(ids), np.concatenate(id_ends) if with_ends else None

    def to_json(self) -> dict[str, Any]:
        """The `model` object of a `tokenizer.json`; user-defined symbols are added tokens there."""
        return self.bpe.to_json()

    @classmethod
    def from_json(cls, obj: dict[str, Any]) -> Self:
        """Not possible: a `tokenizer.json` has neither scores nor types; `BPE.from_json` reads it."""
        raise ValueError(
            f"a tokenizer.json has no scores and types; read its {obj.get('type')!r} model with BPE.from_json"
        )


@dataclass(frozen=True)
class SentencePieceDecoder:
    """Pieces back to text, as SentencePiece does it.

    ▁ is a space, but for the one that normalisation put first; bytes become characters, U+FFFD where they are none;
    control pieces are nothing.

    Args:
        types: type of each piece that is not normal.
        unk_surface: what the unknown piece reads as.
        strip: how many of the leading ▁ go: none, the first, or all.

    Peer: sentencepiece.SentencePieceProcessor.decode, exact (A).
    """

    types: Mapping[str, PieceType]
    unk_surface: str = " ⁇ "
    strip: int | None = None  # None: all

    def begin(self, *, fused: bool = False) -> Step:
        """A fresh state."""
        return _Pieces(self)


class _Pieces:
    """The state of decoding within one text."""

    fused = False

    def __init__(self, decoder: SentencePieceDecoder) -> None:
        self._decoder = decoder
        self._strip = math.inf if decoder.strip is None else decoder.strip  # leading ▁ that may still go
        self._held = b""

    @property
    def settled(self) -> bool:
        return not self._held and not self._strip

    def plain(self, token: str) -> str | None:
        """What a piece reads as in the midst of a text; None for a byte."""
        match self._decoder.types.get(token):
            case "byte":
                return None
            case "control":
                return ""
            case "unknown":
                return self._decoder.unk_surface
        return token.replace("▁", " ")

    def _flushed(self) -> list[str]:
        """What held bytes read as: each byte that is part of no character is one U+FFFD."""
        held, self._held = self._held, b""
        parts = []
        while held:
            for size in range(min(4, len(held)), 0, -1):
                try:
                    parts.append(held[:size].decode("utf-8"))
                except UnicodeDecodeError:
                    continue
                break
            else:
                parts.append("�")
                size = 1
            held = held[size:]
        if parts:
            self._strip = 0
        return parts

    def push(self, token: str) -> list[str]:
        """Take a piece and give the text that is certain."""
        kind = self._decoder.types.get(token)
        if kind == "byte":
            self._held += bytes([int(token[3:5], 16)])
            return []
        parts = self._flushed()
        if kind == "control":
            return parts
        if kind == "unknown":
            self._strip = 0
            return [*parts, self._decoder.unk_surface]
        if self._strip and token.startswith("▁"):
            token = token[1:]
            self._strip -= 1
        if token:
            self._strip = 0
        return [*parts, token.replace("▁", " ")]

    def end(self) -> list[str]:
        """The rest."""
        return self._flushed()
