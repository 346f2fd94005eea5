"""The numbers that a prediction earns, in their natural signs, by scikit-learn's metrics."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import metrics
from sklearn.exceptions import UndefinedMetricWarning

from breadth.evidence.measures_trials import TRIALS, score_trials, truth_of_trials, work_on_trials
from breadth.evidence.problem import Family, Problem
from breadth.evidence.study import Measure

MEASURES: Mapping[Family, tuple[Measure, ...]] = {
    "classification": (
        Measure("log loss", "lower", margin=0.005, unit="nats"),
        Measure("AUC", "higher", margin=0.005),
        Measure("accuracy", "higher", margin=0.005),
    ),
    "regression": (
        Measure("RMSE", "lower", margin=0.01, margin_of="target spread"),
        Measure("MAE", "lower", margin=0.01, margin_of="target spread"),
        Measure("R2", "higher", margin=0.01),
    ),
    "tokenization": (
        Measure("bytes per token", "higher", margin=0.02, unit="bytes"),
        Measure("tokens per word", "lower", margin=0.01),
        Measure("unknown tokens", "lower", margin=0.001),
        Measure("restored", "higher", margin=0.01),
    ),
    "search": (Measure("recall@10", "higher", margin=0.005),),
    "attention": (Measure("relative error", "lower", margin=0.01),),
    "control": (Measure("return", "higher", margin=0.05, margin_of="target spread"),),
    "modelling": (Measure("nats per token", "lower", margin=0.02, unit="nats"),),
    "generation": (
        Measure("bigram distance", "lower", margin=0.05),
        Measure("distinct-2", "higher", margin=0.02),
        Measure("rep-4", "lower", margin=0.02),
        Measure("nats per token", "lower", margin=0.05, unit="nats"),
    ),
    "accounting": (
        Measure("GB read per token", "lower", margin=0.01, unit="GB"),
        Measure("GFLOPs per token", "lower", margin=0.01),
        Measure("cache GB", "lower", margin=0.001, unit="GB"),
        Measure("weights GB", "lower", margin=0.01, unit="GB"),
    ),
    **TRIALS,
}
K = 10  # neighbours that a search is asked for


def answers(problem: Problem, X_train: NDArray, X: NDArray, y: NDArray) -> NDArray:
    """What predictions for the rows X are scored against: their targets, texts, or true neighbours.

    Args:
        problem: the task.
        X_train: the rows that were learned from; a search's neighbours are among them.
        X: the held-out rows.
        y: their targets.

    Returns:
        y, shape (n,); for tokenization X; for search the indices of each row's nearest training rows, shape (n, K),
        computed in float64 from all of them, equal ones by index; for attention the exact outputs, in float64,
        shape (n, heads, length, head_dim); for generation the training texts, whose bigrams they should have; for
        trials what `measures_trials` says; for control, modelling and accounting y, which nothing is compared with.
    """
    if problem.task == "tokenization":
        return X
    if problem.task == "generation":
        return X_train
    if problem.task == "attention":
        return _attended(X)
    if problem.task in TRIALS:
        return truth_of_trials(problem, X, y)
    return _nearest(problem, X_train, X) if problem.task == "search" else y


def work(problem: Problem, X: NDArray) -> float | None:
    """How much a prediction of the rows X does, in the unit of the task's rate; None where it has none."""
    if problem.task == "tokenization":
        return sum(len(text.encode("utf-8", "surrogatepass")) for text in X) / 1e6
    if problem.task in TRIALS:
        return work_on_trials(problem, X)
    tokens = float(len(X) * problem.n_features)
    return {
        "search": float(len(X)),
        "attention": tokens,
        "modelling": tokens,
        "generation": len(X) * (problem.n_features - prompt_length(problem.n_features)),
    }.get(problem.task)


def prompt_length(length: int) -> int:
    """Tokens of a text that a continuation is given: a quarter."""
    return length // 4


def _nearest(problem: Problem, X_train: NDArray, X: NDArray) -> NDArray[np.intp]:
    from breadth.vector.similarity import cosine_similarity, dot_product, euclidean_distance

    measure = {"cosine": cosine_similarity, "dot": dot_product, "euclidean": euclidean_distance}[problem.metric]
    sign = 1 if problem.metric == "euclidean" else -1
    far = sign * measure(X.astype(np.float64), X_train.astype(np.float64))
    return np.argsort(far, axis=1, kind="stable")[:, :K]


def _attended(X: NDArray) -> NDArray[np.float64]:
    """softmax(q k^T / sqrt(E)) v of each sequence, head by head: all scores of one head are in memory at a time."""
    out = np.empty((len(X), *X.shape[2:]))
    for i, head in np.ndindex(len(X), X.shape[2]):
        q, k, v = X[i, :, head].astype(np.float64)
        scores = q @ k.T / np.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out[i, head] = scores @ v / scores.sum(-1, keepdims=True)
    return out


