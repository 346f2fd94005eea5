"""Decoding through tables and a kernel: what token by token gives, for few ids and for many."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest

from breadth.text.added_tokens import AddedToken
from breadth.text.bpe import BPE
from breadth.text.decode import ByteLevel, decode_tokens
from breadth.text.decode_kernels import join_bytes
from breadth.text.id_table import MANY
from breadth.text.pre_tokenize import ByteLevel as BytePreTokenizer
from breadth.text.sentencepiece_parts import SentencePieceDecoder
from breadth.text.tokenizer import Tokenizer
from tests.text.test_decode import DECODERS, TOKENS

BYTES = BPE.from_ranks({bytes([byte]): byte for byte in range(256)} | {b"the": 256, b"a" * 40: 300})
SIZES = [0, 1, MANY - 1, MANY, MANY + 1, 300]


def byte_level(**arguments):
    end = AddedToken("<|end|>", 310)
    return Tokenizer(BYTES, pre_tokenizer=BytePreTokenizer(False), decoder=ByteLevel(), added_tokens=[end], **arguments)


def with_decoder(decoder):
    tokens = dict.fromkeys([*TOKENS, "<unk>", "<s>"])
    tokens.pop("")
    return Tokenizer(BPE({token: 3 * i for i, token in enumerate(tokens)}, []), decoder=decoder)


PIECES = SentencePieceDecoder(
    {"<0xC3>": "byte", "<0xA9>": "byte", "<0xF0>": "byte", "<unk>": "unknown", "<s>": "control"}
)


@pytest.mark.parametrize(
    "decoder", [None, *(ours for _, ours in DECODERS[1:]), PIECES], ids=lambda each: str(each)[:50]
)
def test_the_table_reads_any_ids_as_the_decoder_does_token_by_token(decoder):
    tokenizer = with_decoder(decoder)
    rng, known = random.Random(0), list(tokenizer.get_vocab().values())
    for size in [*range(8), 40, 400]:
        for _ in range(40):
            ids = rng.choices(known, k=size)
            assert tokenizer.decode(ids) == decode_tokens(decoder, tokenizer.tokens_of(ids)), ids


@pytest.mark.parametrize("size", SIZES)
def test_many_bytes_are_joined_as_few_are(size):
    tokenizer = byte_level()
    rng, known = random.Random(size), [*range(257), 300, 310]
    for _ in range(20):
        ids = rng.choices(known, k=size)
        spelt = [b"<|end|>" if i == 310 else b"the" if i == 256 else b"a" * 40 if i == 300 else bytes([i]) for i in ids]
        assert tokenizer.decode_bytes(ids) == b"".join(spelt)
        assert tokenizer.decode(ids) == b"".join(spelt).decode(errors="replace")
        without = b"".join(each for each in spelt if each != b"<|end|>")
        assert tokenizer.decode_bytes(ids, skip_special_tokens=True) == without
        assert tokenizer.decode_batch([ids, ids]) == [tokenizer.decode(ids)] * 2


def test_the_kernel_joins_what_python_joins():
    rng = np.random.default_rng(0)
    parts = [rng.bytes(int(size)) for size in rng.integers(0, 30, 100)] + [b"", rng.bytes(1000)]
    sizes = np.array([len(part) for part in parts], dtype=np.int32)
    begins = np.cumsum(sizes, dtype=np.int64) - sizes
    spelling = np.frombuffer(b"".join(parts) + bytes(8), dtype=np.uint8)
    for n in (0, 1, 2, 1000):
        ids = rng.integers(0, len(parts), n).astype(np.int32)
        out, place = join_bytes(ids, spelling, begins, sizes)
        assert (out[:-8].tobytes(), place) == (b"".join(parts[i] for i in ids), -1)
    sizes[7] = -1
    for wrong in (7, -1, len(parts), 2**31 - 1):
        assert join_bytes(np.array([0, 3, wrong, wrong], dtype=np.int32), spelling, begins, sizes)[1] == 2


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wrong", [-1, 257, 299, 311, 2**31, 2**70, -(2**40), "a", 1.5, None, [1]])
def test_what_is_no_tokens_id_is_named_with_its_place(wrong, size):
    ids = [*[104] * size, wrong, 105]
    for tokenizer in (byte_level(), with_decoder(DECODERS[3][1]), with_decoder(None)):
        ids[:size] = [0] * size
        with pytest.raises(
            ValueError, match=f"ids has .* at {size}, which is no token's; the .* tokens have ids up to"
        ):
            tokenizer.decode(ids)
        with pytest.raises(ValueError, match=f"at {size}, which is no token's"):
            tokenizer.tokens_of(ids)


@pytest.mark.parametrize("size", SIZES)
def test_ids_may_come_as_any_iterable_of_integers(size):
    tokenizer = byte_level()
    ids = [97 + i % 26 for i in range(size)]
    expected = tokenizer.decode(ids)
    for given in (tuple(ids), iter(ids), np.array(ids, dtype=np.int64), np.array(ids, dtype=np.uint16), map(int, ids)):
        assert tokenizer.decode(given) == expected
    assert tokenizer.decode([np.int32(i) for i in ids]) == expected


@pytest.mark.parametrize("decoder", [ours for _, ours in DECODERS], ids=lambda each: str(each)[:50])
def test_a_tokenizer_that_has_decoded_can_be_sent_to_another_process(decoder):
    tokenizer = byte_level() if isinstance(decoder, ByteLevel) else with_decoder(decoder)
    ids = [i for i in tokenizer.get_vocab().values() if i < 60] * 3
    text = tokenizer.decode(ids)
    assert pickle.loads(pickle.dumps(tokenizer)).decode(ids) == text
