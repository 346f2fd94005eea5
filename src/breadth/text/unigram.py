"""Unigram: segmentation by a language model of independent pieces, the best path or any other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from breadth.text.byte_alphabet import utf8_bytes
from breadth.text.trie import build_trie
from breadth.text.unigram_kernels import best_paths
from breadth.text.unigram_lattice_kernels import n_best_paths, path_statistics, sample_paths

if TYPE_CHECKING:
    from breadth.text.charsmap import SentencePieceNormalizer
    from breadth.text.tokenizer import Tokenizer

PieceType = Literal["normal", "unknown", "control", "user_defined", "unused", "byte"]

UNK_PENALTY = 10.0  # below the lowest score: what an unknown character costs
_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)  # from where sentencepiece begins its search for the highest score


class Segmentation(NamedTuple):
    """One way to cut a text: ids, and its log probability or score in nats."""

    ids: list[int]
    score: float


class PathStatistics(NamedTuple):
    """Sums over all ways to cut a text, each weighed by exp(alpha x score)."""

    log_sum: float  # log of the sum of weights; at alpha 1 the text's log likelihood
    entropy: float  # of the normalised weights, in nats
    expected_counts: NDArray[np.float64]  # of each id, shape (n_tokens,)


class Unigram:
    """A unigram language model over pieces: the cut of a text into x_1 ... x_n that maximises sum_i log p(x_i).

    Args:
        vocab: piece and log probability, in the order of ids.
        unk_id: id of what no piece covers; None makes such a character an error.
        types: a type for each piece, as SentencePiece has them: only `normal` and `user_defined` pieces are found in
            text, and `user_defined` ones always win. None: every piece is found in text, as Hugging Face does it.
        byte_fallback: write an unknown character as the pieces `<0x00>` ... `<0xFF>` of its UTF-8, if they are there.
        precision: in which a path's score is summed. It decides between cuts that are equal but for rounding, so
            parity with sentencepiece takes float32 and parity with Hugging Face float64.

    Attributes:
        n_tokens: number of pieces.
        scores: log probability of each piece, float64, shape (n_tokens,).

    Raises:
        ValueError: if the vocabulary is empty or has an empty or repeated piece, a score is not finite, unk_id is no id
            of it, or types are not as many as pieces.

    Cost: encoding O(bytes x longest piece) time, 20 bytes of memory a byte of the longest word.
    Deviations: sentencepiece and Hugging Face disagree in small ways, and `types` and `precision` choose. With
        `types=None` (1) control, unknown and byte pieces are found in text as any other, so `<s>` written out is one
        id; (2) they count for the lowest score; (3) user-defined pieces have no bonus, being added tokens there; and
        with float64 (4) near-ties fall otherwise. Both join neighbouring unknown characters into one id; Hugging Face
        then looks the joined string up in the vocabulary, which matters only where scores are positive, and is not
        done here.
    References: Kudo 2018, arXiv:1804.10959, eqs. 1-3 (model, best path) and section 3.2 (samples).
    Peer: sentencepiece on 8 MB of text, user-defined symbols and byte fallback, exact ids (A); tokenizers, exact (A).
    In production: use it for checkpoints that ship it (T5, XLM-R, ALBERT); sampling regularises translation models.
    """

    def __init__(
        self,
        vocab: Iterable[tuple[str, float]],
        *,
        unk_id: int | None = 0,
        types: Sequence[PieceType] | None = None,
        byte_fallback: bool = False,
        precision: Literal["float32", "float64"] = "float32",
    ) -> None:
        pairs = [(piece, float(score)) for piece, score in vocab]
        if not pairs:
            raise ValueError("vocab is empty; it needs at least the unknown piece and one other")
        if precision not in ("float32", "float64"):
            raise ValueError(f"precision must be 'float32' or 'float64', got {precision!r}")
        if types is not None and len(types) != len(pairs):
            raise ValueError(f"types must have one type for each of {len(pairs)} pieces, got {len(types)}")
        if unk_id is not None and not 0 <= unk_id < len(pairs):
            raise ValueError(f"unk_id must be in [0, {len(pairs)}) or None, got {unk_id}")
        self._ids: dict[str, int] = {}
        for i, (piece, score) in enumerate(pairs):
            if not piece:
                raise ValueError(f"vocab has an empty piece, id {i}")
            if piece in self._ids:
                raise ValueError(f"vocab has the piece {piece!r} twice, as ids {self._ids[piece]} and {i}")
            if not math.isfinite(score):
                raise ValueError(f"the score of piece {piece!r} (id {i}) must be finite, got {score}")
            self._ids[piece] = i
        self.pieces: tuple[str, ...] = tuple(piece for piece, _ in pairs)
        self.scores = np.array([score for _, score in pairs], dtype=np.float64)
        self.unk_id = unk_id
        self.types: tuple[PieceType, ...] | None = None if types is None else tuple(types)
        self.byte_fallback = byte_fallback
        self.precision: Literal["float32", "float64"] = precision
        self._prepare()

    def _prepare(self) -> None:
        """Lay out what the kernels read: the trie, the score of each of its states, ids of bytes."""
        scores = self.scores.astype(np.float32).astype(np.float64) if self.precision == "float32" else self.scores
        types = self.types or ("normal",) * len(self.pieces)
        normal = np.array([kind == "normal" for kind in types])
        if not normal.any():
            raise ValueError("vocab has no piece of type 'normal', so an unknown character has no score")
        unknown = scores[normal].min() - UNK_PENALTY
        self._unknown = float(np.float32(unknown)) if self.precision == "float32" else float(unknown)
        found = [i for i, kind in enumerate(types) if kind in ("normal", "user_defined", "unused")]
        keys = [self.pieces[i].encode("utf-8") for i in found]
        self._longest = max(4, *(len(key) for key in keys))  # an unknown character has up to 4 bytes
        step = scores.copy()
        highest = np.float32(max(_SMALLEST_NORMAL, scores[normal].max()))
        for i, key in zip(found, keys, strict=True):
            if types[i] == "user_defined":
                step[i] = np.float32(np.float32(len(key)) * highest - 0.1)
            elif types[i] == "unused":
                step[i] = np.nan
        trie = build_trie(keys, found)
        self._unit, self._value = trie
        self._step = np.where(trie.value >= 0, step[trie.value], np.nan)
        self._byte_ids = np.full(256 if self.byte_fallback else 0, -1, dtype=np.int32)
        for byte in range(len(self._byte_ids)):
            self._byte_ids[byte] = self._ids.get(f"<0x{byte:02X}>", -1)
        self._unk = -1 if self.unk_id is None else self.unk_id

    @property
    def n_tokens(self) -> int:
        """Number of pieces."""
        return len(self.pieces)

    def token_to_id(self, token: str) -> int | None:
        """Id of a piece; None if the vocabulary lacks it."""
        return self._ids.get(token)

    def id_to_token(self, i: int) -> str:
        """Piece of an id; IndexError for an id that the vocabulary lacks."""
        if not 0 <= i < len(self.pieces):
            raise IndexError(f"id must be in [0, {len(self.pieces)}), got {i}")
        return self.pieces[i]

    def get_vocab(self) -> dict[str, int]:
        """Piece -> id, in the order of ids; a copy."""
        return dict(self._ids)

    def encode_words(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], *, with_ends: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Ids of the best cut of each word, in order.

        Args:
            data: UTF-8 of the normalised text, shape (bytes,).
            ends: byte end of each word, shape (words,). Whole sentences are words where nothing was split.
            with_ends: also tell where each id's bytes end.

        Returns:
            Ids, shape (ids,), and the byte end of each id in `data`, shape (ids,), or None if not asked for.

        Raises:
            ValueError: if a character is no piece, unk_id is None and no byte pieces stand in for it.
        """
        ids, id_ends, bad = best_paths(
            data, ends, self._unit, self._step, self._value, self._unknown, self.precision == "float32", self._unk,
            self._byte_ids,
        )  # fmt: skip
        if bad >= 0:
            word = bytes(data[bad : ends[np.searchsorted(ends, bad, side="right")]]).decode("utf-8", "replace")
            raise ValueError(f"{word[:80]!r} has a character that is no piece, and the model has no unk_id")
        return ids, id_ends if with_ends else None

    def _sentence(self, text: str) -> NDArray[np.uint8]:
        data = utf8_bytes(text)
        if self._unk < 0 and not self.byte_fallback:
            self.encode_words(data, np.array([len(data)], dtype=np.int64))  # the error that names the character
        return data

    def n_best(self, text: str, n: int) -> list[Segmentation]:
        """The n best cuts of a normalised text.

        Args:
            text: what `encode_words` takes, as a string: normalised, spaces escaped.
            n: how many, >= 1.

        Returns:
            At most n cuts, best first; fewer if the text has fewer. Equal scores come in the order in which the search
            finds them.

        Raises:
            ValueError: if n < 1.

        Cost: A* with the exact score of the rest: O(n x pieces x edges) hypotheses.
        References: Nagata 1994, ACL, C94-1032 (A* over a lattice); Kudo 2018, section 3.2.
        Peer: sentencepiece.NBestEncodeAsIds, same scores, and same cuts but for ties (A).
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        data = self._sentence(text)
        if len(data) == 0:
            return [Segmentation([], 0.0)]
        ids, ends, scores = n_best_paths(
            data, self._unit, self._step, self._value, self._unknown, self._unk, self._byte_ids, self._longest, n
        )
        cuts = np.split(ids, ends[:-1])
        return [Segmentation(cut.tolist(), float(score)) for cut, score in zip(cuts, scores, strict=True)]

    def sample(
        self, text: str, *, alpha: float = 1.0, n_samples: int = 1, seed: int | np.random.Generator = 0
    ) -> list[Segmentation]:
        """Cuts of a normalised text drawn with probability p(cut)^alpha / sum over cuts of p(cut)^alpha.

        Args:
            text: what `encode_words` takes, as a string.
            alpha: 0 draws every cut alike, 1 by the model, infinity would be the best path; >= 0.
            n_samples: how many independent draws.
            seed: of the draws, or a generator.

        Returns:
            Ids and log probability of each draw.

        Raises:
            ValueError: if alpha < 0 or not finite, or n_samples < 1.

        Cost: one pass of sums, then O(pieces x edges) a draw; n_samples x bytes random numbers.
        Deviations: draws from all cuts, which is sentencepiece with nbest_size=-1; no list of the l best first.
        References: Kudo 2018, section 3.2; Scott 2002, JASA 97, 337-351 (forward filtering, backward sampling).
        Peer: probabilities of all cuts by enumeration, and 1e5 draws against them (B).
        """
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"alpha must be finite and at least 0, got {alpha}")
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}")
        data = self._sentence(text)
        if len(data) == 0:
            return [Segmentation([], 0.0)] * n_samples
        uniform = np.random.default_rng(seed).random((n_samples, len(text)))
        ids, ends, log_probability = sample_paths(
            data, self._unit, self._step, self._value, self._unknown, self._unk, self._byte_ids, float(alpha), uniform,
            self._longest,
        )  # fmt: skip
        cuts = np.split(ids, ends[:-1])
        return [Segmentation(cut.tolist(), float(p)) for cut, p in zip(cuts, log_probability, strict=True)]

    def statistics(self, text: str, *, alpha: float = 1.0) -> PathStatistics:
        """Log sum, entropy and expected counts over all cuts of a normalised text, each weighed by exp(alpha x score).

        Args:
            text: what `encode_words` takes, as a string.
            alpha: exponent of a cut's probability, >= 0; 1 is the model's own.

        Returns:
            The log of the sum of weights (at alpha 1 the log likelihood), the entropy, and the expected count of each
            id. An unknown character counts for unk_id, not for its bytes.

        Raises:
            ValueError: if alpha < 0 or not finite.

        Cost: two passes over the lattice.
        References: Kudo 2018, eq. 4 (marginal likelihood and the E-step).
        Peer: enumeration of all cuts, 1e-12 (B).
        """
        if not (math.isfinite(alpha) and alpha >= 0):
            raise ValueError(f"alpha must be finite and at least 0, got {alpha}")
        data = self._sentence(text)
        if len(data) == 0:
            return PathStatistics(0.0, 0.0, np.zeros(self.n_tokens))
        log_sum, entropy, expected = path_statistics(
            data, self._unit, self._step, self._value, self._unknown, self._unk, float(alpha), self._longest,
            self.n_tokens,
        )  # fmt: skip
        return PathStatistics(log_sum, entropy, expected)

    def to_json(self) -> dict[str, Any]:
        """The `model` object of a `tokenizer.json`; types and precision have no place in it."""
        return {
            "type": "Unigram",
            "unk_id": self.unk_id,
            "vocab": [[piece, score] for piece, score in zip(self.pieces, self.scores.tolist(), strict=True)],
            "byte_fallback": self.byte_fallback,
        }

    @classmethod
    def from_json(cls, obj: dict[str, Any]) -> Self:
        """A model that segments as Hugging Face's does, from the `model` object of a `tokenizer.json`."""
        if obj.get("type", "Unigram") != "Unigram":
            raise ValueError(f"model type must be 'Unigram', got {obj['type']!r}")
        if "vocab" not in obj:
            raise ValueError(f"a Unigram model needs 'vocab', a list of [piece, score]; got the keys {sorted(obj)}")
        for i, entry in enumerate(obj["vocab"]):
            if not isinstance(entry, list | tuple) or list(map(type, entry)) not in ([str, float], [str, int]):
                raise ValueError(f"vocab[{i}] must be a list of piece and score, got {entry!r}")
        return cls(
            [(piece, score) for piece, score in obj["vocab"]],
            unk_id=obj.get("unk_id"),
            byte_fallback=obj.get("byte_fallback", False),
            precision="float64",
        )

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int = 8000,
        normalizer: SentencePieceNormalizer | None = None,
        **options: Any,
    ) -> Tokenizer:
        """Train by EM with pruning and return a tokenizer; see `breadth.text.unigram_train.train_unigram`."""
        from breadth.text.unigram_train import train_unigram

        return train_unigram(texts, vocab_size=vocab_size, normalizer=normalizer, **options)
