"""`breadth tokenizer`: train, use and look into tokenizers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from breadth.text.tokenizer import Tokenizer

BLOCK = 1 << 22  # characters that are read at a time
Form = Literal["text", "json"]

tokenizer = App(
    name="tokenizer",
    help="Train a tokenizer on your files; encode, decode and look into one.",
    help_format="plaintext",
    result_action="return_value",
)


FORMATS = {"bpe": (".json", ".tiktoken", ""), "wordpiece": (".json", ""), "unigram": (".model",)}  # what can hold each


@tokenizer.command
def train(
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    kind: Literal["bpe", "wordpiece", "unigram"] = "bpe",
    vocab_size: int = 32_000,
    pattern: str | None = None,
    special: Annotated[list[str] | None, Parameter(negative="")] = None,
    encoding: str = "utf-8",
) -> None:
    """Learn a vocabulary from text files and write a tokenizer.

    Args:
        files: texts to learn from; - is standard input.
        output: what to write: NAME.json (Hugging Face), NAME.tiktoken, NAME.model (SentencePiece), or a folder.
        kind: byte-level BPE, WordPiece with BERT's splitting, or Unigram as SentencePiece has it.
        vocab_size: tokens to learn, special ones included.
        pattern: of BPE, how text is cut into words: gpt2, cl100k, o200k, llama3, qwen2, or a regular expression.
        special: a special token; may be given several times.
        encoding: of the files' text, such as cp1252.
    """
    if not files:
        raise ValueError("files must name at least one text to learn from; - is standard input")
    _check_files(files)
    if pattern is not None and kind != "bpe":
        raise ValueError(f"--pattern belongs to --kind bpe, got --kind {kind}")
    _check_output(output)
    if output.suffix.casefold() not in FORMATS[kind]:  # before minutes of training, not after
        forms = " or ".join(f"NAME{suffix}" if suffix else "a folder" for suffix in FORMATS[kind])
        raise ValueError(f"--output {output}: --kind {kind} is written as {forms}")
    options: dict[str, Any] = {"vocab_size": vocab_size}
    if special:
        options["special_tokens"] = tuple(special)
    if kind == "bpe":
        from breadth.text.bpe import BPE

        if pattern is not None:
            options["pattern"] = pattern
        trained = BPE.train(_blocks(files, encoding), **options)
    elif kind == "wordpiece":
        from breadth.text.wordpiece import WordPiece

        trained = WordPiece.train(_blocks(files, encoding), **options)
    else:
        from breadth.text.unigram import Unigram

        lines = (line for block in _blocks(files, encoding) for line in block.splitlines())
        trained = Unigram.train(lines, **options)
    trained.save(output)
    print(f"{output}: {trained.vocab_size} tokens")


@tokenizer.command
def encode(
    path: Path,
    text: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    *,
    special_tokens: bool = True,
    output: Annotated[Form | Literal["table"], Parameter(name=["--output", "-o"])] = "text",
    pattern: str | None = None,
) -> None:
    """Ids of a text.

    Args:
        path: a tokenizer's file or folder.
        text: what to encode; standard input when left out.
        special_tokens: put in the special tokens that the tokenizer has around a text.
        output: ids with spaces between them, a line for each id with its token and characters, or JSON.
        pattern: of a .tiktoken file that is not known by its name.
    """
    loaded = _load(path, pattern)
    given = _readable(sys.stdin.read()) if text is None else text
    if output == "text":
        print(*loaded.encode(given, add_special_tokens=special_tokens))
        return
    encoding = loaded.encode_with_offsets(given, add_special_tokens=special_tokens)
    if output == "json":
        print(json.dumps({"ids": encoding.ids, "tokens": encoding.tokens, "offsets": encoding.offsets}))
        return
    for i, token, (begin, end) in zip(encoding.ids, encoding.tokens, encoding.offsets, strict=True):
        print(f"{i:>7}  {begin:>6}:{end:<6}  {token!r}")


@tokenizer.command
def decode(
    path: Path,
    *ids: int,
    special_tokens: bool = True,
    pattern: str | None = None,
) -> None:
    """Text of ids.

    Args:
        path: a tokenizer's file or folder.
        ids: to decode; from standard input, with white space between them, when left out.
        special_tokens: also write special tokens.
        pattern: of a .tiktoken file that is not known by its name.
    """
    loaded = _load(path, pattern)
    print(loaded.decode(list(ids) if ids else _read_ids(), skip_special_tokens=not special_tokens))


@tokenizer.command
def info(
    path: Path,
    *files: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    output: Annotated[Form, Parameter(name=["--output", "-o"])] = "text",
    encoding: str = "utf-8",
    pattern: str | None = None,
) -> None:
    """What a tokenizer is made of, and how far it compresses your text.

    Args:
        path: a tokenizer's file or folder.
        files: texts to measure on.
        output: for reading, or JSON.
        encoding: of the files' text, such as cp1252.
        pattern: of a .tiktoken file that is not known by its name.
    """
    _check_files(files)
    loaded = _load(path, pattern)
    facts: dict[str, Any] = {
        "model": type(loaded.model).__name__,
        "vocab_size": loaded.vocab_size,
        "largest_id": max(loaded.get_vocab().values()),
    }
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        component = getattr(loaded, part)
        facts[part] = None if component is None else _named(component)
    facts["special_tokens"] = [token.content for token in loaded.added_tokens if token.special]
    facts["added_tokens"] = len(loaded.added_tokens)
    facts["chat_template"] = loaded.chat_template is not None
    if files:
        facts |= _measured(loaded, files, encoding)
    if output == "json":
        print(json.dumps(facts, ensure_ascii=False, indent=2))
        return
    for name, value in facts.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        print(f"{name.replace('_', ' '):<16}  {shown if shown not in (None, '') else '-'}")


def _named(component: Any) -> str:
    from breadth.text.matching import members

    return " > ".join(getattr(each, "form", type(each).__name__) for each in members(component)) or "-"


def _measured(loaded: Tokenizer, files: tuple[Path, ...], encoding: str) -> dict[str, Any]:
    n_ids = n_bytes = n_characters = n_words = 0
    for block in _blocks(files, encoding):
        n_ids += len(loaded.encode(block, add_special_tokens=False))
        n_bytes += len(block.encode())
        n_characters += len(block)
        n_words += len(block.split())
    if not n_ids:
        raise ValueError("files hold no text to measure on")
    return {
        "bytes_per_token": round(n_bytes / n_ids, 3),
        "characters_per_token": round(n_characters / n_ids, 3),
        "tokens_per_word": round(n_ids / max(n_words, 1), 3),
    }


def _load(path: Path, pattern: str | None) -> Tokenizer:
    from breadth.text.load import load_tokenizer

    return load_tokenizer(path, **({"pattern": pattern} if pattern else {}))


def _check_files(files: tuple[Path, ...]) -> None:
    """Refuse a misspelt option, which reads as a file's name where a lone - is one."""
    for path in files:
        if str(path).startswith("-") and str(path) != "-":
            raise ValueError(f"there is no option {path}; --help lists them, and a file of that name is ./{path}")


