"""Speed of tokenizers beside Hugging Face's and tiktoken, and whether the ids are the same."""

from __future__ import annotations

import functools
import pathlib
import pydoc_data.topics
import sysconfig
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows
from breadth.text.bpe import BPE
from breadth.text.byte_alphabet import printable_to_bytes
from breadth.text.patterns import PATTERNS
from breadth.text.tokenizer import Tokenizer as Ours

HUGGING_FACE, TIKTOKEN = "tokenizers", "tiktoken"
VOCAB_SIZE = 32_000
TRAIN_BARS = {HUGGING_FACE: 1 / 5}
ENCODE_BARS = {1: {TIKTOKEN: 1 / 3}, 2: {TIKTOKEN: 1 / 3.5}}
HUGGING_FACE_BARS = {HUGGING_FACE: 1 / 12}
NO_BARS = {TIKTOKEN: None, HUGGING_FACE: None}
SHORTEST, LONGEST = 24, 64  # characters of a short line
FEW_IDS = 8
# as tiktoken publishes them: its GPT-2 is another writing of the same
TIKTOKEN_PATTERNS = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": PATTERNS["cl100k"],
    "o200k": PATTERNS["o200k"],
}
# Oniguruma takes `$` for the end of a line: Hugging Face gets cl100k in the writing that Llama 3 has
HUGGING_FACE_PATTERNS = {**PATTERNS, "cl100k": PATTERNS["llama3"]}


@functools.cache
def corpus(n_bytes: int) -> tuple[str, ...]:
    """Texts of the standard library's sources and pydoc's topics, 32 MB in all, of which the first n_bytes or more."""
    texts, size = [], 0
    topics = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)]
    for path in [*sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")), None]:
        if size >= n_bytes:
            break
        if path is None:
            texts += topics
        elif "site-packages" not in path.parts:
            try:
                texts.append(path.read_text(encoding="utf-8"))
            except UnicodeDecodeError:  # a few of its test files are in other encodings
                continue
            size += len(texts[-1])
    return tuple(texts)


def megabytes(texts: Sequence[str]) -> str:
    return f"{sum(len(text.encode()) for text in texts) / 1e6:.0f} MB"


def hugging_face(name: str) -> Tokenizer:
    peer = Tokenizer(models.BPE())
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    split = pre_tokenizers.Split(Regex(HUGGING_FACE_PATTERNS[name]), "isolated")
    peer.pre_tokenizer = pre_tokenizers.Sequence([split, spell])
    peer.decoder = decoders.ByteLevel()
    return peer


def train_rows(setup: Setup, raw: Times) -> list[Row]:
    texts, vocab_size = corpus(setup.size(1 << 30, 200_000)), setup.size(VOCAB_SIZE, 1000)
    found: dict[str, list[str]] = {}

    def ours(texts: Sequence[str]) -> list[str]:
        model = BPE.train(texts, vocab_size=vocab_size, n_threads=setup.threads).model
        return list(model.get_vocab())

    def theirs(texts: Sequence[str]) -> list[str]:
        peer = hugging_face("gpt2")
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, initial_alphabet=alphabet)
        peer.train_from_iterator(texts, trainer)
        return sorted(peer.get_vocab(), key=peer.get_vocab().__getitem__)

    times = interleave(
        {OURS: ours, HUGGING_FACE: theirs},
        lambda _: texts,
        reps=setup.repetitions(5),
        warm_up=texts[:20],
        look=lambda name, _, __, tokens: found.update({name: tokens}),
    )
    what = f"train {vocab_size:,} tokens, {megabytes(texts)}"
    differing = sum(a != b for a, b in zip(found[OURS], found[HUGGING_FACE], strict=True))
    return [
        *ratio_rows(what, times, TRAIN_BARS, raw),
        Row(f"tokens of another id, {megabytes(texts)}", differing, "count", 0, HUGGING_FACE),
    ]


class Three(NamedTuple):
    """One vocabulary in three tokenizers."""

    ranks: dict[bytes, int]
    ours: Ours
    tiktoken: tiktoken.Encoding
    hugging_face: Tokenizer


@functools.cache
def three(name: str, n_bytes: int, vocab_size: int) -> Three:
    """A vocabulary trained on the corpus with a pattern, as each library takes it."""
    trained = BPE.train(corpus(n_bytes), vocab_size=vocab_size, pattern=name)
    model = trained.model
    ranks = {printable_to_bytes(token): i for token, i in model.get_vocab().items()}
    theirs = tiktoken.Encoding(name, pat_str=TIKTOKEN_PATTERNS[name], mergeable_ranks=ranks, special_tokens={})
    peer = hugging_face(name)
    peer.model = models.BPE(vocab=model.get_vocab(), merges=model.merges)
    return Three(ranks, trained, theirs, peer)


