"""Training a unigram model: frequent substrings, then expectation-maximisation and pruning in turns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma

from breadth.text.arguments import check_integer
from breadth.text.bpe_train_words import count_corpus, training_threads
from breadth.text.charsmap import SentencePieceNormalizer
from breadth.text.sentencepiece_parts import SentencePieceDecoder, SentencePieceWords
from breadth.text.sentencepiece_parts_kernels import word_ends
from breadth.text.trie import build_trie
from breadth.text.unigram import UNK_PENALTY, PieceType, Unigram
from breadth.text.unigram_pieces import _NEVER, BOUNDARY, SPACE, PieceRules, seed_pieces
from breadth.text.unigram_train_kernels import best_counts, build_lattices, drop_pieces, expected_counts, removal_losses

if TYPE_CHECKING:
    from breadth.text.tokenizer import Tokenizer

_CHUNKS = 8  # sums are added in this order, whatever the number of threads
_LEAST_EXPECTED = 0.5  # a piece that is expected less often is dropped
_SPARE = 1.1  # pieces kept until the end, as a multiple of vocab_size
_PENALTY_STEP = 1e-4  # between the scores of required characters that training dropped


def train_unigram(
    texts: Iterable[str],
    *,
    vocab_size: int = 8000,
    normalizer: SentencePieceNormalizer | None = None,
    character_coverage: float = 0.9995,
    rules: PieceRules | None = None,
    seed_size: int = 1_000_000,
    shrinking_factor: float = 0.75,
    n_sub_iterations: int = 2,
    byte_fallback: bool = False,
    control_symbols: Sequence[str] = ("<s>", "</s>"),
    user_defined_symbols: Sequence[str] = (),
    n_threads: int | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Tokenizer:
    """Maximise the likelihood of a corpus under a unigram model of at most vocab_size pieces.

    E-step: expected counts c_k of pieces over all cuts of each word. M-step: log p_k = psi(c_k) - psi(sum c), which
    drives rare pieces down. After n_sub_iterations of both, the pieces whose removal costs least likelihood go, until
    1.1 vocab_size are left; of these the most probable stay, and every required character.

    Args:
        texts: sentences, one each; pieces cross no boundary between texts.
        vocab_size: pieces of the result, with unknown, control, user-defined and byte pieces.
        normalizer: applied first; None keeps characters, and treats spaces as SentencePiece does.
        character_coverage: share of the text that the required characters cover, in [0.98, 1].
        rules: what a piece may be; None is `PieceRules()`.
        seed_size: substrings to begin with, at least 1000.
        shrinking_factor: of the pieces that stay in one pruning, in [0.5, 0.95].
        n_sub_iterations: E- and M-steps between two prunings, in [1, 10].
        byte_fallback: add a piece for each byte.
        control_symbols: pieces after `<unk>` that are never found in text.
        user_defined_symbols: pieces that always are.
        n_threads: of the E-step; None takes all cores. The result does not depend on it.
        progress: called with the number of pieces and the log likelihood per word after each M-step.

    Returns:
        A tokenizer whose `.model` is the `Unigram`.

    Raises:
        ValueError: if an option is out of range, the texts are empty, or vocab_size is too small for the required
            characters or larger than what the corpus gives.

    Cost: a suffix array of the different words; then about 20 E-steps, each linear in their lattices' edges.
    Deviations: sums in float64 where sentencepiece uses float32; characters outside the coverage count for no piece
        (for the first one there); a text may be of any length (sentencepiece skips those above 4192 bytes), and one
        with U+2585 is not skipped.
    References: Kudo 2018, arXiv:1804.10959, section 3.2; Liang & Klein 2007, ACL tutorial (the digamma step).
    Peer: sentencepiece on the same corpus and options, 8k pieces: vocabulary overlap >= 98 %, log likelihood within
        0.1 % (A).
    In production: vocab_size 8k to 64k; byte_fallback=True for a model that must take any text.
    """
    check_integer("vocab_size", vocab_size, 1)
    normalizer = normalizer or SentencePieceNormalizer()
    if not isinstance(normalizer, SentencePieceNormalizer):
        raise TypeError(f"normalizer must be a SentencePieceNormalizer or None, got {normalizer!r}")
    rules = rules or PieceRules()
    if not 0.98 <= character_coverage <= 1:
        raise ValueError(f"character_coverage must be in [0.98, 1], got {character_coverage}")
    if seed_size < 1000:
        raise ValueError(f"seed_size must be at least 1000, got {seed_size}")
    if not 0.5 <= shrinking_factor <= 0.95:
        raise ValueError(f"shrinking_factor must be in [0.5, 0.95], got {shrinking_factor}")
    if not 1 <= n_sub_iterations <= 10:
        raise ValueError(f"n_sub_iterations must be in [1, 10], got {n_sub_iterations}")
    n_threads = training_threads(n_threads)
    special = ["<unk>", *control_symbols, *user_defined_symbols]
    special += [f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []
    repeated = [symbol for symbol, n in Counter(special).items() if n > 1]
    if repeated:
        raise ValueError(f"symbols must differ from each other and from <unk>, but {repeated[0]!r} comes twice")

    words, ended, counts = _words(texts, normalizer, special, rules, n_threads)
    characters = _character_counts(words, counts)
    required = _required(characters, character_coverage)
    n_normal = vocab_size - len(special)
    if n_normal < len(required):
        raise ValueError(
            f"vocab_size must be at least {len(required) + len(special)} for {len(required)} required characters and "
            f"{len(special)} symbols, got {vocab_size}; raise it or lower character_coverage"
        )
    pieces, score = _seeds(words, ended, counts, required, rules, seed_size)
    pieces, score = _maximise(
        pieces, score, words, counts, int(vocab_size * _SPARE), shrinking_factor, n_sub_iterations, n_threads, progress
    )
    final = _finish(pieces, score, required, n_normal)
    if len(final) < n_normal:
        raise ValueError(
            f"vocab_size must be at most {len(final) + len(special)} for this corpus and these rules, got {vocab_size}"
        )
    kinds: list[PieceType] = ["unknown"]
    kinds.extend("control" for _ in control_symbols)
    kinds.extend("user_defined" for _ in user_defined_symbols)
    kinds.extend("byte" for _ in special[len(kinds) :])
    kinds.extend("normal" for _ in final)
    vocab = [(symbol, 0.0) for symbol in special] + [(piece, float(np.float32(value))) for piece, value in final]
    return _tokenizer(vocab, kinds, byte_fallback, normalizer, user_defined_symbols)


def _tokenizer(vocab, kinds, byte_fallback, normalizer, user_defined_symbols) -> Tokenizer:
    from dataclasses import replace

    from breadth.text.tokenizer import Tokenizer

    types = {piece: kind for (piece, _), kind in zip(vocab, kinds, strict=True) if kind != "normal"}
    names = {"<unk>": "unk_token", "<s>": "bos_token", "</s>": "eos_token", "<pad>": "pad_token"}
    return Tokenizer(
        Unigram(vocab, types=kinds, byte_fallback=byte_fallback),
        pre_tokenizer=SentencePieceWords(replace(normalizer, user_defined_symbols=tuple(user_defined_symbols))),
        decoder=SentencePieceDecoder(
            types, strip=None if normalizer.remove_extra_whitespaces else int(normalizer.add_dummy_prefix)
        ),
        special_tokens={name: piece for piece, name in names.items() if piece in types},
    )


def _words(
    texts: Iterable[str], normalizer: SentencePieceNormalizer, special: Sequence[str], rules: PieceRules, n_threads: int
) -> tuple[list[str], NDArray[np.bool_], NDArray[np.int64]]:
    """Different words, whether each ends its text, and their counts; the most frequent first."""
    symbols = re.compile(b"|".join(re.escape(s.encode()) for s in sorted(special, key=len, reverse=True)))

    def cut(batch: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        parts, ends, done = [], [], 0
        for text in batch:
            sentence = symbols.sub(b"\t", normalizer.to_bytes(text)[0].tobytes())
            if not sentence:
                continue
            parts.append(sentence + b"\0")
            data = np.frombuffer(parts[-1], dtype=np.uint8)
            ends.append(done + (word_ends(data) if rules.split_by_whitespace else np.array([len(data)])))
            done += len(data)
        if not parts:
            return np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64)
        return np.frombuffer(b"".join(parts), dtype=np.uint8), np.concatenate(ends)

    found = count_corpus(texts, cut, n_threads=n_threads)
    if not len(found.ends):
        raise ValueError("texts has no word to train on")
    data, cuts = found.data.tobytes(), [0, *found.ends.tolist()]
    words = [data[begin:end].decode("utf-8") for begin, end in pairwise(cuts)]
    counts = found.counts.tolist()
    order = sorted(range(len(words)), key=lambda i: (-counts[i], words[i]))
    ended = np.array([words[i].endswith(BOUNDARY) for i in order])
    return [words[i].removesuffix(BOUNDARY) for i in order], ended, np.array([counts[i] for i in order])


def _character_counts(words: Sequence[str], counts: NDArray[np.int64]) -> dict[str, int]:
    """Occurrences of each character, falling; equal ones by code point."""
    points = np.frombuffer("".join(words).encode("utf-32-le"), dtype="<u4")
    total = np.zeros(0x110000, dtype=np.int64)
    np.add.at(total, points, np.repeat(counts, [len(word) for word in words]))
    present = np.flatnonzero(total)
    order = np.lexsort((present, -total[present]))
    return {chr(point): int(total[point]) for point in present[order].tolist() if point}


def _required(characters: dict[str, int], coverage: float) -> dict[str, int]:
    """The most frequent characters that together cover a share of the text."""
    total = sum(characters.values())
    required, covered = {}, 0
    for char, count in characters.items():
        if np.float32(covered / total) >= np.float32(coverage):
            break
        covered += count
        if char not in _NEVER:
            required[char] = count
    return required


def _seeds(
    words: Sequence[str],
    ended: NDArray[np.bool_],
    counts: NDArray[np.int64],
    required: dict[str, int],
    rules: PieceRules,
    seed_size: int,
) -> tuple[list[str], NDArray[np.float64]]:
    """Required characters and frequent substrings, with the log of their share of the characters covered."""
    text = "".join(word + (BOUNDARY if last else SPACE) for word, last in zip(words, ended.tolist(), strict=True))
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    known = np.zeros(0x110000, dtype=np.bool_)
    known[[ord(char) for char in (*required, BOUNDARY, SPACE)]] = True
    text = np.where(known[points], points, ord("▅")).astype("<u4").tobytes().decode("utf-32-le")
    sizes = np.array([len(word) + 1 for word in words])
    weight = np.repeat(counts, sizes)
    weight[np.cumsum(sizes) - 1] = 0  # the end of a word begins no piece
    substrings, covered = seed_pieces(text, weight, rules=rules, n_most=seed_size)
    total = np.concatenate([np.array(list(required.values()), dtype=np.float64), covered.astype(np.float64)])
    return [*required, *substrings], np.log(total) - np.log(total.sum())


def _maximise(
    pieces: list[str],
    score: NDArray[np.float64],
    words: Sequence[str],
    counts: NDArray[np.int64],
    n_wanted: int,
    shrinking_factor: float,
    n_sub_iterations: int,
    n_threads: int,
    progress: Callable[[int, float], None] | None,
) -> tuple[list[str], NDArray[np.float64]]:
    """EM and pruning until n_wanted pieces are left."""
    # the pieces themselves have lattices too, behind those of the words, which tell what could replace them
    merged: dict[str, int] = {}
    for word, count in zip(words, counts.tolist(), strict=True):
        merged[word] = merged.get(word, 0) + count
    encoded = [word.encode("utf-8") for word in merged] + [piece.encode("utf-8") for piece in pieces]
    trie = build_trie(encoded[len(merged) :], range(len(pieces)))
    word_begin, edge_begin, length, piece = build_lattices(
        np.frombuffer(b"".join(encoded), dtype=np.uint8), np.cumsum([len(item) for item in encoded]), *trie
    )
    del trie, encoded
    counts = np.array(list(merged.values()), dtype=np.int64)
    original = np.arange(len(pieces))  # of each piece that is left
    lattices = (word_begin, edge_begin, length, piece)
    # chunks of about equal work
    bounds = np.searchsorted(word_begin, np.linspace(0, word_begin[len(merged)], _CHUNKS + 1).astype(np.int64))
    bounds[-1] = len(merged)

    def keep(kept: NDArray[np.intp]) -> None:
        nonlocal original
        renumbered = np.full(len(original), -1, dtype=np.int32)
        renumbered[kept] = np.arange(len(kept))
        drop_pieces(edge_begin, length, piece, renumbered)
        original = original[kept]

    with ThreadPoolExecutor(n_threads) as pool:

        def summed(kernel, score) -> tuple[NDArray[np.float64], float]:
            out = np.zeros((_CHUNKS, len(score)))
            unknown = float(score.min()) - UNK_PENALTY
            jobs = [
                pool.submit(kernel, bounds[c], bounds[c + 1], *lattices, counts, score, unknown, out[c])
                for c in range(_CHUNKS)
            ]
            return out, sum(job.result() or 0.0 for job in jobs)

        while True:
            for _ in range(n_sub_iterations):
                parts, likelihood = summed(expected_counts, score)
                expected = parts.sum(axis=0)
                kept = np.flatnonzero(expected >= _LEAST_EXPECTED)
                keep(kept)
                score = digamma(expected[kept]) - digamma(expected[kept].sum())
                if progress is not None:
                    progress(len(score), likelihood / counts.sum())
            if len(score) <= n_wanted:
                return [pieces[i] for i in original], score
            frequency = summed(best_counts, score)[0].sum(axis=0)
            loss = removal_losses(original + len(merged), *lattices, score, float(score.min()) - UNK_PENALTY, frequency)
            loss[frequency == 0] = -np.inf
            order = np.argsort(-loss, kind="stable")[: max(n_wanted, int(shrinking_factor * len(score)))]
            kept = order[loss[order] > -np.inf]
            keep(kept)
            score = score[kept]
            if len(score) <= n_wanted:  # the last scores are those before the last pruning, as in sentencepiece
                return [pieces[i] for i in original], score


def _finish(
    pieces: Sequence[str], score: NDArray[np.float64], required: dict[str, int], n_normal: int
) -> list[tuple[str, float]]:
    """Required characters and the most probable other pieces, most probable first."""
    scores = dict(zip(pieces, score.tolist(), strict=True))
    lowest, penalty = float(score.min()), 0.0
    final: dict[str, float] = {}
    for char in required:
        if char in scores:
            final[char] = scores[char]
        else:
            final[char] = lowest + penalty
            penalty += _PENALTY_STEP
    for piece in sorted(scores, key=lambda piece: (-scores[piece], piece)):
        if len(final) == n_normal:
            break
        final.setdefault(piece, scores[piece])
    return sorted(final.items(), key=lambda item: (-item[1], item[0]))
