"""Byte-pair encoding: the tokens of GPT-2 to GPT-4o, Llama, Qwen, DeepSeek and most others."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.text.bpe_encoder import Encoder, Options, UnknownSymbolError
from breadth.text.bpe_merges import Merge, checked_vocab, merge_arrays, merges_of_ranks, rank_arrays
from breadth.text.bpe_train import Progress, train_merges
from breadth.text.bpe_train_words import Cut, count_corpus, cut_by_pattern, cut_by_text, training_threads
from breadth.text.byte_alphabet import BYTE_TO_CHAR, bytes_to_printable
from breadth.text.patterns import Scanner, named_pattern, splitter

if TYPE_CHECKING:
    from breadth.text.decode import Decoder
    from breadth.text.pre_tokenize import PreTokenizer
    from breadth.text.tokenizer import Tokenizer


class BPE:
    """Byte-pair encoding: of a word's symbols, the neighbours whose merge ranks lowest join, until no merge is left.

    Args:
        vocab: token -> id; ids >= 0, each once.
        merges: pairs of tokens, the first merged first; parts and result must be tokens.
        byte_level: symbols are bytes, which tokens spell in GPT-2's printable alphabet; else symbols are characters.
        unk_token: token for a character that is none; None makes such a character an error.
        fuse_unk: neighbouring unknown characters of a word get one `unk_token`.
        byte_fallback: a character that is no token becomes its bytes' tokens `<0x00>` to `<0xFF>`, where those exist.
        ignore_merges: a word that is a token gets its id, whatever merges say (Llama 3).
        dropout: probability that a merge is passed over, in [0, 1]; for training on varied segmentations.
        seed: of dropout, >= 0; a text is cut the same way each time with the same seed, so change it between epochs.
        continuing_subword_prefix: put before every symbol but the first of a word (`##`).
        end_of_word_suffix: put behind the last symbol of a word (`</w>`).

    Attributes:
        merges: pairs of tokens by rank.
        seed: may be set.

    Raises:
        ValueError: if the vocabulary is empty or gives two tokens one id, if a merge's part or result is no token or a
            merge comes twice, or if an argument is out of its range.

    Cost: building takes about 1 us a merge. Encoding takes O(n log n) time for a word of n symbols that was not met
        before, O(n) for one that was; each thread that encodes at once keeps up to 24 MB of words.
    Deviations: where the peer drops a character that is neither token nor unknown token nor bytes, this is an error; a
        character that falls back to bytes ends a run of unknown ones (the peer moves the bytes before the run);
        `byte_fallback` with a prefix or suffix is refused. Random numbers of dropout are not the peer's.
    References: Sennrich et al. 2016, arXiv:1508.07909; Radford et al. 2019, section 2.2 (bytes); Provilkov et al. 2020,
        arXiv:1910.13267, algorithm 1 (dropout).
    Peer: tokenizers.models.BPE and tiktoken.Encoding, ids and ends, exact (A).
    In production: use `breadth.text.load_tokenizer` for a published model, and `BPE.train` for a new one.
    """

    def __init__(
        self,
        vocab: Mapping[str, int],
        merges: Sequence[Merge],
        *,
        byte_level: bool = False,
        unk_token: str | None = None,
        fuse_unk: bool = False,
        byte_fallback: bool = False,
        ignore_merges: bool = False,
        dropout: float | None = None,
        seed: int = 0,
        continuing_subword_prefix: str | None = None,
        end_of_word_suffix: str | None = None,
    ) -> None:
        self._set(vocab, byte_level, dropout, seed)
        self.unk_token = unk_token
        self.fuse_unk = fuse_unk
        self.byte_fallback = byte_fallback
        self.ignore_merges = ignore_merges
        self.continuing_subword_prefix = continuing_subword_prefix
        self.end_of_word_suffix = end_of_word_suffix
        prefix, suffix = continuing_subword_prefix or "", end_of_word_suffix or ""
        if (prefix or suffix) and (byte_fallback or byte_level):
            raise ValueError(_needs_characters("byte_level" if byte_level else "byte_fallback", prefix, suffix))
        self._merges: list[Merge] | None = [(left, right) for left, right in merges]
        keys, values = merge_arrays(self._vocab, self._merges, prefix)
        unk = -1 if unk_token is None else self._vocab.get(unk_token, -1)
        options = Options(byte_level, byte_fallback, fuse_unk, unk, prefix, suffix)
        with announced():
            self._encoder = Encoder(self._vocab, keys, values, options, whole_words=ignore_merges)

    def _set(self, vocab: Mapping[str, int], byte_level: bool, dropout: float | None, seed: int) -> None:
        self._vocab = checked_vocab(vocab)
        self._tokens = {i: token for token, i in self._vocab.items()}
        self.byte_level = byte_level
        if dropout is not None and not 0 <= dropout <= 1:
            raise ValueError(f"dropout must be in [0, 1], got {dropout}")
        self.dropout = dropout
        self.seed = seed

    @classmethod
    def from_ranks(cls, ranks: Mapping[bytes, int]) -> Self:
        """A byte-level model as tiktoken has it: neighbours join if together they are a token, the lowest id first.

        Args:
            ranks: bytes of each token -> its id, which is also its rank; every single byte must be a token.

        Returns:
            A model whose merges join any two tokens that make a third; a word that is a token gets its id.

        Raises:
            ValueError: if `ranks` is empty, lacks a byte, has an empty token or gives two tokens one id.

        Cost: about 0.1 us a byte of the tokens.
        Deviations: `merges` holds the one pair that each token is made from, as a `tokenizer.json` wants it; a token
            that merges of lower rank do not bring down to two parts has none.
        References: `_byte_pair_merge` of openai/tiktoken.
        Peer: tiktoken.Encoding given the same ranks, exact (A).
        """
        lacking = [byte for byte in range(256) if bytes([byte]) not in ranks]
        if lacking:
            raise ValueError(f"ranks must have every byte as a token, lacks {len(lacking)}: first {lacking[0]:#04x}")
        if b"" in ranks:
            raise ValueError(f"ranks must not have an empty token, got one of rank {ranks[b'']}")
        model = cls.__new__(cls)
        model._set({bytes_to_printable(token): i for token, i in ranks.items()}, True, None, 0)
        model.unk_token = model.continuing_subword_prefix = model.end_of_word_suffix = None
        model.fuse_unk = model.byte_fallback = False
        model._merges = None
        model.ignore_merges = True
        options = Options(byte_level=True, byte_fallback=False, fuse_unk=False, unk=-1, prefix="", suffix="")
        with announced():
            model._encoder = Encoder(model._vocab, *rank_arrays(ranks), options, whole_words=True)
        return model

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        *,
        vocab_size: int = 32_000,
        pattern: str | PreTokenizer | None = None,
        byte_level: bool = True,
        min_frequency: int = 0,
        special_tokens: Sequence[str] = (),
        initial_alphabet: Collection[str] = (),
        limit_alphabet: int | None = None,
        continuing_subword_prefix: str | None = None,
        end_of_word_suffix: str | None = None,
        max_token_length: int | None = None,
        unk_token: str | None = None,
        n_threads: int | None = None,
        progress: Progress | None = None,
    ) -> Tokenizer:
        """Learn a vocabulary and its merges from texts.

        Args:
            texts: read once, a few megabytes at a time; a file's lines, say. No token crosses from one to the next.
            vocab_size: tokens to stop at, special tokens and alphabet included, >= 1.
            pattern: cuts texts into words: a name of `breadth.text.patterns.PATTERNS`, a regular expression, or a
                pre-tokenizer; None takes "gpt2" for bytes, words and punctuation for characters.
            byte_level, min_frequency, special_tokens, initial_alphabet, limit_alphabet, continuing_subword_prefix,
                end_of_word_suffix, max_token_length, progress: see `train_merges`.
            unk_token: for characters that are no token; becomes the first special token if it is not among them.
            n_threads: threads that count words; None takes as many as there are processors. The result is the same.

        Returns:
            A tokenizer whose `model` is the trained one.

        Raises:
            TypeError: if `texts` is one text or holds something else.
            ValueError: if a text holds a lone surrogate, there is no text, or an argument is out of its range.

        Cost: O(bytes) for counting; O(n log n) for merging n symbols of different words.
        References: Sennrich et al. 2016, arXiv:1508.07909, algorithm 1.
        Peer: tokenizers.trainers.BpeTrainer, vocabulary and merges in order, exact (A).
        In production: byte-level with a recent model's pattern; 32k tokens for one language, 128k or more for many.
        """
        from breadth.text.added_tokens import AddedToken
        from breadth.text.tokenizer import Tokenizer

        if byte_level and (continuing_subword_prefix or end_of_word_suffix):  # before training, not after
            raise ValueError(_needs_characters("byte_level", continuing_subword_prefix, end_of_word_suffix))
        if unk_token is not None and not isinstance(unk_token, str):
            raise TypeError(f"unk_token must be a str or None, got {unk_token!r}")
        if unk_token is not None and unk_token not in special_tokens:
            special_tokens = (unk_token, *special_tokens)
        pre_tokenizer, cut = _words(pattern, byte_level)
        with announced():
            words = count_corpus(texts, cut, n_threads=training_threads(n_threads))
        if not words.counts.size:
            raise ValueError("texts has no word to learn from")
        vocab, merges = train_merges(
            words,
            vocab_size=vocab_size,
            byte_level=byte_level,
            min_frequency=min_frequency,
            special_tokens=special_tokens,
            initial_alphabet=initial_alphabet,
            limit_alphabet=limit_alphabet,
            continuing_subword_prefix=continuing_subword_prefix,
            end_of_word_suffix=end_of_word_suffix,
            max_token_length=max_token_length,
            progress=progress,
        )
        model = cls(
            vocab,
            merges,
            byte_level=byte_level,
            unk_token=unk_token,
            continuing_subword_prefix=continuing_subword_prefix,
            end_of_word_suffix=end_of_word_suffix,
        )
        return Tokenizer(
            model,
            pre_tokenizer=pre_tokenizer,
            decoder=_decoder(byte_level, continuing_subword_prefix, end_of_word_suffix),
            added_tokens=[AddedToken(token, vocab[token]) for token in special_tokens],
            special_tokens=None if unk_token is None else {"unk_token": unk_token},
        )

    @property
    def merges(self) -> list[Merge]:
        """Pairs of tokens by rank; of a model from ranks, the pair that each token is made from."""
        if self._merges is None:
            self._merges = merges_of_ranks(self._vocab)
        return self._merges

    @property
    def n_tokens(self) -> int:
        return len(self._vocab)

    def token_to_id(self, token: str) -> int | None:
        """Id of a token; None if the vocabulary lacks it."""
        return self._vocab.get(token)

    def id_to_token(self, i: int) -> str:
        """Token of an id; IndexError for an id that the vocabulary lacks."""
        try:
            return self._tokens[i]
        except KeyError:
            raise IndexError(f"no token has id {i}; ids go up to {max(self._tokens)}") from None

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, in the order of ids; a copy."""
        return dict(self._vocab)

    def encode_words(
        self, data: NDArray[np.uint8], ends: NDArray[np.int64], *, with_ends: bool = False
    ) -> tuple[NDArray[np.int32], NDArray[np.int64] | None]:
        """Ids of a text's words, in order.

        Args:
            data: UTF-8 of the normalised text, uint8, shape (bytes,).
            ends: byte end of each word, not falling, int64, shape (words,); word i is `data[ends[i - 1] : ends[i]]`.
            with_ends: also tell where each id's bytes end.

        Returns:
            Ids, int32 of shape (ids,), and the byte end of each id in `data`, int64 of shape (ids,), or None.

        Raises:
            ValueError: if `ends` goes beyond `data`, or if a word has a character that is neither a token nor its bytes
                are, and there is no unknown token.

        Cost: O(words) for words met before; releases the GIL.
        """
        if ends.size and not 0 <= ends[-1] <= data.size:
            raise ValueError(f"ends must lie in data's {data.size} bytes, got a last end of {ends[-1]}")
        dropout = self.dropout or 0.0
        seed = (self.seed << 32 | zlib.crc32(data.tobytes())) & 0xFFFFFFFFFFFFFFFF if dropout else 0
        try:
            return self._encoder.encode(data, ends, with_ends=with_ends, dropout=dropout, seed=seed)
        except UnknownSymbolError as error:
            raise ValueError(self._unknown(data, ends, error.place)) from None

    def encode_text(
        self, data: NDArray[np.uint8], scanner: Scanner | None, listed: Callable[[NDArray[np.int32]], list[int]]
    ) -> list[int] | None:
        """Ids of a text of 1 to `bpe_encoder.AT_ONCE` bytes; None where `encode_words` has to do it.

        Args:
            data: UTF-8 of the normalised text, uint8, shape (bytes,).
            scanner: of the pattern; None for a text that is one word.
            listed: makes a list of the ids; it must not keep the array.
        """
        if self.dropout:
            return None
        return self._encoder.encode_text(data, None if scanner is None else scanner.tables, listed)

    def _unknown(self, data: NDArray[np.uint8], ends: NDArray[np.int64], place: int) -> str:
        i = int(np.searchsorted(ends, place, side="right"))
        word = data[ends[i - 1] if i else 0 : ends[i]].tobytes()
        if self.byte_level:
            token = BYTE_TO_CHAR[data[place]]
            return f"byte {data[place]:#04x} of the word {word!r} is no token: the vocabulary lacks {token!r}"
        char = data[place : place + 4].tobytes().decode("utf-8", "ignore")[:1]
        why = "there is no unk_token" if self.unk_token is None else f"unk_token {self.unk_token!r} is no token either"
        return f"{char!r} of the word {word.decode()!r} is no token of the vocabulary, and {why}"

    def to_json(self) -> dict[str, Any]:
        """The `model` object of a `tokenizer.json`."""
        return {
            "type": "BPE",
            "dropout": self.dropout,
            "unk_token": self.unk_token,
            "continuing_subword_prefix": self.continuing_subword_prefix,
            "end_of_word_suffix": self.end_of_word_suffix,
            "fuse_unk": self.fuse_unk,
            "byte_fallback": self.byte_fallback,
            "ignore_merges": self.ignore_merges,
            "vocab": self.get_vocab(),
            "merges": [[left, right] for left, right in self.merges],
        }

    @classmethod
    def from_json(cls, obj: dict[str, Any], *, byte_level: bool = False) -> Self:
        """A model from the `model` object of a `tokenizer.json`.

        Args:
            obj: with `vocab` and `merges`; a merge is a pair or, in older files, two tokens with a space between.
            byte_level: tokens spell bytes; in the file the pre-tokenizer says so.

        Raises:
            ValueError: if the object is of another type, lacks `vocab` or `merges`, or a merge is not two tokens; and
                as the constructor does.
        """
        kind = obj.get("type", "BPE")
        if kind != "BPE":
            raise ValueError(f"model type must be 'BPE', got {kind!r}")
        for name in ("vocab", "merges"):
            if name not in obj:
                raise ValueError(f"a BPE model must have {name!r}, got only {', '.join(obj)}")
        merges = []
        for i, merge in enumerate(obj["merges"]):
            pair = tuple(merge.split(" ") if isinstance(merge, str) else merge)
            if len(pair) != 2:
                raise ValueError(f"merges[{i}] must be two tokens, got {merge!r}")
            merges.append(pair)
        return cls(
            obj["vocab"],
            merges,
            byte_level=byte_level,
            unk_token=obj.get("unk_token"),
            fuse_unk=bool(obj.get("fuse_unk")),
            byte_fallback=bool(obj.get("byte_fallback")),
            ignore_merges=bool(obj.get("ignore_merges")),
            dropout=obj.get("dropout"),
            continuing_subword_prefix=obj.get("continuing_subword_prefix"),
            end_of_word_suffix=obj.get("end_of_word_suffix"),
        )


