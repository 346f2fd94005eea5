"""WordPiece and Unigram beside Hugging Face's tokenizers and sentencepiece: speed, and whether results are the same."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import sentencepiece
import tokenizers

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows
from benchmarks.tokenizers import HUGGING_FACE, corpus, megabytes
from breadth.text.charsmap import SentencePieceNormalizer
from breadth.text.normalise_bert import BertNormalizer
from breadth.text.pre_tokenize import BertPreTokenizer
from breadth.text.sentencepiece_file import parse_sentencepiece, tokenizer_from
from breadth.text.tokenizer import Tokenizer
from breadth.text.unigram import Unigram
from breadth.text.wordpiece import WordPiece

SENTENCEPIECE = "sentencepiece"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def compared(
    what: str, peer: str, contenders: dict[str, Callable[[Any], Any]], bar: float, setup: Setup, raw: Times
) -> list[Row]:
    """A row of time, and one of texts whose ids differ."""
    ids: dict[str, list[list[int]]] = {}
    times = interleave(
        contenders,
        lambda _: None,
        reps=setup.repetitions(5),
        look=lambda name, _, __, result: ids.update({name: result}),
    )
    differing = sum(list(a) != list(b) for a, b in zip(ids[OURS], ids[peer], strict=True))
    return [
        *ratio_rows(what, times, {peer: bar}, raw),
        Row(f"texts of other ids, {what}", differing, "count", 0, peer),
    ]


def wordpiece_rows(setup: Setup, raw: Times) -> list[Row]:
    texts = corpus(setup.size(1 << 30, 200_000))
    peer = tokenizers.Tokenizer(tokenizers.models.WordPiece(unk_token="[UNK]"))
    peer.normalizer = tokenizers.normalizers.BertNormalizer()
    peer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=setup.size(30_000, 1000), special_tokens=SPECIAL, show_progress=False
    )
    peer.train_from_iterator(texts, trainer)
    spelled = json.loads(peer.to_str())["model"]
    few = texts[:: setup.size(4, 4)]

    def ours(_: Any) -> list[list[int]]:
        model = WordPiece.from_json(spelled)  # its cache of words begins empty
        tokenizer = Tokenizer(model, normalizer=BertNormalizer(), pre_tokenizer=BertPreTokenizer())
        return tokenizer.encode_batch(few, add_special_tokens=False, n_threads=1)

    contenders = {OURS: ours, HUGGING_FACE: lambda _: [peer.encode(text, add_special_tokens=False).ids for text in few]}
    return compared(
        f"encode, WordPiece (BERT, uncased), {megabytes(few)}, 1 thread", HUGGING_FACE, contenders, 1 / 10, setup, raw
    )


def unigram_rows(setup: Setup, raw: Times) -> list[Row]:
    texts = corpus(setup.size(1 << 30, 200_000))
    few = texts[:: setup.size(4, 4)]
    lines = [line for text in texts[:: setup.size(9, 4)] for line in text.splitlines() if line]
    lines = [line for line in lines if len(line.encode()) <= 4192 and "▅" not in line]  # the peer leaves these out
    vocab_size = setup.size(8000, 1000)
    models: dict[str, Any] = {}

    def theirs(_: Any) -> bytes:
        file = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines), model_writer=file, model_type="unigram", vocab_size=vocab_size,
            minloglevel=2, num_threads=setup.threads,
        )  # fmt: skip
        return file.getvalue()

    parsed = parse_sentencepiece(theirs(None))
    normalizer = SentencePieceNormalizer(parsed.charsmap)
    times = interleave(
        {
            OURS: lambda _: Unigram.train(lines, vocab_size=vocab_size, normalizer=normalizer, n_threads=setup.threads),
            SENTENCEPIECE: theirs,
        },
        lambda _: None,
        reps=setup.repetitions(3),
        look=lambda name, _, __, result: models.update({name: result}),
    )
    proto = models[SENTENCEPIECE]
    expected = tokenizer_from(parse_sentencepiece(proto))
    both = models[OURS].get_vocab().keys() & expected.get_vocab().keys()
    found, wanted = (
        sum(tokenizer.model.statistics(normalizer(line)).log_sum for line in lines[::20])
        for tokenizer in (models[OURS], expected)
    )
    what = f"train Unigram, {vocab_size:,} pieces, {megabytes(lines)}"
    rows = [
        *ratio_rows(what, times, {SENTENCEPIECE: 1.0}, raw),
        Row(f"{what}: share of the peer's pieces missing", 1 - len(both) / vocab_size, "absolute", 0.02, SENTENCEPIECE),
        Row(
            f"{what}: log-likelihood / the peer's - 1, absolute",
            abs(found / wanted - 1),
            "absolute",
            1e-3,
            SENTENCEPIECE,
        ),
    ]
    peer = sentencepiece.SentencePieceProcessor(model_proto=proto)
    tokenizer = tokenizer_from(parse_sentencepiece(proto))
    contenders = {
        OURS: lambda _: tokenizer.encode_batch(few, n_threads=1),
        SENTENCEPIECE: lambda _: [peer.encode(text) for text in few],
    }
    return rows + compared(f"encode, Unigram, {megabytes(few)}, 1 thread", SENTENCEPIECE, contenders, 1.0, setup, raw)


_DATA = "The standard library's sources and pydoc's topics, one text a file or topic"
SECTIONS = (
    Section(
        "wordpiece",
        "Tokenizers: WordPiece",
        f"{_DATA}; the vocabulary is trained by tokenizers. Strings in, lists of ids out, normalising and splitting "
        "included; ours begins each time without a word in its cache.",
        wordpiece_rows,
    ),
    Section(
        "unigram",
        "Tokenizers: Unigram",
        f"{_DATA}; training takes lines of a ninth of the texts with sentencepiece's defaults; encoding takes its "
        "model and whole texts.",
        unigram_rows,
    ),
)
