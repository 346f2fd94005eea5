"""BPE beside Hugging Face's tokenizers and tiktoken: the same merges, the same ids, the same ends."""

from __future__ import annotations

import json
import pathlib
import pydoc_data.topics
import random
import sysconfig

import numpy as np
import pytest
import tiktoken
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from breadth.text.bpe import BPE
from breadth.text.byte_alphabet import BYTE_TO_CHAR, bytes_to_printable, printable_to_bytes, utf8_bytes
from breadth.text.patterns import PATTERNS, splitter
from tests.text.test_patterns import fuzzed

TOPICS = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)]
# tiktoken's own patterns; o200k and cl100k are the same text as in PATTERNS
PUBLISHED = {
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s",
    "cl100k": PATTERNS["cl100k"],
    "o200k": PATTERNS["o200k"],
}


def corpus() -> list[str]:
    """The standard library's sources and pydoc's topics: 32 MB of code and English."""
    texts = []
    for path in sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        try:
            texts += [] if "site-packages" in path.parts else [path.read_text(encoding="utf-8")]
        except UnicodeDecodeError:  # a few of its test files are in other encodings
            continue
    return texts + TOPICS


def hugging_face(texts, pattern: str | None, *, byte_level: bool = True, unk_token: str | None = None, **options):
    peer = Tokenizer(models.BPE(unk_token=unk_token, **{
        name: options[name] for name in ("continuing_subword_prefix", "end_of_word_suffix") if options.get(name)
    }))  # fmt: skip
    if not byte_level:
        peer.pre_tokenizer = pre_tokenizers.Whitespace()
    elif pattern is None:
        peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        peer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), spell])
    peer.decoder = decoders.ByteLevel()
    alphabet = options.pop("initial_alphabet", pre_tokenizers.ByteLevel.alphabet() if byte_level else [])
    peer.train_from_iterator(
        texts, trainers.BpeTrainer(show_progress=False, initial_alphabet=list(alphabet), **options)
    )
    model = json.loads(peer.to_str())["model"]
    merges = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in model["merges"]]
    return peer, model["vocab"], merges


def same(texts, pattern: str | None = None, *, byte_level: bool = True, **options):
    peer, vocab, merges = hugging_face(texts, pattern, byte_level=byte_level, **options)
    ours = BPE.train(texts, pattern=pattern, byte_level=byte_level, **options)
    assert ours.model.merges == merges
    assert ours.model.get_vocab() == vocab
    return ours, peer


def ranks_of(model: BPE) -> dict[bytes, int]:
    return {printable_to_bytes(token): i for token, i in model.get_vocab().items()}


@pytest.mark.parametrize("pattern", [None, PATTERNS["llama3"], PATTERNS["o200k"]])
def test_training_finds_the_merges_of_hugging_face_in_order(pattern):
    same(TOPICS[::4], pattern, vocab_size=3000, special_tokens=["<|end|>", "the"])


@pytest.mark.parametrize(
    "options",
    [
        {"min_frequency": 5},
        {"min_frequency": 0},  # until no pair is left
        {"max_token_length": 6},
        {"max_token_length": 2},
        {"byte_level": False},
        {"byte_level": False, "limit_alphabet": 30, "initial_alphabet": ["é", "Q"]},
        {"byte_level": False, "unk_token": "[UNK]", "special_tokens": ["[UNK]", "[PAD]", "x"]},
    ],
    ids=str,
)
def test_training_takes_hugging_faces_options(options):
    vocab_size = 100_000 if options == {"min_frequency": 0} else 1200
    texts = [TOPICS[3][:3000]] if vocab_size > 1200 else TOPICS[:12]
    same(texts, vocab_size=vocab_size, **options)


@pytest.mark.parametrize("mark", ["continuing_subword_prefix", "end_of_word_suffix"])
def test_training_with_marked_symbols_finds_the_tokens_of_hugging_face(mark):
    # the peer numbers marked characters in an order that changes from run to run, so ties change too: sets are compared
    # of a corpus whose frequent pairs have different counts
    drawn = random.Random(0)
    words = ["".join(drawn.choices("abcde", k=drawn.randint(1, 6))) for _ in range(40)]
    texts = [" ".join(drawn.choices(words, weights=[1.3**i for i in range(40)], k=20_000))]
    options = {"byte_level": False, "vocab_size": 45, mark: "##" if mark.startswith("c") else "</w>"}
    _, vocab, merges = hugging_face(texts, None, **options)
    ours = BPE.train(texts, **options).model
    assert set(ours.get_vocab()) == set(vocab)
    assert ours.merges == merges


def test_encoding_gives_the_ids_and_ends_of_hugging_face():
    ours, peer = same(TOPICS[::4], vocab_size=3000)
    for text in [*TOPICS[1::6], *fuzzed(1000, seed=5)]:
        expected = peer.encode(text)
        data = utf8_bytes(text)
        ids, ends = ours.model.encode_words(data, splitter("gpt2")(data), with_ends=True)
        assert ids.tolist() == expected.ids
        # the peer gives characters; a token that ends inside one is said to end behind it
        assert (np.cumsum((data & 0xC0) != 0x80)[ends - 1]).tolist() == [end for _, end in expected.offsets]


