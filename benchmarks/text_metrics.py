"""Scores of texts beside sacrebleu, rouge_score and nltk: speed on text not seen before, and whether values agree."""

from __future__ import annotations

import functools
import pydoc_data.topics
import random
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.harness import OURS, Row, Section, Setup, Times, interleave, ratio_rows
from breadth.metrics import bleu, chrf, load_wordnet, meteor, rouge

SACREBLEU, ROUGE_SCORE, NLTK = "sacrebleu", "rouge_score", "nltk"
N_SEGMENTS, N_METEOR = 2000, 500
BAR = 0.1
SAME = 1e-9
TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class Texts(NamedTuple):
    hypotheses: list[str]
    references: list[str]


@functools.cache
def sentences() -> tuple[str, ...]:
    topics = pydoc_data.topics.topics
    text = " ".join(" ".join(topics[name].split()) for name in sorted(topics))
    return tuple(s for s in re.split(r"(?<=[.:]) ", text) if 40 < len(s) < 400)


def fresh(n: int, seed: int) -> Texts:
    """n segments that no other seed gives: both sides have words exchanged, so that no cache of lines knows them."""
    draw = random.Random(seed)

    def changed(sentence: str) -> str:
        words = sentence.split()
        for _ in range(max(2, len(words) // 6)):
            words[draw.randrange(len(words))] = draw.choice(words)
        return f"{' '.join(words)} {draw.randrange(10**9):,}."

    references = [changed(s) for s in draw.choices(sentences(), k=n)]
    return Texts([changed(reference) for reference in references], references)


def compared(
    what: str, peer: str, ours: Callable[[Texts], Any], theirs: Callable[[Texts], Any], n: int, reps: int, bar: float,
    raw: Times,
) -> list[Row]:  # fmt: skip
    """A row of time, and one of the largest difference of any value in any repetition."""
    values: dict[tuple[str, int], np.ndarray] = {}
    times = interleave(
        {OURS: ours, peer: theirs},
        lambda r: fresh(n, r),
        reps=reps,
        warm_up=fresh(n, -1),
        look=lambda name, r, _, result: values.update({(name, r): np.asarray(result, np.float64)}),
    )
    apart = max(float(np.abs(values[OURS, r] - values[peer, r]).max()) for r in range(reps))
    difference = Row(f"largest difference, {what}", apart, "absolute", SAME, peer, n=reps)
    return [*ratio_rows(what, times, {peer: bar}, raw), difference]


def overlap_rows(setup: Setup, raw: Times) -> list[Row]:
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    n, reps = setup.size(N_SEGMENTS, 20), setup.repetitions(7)
    rows = []
    for tokenize in ("13a", "intl", "none"):
        rows += compared(
            f"BLEU, tokenizer {tokenize}, {n:,} segments", SACREBLEU,
            lambda t, tokenize=tokenize: [bleu(t.hypotheses, t.references, tokenize=tokenize).value],
            lambda t, tokenize=tokenize: [BLEU(tokenize=tokenize).corpus_score(t.hypotheses, [t.references]).score],
            n, reps, BAR, raw,
        )  # fmt: skip
    for name, words in (("chrF", 0), ("chrF++", 2)):
        rows += compared(
            f"{name}, {n:,} segments", SACREBLEU,
            lambda t, words=words: [chrf(t.hypotheses, t.references, word_order=words).value],
            lambda t, words=words: [CHRF(word_order=words).corpus_score(t.hypotheses, [t.references]).score],
            n, reps, BAR, raw,
        )  # fmt: skip

    def ours(texts: Texts, *, stemmer: bool) -> list[list[float]]:
        found = rouge(texts.hypotheses, texts.references, types=TYPES, stemmer=stemmer)
        return [found[name].f.segments.tolist() for name in TYPES]

    def theirs(texts: Texts, *, stemmer: bool) -> list[list[float]]:
        scorer = RougeScorer(TYPES, use_stemmer=stemmer)
        found = [scorer.score(r, h) for h, r in zip(texts.hypotheses, texts.references, strict=True)]
        return [[score[name].fmeasure for score in found] for name in TYPES]

    for stemmer in (False, True):
        rows += compared(
            f"ROUGE-1, 2, L, Lsum{', stems' if stemmer else ''}, {n:,} segments", ROUGE_SCORE,
            functools.partial(ours, stemmer=stemmer), functools.partial(theirs, stemmer=stemmer),
            n, setup.repetitions(3), BAR, raw,
        )  # fmt: skip
    return rows


def meteor_rows(setup: Setup, raw: Times) -> list[Row]:
    from nltk.translate.meteor_score import single_meteor_score

    n = setup.size(N_METEOR, 10)
    try:
        wordnet, what = load_wordnet(), "with WordNet"
    except FileNotFoundError:
        wordnet, what = None, "without WordNet, which is not installed here"
    peer = NoSynonyms() if wordnet is None else nltk_wordnet(wordnet.path)

    def ours(texts: Texts) -> list[float]:
        return meteor(texts.hypotheses, texts.references, synonyms=wordnet, tokenize=str.split).segments.tolist()

    def theirs(texts: Texts) -> list[float]:
        pairs = zip(texts.hypotheses, texts.references, strict=True)
        return [single_meteor_score(r.split(), h.split(), wordnet=peer) for h, r in pairs]

    return compared(f"METEOR {what}, {n:,} segments", NLTK, ours, theirs, n, setup.repetitions(5), 1.0, raw)


class NoSynonyms:
    """What nltk asks a WordNet."""

    def synsets(self, word: str) -> list[Any]:
        return []


def nltk_wordnet(path: Path) -> Any:
    """nltk's reader on copies of these files, in a folder laid out as it wants it."""
    import nltk
    from nltk.corpus.reader import WordNetCorpusReader

    class Reader(WordNetCorpusReader):
        def map_wn(self, version: str = "wordnet") -> None:
            """Other languages' WordNets, which need files of their own."""

    folder = Path(tempfile.mkdtemp(prefix="wordnet"))
    for file in path.iterdir():
        if file.name.startswith(("index.", "data.")) or file.suffix == ".exc":
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "lexnames").write_text("".join(f"{i:02d}\tcategory{i}\t1\n" for i in range(45)))
    nltk.data.path.append(str(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Reader(str(folder), None)


SECTIONS = (
    Section(
        "text_metrics",
        "Scores of texts",
        f"Sentences of Python's documentation, {N_SEGMENTS:,} pairs of which both sides have words exchanged; each "
        "repetition has text that was not seen before, as sacrebleu keeps the lines that it has cut. Construction of "
        "the scorer and cutting are within the time; one thread.",
        overlap_rows,
    ),
    Section(
        "meteor",
        "METEOR",
        "As above; both have WordNet's files open before the time begins, and nltk keeps the synsets that it has read.",
        meteor_rows,
    ),
)
