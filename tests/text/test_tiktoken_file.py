"""Rank files: tiktoken's ids and text, and malformed lines by their number."""

from __future__ import annotations

import base64

import pytest
import tiktoken
import tiktoken.load
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.text.load import load_tokenizer
from breadth.text.patterns import PATTERNS
from breadth.text.tiktoken_file import ENCODINGS, load_tiktoken, read_ranks

from .test_tokenizer import RANKS

SPECIAL = {"<|endoftext|>": 300, "<|fim|>": 301}


def lines(ranks):
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranks") / "own.tiktoken"
    path.write_bytes(lines(RANKS))
    return path


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k"])
@settings(deadline=None, max_examples=60)  # the first example may compile kernels
@given(text=st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("the ing12é\n<|endoftext|>")))
def test_ids_and_text_are_tiktokens(path, pattern, text):
    ours = load_tiktoken(path, pattern=pattern, special_tokens=SPECIAL)
    theirs = tiktoken.Encoding("own", pat_str=PATTERNS[pattern], mergeable_ranks=RANKS, special_tokens=SPECIAL)
    ids = theirs.encode(text, allowed_special="all")
    assert ours.encode(text) == ids
    assert ours.encode(text, allowed_special=()) == theirs.encode_ordinary(text)
    assert ours.decode(ids) == theirs.decode(ids) == text


def test_a_file_is_read_as_tiktoken_reads_it_and_written_as_it_was(path, tmp_path):
    assert read_ranks(path) == tiktoken.load.load_tiktoken_bpe(str(path)) == RANKS
    load_tokenizer(path, pattern="gpt2").save(tmp_path / "again.tiktoken")
    assert (tmp_path / "again.tiktoken").read_bytes() == path.read_bytes()


def test_a_file_with_a_known_name_needs_no_pattern(path, tmp_path):
    assert set(ENCODINGS) == {"gpt2", "r50k_base", "cl100k_base", "o200k_base"}
    known = tmp_path / "cl100k_base.tiktoken"
    known.write_bytes(path.read_bytes())
    tokenizer = load_tokenizer(known)
    assert tokenizer.token_to_id("<|endofprompt|>") == 100276
    assert tokenizer.encode("the<|endoftext|>") == [257, 100257]
    with pytest.raises(
        ValueError, match=r"pattern must be given: own.tiktoken is none of gpt2, r50k_base, cl100k_base"
    ):
        load_tokenizer(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no tokens"),
        (b"YQ== 0\nYg==", "line 2: must be a token in base64, a space and a rank, got b'Yg=='"),
        (b"YQ== 0\n!! 1\n", "line 2: must be a token in base64"),
        (b"YQ== x\n", "line 1: must be a token in base64"),
        (b"YQ== 0\nYQ== 1\n", "line 2: token b'a' is there already, with rank 0"),
        (b"YQ== 0\nYg== 0\n", "line 2: rank 0 is there already, for b'a'"),
        (b"YQ== -1\n", "rank >= 0"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, content, message):
    path = tmp_path / "bad.tiktoken"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_tiktoken(path, pattern="gpt2")


def test_holes_missing_bytes_and_special_tokens_on_taken_ranks_are_refused(tmp_path):
    path = tmp_path / "bad.tiktoken"
    path.write_bytes(lines({token: rank for token, rank in RANKS.items() if rank != 257}))
    with pytest.raises(ValueError, match="no token of rank 257, though ranks go up to 264"):
        load_tiktoken(path, pattern="gpt2")
    assert load_tiktoken(path, pattern="gpt2", allow_holes=True).encode("th") == [256]
    path.write_bytes(lines({token: rank for rank, token in enumerate(t for t in RANKS if t != b"a")}))
    with pytest.raises(ValueError, match=r"every byte .* 0x61"):
        load_tiktoken(path, pattern="gpt2")
    path.write_bytes(lines(RANKS))
    with pytest.raises(ValueError, match="special token '<x>' has id 3, which is the rank of b'"):
        load_tiktoken(path, pattern="gpt2", special_tokens={"<x>": 3})


def test_options_of_rank_files_are_refused_elsewhere(tmp_path):
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(ValueError, match=r"pattern are options of .tiktoken files, got t.json"):
        load_tokenizer(tmp_path / "t.json", pattern="gpt2")
