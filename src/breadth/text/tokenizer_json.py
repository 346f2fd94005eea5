"""Hugging Face's `tokenizer.json`: read into a `Tokenizer`, and written so that `tokenizers` loads it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from breadth.text import decode, decode_words, normalise, normalise_bert, post_process, pre_tokenize
from breadth.text import pre_tokenize_classes as classes
from breadth.text.added_tokens import AddedToken
from breadth.text.arguments import reading
from breadth.text.charsmap import Precompiled
from breadth.text.encoding import Direction, Padding, Strategy, Truncation
from breadth.text.matching import Regex, members
from breadth.text.model import Model
from breadth.text.post_process import SpecialPiece, SpecialToken, TextPiece
from breadth.text.tokenizer import Tokenizer
from breadth.text.whole_file import write_whole

_FORMS = ("NFC", "NFD", "NFKC", "NFKD")

# by the section of the file: which class has which name there; fields have the file's names too
_CLASSES: dict[str, dict[str, Callable[..., Any]]] = {
    "normalizer": {
        "Lowercase": normalise.Lowercase,
        "StripAccents": normalise.StripAccents,
        "Strip": normalise.Strip,
        "Replace": normalise.Replace,
        "Prepend": normalise.Prepend,
        "ByteLevel": normalise.ByteLevel,
        "Nmt": normalise.Nmt,
        "BertNormalizer": normalise_bert.BertNormalizer,
        "Precompiled": Precompiled,
        "Sequence": normalise.Sequence,
    },
    "pre_tokenizer": {
        "ByteLevel": pre_tokenize.ByteLevel,
        "Split": pre_tokenize.Split,
        "Metaspace": pre_tokenize.Metaspace,
        "BertPreTokenizer": pre_tokenize.BertPreTokenizer,
        "Whitespace": classes.Whitespace,
        "WhitespaceSplit": classes.WhitespaceSplit,
        "Digits": classes.Digits,
        "Punctuation": classes.Punctuation,
        "CharDelimiterSplit": classes.CharDelimiterSplit,
        "FixedLength": classes.FixedLength,
        "UnicodeScripts": classes.UnicodeScripts,
        "Sequence": pre_tokenize.Sequence,
    },
    "post_processor": {
        "TemplateProcessing": post_process.TemplateProcessing,
        "BertProcessing": post_process.BertProcessing,
        "RobertaProcessing": post_process.RobertaProcessing,
        "ByteLevel": post_process.ByteLevel,
        "Sequence": post_process.Sequence,
    },
    "decoder": {
        "ByteLevel": decode.ByteLevel,
        "WordPiece": decode_words.WordPiece,
        "Metaspace": decode_words.Metaspace,
        "BPEDecoder": decode_words.BPEDecoder,
        "ByteFallback": decode.ByteFallback,
        "Fuse": decode.Fuse,
        "Strip": decode.Strip,
        "Replace": decode.Replace,
        "Sequence": decode.Sequence,
    },
}
_MEMBERS = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
    "decoder": "decoders",
}
# names in the file of fields whose own name would hide a method or is a Python word in another sense
_RENAMED = {("Metaspace", "split_words"): "split"}

_BEHAVIOURS = {
    "Removed": "removed", "Isolated": "isolated", "MergedWithPrevious": "merged_with_previous",
    "MergedWithNext": "merged_with_next", "Contiguous": "contiguous",
}  # fmt: skip
_STRATEGIES: dict[str, Strategy] = {
    "LongestFirst": "longest_first", "OnlyFirst": "only_first", "OnlySecond": "only_second",
}  # fmt: skip
_DIRECTIONS: dict[str, Direction] = {"Right": "right", "Left": "left"}


def load_tokenizer_json(path: str | Path) -> Tokenizer:
    """A tokenizer from a `tokenizer.json`.

    Args:
        path: of the file.

    Returns:
        The tokenizer, without the chat template, which lies beside the file: `load_tokenizer` of the folder reads both.

    Raises:
        ValueError: if the file is no JSON, lacks a part, or has one of an unknown type; it names the type and where.

    Cost: O(size of the vocabulary), some seconds for 200,000 tokens.
    References: `tokenizers` 0.23, serialisation of `Tokenizer`.
    Peer: tokenizers.Tokenizer.from_file, the layouts of twelve families, exact (A).
    """
    try:
        obj = json.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors put a byte order mark first
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a whole JSON file: {error}; fetch it again") from None
    try:
        return tokenizer_from_json(obj)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def tokenizer_from_json(obj: Any) -> Tokenizer:
    """A tokenizer from the parsed content of a `tokenizer.json`; raises as `load_tokenizer_json` does."""
    if not isinstance(obj, dict) or not isinstance(obj.get("model"), dict):
        raise ValueError("a tokenizer.json must be an object with a 'model' object; this may be another kind of file")
    parts = {}
    for section in _CLASSES:
        if obj.get(section) is not None:
            with reading(section):
                parts[section] = _part(obj[section], section, section)
    spelled = any(
        isinstance(each, (pre_tokenize.ByteLevel, normalise.ByteLevel))
        for section in ("normalizer", "pre_tokenizer")
        for each in members(parts.get(section))
    )
    with reading("model"):
        model = _model(obj["model"], byte_level=spelled)
    with reading("added_tokens"):
        added = [_added_token(token, i) for i, token in enumerate(obj.get("added_tokens") or ())]
    with reading("truncation"):
        truncation = _truncation(obj.get("truncation"))
    with reading("padding"):
        padding = _padding(obj.get("padding"))
    return Tokenizer(model, added_tokens=added, truncation=truncation, padding=padding, **parts)


def _model(obj: Mapping[str, Any], *, byte_level: bool) -> Model:
    # deferred: models import the tokenizer that their training returns
    from breadth.text.bpe import BPE
    from breadth.text.unigram import Unigram
    from breadth.text.wordpiece import WordPiece

    # files before 2021 do not name the type; each has a field that no other has
    kind = obj.get("type") or ("BPE" if "merges" in obj else "WordPiece" if "max_input_chars_per_word" in obj else None)
    if kind == "BPE":
        return BPE.from_json({**obj, "type": kind}, byte_level=byte_level)
    if kind == "WordPiece":
        return WordPiece.from_json({**obj, "type": kind})
    if kind == "Unigram":
        return Unigram.from_json(dict(obj))
    raise ValueError(f"model.type must be BPE, WordPiece or Unigram, got {kind!r}")


def _added_token(obj: Mapping[str, Any], place: int) -> AddedToken:
    try:
        return AddedToken(
            **{name: obj[name] for name in ("content", "id")},
            **{name: obj[name] for name in ("special", "single_word", "lstrip", "rstrip", "normalized") if name in obj},
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"added_tokens[{place}] must have 'content' and 'id', got {obj!r}") from error


def _part(obj: Any, section: str, where: str) -> Any:
    """A component from its object; `where` is its place in the file."""
    kind = str(obj.get("type")) if isinstance(obj, dict) else ""
    if section == "normalizer" and kind in _FORMS:
        return normalise.UnicodeForm(kind)
    make = _CLASSES[section].get(kind)
    if make is None:
        known = ", ".join([*_CLASSES[section], *(_FORMS if section == "normalizer" else ())])
        raise ValueError(f"{where}.type must be one of {known}, got {kind!r}")
    if kind == "Sequence":
        inside = _MEMBERS[section]
        return make(tuple(_part(each, section, f"{where}.{inside}[{i}]") for i, each in enumerate(obj.get(inside, ()))))
    if kind == "TemplateProcessing":
        return _template(obj, where)
    names = [each.name for each in fields(make) if each.init] if is_dataclass(make) else []
    arguments = {}
    for name in names:
        written = _RENAMED.get((kind, name), name)
        if written in obj:
            arguments[name] = _value(obj[written], name, f"{where}.{written}")
    if kind == "Metaspace" and "prepend_scheme" not in obj and "add_prefix_space" in obj:  # before 0.14
        arguments["prepend_scheme"] = "always" if obj["add_prefix_space"] else "never"
    try:
        return make(**arguments)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where} ({kind}): {error}") from error


def _value(value: Any, name: str, where: str) -> Any:
    if name == "pattern":
        if isinstance(value, dict) and len(value) == 1:
            if isinstance(value.get("Regex"), str):
                return Regex(value["Regex"])
            if isinstance(value.get("String"), str):
                return value["String"]
        raise ValueError(f'{where} must be {{"String": ...}} or {{"Regex": ...}}, got {value!r}')
    if name == "behavior":
        if value not in _BEHAVIOURS:
            raise ValueError(f"{where} must be one of {', '.join(_BEHAVIOURS)}, got {value!r}")
        return _BEHAVIOURS[value]
    if name in ("content", "prepend", "replacement") and not isinstance(value, str):
        raise ValueError(f"{where} must be a string, got {value!r}")
    return tuple(value) if name in ("sep", "cls") else value


def _template(obj: Mapping[str, Any], where: str) -> post_process.TemplateProcessing:
    def pieces(name: str) -> post_process.Template:
        read: list[TextPiece | SpecialPiece] = []
        for i, piece in enumerate(obj.get(name, ())):
            (kind, content), *rest = piece.items() if isinstance(piece, dict) and piece else [("", {})]
            if kind == "Sequence" and not rest:
                if content["id"] not in ("A", "B"):
                    raise ValueError(f"{where}.{name}[{i}].Sequence.id must be A or B, got {content['id']!r}")
                read.append(TextPiece(("A", "B").index(content["id"]), int(content.get("type_id", 0))))
            elif kind == "SpecialToken" and not rest:
                read.append(SpecialPiece(content["id"], int(content.get("type_id", 0))))
            else:
                raise ValueError(f"{where}.{name}[{i}] must be one Sequence or one SpecialToken, got {piece!r}")
        return tuple(read)

    special = {
        name: SpecialToken(tuple(map(int, token["ids"])), tuple(token["tokens"]))
        for name, token in (obj.get("special_tokens") or {}).items()
    }
    return post_process.TemplateProcessing(pieces("single"), pieces("pair"), special)


def _truncation(obj: Mapping[str, Any] | None) -> Truncation | None:
    if obj is None:
        return None
    strategy, direction = obj.get("strategy", "LongestFirst"), obj.get("direction", "Right")
    if strategy not in _STRATEGIES or direction not in _DIRECTIONS:
        raise ValueError(f"truncation has an unknown strategy or direction: {strategy!r}, {direction!r}")
    return Truncation(
        obj["max_length"], stride=obj.get("stride", 0), strategy=_STRATEGIES[strategy], direction=_DIRECTIONS[direction]
    )


def _padding(obj: Mapping[str, Any] | None) -> Padding | None:
    if obj is None:
        return None
    strategy, direction = obj.get("strategy", "BatchLongest"), obj.get("direction", "Right")
    if (strategy != "BatchLongest" and not isinstance(strategy, dict)) or direction not in _DIRECTIONS:
        raise ValueError(f"padding has an unknown strategy or direction: {strategy!r}, {direction!r}")
    return Padding(
        pad_id=obj["pad_id"],
        pad_token=obj["pad_token"],
        pad_type_id=obj.get("pad_type_id", 0),
        length=strategy["Fixed"] if isinstance(strategy, dict) else None,
        pad_to_multiple_of=obj.get("pad_to_multiple_of"),
        direction=_DIRECTIONS[direction],
    )


def tokenizer_to_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of a `tokenizer.json`.

    Args:
        tokenizer: any whose parts the format knows.

    Returns:
        An object that `json.dumps` writes and `tokenizers` reads.

    Raises:
        ValueError: if a part is of a kind that the format has no name for, or a byte-level model has nothing around it
            that says so.

    References: `tokenizers` 0.23, serialisation of `Tokenizer`.
    Peer: tokenizers.Tokenizer.from_str and its `to_str`, exact (A).
    """
    parts = {section: _written(getattr(tokenizer, section), section) for section in _CLASSES}
    spelled = any(
        isinstance(each, (pre_tokenize.ByteLevel, normalise.ByteLevel))
        for component in (tokenizer.normalizer, tokenizer.pre_tokenizer)
        for each in members(component)
    )
    if getattr(tokenizer.model, "byte_level", False) and not spelled:
        raise ValueError(
            "tokenizer.json says that a model is byte-level by a ByteLevel pre-tokenizer or normalizer, which this "
            "tokenizer lacks; add breadth.text.pre_tokenize.ByteLevel(add_prefix_space=False, use_regex=False)"
        )
    return {
        "version": "1.0",
        "truncation": _written_truncation(tokenizer.truncation),
        "padding": _written_padding(tokenizer.padding),
        "added_tokens": [
            {
                "id": token.id,
                "content": token.content,
                "single_word": token.single_word,
                "lstrip": token.lstrip,
                "rstrip": token.rstrip,
                "normalized": token.normalized,
                "special": token.special,
            }
            for token in sorted(tokenizer.added_tokens, key=lambda token: token.id)
        ],
        **parts,
        "model": tokenizer.model.to_json(),
    }


