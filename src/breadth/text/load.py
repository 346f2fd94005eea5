"""A tokenizer from whatever file it comes in, and back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from breadth.text.encoding import Encoding
from breadth.text.post_process import PostProcessor, Sequence, SpecialPiece, SpecialToken, TemplateProcessing, TextPiece
from breadth.text.tokenizer import Tokenizer
from breadth.text.whole_file import write_whole

FORMATS = ".json (Hugging Face), .tiktoken (ranks) or .model (SentencePiece)"


def load_tokenizer(path: str | os.PathLike[str], **options: Any) -> Tokenizer:
    """A tokenizer from a file or a folder, told by its name.

    Args:
        path: a folder with a `tokenizer.json` (and `tokenizer_config.json`, `special_tokens_map.json` and
            `chat_template.jinja` beside it), a `*.tiktoken` or a `*.model`; or such a file itself.
        options: of `load_tiktoken`: `pattern`, `special_tokens`, `allow_holes`.

    Returns:
        The tokenizer; from a folder with its chat template and the names of its special tokens.

    Raises:
        FileNotFoundError: if there is no such file, or nothing in the folder that a tokenizer could be in.
        ValueError: if the suffix is of no known format, or the file is malformed; it says where.

    References: `tokenizers` 0.23 and transformers (`tokenizer_config.json`); openai/tiktoken; google/sentencepiece.
    Peer: tokenizers, tiktoken and sentencepiece, each on its own files, exact (A).
    In production: the folder of a model, as it was downloaded.
    """
    path = _named(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}; give a tokenizer's file or the folder it lies in")
    if not path.is_dir():
        return _from_file(path, options)
    found = _tokenizer_file(path)
    tokenizer = _from_file(found, options)
    config = _read_object(path / "special_tokens_map.json") | _read_object(path / "tokenizer_config.json")
    special = tokenizer.special_tokens | dict(_special_tokens(config))
    template = _chat_template(path, config)
    tokenizer = tokenizer.replace(special_tokens=special, chat_template=template or tokenizer.chat_template)
    return _with_ends(tokenizer, bos=config.get("add_bos_token"), eos=config.get("add_eos_token"))


def _named(path: str | os.PathLike[str]) -> Path:
    """The path, unless it is empty, which would silently mean the folder that the program was started in."""
    if not os.fspath(path):
        raise ValueError("path is empty; name a file, or '.' for the folder that you are in")
    return Path(path)


def _from_file(path: Path, options: Mapping[str, Any]) -> Tokenizer:
    from breadth.text.sentencepiece_file import load_sentencepiece
    from breadth.text.tiktoken_file import load_tiktoken
    from breadth.text.tokenizer_json import load_tokenizer_json

    if path.suffix == ".tiktoken":
        return load_tiktoken(path, **options)
    if options:
        raise ValueError(f"{', '.join(options)} are options of .tiktoken files, got {path.name}")
    if path.suffix == ".json":
        return load_tokenizer_json(path)
    if path.suffix == ".model":
        return load_sentencepiece(path)
    raise ValueError(f"{path.name} must be named {FORMATS}, got the suffix {path.suffix!r}")


def _tokenizer_file(folder: Path) -> Path:
    if (folder / "tokenizer.json").exists():
        return folder / "tokenizer.json"
    found = sorted([*folder.glob("*.tiktoken"), *folder.glob("*.model")])
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise FileNotFoundError(
            f"{folder} must hold a tokenizer.json, or one .tiktoken or .model file; of these it has {names}"
        )
    return found[0]


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; an empty one if there is no file."""
    if not path.exists():
        return {}
    try:
        obj = json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a byte order mark first
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a whole JSON file: {error}; fetch it again") from None
    if not isinstance(obj, dict):
        raise ValueError(f"{path} must hold an object, got {type(obj).__name__}")
    return obj


