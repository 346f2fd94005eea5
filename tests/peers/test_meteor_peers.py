"""METEOR and WordNet's synonyms beside nltk's, on Debian's files of WordNet 3.0 where the package is installed."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from breadth.metrics import align_words, load_wordnet, meteor
from tests.metrics.segments import grouped, odd_pairs, real_pairs

nltk = pytest.importorskip("nltk")


@pytest.fixture(scope="module")
def ours():
    try:
        return load_wordnet()
    except FileNotFoundError as absent:
        pytest.skip(f"needs WordNet: {absent}")


@pytest.fixture(scope="module")
def peer(ours, tmp_path_factory):
    """nltk's reader in a folder laid out as it wants it: copies, for it follows no links, and names of categories."""
    from nltk.corpus.reader import WordNetCorpusReader

    folder = tmp_path_factory.mktemp("wordnet")
    for file in ours.path.iterdir():
        if file.name.startswith(("index.", "data.")) or file.suffix == ".exc":
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "lexnames").write_text("".join(f"{i:02d}\tcategory{i}\t1\n" for i in range(45)))

    class Reader(WordNetCorpusReader):
        def map_wn(self, version="wordnet"):
            """Other languages' WordNets, which need files of their own."""

    nltk.data.path.append(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about those languages too
        yield Reader(str(folder), None)
    nltk.data.path.remove(str(folder))


def inflected(words, draw):
    return [word + draw.choice(["", "s", "es", "ed", "ing", "er", "est", "men"]) for word in words]


def paraphrased(sentence, wordnet, draw):
    """Some words exchanged for a synonym, and sometimes their order turned."""
    words = []
    for word in sentence.split():
        synonyms = sorted(wordnet.synonyms(word))
        words.append(draw.choice(synonyms) if draw.random() < 0.4 else word)
    if draw.random() < 0.3:
        draw.shuffle(words)
    return " ".join(words)


@pytest.mark.slow  # nltk takes seconds to open the files; the next test opens them too, and is quick with words
def test_synonyms_of_every_kind_of_word_are_nltks(ours, peer):
    assert_same_synonyms(ours, peer, 4000)


def assert_same_synonyms(ours, peer, n):
    draw = random.Random(0)
    known = [
        word
        for part in ("noun", "verb", "adj", "adv")
        for table in (ours._index, ours._irregular)
        for word in table[part]
    ]
    words = draw.sample(known, n)
    for word in [*words, *inflected(words, draw), *odd_pairs(50)[0]]:
        lemmas = (lemma.name() for synset in peer.synsets(word) for lemma in synset.lemmas())
        assert ours.synonyms(word) == {word.lower(), *(name for name in lemmas if "_" not in name)}, word


def test_scores_and_alignments_are_nltks(ours, peer):
    from nltk.translate import meteor_score

    assert_same_synonyms(ours, peer, 300)
    draw = random.Random(1)
    hypotheses, references = real_pairs(60)
    paraphrases = [paraphrased(text, ours, draw) for text in references]
    for texts, others in ((paraphrases, references), (hypotheses, references), odd_pairs(60)):
        groups = grouped(texts, others)
        for alpha, beta, gamma in ((0.9, 3.0, 0.5), (0.5, 1.0, 1.0)):
            found = meteor(texts, groups, tokenize=str.split, alpha=alpha, beta=beta, gamma=gamma)
            expected = [
                meteor_score.meteor_score(
                    [other.split() for other in group], text.split(), wordnet=peer, alpha=alpha, beta=beta, gamma=gamma
                )
                for text, group in zip(texts, groups, strict=True)
            ]
            assert_allclose(found.segments, expected, rtol=1e-12, atol=1e-12)
            assert_allclose(found.value, np.mean(expected), rtol=1e-12)
        for text, other in zip(texts, others, strict=True):
            words, theirs = text.lower().split(), other.lower().split()
            assert align_words(words, theirs) == meteor_score.align_words(words, theirs, wordnet=peer)[0]
