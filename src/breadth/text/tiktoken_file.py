"""Tiktoken's rank files: each line a token in base64 and its rank, which is its id."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from breadth.text.added_tokens import AddedToken
from breadth.text.byte_alphabet import printable_to_bytes
from breadth.text.decode import ByteLevel as ByteDecoder
from breadth.text.matching import Regex
from breadth.text.patterns import PATTERNS, named_pattern
from breadth.text.pre_tokenize import ByteLevel, PreTokenizer, Split
from breadth.text.pre_tokenize import Sequence as PreTokenizers
from breadth.text.tokenizer import Tokenizer
from breadth.text.whole_file import write_whole


@dataclass(frozen=True)
class _Known:
    pattern: str
    special_tokens: Mapping[str, int]


_FIM = {"<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260}
ENCODINGS: dict[str, _Known] = {
    "gpt2": _Known("gpt2", {"<|endoftext|>": 50256}),
    "r50k_base": _Known("gpt2", {"<|endoftext|>": 50256}),
    "cl100k_base": _Known("cl100k", {"<|endoftext|>": 100257, **_FIM, "<|endofprompt|>": 100276}),
    "o200k_base": _Known("o200k", {"<|endoftext|>": 199999, "<|endofprompt|>": 200018}),
}
"""Pattern and special tokens of the rank files that are known by name."""


def read_ranks(path: str | os.PathLike[str]) -> dict[bytes, int]:
    """Tokens and ranks of a rank file.

    Args:
        path: of the file.

    Returns:
        Bytes of each token -> its rank, in the file's order.

    Raises:
        ValueError: if a line is not base64, a space and a rank, if a token or a rank comes twice, if the file is empty
            or its last line cut off; it names the line.

    Cost: about a microsecond a token.
    References: openai/tiktoken, `load_tiktoken_bpe`.
    Peer: tiktoken.load.load_tiktoken_bpe, exact (A).
    """
    ranks: dict[bytes, int] = {}
    token_of: dict[int, bytes] = {}
    for number, line in enumerate(Path(path).read_bytes().split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            spelt, written = line.split()
            token, rank = base64.b64decode(spelt, validate=True), int(written)
        except (ValueError, binascii.Error):
            raise ValueError(
                f"{path}, line {number}: must be a token in base64, a space and a rank, got {line[:60]!r}; "
                "the file is cut off or of another kind"
            ) from None
        if not token or rank < 0:
            raise ValueError(f"{path}, line {number}: token must not be empty and rank >= 0, got {token!r} and {rank}")
        if token in ranks:
            raise ValueError(f"{path}, line {number}: token {token!r} is there already, with rank {ranks[token]}")
        if rank in token_of:
            raise ValueError(f"{path}, line {number}: rank {rank} is there already, for {token_of[rank]!r}")
        ranks[token] = rank
        token_of[rank] = token
    if not ranks:
        raise ValueError(f"{path} has no tokens; a rank file has one on each line")
    return ranks


def load_tiktoken(
    path: str | os.PathLike[str],
    *,
    pattern: str | None = None,
    special_tokens: Mapping[str, int] | None = None,
    allow_holes: bool = False,
) -> Tokenizer:
    """A tokenizer from a rank file.

    Args:
        path: of the file. A file named as one of `ENCODINGS` (`cl100k_base.tiktoken`) has its pattern and special
            tokens known; of any other, the caller gives the pattern.
        pattern: how text is cut into words: a name of `breadth.text.patterns.PATTERNS`, or a regular expression.
        special_tokens: token -> id.
        allow_holes: take a file whose ranks are not 0, 1, 2, ... without a gap.

    Returns:
        A byte-level tokenizer without special tokens around a text.

    Raises:
        ValueError: if the file is malformed (see `read_ranks`), its ranks have a hole, one byte has no token, the
            pattern is not known, or a special token has a rank of the file.

    Cost: about 10 microseconds a token.
    References: openai/tiktoken, `openai_public.py`.
    Peer: tiktoken.Encoding, ids and text, exact (A).
    """
    from breadth.text.bpe import BPE  # deferred: its training returns the tokenizer that this file is part of

    ranks = read_ranks(path)
    known = ENCODINGS.get(Path(path).stem)
    if pattern is None:
        pattern = known.pattern if known else None
    if pattern is None:
        raise ValueError(
            f"pattern must be given: {Path(path).name} is none of {', '.join(ENCODINGS)}, and a rank file does not "
            f"hold one; names are {', '.join(PATTERNS)}"
        )
    if special_tokens is None:
        special_tokens = known.special_tokens if known else {}
    if not isinstance(special_tokens, Mapping):
        raise TypeError(f"special_tokens must map each token to its id, got {special_tokens!r}")
    highest = max(ranks.values())
    if highest != len(ranks) - 1 and not allow_holes:
        taken = set(ranks.values())
        hole = next(i for i in range(highest) if i not in taken)
        raise ValueError(
            f"{path} has no token of rank {hole}, though ranks go up to {highest}; the file lacks lines, or say "
            "allow_holes=True"
        )
    taken_by = {rank: token for token, rank in ranks.items()}
    for token, i in special_tokens.items():
        if i in taken_by:
            raise ValueError(f"special token {token!r} has id {i}, which is the rank of {taken_by[i]!r}")
    return Tokenizer(
        BPE.from_ranks(ranks),
        pre_tokenizer=_words(pattern),
        decoder=ByteDecoder(),
        added_tokens=[AddedToken(token, i) for token, i in special_tokens.items()],
    )


def _words(pattern: str) -> PreTokenizer:
    if pattern == "gpt2":
        return ByteLevel(add_prefix_space=False)
    regex = Regex(named_pattern(pattern))
    return PreTokenizers((Split(regex, "isolated"), ByteLevel(add_prefix_space=False, use_regex=False)))


def save_tiktoken(tokenizer: Tokenizer, path: str | os.PathLike[str]) -> None:
    """Write the ranks of a byte-level tokenizer; its pattern and special tokens have no place in the file.

    Args:
        tokenizer: with a byte-level BPE model whose ids are in the order of its merges.
        path: of the file.

    Raises:
        ValueError: if the model is not byte-level, or ids do not say in which order to merge.

    References: openai/tiktoken, `dump_tiktoken_bpe`.
    Peer: tiktoken.load.load_tiktoken_bpe, exact (A).
    """
    model = tokenizer.model
    if not getattr(model, "byte_level", False):
        raise ValueError(f"a .tiktoken file holds byte-level BPE, got {type(model).__name__}; save this one as .json")
    special = {token.content for token in tokenizer.added_tokens}
    ranks = {token: i for token, i in model.get_vocab().items() if token not in special}
    _check_order(ranks, getattr(model, "merges", ()))
    lines = [
        base64.b64encode(printable_to_bytes(token)) + b" %d\n" % i
        for token, i in sorted(ranks.items(), key=lambda item: item[1])
    ]
    write_whole(path, b"".join(lines))


def _check_order(ranks: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> None:
    """Tiktoken merges what makes the token of lowest id: that must be what the merges say too."""
    before = -1
    for left, right in merges:
        rank = ranks.get(left + right)
        if rank is None or rank < before:
            raise ValueError(
                f"a .tiktoken file merges in the order of ids, but the merge of {left!r} and {right!r} "
                f"{'makes no token' if rank is None else f'comes after one that makes id {before}'}; save as .json"
            )
        before = rank