def _check_output(output: Path) -> None:
    """Refuse before training what saving would refuse after it."""
    if output.suffix not in ("", ".json", ".tiktoken", ".model"):
        raise ValueError(f"--output must end in .json, .tiktoken or .model or be a folder, got {output}")
    if output.suffix and not output.parent.is_dir():
        raise ValueError(f"--output {output}: the folder {output.parent} does not exist; create it first")


def _blocks(files: tuple[Path, ...], encoding: str) -> Iterator[str]:
    """The texts of files in blocks that end with a line."""
    for path in files:
        if str(path) == "-":
            yield from iter(lambda: _readable("".join(sys.stdin.readlines(BLOCK))), "")
            continue
        try:
            # newline="": line ends as they are, since the tokenizer will meet them so
            with path.open(encoding=encoding, newline="") as file:
                yield from iter(lambda: "".join(file.readlines(BLOCK)), "")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is not {encoding} text: {error}; name its encoding with --encoding") from None


def _readable(text: str) -> str:
    """Standard input's text, in which Python hides bytes that are not UTF-8 as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        byte = ord(text[error.start]) & 0xFF
        raise ValueError(
            f"standard input is not utf-8 text: byte {byte:#04x} at character {error.start}; convert it first, as "
            "`iconv -f cp1252 -t utf-8` does"
        ) from None
    return text


def _read_ids() -> list[int]:
    ids = []
    for word in sys.stdin.read().split():
        try:
            ids.append(int(word))
        except ValueError:
            raise ValueError(f"ids must be integers with white space between them, got {word!r}") from None
    return ids