@pytest.mark.parametrize("fuse", [False, True])
@pytest.mark.parametrize("fallback", [False, True])
def test_unknown_characters_and_byte_fallback_are_those_of_hugging_face(fuse, fallback):
    characters = {char: i for i, char in enumerate("abcdeé日")}
    vocab = {**characters, "<unk>": 7, "ab": 8, "abc": 9, "日d": 10}
    vocab |= {f"<0x{byte:02X}>": 11 + byte for byte in range(256)} if fallback else {}
    merges = [("a", "b"), ("ab", "c"), ("日", "d")]
    options = {"unk_token": "<unk>", "fuse_unk": fuse, "byte_fallback": fallback}
    peer = Tokenizer(models.BPE(vocab=vocab, merges=merges, **options))
    ours = BPE(vocab, merges, **options)
    drawn = random.Random(0)
    for _ in range(500):
        word = "".join(drawn.choices("abcdeé日x語😀", k=drawn.randint(1, 12)))
        data, expected = utf8_bytes(word), peer.encode(word)
        ids, ends = ours.encode_words(data, np.array([data.size]), with_ends=True)
        assert ids.tolist() == expected.ids
        assert (np.cumsum((data & 0xC0) != 0x80)[ends - 1]).tolist() == [end for _, end in expected.offsets]


@pytest.mark.parametrize("name", PUBLISHED)
def test_encoding_with_ranks_gives_the_ids_of_tiktoken(name):
    ranks = ranks_of(BPE.train(TOPICS[::4], vocab_size=3000, pattern=name).model)
    drawn = random.Random(0)
    for _ in range(300):  # ranks that no training gives: any bytes as tokens
        ranks.setdefault(bytes(drawn.choices(b"the in\xc3\xa9", k=drawn.randint(2, 5))), len(ranks))
    peer = tiktoken.Encoding(name, pat_str=PUBLISHED[name], mergeable_ranks=ranks, special_tokens={})
    ours, split = BPE.from_ranks(ranks), splitter(PUBLISHED[name])
    for text in [*TOPICS[1::6], *fuzzed(1000, seed=6)]:
        data = utf8_bytes(text)
        assert ours.encode_words(data, split(data))[0].tolist() == peer.encode_ordinary(text), repr(text[:80])


def test_bytes_are_spelt_as_hugging_face_spells_them():
    assert sorted(BYTE_TO_CHAR) == sorted(pre_tokenizers.ByteLevel.alphabet())
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(0x800)))
    assert bytes_to_printable(text.encode()) == "".join(piece for piece, _ in spell.pre_tokenize_str(text))


@pytest.mark.slow
def test_training_on_32_mb_finds_the_merges_of_hugging_face_and_encoding_its_ids():
    texts = corpus()
    ours, peer = same(texts, vocab_size=32_000)
    for text in [*texts[::40], *fuzzed(100_000, seed=7)]:
        assert ours.encode(text) == peer.encode(text).ids


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_encoding_32_mb_100k_fuzzed_strings_and_every_code_point_gives_the_ids_of_tiktoken(name):
    texts = corpus()
    ranks = ranks_of(BPE.train(texts, vocab_size=32_000, pattern=name).model)
    peer = tiktoken.Encoding(name, pat_str=PUBLISHED[name], mergeable_ranks=ranks, special_tokens={})
    ours, split = BPE.from_ranks(ranks), splitter(PUBLISHED[name])
    for text in [*texts, *fuzzed(100_000, seed=8)]:
        data = utf8_bytes(text)
        assert ours.encode_words(data, split(data))[0].tolist() == peer.encode_ordinary(text), repr(text[:80])
    # every two bytes are a token, so that ids show each cut
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {bytes([first, second]): 256 * (first + 1) + second for first in range(256) for second in range(256)}
    peer = tiktoken.Encoding(name, pat_str=PUBLISHED[name], mergeable_ranks=ranks, special_tokens={})
    ours = BPE.from_ranks(ranks)
    differ = set()
    for context in ("a{}b", "ab{}c", "1{}2", "12{}3", "  {}x", " {}x", "!{}?", "A{}'s {}\n{}"):
        for start in range(0, 0x110000, 256):
            chars = [chr(point) for point in range(start, start + 256) if not 0xD800 <= point < 0xE000]
            together = "\n;\nQ".join(context.format(char, char, char) for char in chars)
            data = utf8_bytes(together)
            if ours.encode_words(data, split(data))[0].tolist() == peer.encode_ordinary(together):
                continue
            for char in chars:
                data = utf8_bytes(context.format(char, char, char))
                if ours.encode_words(data, split(data))[0].tolist() != peer.encode_ordinary(data.tobytes().decode()):
                    differ.add(ord(char))
    assert sorted(differ) == []
