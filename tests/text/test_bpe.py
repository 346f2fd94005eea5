"""BPE encoding: what merges give, round trips, offsets, threads, and what bad vocabularies and words raise."""

from __future__ import annotations

import pickle
import pydoc_data.topics
import random
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.text import bpe_encode_merge_kernels as merging
from breadth.text import bpe_encoder
from breadth.text.bpe import BPE
from breadth.text.byte_alphabet import BYTE_TO_CHAR, bytes_to_printable, printable_to_bytes, utf8_bytes
from breadth.text.model import Model
from breadth.text.patterns import splitter

TOPICS = "\n".join(pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:12])


@pytest.fixture(scope="module")
def tokenizer():
    return BPE.train(TOPICS.splitlines(keepends=True), vocab_size=1000, special_tokens=("<|end|>",))


@pytest.fixture(scope="module")
def ranked(tokenizer):
    vocab = tokenizer.model.get_vocab()
    return BPE.from_ranks({printable_to_bytes(token): i for token, i in vocab.items() if i > 0})


def encode(model: BPE, *words: str | bytes, with_ends: bool = False):
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    data = np.frombuffer(b"".join(parts), dtype=np.uint8)
    ids, ends = model.encode_words(data, np.cumsum([len(part) for part in parts]), with_ends=with_ends)
    return (ids.tolist(), ends.tolist()) if with_ends else ids.tolist()


def twin(model: BPE, word: bytes) -> list[str]:
    """Merge one word, looking for the lowest rank among all neighbours each time."""
    ranks = {pair: rank for rank, pair in enumerate(model.merges)}
    symbols = [BYTE_TO_CHAR[byte] for byte in word] if model.byte_level else list(word.decode())
    while len(symbols) > 1:
        found = [ranks.get(pair, len(ranks)) for pair in pairwise(symbols)]
        if min(found) == len(ranks):
            break
        at = found.index(min(found))
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    return symbols


