"""The tokenizer: round trips, special text, batches, truncation, errors."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.text.added_tokens import AddedToken
from breadth.text.bpe import BPE
from breadth.text.decode import ByteLevel as ByteDecoder
from breadth.text.encoding import Padding, Truncation
from breadth.text.load import load_tokenizer
from breadth.text.matching import Regex
from breadth.text.normalise import ByteLevel as ByteNormalizer
from breadth.text.normalise import Lowercase
from breadth.text.patterns import PATTERNS
from breadth.text.post_process import TemplateProcessing
from breadth.text.pre_tokenize import ByteLevel, Sequence, Split
from breadth.text.pre_tokenize_classes import Digits
from breadth.text.tokenizer import Tokenizer

RANKS = {bytes([byte]): byte for byte in range(256)} | {
    word: 256 + i for i, word in enumerate([b"th", b"the", b" th", b" the", "é".encode(), b"  ", b"in", b"ing", b"12"])
}
MODEL = BPE.from_ranks(RANKS)
END = AddedToken("<|end|>", 300)
TOOL = AddedToken("<tool>", 301, special=False)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("the ing12é \n"))


def byte_level(pre_tokenizer=None, **arguments):
    return Tokenizer(
        MODEL,
        pre_tokenizer=pre_tokenizer or ByteLevel(add_prefix_space=False),
        decoder=ByteDecoder(),
        added_tokens=[END, TOOL],
        **arguments,
    )


SPLITS = {
    "gpt2": ByteLevel(add_prefix_space=False),
    "one word": ByteLevel(add_prefix_space=False, use_regex=False),
    "o200k": Sequence((Split(Regex(PATTERNS["o200k"]), "isolated"), ByteLevel(False, True, False))),
    "piece by piece": Sequence((Digits(), ByteLevel(add_prefix_space=False))),
    "as a normalizer": Sequence((Split(Regex("[a-m]+"), "isolated"),)),
}


@pytest.mark.parametrize("name", SPLITS)
@settings(deadline=None)  # the first example may compile kernels
@given(text=TEXTS)
def test_byte_level_kinds_give_any_string_back(name, text):
    normalizer = ByteNormalizer() if name == "as a normalizer" else None
    tokenizer = byte_level(SPLITS[name], normalizer=normalizer)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()
    assert tokenizer.encode_with_offsets(text).ids == ids


@settings(deadline=None)
@given(text=TEXTS)
def test_offsets_name_the_characters_that_each_id_stands_for(text):
    tokenizer = byte_level()
    encoding = tokenizer.encode_with_offsets(text)
    for i, (begin, end) in zip(encoding.ids, encoding.offsets, strict=True):
        assert tokenizer.decode_bytes([i]) in text[begin:end].encode()
    assert not text or (encoding.offsets[0][0], encoding.offsets[-1][1]) == (0, len(text))


@pytest.mark.parametrize("text", ["", "\0", "\0" * 1000, "the", "a" * 100_000, "\U0010ffff" * 300, " \n" * 5000])
def test_the_hard_places_come_back_too(text):
    tokenizer = byte_level()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_text_is_a_token_an_error_or_ordinary_text_as_the_caller_says():
    tokenizer = byte_level()
    text = "the<|end|>the<tool>"
    assert tokenizer.encode(text) == [257, 300, 257, 301]
    assert tokenizer.encode(text, allowed_special=["<|end|>"], disallowed_special="all") == [257, 300, 257, 301]
    ordinary = tokenizer.encode(text, allowed_special=())
    assert 300 not in ordinary and 301 in ordinary  # the tool's token is not special
    assert tokenizer.decode(ordinary) == text
    with pytest.raises(ValueError, match=r"'<\|end\|>' at character 3; name it in allowed_special"):
        tokenizer.encode(text, allowed_special=(), disallowed_special="all")
    with pytest.raises(ValueError, match="special token"):
        tokenizer.encode_batch([text], disallowed_special=["<|end|>"])


def test_special_tokens_around_a_text_are_those_of_the_template_and_can_be_left_out():
    template = TemplateProcessing.parse(
        single="<|end|> $A", pair="<|end|> $A <|end|>:1 $B:1", special_tokens={"<|end|>": 300}
    )
    tokenizer = byte_level(post_processor=template)
    assert tokenizer.encode("the") == [300, 257]
    assert tokenizer.encode("the", add_special_tokens=False) == [257]
    pair = tokenizer.encode_with_offsets("the", "ing")
    assert pair.ids == tokenizer.encode("the", "ing") == [300, 257, 300, 263]
    assert pair.type_ids == [0, 0, 1, 1]
    assert pair.sequences == [None, 0, None, 1]
    assert tokenizer.decode(pair.ids, skip_special_tokens=True) == "theing"


def test_truncation_and_padding_apply_to_plain_encoding_as_well():
    tokenizer = byte_level(truncation=Truncation(2, stride=1), padding=Padding(pad_id=9, pad_token="x", length=4))
    assert tokenizer.encode("the the the") == [257, 259, 9, 9]
    encoding = tokenizer.encode_with_offsets("the the the")
    assert encoding.attention_mask == [1, 1, 0, 0]
    assert [part.ids for part in encoding.overflowing] == [[259, 259, 9, 9]]


def test_batches_are_the_same_on_any_number_of_threads():
    tokenizer = byte_level()
    texts = [f"the {i} <|end|> " * (i % 50) for i in range(600)]
    expected = [tokenizer.encode(text) for text in texts]
    for n_threads in (1, 2, 5, None):
        assert tokenizer.encode_batch(texts, n_threads=n_threads) == expected
    assert tokenizer.decode_batch(expected) == texts
    assert tokenizer.encode_batch([]) == []


def test_the_vocabulary_holds_the_added_tokens_too():
    tokenizer = byte_level()
    assert tokenizer.vocab_size == len(RANKS) + 2 == len(tokenizer.get_vocab())
    assert tokenizer.token_to_id("<|end|>") == 300
    assert tokenizer.token_to_id("nowhere") is None
    assert tokenizer.id_to_token(300) == "<|end|>"
    assert tokenizer.replace(added_tokens=()).vocab_size == len(RANKS)


def test_an_added_token_decodes_to_its_own_text_also_in_a_byte_level_tokenizer():
    tokenizer = byte_level().replace(added_tokens=[AddedToken("é ü", 400)])
    assert tokenizer.decode(tokenizer.encode("xé üx")) == "xé üx"


def test_a_normalized_added_token_is_found_in_the_normalised_text():
    tokenizer = byte_level(normalizer=Lowercase()).replace(added_tokens=[AddedToken("Big", 400, normalized=True)])
    assert tokenizer.encode("the BIG") == [*tokenizer.encode("the "), 400]


@pytest.mark.parametrize("text", ["a\ud800", "<|end|>\ud800"])
def test_a_lone_surrogate_is_an_error_that_names_its_place(text):
    for encode in (byte_level().encode, byte_level(normalizer=Lowercase()).encode, byte_level().encode_with_offsets):
        with pytest.raises(ValueError, match=f"lone surrogate U\\+D800 at character {len(text) - 1}"):
            encode(text)


def test_ids_out_of_range_are_an_error_that_names_id_and_place():
    tokenizer = byte_level()
    for i in (999, -1, 299):
        with pytest.raises(
            ValueError, match=f"ids has {i} at 1, which is no token's; the 267 tokens have ids up to 301"
        ):
            tokenizer.decode([0, i])
        with pytest.raises(ValueError, match="no token's"):
            tokenizer.id_to_token(i)


def test_wrong_types_are_named():
    tokenizer = byte_level()
    with pytest.raises(TypeError, match="text must be a string, got bytes"):
        tokenizer.encode(b"the")
    with pytest.raises(TypeError, match="texts must be a list of strings, got one string"):
        tokenizer.encode_batch("the")
    with pytest.raises(TypeError, match="got int at 1"):
        tokenizer.encode_batch(["the", 3])
    with pytest.raises(ValueError, match="n_threads must be at least 1, got 0"):
        tokenizer.encode_batch(["the"], n_threads=0)
    with pytest.raises(TypeError, match=r"n_threads must be an integer, got 1.5"):
        tokenizer.encode_batch(["the"], n_threads=1.5)
    with pytest.raises(TypeError, match="texts must be a list of strings, got None"):
        tokenizer.encode_batch(None)
    for method in (tokenizer.decode, tokenizer.decode_bytes, tokenizer.tokens_of):
        for ids in (5, None, "12"):
            with pytest.raises(TypeError, match="ids must be a list or array of integers, got"):
                method(ids)
    for wrong in ("<|end|>", 5):
        with pytest.raises(TypeError, match="disallowed_special must be 'all' or a set of special tokens"):
            tokenizer.encode("the", disallowed_special=wrong)
        with pytest.raises(TypeError, match="allowed_special must be 'all' or a set of special tokens"):
            tokenizer.encode("the", allowed_special=wrong)


def test_added_tokens_that_contradict_each_other_or_the_model_are_refused():
    with pytest.raises(ValueError, match=r"'a' and 'b' have the same id 300"):
        byte_level().replace(added_tokens=[AddedToken("a", 300), AddedToken("b", 300)])
    with pytest.raises(ValueError, match="added token 'the' has id 300, but the model's vocabulary has it as 257"):
        byte_level().replace(added_tokens=[AddedToken("the", 300)])
    with pytest.raises(ValueError, match="must not be empty"):
        AddedToken("", 3)
    with pytest.raises(ValueError, match="must be >= 0, got -1"):
        AddedToken("x", -1)


def test_truncation_and_padding_refuse_what_cannot_be():
    tokenizer = byte_level()
    tokenizer.truncation = 5
    with pytest.raises(TypeError, match=r"truncation must be a Truncation or None, such as Truncation\(512\), got 5"):
        tokenizer.encode("the")
    tokenizer.truncation, tokenizer.padding = None, 5
    with pytest.raises(TypeError, match="padding must be a Padding or None"):
        tokenizer.encode("the")
    with pytest.raises(ValueError, match="max_length and stride must be >= 0"):
        Truncation(-1)
    with pytest.raises(ValueError, match="strategy must be one of longest_first, only_first, only_second, got 'none'"):
        Truncation(3, strategy="none")
    with pytest.raises(ValueError, match="direction must be one of right, left, got 'up'"):
        Padding(direction="up")
    with pytest.raises(ValueError, match="pad_to_multiple_of must be >= 1"):
        Padding(pad_to_multiple_of=0)
    with pytest.raises(ValueError, match="stride must be less than the 2 ids"):
        byte_level(truncation=Truncation(2, stride=2)).encode("the the the")
    with pytest.raises(ValueError, match="only_second' needs a second text"):
        byte_level(truncation=Truncation(2, strategy="only_second")).encode("the the the")
    template = TemplateProcessing.parse(single="<|end|> $A <|end|>", special_tokens={"<|end|>": 300})
    with pytest.raises(ValueError, match="at least the 2 ids of the template, got 1"):
        byte_level(post_processor=template, truncation=Truncation(1)).encode("the the")


def test_saving_and_loading_gives_the_same_tokenizer(tmp_path):
    tokenizer = byte_level(
        post_processor=TemplateProcessing.parse(single="<|end|> $A", special_tokens={"<|end|>": 300}),
        truncation=Truncation(50, strategy="only_first"),
        padding=Padding(length=8, pad_to_multiple_of=3, direction="left"),
        chat_template="{{ bos_token }}{{ messages[0].content }}",
        special_tokens={"bos_token": "<|end|>"},
    )
    for name in ("t.json", "folder"):
        tokenizer.save(tmp_path / name)
        loaded = load_tokenizer(tmp_path / name)
        for text in ("the thing 12", "<|end|> é<tool>", "", "x" * 500):
            assert loaded.encode_with_offsets(text) == tokenizer.encode_with_offsets(text)
        assert loaded.truncation == tokenizer.truncation
        assert loaded.padding == tokenizer.padding
    assert loaded.special_tokens == tokenizer.special_tokens
    assert loaded.apply_chat_template([{"role": "user", "content": "hi"}]) == "<|end|>hi"


def test_a_path_that_names_no_format_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"named .json \(Hugging Face\), .tiktoken .* got 't.txt'"):
        byte_level().save(tmp_path / "t.txt")
    assert not list(tmp_path.iterdir())
    with pytest.raises(FileNotFoundError, match=r"the folder '.*nowhere' does not exist; make it before saving"):
        byte_level().save(tmp_path / "nowhere" / "t.json")
    for empty in (byte_level().save, load_tokenizer):
        with pytest.raises(ValueError, match="path is empty; name a file"):
            empty("")
    (tmp_path / "t.txt").write_text("x")
    with pytest.raises(ValueError, match=r"got the suffix '.txt'"):
        load_tokenizer(tmp_path / "t.txt")
    with pytest.raises(FileNotFoundError, match="there is no"):
        load_tokenizer(tmp_path / "nothing.json")
    with pytest.raises(FileNotFoundError, match=r"must hold a tokenizer.json.* it has none"):
        load_tokenizer(tmp_path)
    with pytest.raises(ValueError, match=r"save this (one|tokenizer) as .json"):
        byte_level().save(tmp_path / "t.model")
