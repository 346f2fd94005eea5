"""Compiling the kernels of this room before they are needed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from breadth.compilation import run_each
from breadth.text.bm25 import BM25, Found
from breadth.text.bpe import BPE
from breadth.text.hashing import HashingVectorizer
from breadth.text.tfidf import TfidfVectorizer
from breadth.text.tokenizer import Tokenizer
from breadth.text.unigram import Unigram
from breadth.text.wordpiece import WordPiece

TEXTS = [
    f"Trees, forests and boosting; {n} rows don't make a naïve model.\n\tdef fit(X{n}): return X" for n in range(60)
]


def warmup(progress: Callable[[str], None] = print) -> None:
    """Compile the kernels of the tokenizers (where [text] is installed) and of the text features.

    Args:
        progress: called with one line for each step.
    """

    def used(tokenizer: Tokenizer) -> list[str]:
        return [tokenizer.decode(ids) for ids in tokenizer.encode_batch(TEXTS)]

    def found() -> Found:
        index = BM25()
        index.add(TEXTS)
        return index.search(TEXTS[0], 2)

    tasks: list[tuple[str, Callable[[], object]]] = [
        ("TF-IDF", lambda: TfidfVectorizer().fit(TEXTS).transform(TEXTS)),
        ("TF-IDF of characters", lambda: TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)).fit_transform(TEXTS)),
        ("hashing", lambda: HashingVectorizer().transform(TEXTS)),
        ("BM25", found),
    ]
    if find_spec("regex"):
        tasks += [
            ("BPE", lambda: used(BPE.train(TEXTS, vocab_size=300))),
            ("WordPiece", lambda: used(WordPiece.train(TEXTS, vocab_size=100))),
            ("Unigram", lambda: used(Unigram.train(TEXTS, vocab_size=60))),
        ]
    run_each(((f"text, {name}", task) for name, task in tasks), progress)
