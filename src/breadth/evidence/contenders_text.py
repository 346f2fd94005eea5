"""Tokenizers as contenders: learned from training documents, and counted on held-out ones.

All learn as many tokens from the same documents; each kind's ours stands beside a package that is its own lineage. A
prediction is the number of tokens of each document and how many of them are unknown, shape (documents, 2).
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Problem

VOCABULARY = 4000
GPT2 = (
    r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""  # openai/gpt-2, as tiktoken has it
)


def _counted(encodings: Sequence[Sequence[int]], unknown: int | None) -> NDArray[np.int64]:
    counts = [(len(ids), 0 if unknown is None else list(ids).count(unknown)) for ids in encodings]
    return np.array(counts, np.int64).reshape(-1, 2)


class Ours:
    """A tokenizer of breadth.text; kind is "bpe", "wordpiece" or "unigram"."""

    def __init__(self, kind: str, vocab_size: int, n_threads: int):
        self.kind, self.vocab_size, self.n_threads = kind, vocab_size, n_threads

    def fit(self, X: NDArray, y: object = None) -> Self:
        from breadth.text.bpe import BPE
        from breadth.text.unigram import Unigram
        from breadth.text.wordpiece import WordPiece

        texts = X.tolist()
        if self.kind == "bpe":
            self.tokenizer = BPE.train(texts, vocab_size=self.vocab_size, pattern="gpt2", n_threads=self.n_threads)
        elif self.kind == "wordpiece":
            self.tokenizer = WordPiece.train(texts, vocab_size=self.vocab_size, score="count")
        else:
            self.tokenizer = Unigram.train(texts, vocab_size=self.vocab_size)
        names = ("[UNK]", "<unk>")
        self.unknown = next((i for name in names if (i := self.tokenizer.token_to_id(name)) is not None), None)
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        encodings = self.tokenizer.encode_batch(X.tolist(), add_special_tokens=False, n_threads=self.n_threads)
        return _counted(encodings, self.unknown)

    def round_trip(self, text: str) -> str:
        return self.tokenizer.decode(self.tokenizer.encode(text, add_special_tokens=False))


class HuggingFace:
    """A tokenizer of the tokenizers package; kind is "bpe" or "wordpiece"."""

    def __init__(self, kind: str, vocab_size: int, n_threads: int):
        os.environ["RAYON_NUM_THREADS"] = str(n_threads)  # its thread pool reads this when it starts
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if n_threads > 1 else "false"
        self.kind, self.vocab_size = kind, vocab_size

    def fit(self, X: NDArray, y: object = None) -> Self:
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

        if self.kind == "bpe":
            self.tokenizer = Tokenizer(models.BPE())
            self.tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            self.tokenizer.decoder = decoders.ByteLevel()
            alphabet = pre_tokenizers.ByteLevel.alphabet()
            trainer: Any = trainers.BpeTrainer(
                vocab_size=self.vocab_size, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
            )
        else:
            self.tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
            self.tokenizer.decoder = decoders.WordPiece()
            self.tokenizer.normalizer = normalizers.BertNormalizer()
            self.tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
            trainer = trainers.WordPieceTrainer(
                vocab_size=self.vocab_size, special_tokens=["[UNK]"], show_progress=False
            )
        self.tokenizer.train_from_iterator(X.tolist(), trainer)
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        encodings = self.tokenizer.encode_batch_fast(X.tolist(), add_special_tokens=False)
        return _counted([e.ids for e in encodings], self.tokenizer.token_to_id("[UNK]"))

    def round_trip(self, text: str) -> str:
        return self.tokenizer.decode(self.tokenizer.encode(text, add_special_tokens=False).ids)


class Tiktoken:
    """tiktoken's encoder given the ranks that breadth's BPE learns: it has no training of its own."""

    def __init__(self, vocab_size: int, n_threads: int):
        self.vocab_size, self.n_threads = vocab_size, n_threads

    def fit(self, X: NDArray, y: object = None) -> Self:
        import tiktoken

        from breadth.text.bpe import BPE
        from breadth.text.byte_alphabet import printable_to_bytes

        trained = BPE.train(X.tolist(), vocab_size=self.vocab_size, pattern="gpt2", n_threads=self.n_threads)
        self.ranks = {printable_to_bytes(token): i for token, i in trained.get_vocab().items()}
        self.encoding = tiktoken.Encoding("ranks", pat_str=GPT2, mergeable_ranks=self.ranks, special_tokens={})
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return _counted(self.encoding.encode_ordinary_batch(X.tolist(), num_threads=self.n_threads), None)

    def round_trip(self, text: str) -> str:
        return self.encoding.decode(self.encoding.encode_ordinary(text))

    def __getstate__(self) -> dict[bytes, int]:
        return self.ranks


class SentencePiece:
    """sentencepiece; kind is "unigram" or "bpe"."""

    def __init__(self, kind: str, vocab_size: int, n_threads: int):
        self.kind, self.vocab_size, self.n_threads = kind, vocab_size, n_threads

    def fit(self, X: NDArray, y: object = None) -> Self:
        import sentencepiece

        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            # a sentence is a line of at most 4192 bytes to it, as it ships
            sentence_iterator=iter([line for text in X for line in text.splitlines() if line.strip()]),
            model_writer=model,
            model_type=self.kind,
            vocab_size=self.vocab_size,
            num_threads=self.n_threads,
            hard_vocab_limit=False,
            minloglevel=2,
        )
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        encodings = self.processor.encode(X.tolist(), num_threads=self.n_threads)
        return _counted(encodings, self.processor.unk_id())

    def round_trip(self, text: str) -> str:
        return self.processor.decode(self.processor.encode(text))


class Bytes:
    """Every byte a token: the reference that any tokenizer must beat."""

    def fit(self, X: NDArray, y: object = None) -> Self:
        return self

    def predict(self, X: NDArray) -> NDArray[np.int64]:
        return np.array([(len(text.encode("utf-8", "surrogatepass")), 0) for text in X], np.int64)

    def round_trip(self, text: str) -> str:
        return text


def _ours_bpe(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Ours("bpe", settings["vocab_size"], n_threads)


def _ours_wordpiece(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Ours("wordpiece", settings["vocab_size"], n_threads)


def _ours_unigram(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Ours("unigram", settings["vocab_size"], n_threads)


def _hf_bpe(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return HuggingFace("bpe", settings["vocab_size"], n_threads)


def _hf_wordpiece(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return HuggingFace("wordpiece", settings["vocab_size"], n_threads)


def _tiktoken(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Tiktoken(settings["vocab_size"], n_threads)


def _sp_unigram(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return SentencePiece("unigram", settings["vocab_size"], n_threads)


def _sp_bpe(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return SentencePiece("bpe", settings["vocab_size"], n_threads)


def _bytes(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Any:
    return Bytes()


_EQUAL = {"vocab_size": VOCABULARY}

BPE = Entry("breadth BPE", "breadth", _ours_bpe, _EQUAL, cost=500)
WORDPIECE = Entry("breadth WordPiece", "breadth", _ours_wordpiece, _EQUAL, cost=1000)
UNIGRAM = Entry("breadth Unigram", "breadth", _ours_unigram, _EQUAL, cost=5000)
HF_BPE = Entry("Hugging Face BPE", "tokenizers", _hf_bpe, _EQUAL, cost=2000)
HF_WORDPIECE = Entry("Hugging Face WordPiece", "tokenizers", _hf_wordpiece, _EQUAL, cost=2000)
TIKTOKEN = Entry("tiktoken on breadth's ranks", "tiktoken", _tiktoken, _EQUAL, cost=500)
SP_UNIGRAM = Entry("sentencepiece Unigram", "sentencepiece", _sp_unigram, _EQUAL, cost=5000)
SP_BPE = Entry("sentencepiece BPE", "sentencepiece", _sp_bpe, _EQUAL, cost=5000)
BYTES = Entry("bytes", "python", _bytes, cost=10)
