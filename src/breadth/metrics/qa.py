"""Short answers beside the right ones: the share that are equal, and F of their words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from breadth.metrics.score import signature
from breadth.metrics.text_score import TextScore, check_texts, mean_score, reference_count

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(answer: str) -> str:
    """An answer in lower case, without ASCII punctuation, English articles and superfluous white space.

    Args:
        answer: any text.

    References: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1.
    Peer: the definition written out step by step (B).

    Example:
        >>> normalize_answer("The  Eiffel-Tower.")
        'eiffeltower'
    """
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def exact_match(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    normalize: Callable[[str], str] = normalize_answer,
) -> TextScore:
    """Share of answers that equal one of the right ones, after normalising both.

    Args:
        hypotheses: answers, one a question.
        references: for each question the right answer, or a list of them.
        normalize: what is done to each text; `str` leaves it as it is.

    Returns:
        TextScore in [0, 1]; `segments` has 0 or 1 for each question.

    Raises:
        ValueError: for no answers, or unequal numbers of them.
        TypeError: if a text is no string.

    Cost: O(characters).
    References: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1.
    Peer: the definition (B); its authors' script is no package.
    In production: report it beside `token_f1`; it is harsh on answers of many words.
    """
    return _best("exact_match", lambda a, b: float(a == b), hypotheses, references, normalize)


def token_f1(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    normalize: Callable[[str], str] = normalize_answer,
) -> TextScore:
    """Mean over questions of the best F of words: 2 P R / (P + R), words counted as often as both answers have them.

    Args:
        hypotheses: answers, one a question.
        references: for each question the right answer, or a list of them; "" is right where there is no answer.
        normalize: what is done to each text before it is cut at white space.

    Returns:
        TextScore in [0, 1]. Where either text has no word left, it is 1 if both have none and 0 otherwise.

    Raises:
        ValueError: for no answers, or unequal numbers of them.
        TypeError: if a text is no string.

    Cost: O(words).
    References: Rajpurkar et al. 2016, arXiv:1606.05250, section 6.1; Rajpurkar et al. 2018 for unanswerable questions.
    Peer: P and R counted word by word, 1e-12 (B); its authors' script is no package.
    In production: use it for spans and short answers; for sentences `rouge` or `bertscore`.
    """
    return _best("token_f1", _f1, hypotheses, references, normalize)


def _f1(hypothesis: str, reference: str) -> float:
    ours, theirs = hypothesis.split(), reference.split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def _best(
    name: str,
    score: Callable[[str, str], float],
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    normalize: Callable[[str], str],
) -> TextScore:
    texts, lists = check_texts(hypotheses, references)
    values = [
        max(score(answer, normalize(right)) for right in group)
        for answer, group in zip(map(normalize, texts), lists, strict=True)
    ]
    how = "squad" if normalize is normalize_answer else getattr(normalize, "__name__", "own")
    return mean_score(np.array(values), signature(name, nrefs=reference_count(lists), norm=how))