def _special_tokens(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Which token serves as what; older files have an object with the content where newer ones have a string."""
    for name, value in config.items():
        if name.endswith("_token") and not name.startswith("add_"):
            content = value.get("content") if isinstance(value, dict) else value
            if isinstance(content, str):
                yield name, content


def _chat_template(folder: Path, config: Mapping[str, Any]) -> str | None:
    file = folder / "chat_template.jinja"
    if file.exists():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):  # several, by name
        by_name = {each.get("name"): each.get("template") for each in template}
        if "default" not in by_name:
            raise ValueError(
                f"{folder}: chat_template must have one named 'default', got {', '.join(map(str, by_name))}"
            )
        template = by_name["default"]
    return template


def _with_ends(tokenizer: Tokenizer, *, bos: bool | None, eos: bool | None) -> Tokenizer:
    """The tokenizer with `bos_token` first and `eos_token` last, or not, where the configuration says so."""
    before, after = _ends(tokenizer.post_processor)
    for flag, name, ends in ((bos, "bos_token", before), (eos, "eos_token", after)):
        token = tokenizer.special_tokens.get(name)
        if flag is None or (token is None and not flag):
            continue
        if token is None:
            raise ValueError(f"the configuration has add_{name} but no {name}; give one")
        if flag and token not in ends:
            ends.insert(0, token) if name == "bos_token" else ends.append(token)
        elif not flag and token in ends:
            ends.remove(token)
    if (before, after) == _ends(tokenizer.post_processor):
        return tokenizer
    pieces = []
    for text in (0, 1):
        pieces.append(
            (
                *(SpecialPiece(token, text) for token in before),
                TextPiece(text, text),
                *(SpecialPiece(token, text) for token in after),
            )
        )
    special = {token: SpecialToken((_id(tokenizer, token),), (token,)) for token in (*before, *after)}
    template = TemplateProcessing(pieces[0], pieces[0] + pieces[1], special)
    processors = getattr(tokenizer.post_processor, "processors", (tokenizer.post_processor,))
    kept = [each for each in processors if each is not None and each.n_added(pair=False) == 0]
    return tokenizer.replace(post_processor=Sequence((*kept, template)) if kept else template)


def _ends(post_processor: PostProcessor | None) -> tuple[list[str], list[str]]:
    """Tokens that are put before and after one text."""
    if post_processor is None:
        return [], []
    parts = post_processor([Encoding.of_special([-1], [""], 0)], add_special_tokens=True)
    tokens = [token for part in parts for token in part.tokens]
    return tokens[: tokens.index("")], tokens[tokens.index("") + 1 :]


def _id(tokenizer: Tokenizer, token: str) -> int:
    i = tokenizer.token_to_id(token)
    if i is None:
        raise ValueError(f"special token {token!r} is not in the vocabulary")
    return i


def save_tokenizer(tokenizer: Tokenizer, path: str | os.PathLike[str]) -> None:
    """Write a tokenizer in the format that the path's suffix names, or into a folder; see `Tokenizer.save`.

    Args:
        tokenizer: what to write.
        path: `*.json`, `*.tiktoken`, `*.model`, or a folder, which is made if need be.

    Raises:
        ValueError: if the suffix is of no known format, or the format cannot hold this tokenizer.
        OSError: if the place cannot be written to; old files stay as they were.
    """
    from breadth.text.sentencepiece_file import save_sentencepiece
    from breadth.text.tiktoken_file import save_tiktoken
    from breadth.text.tokenizer_json import save_tokenizer_json

    path = _named(path)
    if path.suffix == ".json":
        save_tokenizer_json(tokenizer, path)
    elif path.suffix == ".tiktoken":
        save_tiktoken(tokenizer, path)
    elif path.suffix == ".model":
        save_sentencepiece(tokenizer, path)
    elif path.is_dir() or (not path.suffix and not path.exists()):
        path.mkdir(parents=True, exist_ok=True)
        save_tokenizer_json(tokenizer, path / "tokenizer.json")
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
        _write_object(path / "tokenizer_config.json", config | tokenizer.special_tokens)
        _write_object(path / "special_tokens_map.json", tokenizer.special_tokens)
        if tokenizer.chat_template is not None:
            write_whole(path / "chat_template.jinja", tokenizer.chat_template.encode())
        else:
            (path / "chat_template.jinja").unlink(missing_ok=True)
    else:
        raise ValueError(f"path must be a folder or a file named {FORMATS}, got {path.name!r}")


def _write_object(path: Path, obj: Mapping[str, Any]) -> None:
    write_whole(path, json.dumps(obj, ensure_ascii=False, indent=2).encode())
