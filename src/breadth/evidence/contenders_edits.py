"""Metrics of texts as contenders: do they put a sentence in other words above one that says something else?

A row is a sentence, the same in other words, and an edit of it that changes what it says; the metric sees the first as
the reference. The edits are small and the paraphrases are not, so that what counts words in common is led astray.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.contenders_scores import Coin
from breadth.evidence.edits import EDITS, paraphrase, sentences
from breadth.evidence.entry import Entry, Settings
from breadth.evidence.problem import Prepared, Problem
from breadth.evidence.problem_trials import from_trials, named

KINDS = {
    "negation": 'a "not" put in or taken out',
    "opposite": "a word replaced by its opposite",
    "shuffling": "all words in another order",
    "cut": "the second half left out",
}
N_SENTENCES = 400
WORD_DIMENSIONS = 64
Scores = NDArray[np.float64]


def read_edits(name: str, encoding: str = "utf-8") -> Prepared:
    """Sentences of Python's documentation, each with a paraphrase and an edit that changes its meaning.

    Args:
        name: of KINDS, with `:n` for at most n sentences.
        encoding: not read; readers are called alike.

    Raises:
        ValueError: if there is no such kind of edit, or n is no number from 10 on.
    """
    kind, most = named(name, KINDS, unit="sentences", default=N_SENTENCES, least=10)
    rng = np.random.default_rng(0)
    edited = ((text, paraphrase(text), EDITS[kind](text, rng)) for text in sentences())
    rows = [row for row in edited if row[1] is not None and row[2] not in (None, row[0])]
    chosen = [rows[i] for i in np.sort(rng.permutation(len(rows))[:most])]
    X = np.array(chosen, dtype=object)
    size = sum(len(text.split()) for text in X[:, 0]) // len(X)
    note = f"sentences of Python's documentation; in other words beside {KINDS[kind]}"
    return from_trials(name, "judging", X, np.zeros(len(X)), size=size, note=note, rate_unit="pairs/s")


class TextJudge:
    """A metric of texts as an estimator.

    Args:
        score: from hypotheses and references to the scores of each, shape (n,), higher for nearer.
        learn: from references to such a function, for a metric that learns from texts first; None where it does not.
    """

    def __init__(self, score: Callable[..., Any] | None = None, learn: Callable[..., Any] | None = None):
        self.score, self.learn = score, learn

    def fit(self, X: NDArray, y: object = None, **with_: Any) -> Self:
        if self.learn is not None:
            self.score = self.learn(X[:, 0].tolist())
        return self

    def predict(self, X: NDArray) -> Scores:
        """Scores of the paraphrases and of the changed sentences, shape (n, 2)."""
        if self.score is None:
            raise ValueError("a metric that learns from texts must be fitted first")
        reference, same, changed = X.T.tolist()
        return np.column_stack([self.score(same, reference), self.score(changed, reference)])


def _bleu(hypotheses: list[str], references: list[str]) -> Scores:
    from breadth.metrics import bleu

    return bleu(hypotheses, references, effective_order=True).segments


def _chrf(hypotheses: list[str], references: list[str]) -> Scores:
    from breadth.metrics import chrf

    return chrf(hypotheses, references).segments


def _rouge(hypotheses: list[str], references: list[str], *, type: str) -> Scores:
    from breadth.metrics import rouge

    return rouge(hypotheses, references, types=[type])[type].f.segments


def _meteor(hypotheses: list[str], references: list[str], *, synonyms: Any) -> Scores:
    from breadth.metrics import meteor

    return meteor(hypotheses, references, synonyms=synonyms).segments


def _token_f1(hypotheses: list[str], references: list[str]) -> Scores:
    from breadth.metrics import token_f1

    return token_f1(hypotheses, references).segments


def _word_vectors(texts: list[str]) -> Callable[[list[str]], list[NDArray]]:
    """An embedder of words, learned from the texts; a word that they do not hold is a direction of its own."""
    from breadth.text.lsa import LatentSemanticAnalysis

    model = LatentSemanticAnalysis(min(WORD_DIMENSIONS, len(texts) // 2), random_state=0).fit(texts)
    vectors = (model.components_ * model.singular_values_[:, None]).T  # (words, dimensions)
    seen = np.linalg.norm(vectors, axis=1) > 1e-9  # a rare word may have no part in the dimensions that are kept
    place = {word: i for i, word in enumerate(model.vectorizer_.get_feature_names_out()) if seen[i]}
    split = model.vectorizer_.build_analyzer()

    def embed(many: list[str]) -> list[NDArray]:
        known: dict[str, int] = {}
        words = [split(text) for text in many]
        for word in (w for text in words for w in text if w not in place):
            known.setdefault(word, len(known))
        width = vectors.shape[1] + len(known)
        out = []
        for text in words:
            rows = np.zeros((len(text), width))
            for row, word in zip(rows, text, strict=True):
                if word in place:
                    row[: vectors.shape[1]] = vectors[place[word]]
                else:
                    row[vectors.shape[1] + known[word]] = 1.0
            out.append(rows)
        return out

    return embed


def _bertscore(texts: list[str]) -> Callable[[list[str], list[str]], Scores]:
    from breadth.metrics import bertscore

    embed = _word_vectors(texts)
    return lambda hypotheses, references: bertscore(hypotheses, references, embed, name="lsa").f.segments


def _sacrebleu(hypotheses: list[str], references: list[str], *, metric: str) -> Scores:
    import sacrebleu

    score = {
        "bleu": partial(sacrebleu.sentence_bleu, smooth_method="exp", use_effective_order=True),
        "chrf": sacrebleu.sentence_chrf,
    }[metric]
    return np.array([score(h, [r]).score for h, r in zip(hypotheses, references, strict=True)])


def _rouge_score(hypotheses: list[str], references: list[str]) -> Scores:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    return np.array(
        [scorer.score(r, h)["rougeL"].fmeasure for h, r in zip(hypotheses, references, strict=True)], np.float64
    )


def _plain(of: Callable[..., Any], problem: Problem, seed: int, n_threads: int, settings: Settings) -> TextJudge:
    return TextJudge(partial(of, **settings))


def _learned(of: Callable[..., Any], problem: Problem, seed: int, n_threads: int, settings: Settings) -> TextJudge:
    return TextJudge(learn=of)


def _coin(problem: Problem, seed: int, n_threads: int, settings: Settings) -> Coin:
    return Coin(seed, 2)


ROOMS = ("text", "evidence/contenders_edits.py", "evidence/contenders_scores.py", "evidence/edits.py")


def metric(name: str, of: Callable[..., Any], origin: str = "breadth", **settings: Any) -> Entry:
    """A metric of texts as a contender."""
    rooms = ROOMS if origin == "breadth" else ROOMS[1:]
    return Entry(name, origin, partial(_plain, of), settings, cost=100.0, rooms=rooms)


BLEU = metric("BLEU", _bleu)
OURS = (
    BLEU,
    metric("chrF", _chrf),
    metric("ROUGE-1", _rouge, type="rouge1"),
    metric("ROUGE-2", _rouge, type="rouge2"),
    metric("ROUGE-L", _rouge, type="rougeL"),
    metric("METEOR, stems", _meteor, synonyms=None),
    metric("METEOR, WordNet", _meteor, synonyms="wordnet"),
    metric("token F1", _token_f1),
    Entry("BERTScore, LSA words", "breadth", partial(_learned, _bertscore), cost=1000.0, rooms=ROOMS),
)
PEERS = (
    metric("sacrebleu BLEU", _sacrebleu, "sacrebleu", metric="bleu"),
    metric("sacrebleu chrF", _sacrebleu, "sacrebleu", metric="chrf"),
    metric("rouge_score ROUGE-L", _rouge_score, "rouge-score"),
)
DUMMY = Entry("dummy", "numpy", _coin, cost=1.0, rooms=ROOMS[1:])
