"""SentencePiece `.model` files, read and written without protobuf: wire format, fields that matter, tokenizer."""

from __future__ import annotations

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from breadth.text.charsmap import SentencePieceNormalizer
from breadth.text.sentencepiece_parts import SentencePieceBPE, SentencePieceDecoder, SentencePieceWords
from breadth.text.unigram import PieceType, Unigram

if TYPE_CHECKING:
    from breadth.text.tokenizer import Tokenizer

_TYPES: tuple[PieceType, ...] = ("normal", "unknown", "control", "user_defined", "unused", "byte")
_UNIGRAM, _BPE = 1, 2
_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data):
            raise ValueError("is truncated in a number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("has a number of more than 64 bits")


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message; fixed-size numbers come as their bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if number == 0 or wire not in (0, 1, 2, 5):
            raise ValueError(f"has the key {key} at byte {at}, which no field has")
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        size = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            size, at = _varint(data, at)
        if at + size > len(data):
            raise ValueError(f"is truncated in field {number}: {size} bytes at {at} of {len(data)}")
        yield number, data[at : at + size]
        at += size


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("has a number where a string or message belongs")
    return value


def _int(value: int | bytes) -> int:
    """A 32-bit integer: negative ones are written as 64 bits."""
    if isinstance(value, bytes):
        raise ValueError("has a string where a number belongs")
    return value - (1 << 64) if value >= 1 << 63 else value


class SentencePieceModel(NamedTuple):
    """What of a `.model` file decides ids and text."""

    pieces: list[tuple[str, float]]
    types: list[PieceType]
    model_type: int = _UNIGRAM
    byte_fallback: bool = False
    treat_whitespace_as_suffix: bool = False
    unk_surface: str = " ⁇ "
    special: dict[str, str] = {}  # noqa: RUF012 - never written to; {"bos": "<s>", ...}
    normalizer_name: str = ""
    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True


_SPECIAL = {45: "unk", 46: "bos", 47: "eos", 48: "pad"}
_SPECIAL_DEFAULTS = {"unk": "<unk>", "bos": "<s>", "eos": "</s>", "pad": "<pad>"}


def parse_sentencepiece(data: bytes) -> SentencePieceModel:
    """Read the fields of a serialised `ModelProto`.

    Args:
        data: the file's bytes.

    Returns:
        Pieces with scores and types, and the options that decide how text becomes ids.

    Raises:
        ValueError: if the bytes are no such message, are truncated, or hold what is not supported (word and character
            models, a denormalizer).

    References: google/sentencepiece, `sentencepiece_model.proto`; Protocol Buffers, "Encoding".
    Peer: sentencepiece.SentencePieceProcessor (A).
    """
    pieces: list[tuple[str, float]] = []
    types: list[PieceType] = []
    options: dict[str, object] = {}
    special = dict(_SPECIAL_DEFAULTS)
    seen = set()
    for number, value in _fields(data):
        seen.add(number)
        if number == 1:
            piece, score, kind = "", 0.0, 1
            for inner, part in _fields(_bytes(value)):
                if inner == 1:
                    piece = _bytes(part).decode("utf-8")
                elif inner == 2:
                    if len(_bytes(part)) != 4:
                        raise ValueError(f"has a score of {len(_bytes(part))} bytes, where 4 belong")
                    score = struct.unpack("<f", _bytes(part))[0]
                elif inner == 3:
                    kind = _int(part)
            if not 1 <= kind <= len(_TYPES):
                raise ValueError(f"has the piece {piece!r} of unknown type {kind}")
            pieces.append((piece, score))
            types.append(_TYPES[kind - 1])
        elif number == 2:
            for inner, part in _fields(_bytes(value)):
                if inner == 3:
                    options["model_type"] = _int(part)
                elif inner == 24:
                    options["treat_whitespace_as_suffix"] = bool(_int(part))
                elif inner == 35:
                    options["byte_fallback"] = bool(_int(part))
                elif inner == 44:
                    options["unk_surface"] = _bytes(part).decode("utf-8")
                elif inner in _SPECIAL:
                    special[_SPECIAL[inner]] = _bytes(part).decode("utf-8")
        elif number == 3:
            for inner, part in _fields(_bytes(value)):
                if inner == 1:
                    options["normalizer_name"] = _bytes(part).decode("utf-8")
                elif inner == 2:
                    options["charsmap"] = _bytes(part)
                elif inner in (3, 4, 5):
                    names = ("add_dummy_prefix", "remove_extra_whitespaces", "escape_whitespaces")
                    options[names[inner - 3]] = bool(_int(part))
        elif number == 5 and any(inner == 2 and part for inner, part in _fields(_bytes(value))):
            raise ValueError("has a denormalizer, which is not supported")
    if not pieces:
        raise ValueError("has no pieces: it is empty, or no SentencePiece model")
    if not {2, 3} <= seen:  # they follow the pieces, so a file cut between two fields lacks them
        raise ValueError("is truncated: it lacks the trainer's or the normalizer's options, which follow the pieces")
    return SentencePieceModel(pieces, types, special=special, **cast(dict[str, Any], options))


def _key(number: int, wire: int) -> bytes:
    return _number(number << 3 | wire)


def _number(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _message(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _number(len(content)) + content


def _flag(number: int, value: int) -> bytes:
    return _key(number, 0) + _number(value)


def serialise_sentencepiece(model: SentencePieceModel) -> bytes:
    """Write a `ModelProto`, the reverse of `parse_sentencepiece`."""
    out = bytearray()
    for (piece, score), kind in zip(model.pieces, model.types, strict=True):
        content = _message(1, piece.encode("utf-8")) + _key(2, 5) + struct.pack("<f", score)
        out += _message(1, content + _flag(3, _TYPES.index(kind) + 1))
    ids = {piece: i for i, (piece, _) in enumerate(model.pieces)}
    special = _SPECIAL_DEFAULTS | model.special
    trainer = _flag(3, model.model_type) + _flag(4, len(model.pieces))
    trainer += _flag(24, model.treat_whitespace_as_suffix) + _flag(35, model.byte_fallback)
    for offset, name in enumerate(("unk", "bos", "eos", "pad")):
        trainer += _flag(40 + offset, ids.get(special[name], -1))
    trainer += _message(44, model.unk_surface.encode("utf-8"))
    for offset, name in enumerate(("unk", "bos", "eos", "pad")):
        trainer += _message(45 + offset, special[name].encode("utf-8"))
    out += _message(2, trainer)
    normalizer = _message(1, model.normalizer_name.encode("utf-8")) + _message(2, model.charsmap)
    normalizer += _flag(3, model.add_dummy_prefix) + _flag(4, model.remove_extra_whitespaces)
    out += _message(3, normalizer + _flag(5, model.escape_whitespaces))
    return bytes(out)


def tokenizer_from(model: SentencePieceModel) -> Tokenizer:
    """The tokenizer that gives the ids and the text that SentencePiece gives with this model."""
    from breadth.text.tokenizer import Tokenizer

    if model.model_type not in (_UNIGRAM, _BPE):
        kind = _MODEL_TYPES.get(model.model_type, str(model.model_type))
        raise ValueError(f"is a {kind} model; unigram and bpe models are supported")
    symbols = tuple(p for (p, _), kind in zip(model.pieces, model.types, strict=True) if kind == "user_defined")
    normalizer = SentencePieceNormalizer(
        model.charsmap,
        add_dummy_prefix=model.add_dummy_prefix,
        remove_extra_whitespaces=model.remove_extra_whitespaces,
        escape_whitespaces=model.escape_whitespaces,
        treat_whitespace_as_suffix=model.treat_whitespace_as_suffix,
        user_defined_symbols=symbols,
    )
    if "unknown" not in model.types:
        raise ValueError("has no piece of type unknown, which every SentencePiece model has")
    split_words = False
    if model.model_type == _UNIGRAM:
        unigram = Unigram(
            model.pieces,
            unk_id=model.types.index("unknown"),
            types=model.types,
            byte_fallback=model.byte_fallback,
        )
    else:
        unigram = SentencePieceBPE(model.pieces, types=model.types, byte_fallback=model.byte_fallback)
        split_words = ("▁", "normal") in {
            (p, kind) for (p, _), kind in zip(model.pieces, model.types, strict=True)
        } and not any("▁" in piece[1:] for piece, _ in model.pieces)
    types = {p: kind for (p, _), kind in zip(model.pieces, model.types, strict=True) if kind != "normal"}
    stripped = None if model.remove_extra_whitespaces else int(model.add_dummy_prefix)
    special = {f"{name}_token": piece for name, piece in model.special.items() if piece in types}
    return Tokenizer(
        unigram,
        pre_tokenizer=SentencePieceWords(normalizer, split_words),
        decoder=SentencePieceDecoder(types, model.unk_surface, stripped),
        special_tokens=special,
    )


def load_sentencepiece(path: str | os.PathLike[str]) -> Tokenizer:
    """Read a SentencePiece `.model` file.

    Args:
        path: the file.

    Returns:
        A tokenizer with SentencePiece's ids for any text. Control pieces such as `<s>` are not found in text, as there.

    Raises:
        ValueError: if the file is truncated or no such model, or the model is of a kind that is not supported.

    Cost: about 1 us a piece, and the trie.
    References: google/sentencepiece, `sentencepiece_model.proto`.
    Peer: sentencepiece.SentencePieceProcessor, ids and decoded text of unigram and bpe models, exact (A).
    In production: for T5, ALBERT, XLM-R (unigram) and Llama 2, Mistral, Gemma (bpe) as their authors published them.
    """
    data = Path(path).read_bytes()
    try:
        return tokenizer_from(parse_sentencepiece(data))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"{os.fspath(path)} {error}") from error


def save_sentencepiece(tokenizer: Tokenizer, path: str | os.PathLike[str]) -> None:
    """Write a SentencePiece `.model` file; the old file stays until the new one is whole.

    Args:
        tokenizer: one that `load_sentencepiece` or `Unigram.train` made.
        path: the file.

    Raises:
        ValueError: if the format cannot hold the tokenizer: another model, normalizer or splitting.

    References: google/sentencepiece, `sentencepiece_model.proto`.
    Peer: sentencepiece.SentencePieceProcessor loads the file and gives the same ids (A).
    """
    model, words = tokenizer.model, tokenizer.pre_tokenizer
    if not isinstance(model, Unigram | SentencePieceBPE) or model.types is None:
        raise ValueError(
            f"a .model file holds a Unigram or SentencePieceBPE model with piece types, got {type(model).__name__}; "
            "save this tokenizer as .json"
        )
    if not isinstance(words, SentencePieceWords) or tokenizer.normalizer is not None or tokenizer.added_tokens:
        raise ValueError(
            "a .model file holds SentencePiece's own normalisation and no added tokens; this tokenizer has "
            f"normalizer {tokenizer.normalizer!r}, pre_tokenizer {words!r} and {len(tokenizer.added_tokens)} added "
            "tokens; save it as .json"
        )
    normalizer, decoder = words.normalizer, tokenizer.decoder
    content = serialise_sentencepiece(
        SentencePieceModel(
            list(zip(model.pieces, model.scores.tolist(), strict=True)),
            list(model.types),
            model_type=_UNIGRAM if isinstance(model, Unigram) else _BPE,
            byte_fallback=model.byte_fallback,
            treat_whitespace_as_suffix=normalizer.treat_whitespace_as_suffix,
            unk_surface=decoder.unk_surface if isinstance(decoder, SentencePieceDecoder) else " ⁇ ",
            special={name.removesuffix("_token"): piece for name, piece in tokenizer.special_tokens.items()}
            | {"unk": model.pieces[model.types.index("unknown")]},
            charsmap=normalizer.charsmap_bytes,
            add_dummy_prefix=normalizer.add_dummy_prefix,
            remove_extra_whitespaces=normalizer.remove_extra_whitespaces,
            escape_whitespaces=normalizer.escape_whitespaces,
        )
    )
    path = Path(path)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            temporary.unlink()
            raise
    temporary.replace(path)
