"""`.model` files beside sentencepiece: each reads what the other writes, with the same ids and the same text."""

from __future__ import annotations

import io
from pydoc_data.topics import topics

import numpy as np
import pytest

from breadth.text.sentencepiece_file import load_sentencepiece, save_sentencepiece
from breadth.text.unigram_train import train_unigram

sentencepiece = pytest.importorskip("sentencepiece")

LINES = [line for topic in topics.values() for line in topic.splitlines() if line]
OPTIONS = {
    "plain": {},
    "bytes": {"byte_fallback": True, "character_coverage": 0.98},
    "symbols": {"user_defined_symbols": ["<sep>", "def ", "the"], "control_symbols": ["<ctl>"]},
    "spaces": {"remove_extra_whitespaces": False, "add_dummy_prefix": False, "normalization_rule_name": "identity"},
    "suffix": {"treat_whitespace_as_suffix": True, "pad_id": 3},
    "folded": {"normalization_rule_name": "nmt_nfkc_cf", "split_digits": True, "unk_surface": "?"},
}


def texts() -> list[str]:
    rng = np.random.default_rng(0)
    alphabet = [chr(c) for c in (*range(32, 127), *range(0xA0, 0x180), 0x3000, 0x2581, 0x200B, 0x301)] + [" "] * 40
    alphabet += ["<sep>", "def ", "the", "<s>", "<unk>", "<0x41>", "<ctl>", "中", "😀", "\t", "\n"]
    return ["".join(rng.choice(alphabet, size=size)) for size in rng.integers(0, 14, size=2000)] + LINES[::7]


@pytest.mark.parametrize("model_type", ["unigram", "bpe"])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_ids_and_text_are_sentencepieces_before_and_after_saving(tmp_path, model_type, options):
    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(LINES[::3]), model_writer=file, model_type=model_type, vocab_size=1000, minloglevel=2,
        **options,
    )  # fmt: skip
    path = tmp_path / "a.model"
    path.write_bytes(file.getvalue())
    peer = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = load_sentencepiece(path)
    save_sentencepiece(ours, tmp_path / "b.model")
    saved = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "b.model"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.model", "b.model"]
    assert [saved.bos_id(), saved.eos_id(), saved.pad_id(), saved.unk_id()] == [
        peer.bos_id(), peer.eos_id(), peer.pad_id(), peer.unk_id(),
    ]  # fmt: skip
    for text in texts():
        ids = peer.encode(text)
        assert ours.encode(text) == ids, ascii(text)
        assert saved.encode(text) == ids, ascii(text)
        assert ours.decode(ids) == peer.decode(ids) == saved.decode(ids), ascii(text)
    rng = np.random.default_rng(1)
    for ids in rng.integers(0, 1000, size=(300, 8)).tolist():
        assert ours.decode(ids) == peer.decode(ids)


def test_offsets_are_sentencepieces(tmp_path):
    path = tmp_path / "a.model"
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(LINES[::3]), model_writer=file, vocab_size=1000, minloglevel=2
        )
    peer = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = load_sentencepiece(path)
    for text in [*LINES[::50], "  Hello  wörld ﬁx", "the é cat ☃☃ "]:
        expected = peer.encode(text, return_type="proto").pieces  # offsets there are bytes
        found = ours.encode_with_offsets(text)
        assert found.ids == [piece.id for piece in expected]
        characters = [len(text.encode()[: piece.begin].decode()) for piece in expected]
        # a piece that begins in the middle of what one character became has that character's place in both
        assert [begin for begin, _ in found.offsets] == characters, ascii(text)


def test_sentencepiece_loads_what_was_trained_here(tmp_path):
    ours = train_unigram(LINES[::3], vocab_size=1200, byte_fallback=True, user_defined_symbols=["<sep>"], n_threads=1)
    save_sentencepiece(ours, tmp_path / "a.model")
    peer = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "a.model"))
    again = load_sentencepiece(tmp_path / "a.model")
    for text in texts():
        assert ours.encode(text) == peer.encode(text) == again.encode(text), ascii(text)
        assert ours.decode(ours.encode(text)) == peer.decode(peer.encode(text)), ascii(text)
