"""WordPiece: each word as the longest pieces that the vocabulary has, from left to right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from breadth.text.trie import build_trie
from breadth.text.trie_kernels import BASE_SHIFT, LABEL
from breadth.text.wordpiece_kernels import match_words

if TYPE_CHECKING:
    from breadth.text.tokenizer import Tokenizer


class WordPiece:
    """Greedy longest match: a word's next piece is the longest of the vocabulary that its rest begins with.

    Args:
        vocab: piece -> id. A piece inside a word is written with the prefix before it.
        unk_token: what a word is that the pieces cannot cover; without it in the vocabulary such a word is an error.
        continuing_subword_prefix: marks pieces that do not begin a word.
        max_input_chars_per_word: a longer word is unknown as a whole, in characters.

    Raises:
        ValueError: if the vocabulary is empty, has an empty piece, an id below 0 or one id twice, or
            max_input_chars_per_word < 1.

    Cost: O(bytes x longest piece) at worst, O(bytes) in practice; no cache, no state.
    References: Schuster & Nakajima 2012, ICASSP (the model); Wu et al. 2016, arXiv:1609.08144, section 4.1; Devlin et
        al. 2019 (greedy longest match, as `WordpieceTokenizer` of google-research/bert).
    Peer: tokenizers.models.WordPiece behind BERT's normalizer and splitting, 30 MB of text, exact ids (A).
    In production: use it for BERT's relatives; for a new model byte-level BPE, which knows every string, is better.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        *,
        unk_token: str = "[UNK]",
        continuing_subword_prefix: str = "##",
        max_input_chars_per_word: int = 100,
    ) -> None:
        if not vocab:
            raise ValueError("vocab is empty; it needs at least one piece")
        if max_input_chars_per_word < 1:
            raise ValueError(f"max_input_chars_per_word must be at least 1, got {max_input_chars_per_word}")
        self._ids = dict(sorted(vocab.items(), key=lambda item: item[1]))
        self._tokens: dict[int, str] = {}
        for token, i in self._ids.items():
            if not token:
                raise ValueError(f"vocab has an empty piece, id {i}")
            if isinstance(i, bool) or not isinstance(i, int | np.integer) or i >= (1 << 31) - 1:
                raise ValueError(f"ids must be integers in [0, 2^31 - 1), but piece {token!r} has {i!r}")
            if i < 0:
                raise ValueError(f"ids must be at least 0, but piece {token!r} has {i}")
            if i in self._tokens:
                raise ValueError(f"vocab gives id {i} to {self._tokens[i]!r} and to {token!r}")
            self._tokens[i] = token
        self.unk_token = unk_token
        self.continuing_subword_prefix = continuing_subword_prefix
        self.max_input_chars_per_word = max_input_chars_per_word
        self._unk = self._ids.get(unk_token, -1)
        self._unit, self._value = build_trie([token.encode("utf-8") for token in self._ids], list(self._ids.values()))
        self._continuing = self._state_of(continuing_subword_prefix.encode("utf-8"))

    def _state_of(self, prefix: bytes) -> int:
        """Trie state after a prefix, -1 if no piece begins with it."""
        state = 0
        for byte in prefix:
            state = (int(self._unit[state]) >> int(BASE_SHIFT)) ^ byte
            if int(self._unit[state]) & int(LABEL) != byte:
                return -1
        return state

    @property
    def n_tokens(self) -> int:
        """Number of pieces."""
        return len(self._ids)

    def token_to_id(self, token: str) -> int | None:
        """Id of a piece; None if the vocabulary lacks it."""
        return self._ids.get(token)

    def id_to_token(self, i: int) -> str:
        """Piece of an id; IndexError for an id that the vocabulary lacks."""
        if i not in self._tokens:
            raise IndexError(f"id {i} is not in the vocabulary of {len(self._ids)} pieces")
        return self._tokens[i]

    def get_vocab(self) -> dict[str, int]:
        """Piece -> id, in the order of ids; a copy."""
        return dict(self._ids)

    def encode_words(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], *, with_ends: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Ids of a text's words, in order.

        Args:
            data: UTF-8 of the normalised text, shape (bytes,).
            ends: byte end of each word, shape (words,).
            with_ends: also tell where each id's bytes end.

        Returns:
            Ids, shape (ids,), and the byte end of each id in `data`, shape (ids,), or None if not asked for.

        Raises:
            ValueError: if a word is unknown and unk_token is not in the vocabulary.
        """
        ids, id_ends, bad = match_words(
            data, ends, self._unit, self._value, self._continuing, self._unk, self.max_input_chars_per_word
        )
        if bad >= 0:
            word = bytes(data[ends[bad - 1] if bad else 0 : ends[bad]]).decode("utf-8", "replace")
            raise ValueError(f"{word[:80]!r} is unknown, and unk_token {self.unk_token!r} is not in the vocabulary")
        return ids, id_ends if with_ends else None

    def to_json(self) -> dict[str, Any]:
        """The `model` object of a `tokenizer.json`."""
        return {
            "type": "WordPiece",
            "unk_token": self.unk_token,
            "continuing_subword_prefix": self.continuing_subword_prefix,
            "max_input_chars_per_word": self.max_input_chars_per_word,
            "vocab": self.get_vocab(),
        }

    @classmethod
    def from_json(cls, obj: dict[str, Any]) -> Self:
        """A model from the `model` object of a `tokenizer.json`."""
        if obj.get("type", "WordPiece") != "WordPiece":
            raise ValueError(f"model type must be 'WordPiece', got {obj['type']!r}")
        if "vocab" not in obj:
            raise ValueError(f"a WordPiece model needs 'vocab', an object of piece: id; got the keys {sorted(obj)}")
        options = ("unk_token", "continuing_subword_prefix", "max_input_chars_per_word")
        return cls(obj["vocab"], **{name: obj[name] for name in options if name in obj})

    @classmethod
    def train(
        cls, texts: Iterable[str], *, vocab_size: int = 30_000, score: Literal["likelihood", "count"] = "likelihood",
        **options: Any,
    ) -> Tokenizer:  # fmt: skip
        """Train on texts and return a tokenizer; see `breadth.text.wordpiece_train.train_wordpiece`."""
        from breadth.text.wordpiece_train import train_wordpiece

        return train_wordpiece(texts, vocab_size=vocab_size, score=score, **options)