def score(problem: Problem, y: NDArray, predicted: NDArray) -> dict[str, float]:
    """Every measure of the task on held-out rows; one that is undefined there (AUC of a single class) is left out.

    Args:
        problem: the task and its number of classes.
        y: what `answers` gave: class codes or real targets, shape (n,); texts; true neighbours, shape (n, K); or exact
            outputs of attention.
        predicted: class probabilities, shape (n, classes), or predictions, shape (n,); for tokenization the number of
            tokens and of unknown ones, shape (n, 2); for search the indices of training rows found, shape (n, K); for
            attention its outputs, shape of y; for control the return of each episode, shape (n,); for modelling the
            nats of each token but the first, shape (n, length - 1); for generation each continuation's ids, and the
            nats of its tokens under the model, shape (n, 2, tokens); for accounting the four costs, shape (n, 4); for
            trials what `measures_trials` says.

    Raises:
        ValueError: if predicted has the wrong shape or is not finite.
    """
    if problem.task in TRIALS:
        return score_trials(problem, y, predicted)
    _check(problem, y, predicted)
    if problem.task == "tokenization":
        tokens, unknown = predicted.sum(axis=0).tolist()
        n_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in y)
        n_words = sum(len(text.split()) for text in y)
        fertility = {"tokens per word": tokens / n_words} if n_words else {}
        return {"bytes per token": n_bytes / tokens, **fertility, "unknown tokens": unknown / tokens}
    if problem.task == "search":
        found = (predicted[:, :, None] == y[:, None, :]).any(axis=1)
        return {"recall@10": float(found.mean())}
    if problem.task == "attention":
        return {"relative error": float(np.linalg.norm(predicted - y) / np.linalg.norm(y))}
    if problem.task == "control":
        return {"return": float(predicted.mean())}
    if problem.task == "modelling":
        return _nats(predicted)
    if problem.task == "accounting":
        return dict(zip((m.name for m in MEASURES["accounting"]), predicted.mean(axis=0).tolist(), strict=True))
    if problem.task == "generation":
        return _continued(problem.vocabulary, y, predicted[:, 0].astype(np.int64), predicted[:, 1])
    if problem.family == "regression":
        values = {
            "RMSE": metrics.root_mean_squared_error(y, predicted),
            "MAE": metrics.mean_absolute_error(y, predicted),
        }
        if len(y) > 1 and np.ptp(y) > 0:
            values["R2"] = metrics.r2_score(y, predicted)
        return {name: float(v) for name, v in values.items()}
    values = {"log loss": first_measure(problem, y, predicted), "accuracy": float((predicted.argmax(1) == y).mean())}
    counts = np.bincount(y, minlength=problem.n_classes)
    present = np.count_nonzero(counts)
    if present == problem.n_classes:
        values |= _by_class(problem, y, predicted, counts)
    if problem.task == "binary" and present == 2:
        values["AUC"] = float(metrics.roc_auc_score(y, predicted[:, 1]))
    elif problem.task == "multiclass" and present == problem.n_classes:  # one versus rest, plain mean over classes
        with warnings.catch_warnings():
            warnings.simplefilter("error", UndefinedMetricWarning)
            p = predicted / predicted.sum(1, keepdims=True)  # float32 rows miss 1 by more than scikit-learn allows
            values["AUC"] = float(metrics.roc_auc_score(y, p, multi_class="ovr", labels=np.arange(problem.n_classes)))
    return values


def _by_class(problem: Problem, y: NDArray, predicted: NDArray, counts: NDArray) -> dict[str, float]:
    """What rare classes count in: the mean of the classes' recalls, and average precision.

    The latter is of the class that has fewer held-out rows, the last of equal ones, or of more than two classes the
    plain mean of each against the rest.
    """
    classes = range(problem.n_classes) if problem.task == "multiclass" else [1 if counts[1] <= counts[0] else 0]
    precisions = [metrics.average_precision_score(y == k, predicted[:, k]) for k in classes]
    right = np.bincount(y, predicted.argmax(1) == y, problem.n_classes)
    return {"balanced accuracy": float((right / counts).mean()), "average precision": float(np.mean(precisions))}


