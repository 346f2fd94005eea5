"""Short texts, which one kernel call scans and encodes: the ids that the long way gives."""

from __future__ import annotations

import pickle
import pydoc_data.topics
from concurrent.futures import ThreadPoolExecutor

import pytest

from breadth.text.added_tokens import AddedToken
from breadth.text.bpe import BPE
from breadth.text.bpe_encoder import AT_ONCE
from breadth.text.byte_alphabet import BYTE_TO_CHAR, utf8_bytes
from breadth.text.decode import ByteLevel as ByteDecoder
from breadth.text.matching import Regex
from breadth.text.normalise import Replace, UnicodeForm
from breadth.text.patterns import PATTERNS, splitter
from breadth.text.pre_tokenize import ByteLevel, Sequence, Split
from breadth.text.tokenizer import Tokenizer
from tests.text.test_patterns import fuzzed

TOPICS = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)]


def pre_tokenizer(pattern):
    if pattern == "gpt2":
        return ByteLevel(add_prefix_space=False)
    return Sequence((Split(Regex(PATTERNS[pattern]), "isolated"), ByteLevel(False, True, False)))


@pytest.fixture(scope="module", params=[False, True], ids=["merges", "ranks"])
def model(request):
    trained = BPE.train(TOPICS[:20], vocab_size=1000).model
    if not request.param:
        return trained
    table = {char: byte for byte, char in enumerate(BYTE_TO_CHAR)}
    return BPE.from_ranks({bytes(map(table.get, token)): i for token, i in trained.get_vocab().items()})


def expected(model, pattern, text):
    data = utf8_bytes(text)
    return model.encode_words(data, splitter(pattern)(data))[0].tolist()


@pytest.mark.parametrize("pattern", PATTERNS)
def test_short_texts_get_the_ids_of_scanning_first_and_encoding_then(model, pattern):
    tokenizer = Tokenizer(model, pre_tokenizer=pre_tokenizer(pattern), decoder=ByteDecoder())
    lines = [line for topic in TOPICS[:40] for line in topic.splitlines()]
    for text in [*lines, *fuzzed(2000, seed=11), "", "\0", "x" * 300]:
        ids = tokenizer.encode(text)
        assert ids == expected(model, pattern, text), repr(text)
        assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("size", [AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 2 * AT_ONCE])
@pytest.mark.parametrize("char", ["x", " ", "\n", "é", "語", "😀", "a b1 "])
def test_texts_about_as_long_as_the_limit_are_as_any_other(model, char, size):
    text = char * (size // len(char.encode())) + "."
    for pattern in PATTERNS:
        tokenizer = Tokenizer(model, pre_tokenizer=pre_tokenizer(pattern))
        assert tokenizer.encode(text) == expected(model, pattern, text)


def test_a_normalizer_may_make_a_short_text_long_or_empty(model):
    tokenizer = Tokenizer(model, pre_tokenizer=ByteLevel(False), normalizer=UnicodeForm("NFKC"))
    text = "\ufdfa" * (AT_ONCE // 3)  # one character becomes eighteen
    assert tokenizer.encode(text) == expected(model, "gpt2", UnicodeForm("NFKC")(text))
    assert tokenizer.encode("") == []


def test_added_tokens_and_surrogates_are_found_in_short_texts_too(model):
    end = AddedToken("<|end|>", 5000)
    tokenizer = Tokenizer(model, pre_tokenizer=ByteLevel(False), added_tokens=[end])
    assert tokenizer.encode("a<|end|>") == [*tokenizer.encode("a"), 5000]
    assert tokenizer.encode("a<|end|>", allowed_special=()) == expected(model, "gpt2", "a<|end|>")
    with pytest.raises(ValueError, match=r"lone surrogate U\+D800 at character 1"):
        tokenizer.encode("a\ud800")


def test_a_byte_without_a_token_is_named_in_a_short_text():
    vocab = {char: byte for byte, char in enumerate(BYTE_TO_CHAR) if byte != ord("z")}
    tokenizer = Tokenizer(BPE(vocab, [], byte_level=True), pre_tokenizer=ByteLevel(False))
    with pytest.raises(ValueError, match="byte 0x7a of the word b' lazy' is no token"):
        tokenizer.encode("the lazy dog")
    assert tokenizer.encode("a") == [97]  # and nothing is left behind


def test_dropout_acts_on_short_texts(model):
    if not model.ignore_merges:
        varied = BPE(model.get_vocab(), model.merges, byte_level=True, dropout=1.0)
        assert Tokenizer(varied, pre_tokenizer=ByteLevel(False)).encode("there") == [
            model.token_to_id(c) for c in "there"
        ]


def test_the_cache_of_words_grows_and_is_shared_by_threads(model):
    tokenizer = Tokenizer(model, pre_tokenizer=ByteLevel(False))
    texts = [f"word{i} {i * 7919 % 100_003:x} {'y' * (i % 40)}" for i in range(20_000)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(tokenizer.encode, texts))
    assert found == [expected(model, "gpt2", text) for text in texts]
    assert pickle.loads(pickle.dumps(tokenizer)).encode(texts[0]) == found[0]


@pytest.mark.parametrize("cut", [None, Split(" ", "merged_with_previous"), Split("▁", "merged_with_next")], ids=str)
@pytest.mark.parametrize("options", [{}, {"byte_fallback": True}, {"ignore_merges": True}], ids=str)
def test_a_short_text_that_is_one_word_gets_the_ids_of_the_long_way(cut, options):
    trained = BPE.train(TOPICS[:20], vocab_size=600, byte_level=False, unk_token="<unk>").model
    vocab = trained.get_vocab() | {f"<0x{byte:02X}>": 1000 + byte for byte in range(256)}
    bpe = BPE(vocab, trained.merges, unk_token="<unk>", **options)
    tokenizer = Tokenizer(bpe, pre_tokenizer=cut, normalizer=Replace(" ", "▁"))
    for text in [*(line for topic in TOPICS[:20] for line in topic.splitlines()), *fuzzed(500, seed=3), "", "x" * 600]:
        assert tokenizer.encode(text) == tokenizer.encode_with_offsets(text).ids, repr(text)
    strict = Tokenizer(BPE({"a": 0, "b": 1}, []))
    assert strict.encode("ab") == [0, 1]
    with pytest.raises(ValueError, match="'z' of the word 'az' is no token of the vocabulary"):
        strict.encode("az")