SMALL = BPE({"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}, [("b", "c"), ("a", "b"), ("a", "bc")])


def test_the_lowest_rank_merges_first_and_from_the_left():
    assert encode(SMALL, "abc", "ab", "aab", "cab") == [5, 3, 0, 3, 2, 3]
    doubled = BPE({"a": 0, "aa": 1, "aaaa": 2}, [("a", "a"), ("aa", "aa")])
    assert encode(doubled, "aaaaa", "aaa", "", "aaaaaaaa") == [2, 0, 1, 0, 2, 2]
    assert isinstance(SMALL, Model)


def test_encoding_gives_what_merging_one_word_by_hand_gives(tokenizer):
    model = tokenizer.model
    words = re.findall(r" ?\w+|\W", TOPICS[:6000]) + ["internationalisation" * k for k in range(1, 9)]
    expected = [model.token_to_id(token) for word in words for token in twin(model, word.encode())]
    assert encode(model, *words) == expected
    assert encode(model, *words) == expected  # from the cache


def test_long_words_take_the_heap_and_short_ones_the_loop_to_the_same_ids(tokenizer):
    drawn = random.Random(0)
    for n in (merging.LINEAR - 1, merging.LINEAR, merging.LINEAR + 1, 400):
        word = "".join(drawn.choices("the in an er ", k=n)).encode()
        tokens = twin(tokenizer.model, word)
        assert encode(tokenizer.model, word) == [tokenizer.model.token_to_id(token) for token in tokens]


def test_a_single_word_of_ten_million_bytes_is_encoded_and_comes_back(tokenizer):
    word = (TOPICS * 60)[:10_000_000].encode().replace(b"\n", b" ")
    ids, ends = tokenizer.model.encode_words(np.frombuffer(word, np.uint8), np.array([len(word)]), with_ends=True)
    assert b"".join(printable_to_bytes(tokenizer.model.id_to_token(i)) for i in ids.tolist()) == word
    assert ends[-1] == len(word)


@settings(deadline=None)  # the first call may compile
@given(text=st.text())
def test_decoding_gives_the_text_back_also_with_nul_and_emoji(tokenizer, ranked, text):
    assert tokenizer.decode(tokenizer.encode(text)) == text
    data = utf8_bytes(text)
    ids, ends = ranked.encode_words(data, splitter("o200k")(data), with_ends=True)
    spelt = [printable_to_bytes(ranked.id_to_token(i)) for i in ids.tolist()]
    assert b"".join(spelt) == text.encode()
    assert ends.tolist() == np.cumsum([len(part) for part in spelt], dtype=np.int64).tolist()


@settings(deadline=None)
@given(words=st.lists(st.binary(max_size=40), max_size=12))
def test_any_bytes_can_be_a_word_and_neighbours_never_join(tokenizer, words):
    apart = [i for word in words for i in encode(tokenizer.model, word)]
    assert encode(tokenizer.model, *words) == apart


def test_ranks_join_any_two_tokens_that_make_a_third_and_keep_whole_tokens(ranked, tokenizer):
    bytes_only = {bytes([byte]): byte for byte in range(256)}
    # c + ab is no merge of a and b first: only ranks that join what is there count
    model = BPE.from_ranks({**bytes_only, b"bc": 256, b"ab": 257, b"abcd": 258, b"cd": 259})
    assert encode(model, b"abc", b"abcd", b"xabcd", b"abcde") == [97, 256, 258, 120, 97, 256, 100, 97, 256, 100, 101]
    assert model.merges == [("b", "c"), ("a", "b"), ("c", "d")]  # abcd comes of no two parts of lower rank
    assert ranked.merges == tokenizer.model.merges
    words = re.findall(r" ?\w+|\W", TOPICS[:20000])
    assert encode(ranked, *words) == encode(tokenizer.model, *words)


def test_ignore_merges_gives_a_word_that_is_a_token_its_id():
    vocab, merges = {"a": 0, "b": 1, "c": 2, "abc": 3, "ab": 4}, [("a", "b")]
    assert encode(BPE(vocab, merges), "abc") == [4, 2]
    assert encode(BPE(vocab, merges, ignore_merges=True), "abc", "abcab", "abc", with_ends=True) == (
        [3, 4, 2, 4, 3],
        [3, 5, 6, 8, 11],
    )


def test_unknown_characters_get_the_unknown_token_fused_or_not_with_their_ends():
    vocab = {"<unk>": 0, "a": 1}
    apart, fused = (BPE(vocab, [], unk_token="<unk>", fuse_unk=fuse) for fuse in (False, True))
    for _ in range(2):  # computed, then from the cache
        assert encode(apart, "aéé", "日a", with_ends=True) == ([1, 0, 0, 0, 1], [1, 3, 5, 8, 9])
        assert encode(fused, "aéé", "日a", with_ends=True) == ([1, 0, 0, 1], [1, 5, 8, 9])


def test_byte_fallback_spells_a_character_by_its_bytes_if_all_of_them_are_tokens():
    vocab = {"<unk>": 0, "a": 1, "<0xC3>": 2, "<0xA9>": 3}
    model = BPE(vocab, [], unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    assert encode(model, "éa日語é", with_ends=True) == ([2, 3, 1, 0, 2, 3], [1, 2, 3, 9, 10, 11])


def test_prefix_and_suffix_mark_the_symbols_of_a_word():
    prefixed = BPE({"a": 0, "##b": 1, "##c": 2, "ab": 3, "abc": 4}, [("a", "##b"), ("ab", "##c")],
                   continuing_subword_prefix="##")  # fmt: skip
    assert encode(prefixed, "abc", "ab", with_ends=True) == ([4, 3], [3, 5])
    suffixed = BPE({"a": 0, "b": 1, "b</w>": 2, "ab</w>": 3, "a</w>": 4}, [("a", "b</w>")], end_of_word_suffix="</w>")
    assert encode(suffixed, "ab", "bab", "a", with_ends=True) == ([3, 1, 3, 4], [2, 3, 5, 6])


def test_dropout_changes_the_cut_but_not_the_text_and_follows_its_seed(tokenizer):
    def dropping(dropout: float, seed: int = 0) -> BPE:
        return BPE(tokenizer.model.get_vocab(), tokenizer.model.merges, byte_level=True, dropout=dropout, seed=seed)

    words = re.findall(r" ?\w+|\W", TOPICS[:3000])
    plain = encode(tokenizer.model, *words)
    assert encode(dropping(0.0), *words) == plain
    assert encode(dropping(1.0), *words) == encode(dropping(1.0, seed=5), *words)
    assert len(encode(dropping(1.0), *words)) == sum(len(word.encode()) for word in words)
    drawn = {seed: encode(dropping(0.1, seed), *words) for seed in (0, 1)}
    assert plain != drawn[0] != drawn[1] != plain
    assert encode(dropping(0.1, 1), *words) == drawn[1]
    for ids in drawn.values():
        assert "".join(map(tokenizer.model.id_to_token, ids)) == bytes_to_printable("".join(words).encode())
    # of one possible merge, a tenth is passed over
    lone = BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")], dropout=0.1)
    assert encode(lone, *["ab"] * 20_000).count(2) == pytest.approx(18_000, abs=5 * (20_000 * 0.09) ** 0.5)  # 5 sigma


def test_threads_that_share_a_model_all_get_the_ids_of_one(tokenizer):
    texts = [TOPICS[i : i + 5000] for i in range(0, 150_000, 5000)] * 3
    alone = [tokenizer.encode(text) for text in texts]
    fresh = pickle.loads(pickle.dumps(tokenizer.model))
    split = splitter("gpt2")
    with ThreadPoolExecutor(4) as pool:
        shared = list(pool.map(lambda text: fresh.encode_words(utf8_bytes(text), split(utf8_bytes(text)))[0], texts))
    assert [ids.tolist() for ids in shared] == alone


def test_a_full_cache_grows_and_then_begins_anew(monkeypatch):
    monkeypatch.setattr(bpe_encoder, "_MOST_ROWS", 1 << 14)
    model = BPE.from_ranks({bytes([byte]): byte for byte in range(256)})
    words = [f"{i:05d}{'x' * (i % 40)}".encode() for i in range(20_000)]
    assert encode(model, *words) == list(b"".join(words))
    assert encode(model, *words[::-1]) == list(b"".join(words[::-1]))


def test_json_gives_the_same_model_back_and_reads_merges_of_both_kinds(tokenizer):
    model = tokenizer.model
    again = BPE.from_json(model.to_json(), byte_level=True)
    assert (again.get_vocab(), again.merges) == (model.get_vocab(), model.merges)
    spaced = {**model.to_json(), "merges": [" ".join(pair) for pair in model.merges]}
    assert BPE.from_json(spaced, byte_level=True).merges == model.merges


@pytest.mark.parametrize(
    ("vocab", "merges", "message"),
    [
        ({}, [], "vocab is empty"),
        ({"a": 0, "b": 0}, [], "ids must be different, got 0 for both 'a' and 'b'"),
        ({"a": -1}, [], r"ids must be integers in \[0, 2\^31 - 1\), got -1 for 'a'"),
        ({"a": 0, "b": 1}, [("a", "b")], r"merges\[0\], 'a' and 'b', contradicts .* its result 'ab' is no token"),
        ({"a": 0, "ab": 1}, [("a", "b")], r"merges\[0\], 'a' and 'b', contradicts .* its part 'b' is no token"),
        ({"a": 0, "aa": 1}, [("a", "a"), ("a", "a")], "merges must be different, got 'a' and 'a' at 0 and again at 1"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_an_error_that_names_what(vocab, merges, message):
    with pytest.raises(ValueError, match=message):
        BPE(vocab, merges)


def test_what_cannot_be_expressed_is_an_error_that_names_it():
    with pytest.raises(
        ValueError, match="'é' of the word 'bé' is no token of the vocabulary, and there is no unk_token"
    ):
        encode(SMALL, "abc", "bé")
    with pytest.raises(ValueError, match="and unk_token '<unk>' is no token either"):
        encode(BPE({"a": 0}, [], unk_token="<unk>"), "b")
    with pytest.raises(ValueError, match=r"byte 0xc3 of the word b'\\xc3\\xa9' is no token: the vocabulary lacks 'Ã'"):
        encode(BPE({"a": 0}, [], byte_level=True), "a", "é")
    with pytest.raises(ValueError, match="ranks must have every byte as a token, lacks 255: first 0x00"):
        BPE.from_ranks({b"a": 0})
    with pytest.raises(ValueError, match="ranks must not have an empty token"):
        BPE.from_ranks({**{bytes([byte]): byte for byte in range(256)}, b"": 256})
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\], got 1.5"):
        BPE({"a": 0}, [], dropout=1.5)
    with pytest.raises(ValueError, match="go with characters, not with byte_fallback"):
        BPE({"a": 0}, [], byte_fallback=True, end_of_word_suffix="</w>")
    with pytest.raises(ValueError, match="ends must lie in data's 2 bytes, got a last end of 3"):
        SMALL.encode_words(utf8_bytes("ab"), np.array([3]))
    with pytest.raises(IndexError, match="no token has id 6; ids go up to 5"):
        SMALL.id_to_token(6)
    with pytest.raises(ValueError, match="model type must be 'BPE', got 'Unigram'"):
        BPE.from_json({"type": "Unigram"})
    with pytest.raises(ValueError, match="must have 'merges', got only vocab"):
        BPE.from_json({"vocab": {"a": 0}})
    with pytest.raises(ValueError, match=r"merges\[0\] must be two tokens, got 'a b c'"):
        BPE.from_json({"vocab": {"a": 0}, "merges": ["a b c"]})


def test_a_lone_surrogate_is_an_error_that_names_its_place(tokenizer):
    with pytest.raises(ValueError, match=r"lone surrogate U\+D800 at character 2"):
        tokenizer.encode("ab\ud800")
    with pytest.raises(ValueError, match=r"texts\[1\]: text has the lone surrogate U\+DFFF at character 0"):
        BPE.train(["a", "\udfff"], vocab_size=300)