def _nats(nats: NDArray) -> dict[str, float]:
    """Mean nats of the tokens of whole texts, and of their first half and quarter: at 4L, 2L and L tokens."""
    length = nats.shape[1] + 1
    values = {f"nats at {name}": float(nats[:, : length // part - 1].mean()) for name, part in LENGTHS.items()}
    return {"nats per token": float(nats.mean()), **values}


LENGTHS = {"4L": 1, "2L": 2, "L": 4}  # name: which part of a text


def _continued(vocabulary: int, texts: NDArray, ids: NDArray, nats: NDArray) -> dict[str, float]:
    """What continuations are like.

        bigram distance   squared distance of the mean frequencies of bigrams in continuations and in the ends of the
                          texts, over the squared length of the latter: each estimated from pairs of different texts,
                          so that its expectation is 0 for texts of the same kind, however few and short
        distinct-2        different bigrams of all continuations together / bigrams
        rep-4             1 - different 4-grams / 4-grams, of each continuation, on average
        nats per token    under the model, before anything is done to its distribution

    References: Gretton et al. 2012, JMLR 13, eq. 3 with a linear kernel (distance); Li et al. 2016, arXiv:1510.03055,
        section 5.1 (distinct-n); Su et al. 2022, arXiv:2202.06417, section 4.1 (rep-n).
    """
    pairs, four = _grams(ids, 2, vocabulary), _grams(ids, 4, vocabulary)
    values = {
        "distinct-2": np.unique(pairs).size / pairs.size,
        "rep-4": np.mean([1 - np.unique(row).size / row.size for row in four]),
        "nats per token": nats.mean(),
    }
    own, other = (
        _frequencies(pairs, vocabulary),
        _frequencies(_grams(texts[:, -ids.shape[1] :], 2, vocabulary), vocabulary),
    )
    if min(len(ids), len(texts)) > 1 and (known := _mean_product(other)) > 0:
        values["bigram distance"] = (_mean_product(own) + known - 2 * (own @ other.T).mean()) / known
    return {name: float(v) for name, v in values.items()}


def _frequencies(grams: NDArray, vocabulary: int) -> sparse.csr_array:
    """Of each bigram in each text, shape (texts, vocabulary^2)."""
    n, count = grams.shape
    where = (np.repeat(np.arange(n), count), grams.ravel())
    return sparse.csr_array((np.full(n * count, 1 / count), where), shape=(n, vocabulary**2))


def _mean_product(rows: sparse.csr_array) -> float:
    """Mean over pairs of two different rows of their product."""
    n = rows.shape[0]
    return float(((rows.sum(0) ** 2).sum() - rows.power(2).sum()) / (n * (n - 1)))


def _grams(ids: NDArray, n: int, vocabulary: int) -> NDArray[np.int64]:
    """Each run of n tokens as one number, shape (texts, length - n + 1)."""
    runs = np.lib.stride_tricks.sliding_window_view(ids, n, axis=1)
    return runs @ (vocabulary ** np.arange(n))


def first_measure(problem: Problem, y: NDArray, predicted: NDArray) -> float:
    """The task's first measure alone, for learning curves: log loss in nats, or root mean squared error."""
    if problem.family == "regression":
        return float(np.sqrt(np.mean((y - predicted) ** 2)))
    p = predicted[np.arange(len(y)), y].astype(np.float64)
    return float(
        -np.log(np.clip(p, np.finfo(np.float64).eps, 1.0)).mean()
    )  # a certain error costs 36 nats, not infinity


def find(measures: tuple[Measure, ...], name: str) -> Measure:
    """The measure that a user means by `name`: case, spaces, hyphens and underscores do not matter."""
    wanted = _plain(name)
    for measure in measures:
        if _plain(measure.name) == wanted:
            return measure
    known = ", ".join(repr(m.name) for m in measures)
    raise ValueError(f"--metric {name!r} is not measured in this comparison; choose one of {known}")


def _plain(name: str) -> str:
    plain = "".join(c for c in name.casefold() if c.isalnum())
    return {"rocauc": "auc", "crossentropy": "logloss", "acc": "accuracy", "r²": "r2"}.get(plain, plain)


def _check(problem: Problem, y: NDArray, predicted: NDArray) -> None:
    columns = {
        "classification": (problem.n_classes,),
        "tokenization": (2,),
        "search": y.shape[1:],
        "attention": y.shape[1:],
        "modelling": (problem.n_features - 1,),
        "accounting": (len(MEASURES["accounting"]),),
    }
    shape = (len(y), *columns.get(problem.family, ()))
    if problem.task == "generation":
        shape = (len(predicted), 2, problem.n_features - prompt_length(problem.n_features))
    if predicted.shape != shape:
        raise ValueError(f"predictions must have shape {shape}, got {predicted.shape}")
    if not np.isfinite(predicted).all():
        raise ValueError(f"{(~np.isfinite(predicted)).sum()} of {predicted.size} predictions are NaN or infinite")
