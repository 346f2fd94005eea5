"""Training WordPiece: merges of neighbours by likelihood, or by count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from breadth.text.arguments import check_integer
from breadth.text.bpe_train import train_merges
from breadth.text.bpe_train_words import WordCounts, count_corpus, cut_by_text, training_threads
from breadth.text.wordpiece import WordPiece
from breadth.text.wordpiece_train_kernels import best_pair, count_pairs, merge_pair

if TYPE_CHECKING:
    from breadth.text.tokenizer import Tokenizer

_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def likelihood_vocab(
    words: WordCounts,
    *,
    vocab_size: int,
    min_frequency: int = 2,
    special_tokens: Sequence[str] = (),
    continuing_subword_prefix: str = "##",
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Give a piece to the neighbours a b with the highest count(ab) / (count(a) count(b)), until there are enough.

    The ratio says how much likelier the two are together than apart under a unigram model of the symbols.

    Args:
        words: different words and how often each occurs; merges never cross words.
        vocab_size: pieces to stop at, special tokens and alphabet included.
        min_frequency: smallest count of a pair that is merged, >= 1. The score prefers pairs of rare symbols, so at 1
            the first pieces are misprints.
        special_tokens: the first ids.
        continuing_subword_prefix: before each symbol that does not begin a word.
        progress: called now and then with (pieces so far, vocab_size).

    Returns:
        Piece -> id: special tokens, characters that begin a word by code point, those inside one, then merges in order.

    Raises:
        ValueError: if min_frequency < 1, special tokens repeat, or the alphabet alone exceeds vocab_size.

    Cost: O(pairs) a merge for the search and O(symbols of the words that have the pair) for the change; about 70 bytes
        a symbol.
    Deviations: equal scores go to the more frequent pair, then to the smaller ids; the sources leave it open.
    References: Schuster & Nakajima 2012, ICASSP, section 3 (add the unit that raises the likelihood of the training
        data most); the trainer of BERT's own vocabularies was not published.
    Peer: the same loop in plain Python that counts anew before each merge, exact (B).
    """
    if min_frequency < 1:
        raise ValueError(f"min_frequency must be at least 1, got {min_frequency}")
    vocab = {token: i for i, token in enumerate(special_tokens)}
    if len(vocab) < len(special_tokens):
        raise ValueError(f"special_tokens must differ from each other, got {list(special_tokens)}")
    text, cuts = words.data.tobytes(), [0, *words.ends.tolist()]
    spelt = [text[a:b].decode("utf-8") for a, b in pairwise(cuts)]
    prefix = continuing_subword_prefix
    for char in sorted({word[0] for word in spelt}):
        vocab.setdefault(char, len(vocab))
    for char in sorted({char for word in spelt for char in word[1:]}):
        vocab.setdefault(prefix + char, len(vocab))
    if len(vocab) > vocab_size:
        raise ValueError(
            f"vocab_size must be at least {len(vocab)}, for the special tokens and the alphabet, got {vocab_size}"
        )
    tokens = list(vocab)
    size = np.array([len(word) for word in spelt], dtype=np.int64)
    begin = np.cumsum(size) - size
    symbols = np.array([vocab[prefix * (i > 0) + c] for word in spelt for i, c in enumerate(word)], dtype=np.int32)
    room = 3 * len(symbols) + 1  # a merge removes a symbol and makes two pairs at most
    table = np.full(1 << (2 * room).bit_length(), -1, dtype=np.int32)
    pairs, pair_count = np.zeros((room, 2), dtype=np.int32), np.zeros(room, dtype=np.int64)
    head, chain = np.full(room, -1, dtype=np.int32), np.zeros((room, 2), dtype=np.int32)
    symbol_count, state = np.zeros(vocab_size + len(symbols), dtype=np.int64), np.zeros(2, dtype=np.int64)
    shared = (symbols, begin, size, words.counts, table, pairs, pair_count, head, chain, symbol_count, state)
    count_pairs(*shared)
    while len(vocab) < vocab_size:
        best = best_pair(pairs, pair_count, symbol_count, state[0], min_frequency)
        if best < 0:
            break
        left, right = (tokens[i] for i in pairs[best])
        merged = left + right.removeprefix(prefix)
        known = vocab.setdefault(merged, len(vocab))
        if known == len(tokens):
            tokens.append(merged)
        merge_pair(best, known, *shared)
        if progress is not None and len(vocab) % 500 == 0:
            progress(len(vocab), vocab_size)
    return vocab


