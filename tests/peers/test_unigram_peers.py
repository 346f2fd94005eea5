"""Unigram beside sentencepiece and Hugging Face: ids, n best, normalisation, training."""

from __future__ import annotations

import base64
import io
import sysconfig
from itertools import islice
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest

from breadth.text.charsmap import Precompiled, SentencePieceNormalizer
from breadth.text.sentencepiece_file import SentencePieceModel, parse_sentencepiece, tokenizer_from
from breadth.text.unigram import Unigram
from breadth.text.unigram_train import train_unigram

sentencepiece = pytest.importorskip("sentencepiece")
tokenizers = pytest.importorskip("tokenizers")

LINES = [line for topic in topics.values() for line in topic.splitlines() if line]


def sources(n_files: int) -> list[str]:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    return [path.read_text(encoding="utf-8", errors="replace") for path in islice(files, n_files)]


def fuzzed(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    alphabet = [chr(c) for c in (*range(32, 127), *range(0xA0, 0x250), *range(0x300, 0x320), 0x3000, 0x2581, 0x200B)]
    alphabet += [" "] * 40 + list("\t\n中ﬁＡ각ガ☃😀")
    return ["".join(rng.choice(alphabet, size=size)) for size in rng.integers(0, 14, size=n)]


def trained(**options) -> bytes:
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES), model_writer=file, model_type="unigram", minloglevel=2, num_threads=2, **options
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def proto() -> bytes:
    return trained(vocab_size=3000)


@pytest.fixture(scope="module")
def peer(proto):
    return sentencepiece.SentencePieceProcessor(model_proto=proto)


@pytest.fixture(scope="module")
def parsed(proto) -> SentencePieceModel:
    return parse_sentencepiece(proto)


@pytest.fixture(scope="module")
def ours(parsed):
    return tokenizer_from(parsed)


def test_ids_of_english_and_code_as_whole_texts_are_sentencepieces(peer, ours):
    for text in [*topics.values(), *sources(40), *fuzzed(3000)]:
        assert ours.encode(text) == peer.encode(text)


@pytest.mark.slow
def test_ids_of_all_of_the_standard_library_are_sentencepieces(peer, ours):
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        text = path.read_text(encoding="utf-8", errors="replace")
        assert ours.encode(text) == peer.encode(text), path


def test_ties_of_a_text_beyond_the_precision_of_float32_fall_as_sentencepieces(peer, ours):
    for text in ("/" * 100_001, "0.0001 " * 20_000, "=-=-==" * 30_000):
        assert ours.encode(text) == peer.encode(text)


def test_normalised_text_is_sentencepieces_for_many_code_points_and_fuzzed_strings(peer, parsed):
    normalizer = SentencePieceNormalizer(parsed.charsmap)
    points = [chr(c) for c in range(1, 0x3400) if not 0xD800 <= c < 0xE000]
    for text in [f"a{point}b" for point in points] + fuzzed(3000, seed=1):
        assert normalizer(text) == peer.normalize(text), ascii(text)


@pytest.mark.slow
def test_normalised_text_is_sentencepieces_for_every_code_point(peer, parsed):
    normalizer = SentencePieceNormalizer(parsed.charsmap)
    for point in range(1, 0x110000):
        if not 0xD800 <= point < 0xE000:
            assert normalizer(f"a{chr(point)}b") == peer.normalize(f"a{chr(point)}b"), hex(point)


def test_a_charsmap_is_applied_as_hugging_face_applies_it(parsed):
    peer = tokenizers.normalizers.Precompiled(parsed.charsmap)
    ours = Precompiled(base64.b64encode(parsed.charsmap).decode())
    points = [chr(c) for c in range(1, 0x3000)]
    for text in [f"a{point}b" for point in points] + fuzzed(3000, seed=2):
        assert ours(text) == peer.normalize_str(text), ascii(text)


def test_n_best_have_sentencepieces_scores_and_its_cuts_where_they_do_not_tie(peer, ours):
    normalizer = ours.pre_tokenizer.normalizer
    for text in ["hello world", "the expression list", "  a  ", "unbelievable!", "☃ snow"]:
        found = ours.model.n_best(normalizer(text), 10)
        expected = peer.nbest_encode_as_ids(text, nbest_size=10)
        scores = [round(cut.score, 3) for cut in found]
        for k, cut in enumerate(found):
            if scores.count(scores[k]) == 1:
                assert cut.ids == expected[k]


@pytest.mark.parametrize("byte_fallback", [False, True])
def test_ids_are_hugging_faces_on_the_same_words(parsed, byte_fallback):
    vocab = list(parsed.pieces)
    if byte_fallback:
        vocab += [(f"<0x{byte:02X}>", 0.0) for byte in range(256)]
    peer = tokenizers.Tokenizer(tokenizers.models.Unigram(vocab, unk_id=0, byte_fallback=byte_fallback))
    ours = Unigram(vocab, unk_id=0, byte_fallback=byte_fallback, precision="float64")
    for text in [*LINES[:2000], *fuzzed(3000, seed=3), "a<s>b<0x41>", *list(topics.values())[:10]]:
        text = text.replace(" ", "▁")
        data = np.frombuffer(text.encode(), dtype=np.uint8)
        assert ours.encode_words(data, np.array([len(data)]))[0].tolist() == peer.encode(text).ids, ascii(text[:80])


def test_training_finds_sentencepieces_vocabulary_and_likelihood(parsed, peer):
    normalizer = SentencePieceNormalizer(parsed.charsmap)
    lines = [line for line in LINES if len(line.encode()) <= 4192 and "▅" not in line]
    ours = train_unigram(lines, vocab_size=3000, normalizer=normalizer, n_threads=1)
    expected = tokenizer_from(parsed)
    assert len(ours.get_vocab().keys() & expected.get_vocab().keys()) >= 0.98 * 3000
    found, wanted = (
        sum(tokenizer.model.statistics(normalizer(line)).log_sum for line in lines[::20])
        for tokenizer in (ours, expected)
    )
    # the peer sums expected counts in float32
    assert found == pytest.approx(wanted, rel=1e-3)