def _needs_characters(what: str, prefix: str | None, suffix: str | None) -> str:
    return (
        f"continuing_subword_prefix and end_of_word_suffix go with characters, not with {what}, "
        f"got {prefix or ''!r} and {suffix or ''!r}"
    )


def _words(pattern: str | PreTokenizer | None, byte_level: bool) -> tuple[PreTokenizer, Cut]:
    """A pre-tokenizer and how the corpus is cut by it."""
    from breadth.text import pre_tokenize
    from breadth.text.matching import Regex
    from breadth.text.pre_tokenize_classes import Whitespace

    if pattern is None and not byte_level:
        pattern = Whitespace()
    elif pattern is None:
        pattern = "gpt2"
    if not isinstance(pattern, str):
        if not isinstance(pattern, pre_tokenize.PreTokenizer):
            raise TypeError(f"pattern must be a name, a regular expression or a pre-tokenizer, got {pattern!r}")
        return pattern, cut_by_text(pattern.split)
    pattern = named_pattern(pattern)
    split = pre_tokenize.Split(Regex(pattern), "isolated")
    if byte_level:
        is_default = pattern == named_pattern("gpt2")
        spell = pre_tokenize.ByteLevel(add_prefix_space=False, use_regex=is_default)
        return spell if is_default else pre_tokenize.Sequence((split, spell)), cut_by_pattern(splitter(pattern))
    return split, cut_by_pattern(splitter(pattern))


def _decoder(byte_level: bool, prefix: str | None, suffix: str | None) -> Decoder | None:
    from breadth.text import decode, decode_words

    if byte_level:
        return decode.ByteLevel()
    if suffix:
        return decode_words.BPEDecoder(suffix)
    return decode_words.WordPiece(prefix) if prefix else None