def _written(component: Any, section: str) -> dict[str, Any] | None:
    if component is None:
        return None
    if isinstance(component, normalise.UnicodeForm):
        return {"type": component.form}
    kind = next((name for name, make in _CLASSES[section].items() if type(component) is make), None)
    if kind is None:
        raise ValueError(f"tokenizer.json has no {section} of the kind {type(component).__name__}")
    if kind == "Sequence":
        inside = _MEMBERS[section]
        return {"type": kind, inside: [_written(each, section) for each in getattr(component, inside)]}
    if kind == "TemplateProcessing":
        return _written_template(component)
    written: dict[str, Any] = {"type": kind}
    for each in fields(component):
        if each.init:
            written[_RENAMED.get((kind, each.name), each.name)] = _written_value(
                getattr(component, each.name), each.name
            )
    return written


def _written_value(value: Any, name: str) -> Any:
    if name == "pattern":
        return {"Regex": value.pattern} if isinstance(value, Regex) else {"String": value}
    if name == "behavior":
        return next(written for written, own in _BEHAVIOURS.items() if own == value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return list(value) if isinstance(value, tuple) else value


def _written_template(template: post_process.TemplateProcessing) -> dict[str, Any]:
    def pieces(given: post_process.Template) -> list[dict[str, Any]]:
        return [
            {"Sequence": {"id": "AB"[piece.text], "type_id": piece.type_id}}
            if isinstance(piece, TextPiece)
            else {"SpecialToken": {"id": piece.name, "type_id": piece.type_id}}
            for piece in given
        ]

    return {
        "type": "TemplateProcessing",
        "single": pieces(template.single),
        "pair": pieces(template.pair),
        "special_tokens": {
            name: {"id": name, "ids": list(token.ids), "tokens": list(token.tokens)}
            for name, token in template.special_tokens.items()
        },
    }


def _written_truncation(truncation: Truncation | None) -> dict[str, Any] | None:
    if truncation is None:
        return None
    return {
        "direction": truncation.direction.capitalize(),
        "max_length": truncation.max_length,
        "strategy": next(written for written, own in _STRATEGIES.items() if own == truncation.strategy),
        "stride": truncation.stride,
    }


def _written_padding(padding: Padding | None) -> dict[str, Any] | None:
    if padding is None:
        return None
    return {
        "strategy": "BatchLongest" if padding.length is None else {"Fixed": padding.length},
        "direction": padding.direction.capitalize(),
        "pad_to_multiple_of": padding.pad_to_multiple_of,
        "pad_id": padding.pad_id,
        "pad_type_id": padding.pad_type_id,
        "pad_token": padding.pad_token,
    }


def save_tokenizer_json(tokenizer: Tokenizer, path: str | Path) -> None:
    """Write a tokenizer to a `tokenizer.json`; raises as `tokenizer_to_json` does."""
    write_whole(path, json.dumps(tokenizer_to_json(tokenizer), ensure_ascii=False, indent=2).encode())
