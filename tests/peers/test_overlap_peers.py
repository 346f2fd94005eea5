"""BLEU and chrF beside sacrebleu, ROUGE beside rouge_score, on real sentences and on strings that break tokenizers."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.testing import assert_allclose

from breadth.metrics.bleu_score import bleu
from breadth.metrics.chrf_score import chrf
from breadth.metrics.rouge_score import rouge
from breadth.metrics.text_score import paired_test
from breadth.metrics.words import tokenized
from tests.metrics.segments import changed, grouped, odd_pairs, real_pairs

sacrebleu = pytest.importorskip("sacrebleu")
rouge_scorer = pytest.importorskip("rouge_score.rouge_scorer")

CLOSE = {"rtol": 1e-12, "atol": 1e-9}
TOKENIZERS = ["13a", "intl", "zh", "char", "none"]


def streams(references):
    """References by stream, as sacrebleu takes them; None where a segment has fewer."""
    most = max(map(len, references))
    return [[group[i] if i < len(group) else None for group in references] for i in range(most)]


@pytest.mark.parametrize("tokenize", TOKENIZERS)
def test_words_of_every_tokenizer_are_sacrebleus(tokenize):
    hypotheses, references = odd_pairs(1500)
    texts = [*hypotheses, *references, *real_pairs(100)[1]]
    peer = sacrebleu.metrics.BLEU(tokenize=tokenize).tokenizer
    words = tokenized(texts, tokenize)
    spelled, begin = words.strings(), 0
    for text, end in zip(texts, words.ends, strict=True):
        assert [spelled[i] for i in words.ids[begin:end]] == peer(text.rstrip()).split(), repr(text)
        begin = end
    assert len(set(spelled)) == len(spelled)


@pytest.mark.parametrize("tokenize", TOKENIZERS)
@pytest.mark.parametrize(
    ("smooth", "value"), [("exp", None), ("floor", None), ("floor", 0.5), ("add-k", 2), ("none", None)]
)
def test_bleu_of_corpora_and_of_single_segments_is_sacrebleus(tokenize, smooth, value):
    for hypotheses, references in (real_pairs(60), odd_pairs(60)):
        for lowercase, effective, order in ((False, False, 4), (True, True, 4), (False, True, 2), (True, False, 6)):
            peer = sacrebleu.metrics.BLEU(
                lowercase=lowercase, tokenize=tokenize, smooth_method=smooth, smooth_value=value,
                max_ngram_order=order, effective_order=effective,
            )  # fmt: skip
            ours = bleu(
                hypotheses, references, lowercase=lowercase, tokenize=tokenize, smooth_method=smooth,
                smooth_value=value, max_ngram_order=order, effective_order=effective,
            )  # fmt: skip
            theirs = peer.corpus_score(hypotheses, [references])
            assert_allclose(ours.value, theirs.score, **CLOSE)
            assert_allclose(ours.parts["precisions"], theirs.precisions, **CLOSE)
            assert (ours.parts["hypothesis_length"], ours.parts["reference_length"]) == (theirs.sys_len, theirs.ref_len)
            assert_allclose(ours.parts["bp"], theirs.bp, **CLOSE)
            if effective:
                single = [peer.sentence_score(h, [r]).score for h, r in zip(hypotheses, references, strict=True)]
                assert_allclose(ours.segments, single, **CLOSE)


def test_bleu_and_chrf_with_unequal_numbers_of_references_are_sacrebleus():
    for hypotheses, references in (real_pairs(80), odd_pairs(150)):
        groups = grouped(hypotheses, references)
        theirs = sacrebleu.metrics.BLEU().corpus_score(hypotheses, streams(groups))
        ours = bleu(hypotheses, groups)
        assert_allclose(ours.value, theirs.score, **CLOSE)
        assert ours.parts["reference_length"] == theirs.ref_len
        assert "nrefs:var" in ours.signature
        for words in (0, 2):
            theirs = sacrebleu.metrics.CHRF(word_order=words).corpus_score(hypotheses, streams(groups))
            assert_allclose(chrf(hypotheses, groups, word_order=words).value, theirs.score, **CLOSE)


@pytest.mark.parametrize(("chars", "words"), [(6, 0), (6, 2), (0, 1), (2, 3)])
@pytest.mark.parametrize("eps", [False, True])
def test_chrf_of_corpora_and_of_single_segments_is_sacrebleus(chars, words, eps):
    for hypotheses, references in (real_pairs(40), odd_pairs(80)):
        for lowercase, whitespace, beta in ((False, False, 2), (True, True, 1), (True, False, 3)):
            how = {"lowercase": lowercase, "whitespace": whitespace, "beta": beta, "eps_smoothing": eps}
            peer = sacrebleu.metrics.CHRF(char_order=chars, word_order=words, **how)
            ours = chrf(hypotheses, references, char_order=chars, word_order=words, **how)
            assert_allclose(ours.value, peer.corpus_score(hypotheses, [references]).score, **CLOSE)
            single = [peer.sentence_score(h, [r]).score for h, r in zip(hypotheses, references, strict=True)]
            assert_allclose(ours.segments, single, **CLOSE)


@pytest.mark.parametrize("stemmer", [False, True])
def test_rouge_is_rouge_scores(stemmer):
    types = ["rouge1", "rouge2", "rouge5", "rougeL", "rougeLsum"]
    peer = rouge_scorer.RougeScorer(types, use_stemmer=stemmer)
    for hypotheses, references in (real_pairs(60), odd_pairs(150)):
        lines = [" ".join(h.split(" ")[::-1]).replace(" the ", "\n") for h in hypotheses]
        broken = [r.replace(" a ", "\n\n").replace("e ", "e\n") for r in references]
        groups = grouped(lines, broken)
        ours = rouge(lines, groups, types=types, stemmer=stemmer)
        theirs = [peer.score_multi(group, line) for line, group in zip(lines, groups, strict=True)]
        for name in types:
            for part, theirs_part in (("precision", "precision"), ("recall", "recall"), ("f", "fmeasure")):
                expected = [getattr(score[name], theirs_part) for score in theirs]
                assert_allclose(getattr(ours[name], part).segments, expected, **CLOSE)
                assert_allclose(getattr(ours[name], part).value, np.mean(expected), **CLOSE)


@pytest.mark.parametrize(("test", "peer_test", "n"), [("bootstrap", "bs", 300), ("randomisation", "ar", 1000)])
@pytest.mark.parametrize("metric", ["BLEU", "chrF2"])
def test_p_values_from_the_same_seed_are_sacrebleus(test, peer_test, n, metric):
    hypotheses, references = real_pairs(60)
    draw = random.Random(7)
    other = [changed(r, draw) if i % 3 else h for i, (h, r) in enumerate(zip(hypotheses, references, strict=True))]
    score, peer = (bleu, sacrebleu.metrics.BLEU()) if metric == "BLEU" else (chrf, sacrebleu.metrics.CHRF())
    from sacrebleu.significance import PairedTest

    systems = [("first", hypotheses), ("second", other)]
    _, theirs = PairedTest(systems, {metric: peer}, [references], test_type=peer_test, n_samples=n)()
    ours = paired_test(score(other, references), score(hypotheses, references), test=test, n_resamples=n)
    assert 0.01 < ours.p < 1, ours
    assert ours.p == theirs[metric][1].p_value
    assert_allclose([ours.second, ours.first], [result.score for result in theirs[metric]], **CLOSE)