def encode_rows(setup: Setup, raw: Times) -> list[Row]:
    n_bytes, vocab_size = setup.size(1 << 30, 200_000), setup.size(VOCAB_SIZE, 1000)
    texts = corpus(n_bytes)
    few = texts[:: setup.size(8, 4)]
    rows = []
    for name in TIKTOKEN_PATTERNS:
        ranks, trained, theirs, peer = three(name, n_bytes, vocab_size)

        # a fresh model every time: its cache of words begins empty
        def fresh(_: int, ranks: dict[bytes, int] = ranks, trained: Any = trained) -> Any:
            return trained.replace(model=BPE.from_ranks(ranks))

        for threads in dict.fromkeys((1, setup.threads)):
            batch: dict[str, Callable[[Any], list[list[int]]]] = {
                OURS: lambda given, threads=threads: given.encode_batch(texts, n_threads=threads),
                TIKTOKEN: (
                    (lambda _, theirs=theirs: [theirs.encode_ordinary(text) for text in texts])
                    if threads == 1
                    else (lambda _, theirs=theirs, n=threads: theirs.encode_ordinary_batch(list(texts), num_threads=n))
                ),
            }
            what = f"{name}, {megabytes(texts)}, {threads} thread{'s' * (threads > 1)}"
            rows += compared(what, batch, fresh, ENCODE_BARS.get(threads, ENCODE_BARS[2]), setup, raw)
        one = {
            OURS: lambda given: given.encode_batch(few, n_threads=1),
            HUGGING_FACE: lambda _, peer=peer: [peer.encode(text, add_special_tokens=False).ids for text in few],
        }
        rows += compared(f"{name}, {megabytes(few)}, 1 thread", one, fresh, HUGGING_FACE_BARS, setup, raw)
    return rows


def short_rows(setup: Setup, raw: Times) -> list[Row]:
    n_bytes, vocab_size = setup.size(1 << 30, 200_000), setup.size(VOCAB_SIZE, 1000)
    texts = corpus(n_bytes)
    lines = [line for text in texts for line in text.splitlines() if SHORTEST <= len(line) <= LONGEST]
    lines = lines[:: setup.size(20, 4)]
    whole = texts[:: setup.size(8, 4)]
    short = f"{len(lines):,} lines of {SHORTEST} to {LONGEST} characters, one call each"
    rows = []
    for name in TIKTOKEN_PATTERNS:
        _, ours, theirs, peer = three(name, n_bytes, vocab_size)
        encode = {
            OURS: lambda given, ours=ours: [ours.encode(text) for text in given],
            TIKTOKEN: lambda given, theirs=theirs: [theirs.encode_ordinary(text) for text in given],
            HUGGING_FACE: lambda given, peer=peer: [peer.encode(text, add_special_tokens=False).ids for text in given],
        }
        rows += beside_both(f"encode, {name}, {short}", encode, lines, setup, raw)
        decode = {
            OURS: lambda given, ours=ours: [ours.decode(ids) for ids in given],
            TIKTOKEN: lambda given, theirs=theirs: [theirs.decode(ids) for ids in given],
            HUGGING_FACE: lambda given, peer=peer: [peer.decode(ids, skip_special_tokens=False) for ids in given],
        }
        few = [ours.encode(text)[:FEW_IDS] for text in lines]
        rows += beside_both(f"decode, {name}, {len(few):,} lists of {FEW_IDS} ids at the most", decode, few, setup, raw)
        many = [ours.encode(text) for text in whole]
        rows += beside_both(f"decode, {name}, whole texts, {megabytes(whole)}", decode, many, setup, raw)
    return rows


def beside_both(
    what: str, contenders: dict[str, Callable[[Any], list[Any]]], given: Any, setup: Setup, raw: Times
) -> list[Row]:
    """A row of time and one of differing results beside each peer; nothing is promised about the times."""
    found: dict[str, list[Any]] = {}
    times = interleave(
        contenders,
        lambda _: given,
        reps=setup.repetitions(5),
        look=lambda name, _, __, result: found.update({name: result}),
    )
    rows = ratio_rows(what, times, NO_BARS, raw)
    for peer in NO_BARS:
        differing = sum(a != b for a, b in zip(found[OURS], found[peer], strict=True))
        rows.append(Row(f"other results, {what}", differing, "count", 0, peer))
    return rows


def compared(
    what: str,
    contenders: dict[str, Callable[[Any], list[list[int]]]],
    data: Callable[[int], Any],
    bars: dict[str, float],
    setup: Setup,
    raw: Times,
) -> list[Row]:
    """A row of time, and one of texts whose ids differ, with the one peer."""
    ids: dict[str, list[list[int]]] = {}
    times = interleave(
        contenders, data, reps=setup.repetitions(5), look=lambda name, _, __, result: ids.update({name: result})
    )
    (peer,) = bars
    differing = sum(a != b for a, b in zip(ids[OURS], ids[peer], strict=True))
    return [
        *ratio_rows(f"encode, {what}", times, dict(bars), raw),
        Row(f"texts of other ids, {what}", differing, "count", 0, peer),
    ]


_DATA = "The standard library's sources and pydoc's topics, one text a file or topic"
SECTIONS = (
    Section(
        "bpe-train",
        "Tokenizers: training byte-level BPE",
        f"{_DATA}; GPT-2's pattern, {VOCAB_SIZE:,} tokens; whole `train`, counting of words included.",
        train_rows,
    ),
    Section(
        "bpe-encode",
        "Tokenizers: encoding with byte-level BPE",
        f"{_DATA}; strings in, lists of ids out. The vocabularies are trained on the same texts with each pattern; "
        "tiktoken gets them as ranks with its published patterns, tokenizers as vocabulary and merges. Ours begins "
        "each time without a word in its cache.",
        encode_rows,
    ),
    Section(
        "bpe-short",
        "Tokenizers: short lines, and decoding, with byte-level BPE",
        f"{_DATA}, with the vocabularies of the section before. Short lines are every twentieth of their lines of "
        f"{SHORTEST} to {LONGEST} characters, in one call each, as a service or a loop of a user's makes them; every "
        "contender has met the words before. Nothing is promised about these times: they are here to be known.",
        short_rows,
    ),
)