def train_wordpiece(
    texts: Iterable[str],
    *,
    vocab_size: int = 30_000,
    score: Literal["likelihood", "count"] = "likelihood",
    min_frequency: int | None = None,
    lowercase: bool = True,
    strip_accents: bool | None = None,
    special_tokens: Sequence[str] = _BERT_SPECIAL,
    limit_alphabet: int | None = None,
    continuing_subword_prefix: str = "##",
    n_threads: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Tokenizer:
    """Learn a WordPiece vocabulary from texts, behind BERT's normalizer and splitting.

    Args:
        texts: read once.
        vocab_size: pieces to stop at, special tokens and alphabet included.
        score: what the next merge a b maximises: "likelihood", count(ab) / (count(a) count(b)), as WordPiece is
            defined; or "count", count(ab), which is BPE and what Hugging Face's WordPieceTrainer does.
        min_frequency: smallest count of a pair that is merged; None is 2 for likelihood and 0 for count.
        lowercase, strip_accents: of the normalizer.
        special_tokens: the first ids; must hold `[UNK]`, and `[CLS]` and `[SEP]` to be put around texts.
        limit_alphabet: keep this many characters, the most frequent; with score="count" only.
        continuing_subword_prefix: marks pieces that do not begin a word.
        n_threads: threads that count words; None takes all cores. The result is the same.
        progress: called now and then with (pieces so far, vocab_size).

    Returns:
        A tokenizer whose `.model` is the `WordPiece`.

    Raises:
        TypeError: if texts is one text.
        ValueError: if there is no word, an option is out of range or does not go with the score, or `[UNK]` is missing.

    Cost: see `likelihood_vocab` and `train_merges`.
    Deviations: for "count", pairs of equal count fall by the code points of the alphabet, where the peer numbers the
        forms inside words in an order that changes from run to run.
    References: Schuster & Nakajima 2012, ICASSP; Sennrich et al. 2016, arXiv:1508.07909 (count).
    Peer: tokenizers.trainers.WordPieceTrainer for "count", >= 99.5 % of the vocabulary, the rest being ties (A); plain
        Python that counts anew for "likelihood", exact (B).
    In production: score="count" with 30k pieces gives fewer ids a text; "likelihood" is for reproducing the definition.
    """
    from breadth.text.added_tokens import AddedToken
    from breadth.text.decode_words import WordPiece as WordPieceDecoder
    from breadth.text.normalise_bert import BertNormalizer
    from breadth.text.post_process import BertProcessing
    from breadth.text.pre_tokenize import BertPreTokenizer
    from breadth.text.tokenizer import Tokenizer

    if score not in ("likelihood", "count"):
        raise ValueError(f"score must be 'likelihood' or 'count', got {score!r}")
    if isinstance(special_tokens, str):
        raise TypeError(f"special_tokens is one str; give a sequence such as ['[UNK]', {special_tokens!r}]")
    if "[UNK]" not in special_tokens:
        raise ValueError(f"special_tokens must hold '[UNK]', got {list(special_tokens)}")
    check_integer("vocab_size", vocab_size, 1)
    if limit_alphabet is not None and score != "count":
        raise ValueError(
            f"limit_alphabet goes with score='count', got limit_alphabet={limit_alphabet}, score={score!r}"
        )
    normalizer = BertNormalizer(lowercase=lowercase, strip_accents=strip_accents)
    pre_tokenizer = BertPreTokenizer()
    words = count_corpus(
        texts,
        cut_by_text(lambda text: pre_tokenizer.split(normalizer(text))),
        n_threads=training_threads(n_threads),
    )
    if not len(words.ends):
        raise ValueError("texts has no word to learn from")
    if score == "count":
        vocab, _ = train_merges(
            words, vocab_size=vocab_size, byte_level=False, min_frequency=min_frequency or 0,
            special_tokens=special_tokens, limit_alphabet=limit_alphabet,
            continuing_subword_prefix=continuing_subword_prefix, progress=progress,
        )  # fmt: skip
    else:
        vocab = likelihood_vocab(
            words, vocab_size=vocab_size, min_frequency=2 if min_frequency is None else min_frequency,
            special_tokens=special_tokens, continuing_subword_prefix=continuing_subword_prefix, progress=progress,
        )  # fmt: skip
    ends = {token: (token, vocab[token]) for token in ("[CLS]", "[SEP]") if token in vocab}
    return Tokenizer(
        WordPiece(vocab, continuing_subword_prefix=continuing_subword_prefix),
        normalizer=normalizer,
        pre_tokenizer=pre_tokenizer,
        post_processor=BertProcessing(sep=ends["[SEP]"], cls=ends["[CLS]"]) if len(ends) == 2 else None,
        decoder=WordPieceDecoder(prefix=continuing_subword_prefix),
        added_tokens=[AddedToken(token, vocab[token]) for token in special_tokens],
        special_tokens={f"{token[1:-1].lower()}_token": token for token in _BERT_SPECIAL if token in special_tokens},
    )
