"""BPE training: merges as a slow twin finds them, whatever the memory, the threads or the order of texts."""

from __future__ import annotations

import collections
import pydoc_data.topics
import random
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from breadth.text import bpe_train
from breadth.text.bpe import BPE
from breadth.text.bpe_train import train_merges
from breadth.text.bpe_train_words import WordCounter, WordCounts, count_corpus, cut_by_pattern, cut_by_text
from breadth.text.byte_alphabet import bytes_to_printable, utf8_bytes
from breadth.text.patterns import splitter

TOPICS = [pydoc_data.topics.topics[name] for name in sorted(pydoc_data.topics.topics)[:10]]


def counted(words: dict[str, int]) -> WordCounts:
    data = [word.encode() for word in words]
    ends = np.cumsum([len(word) for word in data], dtype=np.int64)
    return WordCounts(np.frombuffer(b"".join(data), np.uint8), ends, np.array(list(words.values()), dtype=np.int64))


def twin(words: dict[str, int], n_merges: int, special: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Count all pairs again for each merge; ties go to the pair of smaller ids."""
    spelt = {tuple(word): count for word, count in words.items()}
    ids = {token: i for i, token in enumerate([*special, *sorted({char for word in words for char in word})])}
    merges = []
    for _ in range(n_merges):
        counts = collections.Counter()
        for word, count in spelt.items():
            for pair in pairwise(word):
                counts[pair] += count
        if not counts:
            break
        best = min(counts, key=lambda pair: (-counts[pair], ids[pair[0]], ids[pair[1]]))
        merges.append(best)
        ids.setdefault("".join(best), len(ids))
        spelt = {merged(word, best): count for word, count in spelt.items()}
    return merges


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    done, at = [], 0
    while at < len(word):
        both = word[at : at + 2] == pair
        done.append("".join(pair) if both else word[at])
        at += 2 if both else 1
    return tuple(done)


def fuzzed_words(seed: int) -> dict[str, int]:
    drawn = random.Random(seed)
    return {"".join(drawn.choices("aab é", k=drawn.randint(1, 9))): drawn.randint(1, 9) for _ in range(60)}


@pytest.mark.parametrize("seed", range(8))
def test_merges_are_those_of_counting_all_pairs_again_each_time_with_many_ties(seed):
    words = fuzzed_words(seed)
    expected = twin(words, 40)
    # up to where a token is made a second time: then the peer, and so this, counts the pair's past occurrences too
    made = ["".join(pair) for pair in expected]
    new = next((i for i, token in enumerate(made) if token in made[:i]), len(made))
    n_tokens = len({char for word in words for char in word}) + new
    assert new > 10
    assert train_merges(counted(words), vocab_size=n_tokens, byte_level=False).merges == expected[:new]


def test_the_corpus_of_the_paper():
    words = {"low·": 5, "lower·": 2, "newest·": 6, "widest·": 3}
    merges = train_merges(counted(words), vocab_size=21, byte_level=False).merges
    assert merges[0] == ("e", "s")
    assert merges == twin(words, len(merges))


def test_ids_are_special_tokens_then_the_alphabet_then_merges():
    vocab, merges = train_merges(counted({"ba": 3, "bac": 1}), vocab_size=7, byte_level=False, special_tokens=("<s>",))
    assert vocab == {"<s>": 0, "a": 1, "b": 2, "c": 3, "ba": 4, "bac": 5}
    assert merges == [("b", "a"), ("ba", "c")]
    assert len(train_merges(counted({"ba": 3}), vocab_size=300).vocab) == 257
    assert (
        train_merges(counted({"ba": 3}), vocab_size=1).vocab == train_merges(counted({"ba": 3}), vocab_size=256).vocab
    )


def test_counts_beyond_32_bits_decide():
    words = {"ab": 3_000_000_000, "cd": 5_000_000_000, "cab": 3_000_000_000}
    assert train_merges(counted(words), vocab_size=6, byte_level=False).merges == [("a", "b"), ("c", "d")]


def test_a_merge_into_a_special_token_takes_its_id():
    vocab, merges = train_merges(counted({"<s>": 9}), vocab_size=20, byte_level=False, special_tokens=("<s>",))
    assert merges == [("<", "s"), ("<s", ">")]
    assert vocab == {"<s>": 0, "<": 1, ">": 2, "s": 3, "<s": 4}


def test_options_keep_out_what_they_say():
    words = {"abcdef": 5, "xy": 2, "xz": 1}
    assert ("x", "y") not in train_merges(counted(words), vocab_size=99, byte_level=False, min_frequency=3).merges
    short = train_merges(counted(words), vocab_size=99, byte_level=False, max_token_length=4)
    assert max(map(len, short.vocab)) == 2  # ab and cd are four together, and a token is of fewer
    limited = train_merges(counted(words), vocab_size=99, byte_level=False, limit_alphabet=8, initial_alphabet="q")
    assert "q" in limited.vocab and "z" not in limited.vocab and "y" not in limited.vocab
    # without y and z, x stands alone
    assert not any("x" in pair for pair in limited.merges)
    marked = train_merges(
        counted(words), vocab_size=99, byte_level=False, continuing_subword_prefix="##", end_of_word_suffix="</w>"
    )
    assert {"a", "##b", "##f</w>", "abcdef</w>"} <= set(marked.vocab)


def test_memory_that_runs_out_is_made_without_a_trace(monkeypatch):
    words = dict(collections.Counter(re.findall(r"\w+", " ".join(TOPICS))))
    plenty = train_merges(counted(words), vocab_size=1500, byte_level=False)
    monkeypatch.setattr(bpe_train, "_power_of_two", lambda least: 1 << max(4, int(least).bit_length()))
    monkeypatch.setattr(bpe_train, "_MERGES_A_CALL", 7)
    assert train_merges(counted(words), vocab_size=1500, byte_level=False) == plenty


def test_words_are_counted_as_a_counter_counts_them_on_any_number_of_threads():
    texts = [*TOPICS, "", "a", "\0 \0", "é" * 400]
    split = splitter("gpt2")
    expected = collections.Counter()
    for text in texts:
        data = text.encode()
        ends = split(utf8_bytes(text)).tolist()
        expected.update(data[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=bool(ends)))
    by_text = cut_by_text(lambda text: (utf8_bytes(text), split(utf8_bytes(text))))
    for cut, n_threads in ((cut_by_pattern(split), 1), (cut_by_pattern(split), 3), (by_text, 2)):
        found = count_corpus(iter(texts), cut, n_threads=n_threads)
        begins = [0, *found.ends[:-1].tolist()]
        words = [found.data[a:b].tobytes() for a, b in zip(begins, found.ends.tolist(), strict=True)]
        assert dict(zip(words, found.counts.tolist(), strict=True)) == expected


def test_a_counter_grows_past_any_size_and_takes_weights():
    counter = WordCounter()
    words = [f"{i * 7919}".encode() for i in range(40_000)] + [b"x" * 300_000]
    ends = np.cumsum([len(word) for word in words])
    counter.add(np.frombuffer(b"".join(words), np.uint8), ends, np.arange(1, len(words) + 1))
    counter.add(np.frombuffer(words[5], np.uint8), np.array([len(words[5])]))
    found = counter.result()
    assert len(found.counts) == len(words)
    assert found.counts[5] == 7
    assert found.data.tobytes() == b"".join(words)


def test_training_does_not_depend_on_threads_or_the_order_of_texts():
    models = [
        BPE.train(texts, vocab_size=600, n_threads=n_threads).model
        for texts, n_threads in ((TOPICS, 1), (TOPICS[::-1], 4))
    ]
    assert models[0].merges == models[1].merges


def test_progress_is_reported_to_the_end():
    seen: list[tuple[int, int]] = []
    BPE.train(TOPICS, vocab_size=1500, progress=lambda done, whole: seen.append((done, whole)))
    assert seen[-1] == (1500, 1500)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert len(seen) > 2


def test_a_trained_tokenizer_cuts_by_its_pattern_and_knows_its_special_tokens():
    for pattern in ("gpt2", "o200k", r"\w+|\W"):
        tokenizer = BPE.train(TOPICS, vocab_size=500, pattern=pattern, special_tokens=("<|end|>",))
        text = "import os\n\n\nHello's wörld 12345 <|end|>"
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.encode(text)[-1] == tokenizer.token_to_id("<|end|>") == 0
        longest = max(tokenizer.model.get_vocab(), key=len)
        assert bytes_to_printable(b"  ") in longest or longest.isprintable()
    characters = BPE.train(TOPICS, vocab_size=500, byte_level=False, unk_token="[UNK]", end_of_word_suffix="</w>")
    assert characters.decode(characters.encode("the value of an object")) == "the value of an object"
    assert characters.token_to_id("[UNK]") in characters.encode("語")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"texts": "abc"}, TypeError, "texts is one str"),
        ({"texts": [b"abc"]}, TypeError, "texts must hold str, got bytes at 0"),
        ({"texts": []}, ValueError, "texts has no word to learn from"),
        ({"vocab_size": 0}, ValueError, "vocab_size must be at least 1, got 0"),
        ({"min_frequency": -1}, ValueError, "min_frequency must be at least 0, got -1"),
        ({"limit_alphabet": 0}, ValueError, "limit_alphabet must be at least 1, got 0"),
        ({"special_tokens": "<s>"}, TypeError, "special_tokens is one str"),
        ({"special_tokens": ["a", "a"]}, ValueError, "special_tokens must be different and not empty"),
        ({"initial_alphabet": ["ab"]}, ValueError, "initial_alphabet must hold single characters, got 'ab'"),
        ({"pattern": "[a"}, ValueError, "not a regular expression"),
        ({"pattern": "gpt5"}, ValueError, r"pattern 'gpt5' is none of gpt2, .*is written \(\?:gpt5\)"),
        ({"pattern": 3}, TypeError, "pattern must be a name, a regular expression or a pre-tokenizer, got 3"),
        ({"texts": None}, TypeError, "texts must be an iterable of texts, such as .* got None"),
        ({"texts": Path("a.txt")}, TypeError, "texts must be an iterable of texts, such as .* the lines of a file"),
        ({"vocab_size": 300.5}, TypeError, "vocab_size must be an integer, got 300.5"),
        ({"vocab_size": None}, TypeError, "vocab_size must be an integer, got None"),
        ({"n_threads": 0}, ValueError, "n_threads must be at least 1, got 0"),
        ({"n_threads": "2"}, TypeError, "n_threads must be an integer, got '2'"),
        ({"special_tokens": [1]}, TypeError, r"special_tokens must hold str, got \[1\]"),
        ({"unk_token": 5}, TypeError, "unk_token must be a str or None, got 5"),
        ({"texts": [], "end_of_word_suffix": "</w>"}, ValueError, "go with characters, not with byte_level"),
    ],
    ids=str,
)
def test_bad_arguments_are_errors_that_name_them(options, error, message):
    with pytest.raises(error, match=message):
        BPE.train(**{"texts": ["abc"], "vocab_size": 300, **options})
