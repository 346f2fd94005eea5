"""Steps that shape the next token's distribution: temperature, and what each filter leaves of the vocabulary.

Pure functions of logits, which are unnormalised log-probabilities; what a filter leaves out becomes -inf. Where ties or
rounding decide, they decide as in transformers, whose names of options these are.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FILTERED = -math.inf
_LARGE, _HEAD = 16_384, 4096  # of a vocabulary above the one, the nucleus is looked for among so many tokens first


def temperature_softmax(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Softmax at a temperature: p_i = exp(z_i / T) / sum_j exp(z_j / T).

    T -> 0 is the argmax (spread evenly over ties), T = 1 the model's own distribution, T -> inf the uniform one over
    the tokens whose logit is not -inf.

    Args:
        logits: shape (..., vocabulary).
        temperature: T >= 0; 0 and inf are the limits.

    Returns:
        Probabilities, shape and dtype of logits.

    Raises:
        ValueError: if the temperature is negative or NaN.

    Cost: O(vocabulary) for a row.
    References: Hinton et al. 2015, arXiv:1503.02531, eq. 1; Ackley et al. 1985, Cognitive Science 9 (T in a Boltzmann
        distribution).
    Peer: scipy.special.softmax of z / T in float64, 1e-12 (A); its limits at T of 0, 1e-300 and inf (B).
    """
    if not temperature >= 0:
        raise ValueError(f"temperature must be >= 0, got {temperature}")
    if temperature == 0:
        best = logits == logits.amax(-1, keepdim=True)
        return best.to(logits.dtype) / best.sum(-1, keepdim=True)
    return scale_temperature(logits, temperature).softmax(-1)


def scale_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Logits over the temperature: z / T.

    Args:
        logits: shape (..., vocabulary).
        temperature: T > 0; inf makes every token that is left equally likely.

    Returns:
        Shape and dtype of logits.

    Raises:
        ValueError: if the temperature is not > 0.

    Cost: O(vocabulary) for a row.
    Deviations: below T = 1e-6 the largest logit is subtracted first, which no softmax sees, so that nothing overflows;
        T = inf gives 0 and not NaN where a logit is -inf.
    References: Hinton et al. 2015, arXiv:1503.02531, eq. 1.
    Peer: transformers.TemperatureLogitsWarper, equal (A).
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, got {temperature}: for the limit 0 decode greedily")
    if math.isinf(temperature):
        return torch.zeros_like(logits).masked_fill(logits == FILTERED, FILTERED)
    if temperature < 1e-6:
        shifted = (logits - logits.amax(-1, keepdim=True)).double() / temperature
        return shifted.to(logits.dtype)
    return logits / temperature


def top_k(logits: Tensor, k: int, *, min_tokens_to_keep: int = 1) -> Tensor:
    """The k most likely tokens; all that tie with the k-th stay.

    Args:
        logits: shape (..., vocabulary).
        k: >= 1; more than the vocabulary keeps all of it.
        min_tokens_to_keep: at least so many stay, >= 1.

    Returns:
        Logits, -inf where they were left out.

    Raises:
        ValueError: if k or min_tokens_to_keep is below 1.

    Cost: a selection, O(vocabulary) for a row.
    References: Fan et al. 2018, arXiv:1805.04833 (sampling from the 10 most likely words).
    Peer: transformers.TopKLogitsWarper, equal (A).
    In production: use min_p or top_p: a fixed k is too many where one word is certain, and too few where many will do.
    """
    if k < 1:
        raise ValueError(f"top_k must be >= 1, got {k}: None keeps all")
    k = min(max(k, _one_or_more(min_tokens_to_keep)), logits.shape[-1])
    return logits.masked_fill(logits < logits.topk(k).values[..., -1:], FILTERED)


def top_p(logits: Tensor, p: float, *, min_tokens_to_keep: int = 1) -> Tensor:
    """The nucleus: the fewest of the most likely tokens whose probabilities sum to p or more.

    Args:
        logits: shape (..., vocabulary).
        p: mass to keep, in [0, 1]; 0 keeps min_tokens_to_keep, 1 all that have any mass.
        min_tokens_to_keep: at least so many stay, >= 1.

    Returns:
        Logits, -inf where they were left out.

    Raises:
        ValueError: if p is outside [0, 1], or min_tokens_to_keep below 1.

    Cost: a selection of the 4096 likeliest where they hold the mass; else a sort, O(V log V) for a row of V.
    Deviations: as in transformers the sum runs from the least likely up, and what sums to 1 - p or less goes; of tokens
        that tie at the border some stay and some go, as the sort has them. Of a vocabulary above 16384 it runs from the
        likeliest down, which is the same but for rounding.
    References: Holtzman et al. 2020, arXiv:1904.09751, eq. 2.
    Peer: transformers.TopPLogitsWarper, equal (A).
    In production: use it at 0.9 to 0.95 with a temperature of at most 1; `min_p` at higher ones.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"top_p must be in [0, 1], got {p}")
    keep = _one_or_more(min_tokens_to_keep)
    if logits.shape[-1] > _LARGE and keep <= _HEAD and p > 0:
        head, order = logits.softmax(-1).topk(_HEAD)  # descending
        before = head.cumsum(-1, dtype=torch.float64) - head
        if bool((before[..., -1] >= p).all()):
            stay = before < p
            stay[..., :keep] = True
            return torch.full_like(logits, FILTERED).scatter(-1, order, logits.gather(-1, order).where(stay, FILTERED))
    ascending, order = logits.sort(-1)
    drop = ascending.softmax(-1).cumsum(-1) <= 1 - p
    drop[..., -keep:] = False
    return logits.masked_fill(drop.scatter(-1, order, drop), FILTERED)


def min_p(logits: Tensor, p: float, *, min_tokens_to_keep: int = 1) -> Tensor:
    """Tokens at least p times as likely as the most likely one.

    Args:
        logits: shape (..., vocabulary).
        p: fraction of the largest probability, in [0, 1].
        min_tokens_to_keep: at least so many stay, >= 1.

    Returns:
        Logits, -inf where they were left out.

    Raises:
        ValueError: if p is outside [0, 1], or min_tokens_to_keep below 1.

    Cost: O(vocabulary) for a row.
    References: Nguyen et al. 2024, arXiv:2407.01082 (min-p sampling).
    Peer: transformers.MinPLogitsWarper, equal (A).
    In production: use it at 0.05 to 0.1 where the temperature is above 1.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"min_p must be in [0, 1], got {p}")
    keep = min(_one_or_more(min_tokens_to_keep), logits.shape[-1])
    probabilities = logits.softmax(-1)
    drop = probabilities < p * probabilities.amax(-1, keepdim=True)
    drop = drop.scatter(-1, probabilities.topk(keep).indices, False)
    return logits.masked_fill(drop, FILTERED)


def typical(logits: Tensor, mass: float, *, min_tokens_to_keep: int = 1) -> Tensor:
    """Tokens whose surprise is nearest the expected one, until their probabilities sum to the mass.

    Tokens are taken in the order of |-log p_i - H|, H = -sum_j p_j log p_j, until the sum reaches the mass: neither the
    rarest nor, where the distribution is broad, the most likely.

    Args:
        logits: shape (..., vocabulary).
        mass: tau in (0, 1).
        min_tokens_to_keep: at least so many stay, >= 1.

    Returns:
        Logits, -inf where they were left out.

    Raises:
        ValueError: if the mass is not inside (0, 1), or min_tokens_to_keep is below 1.

    Cost: a sort, O(V log V) for a row of V.
    References: Meister et al. 2023, arXiv:2202.00666 (locally typical sampling: the truncation set).
    Peer: transformers.TypicalLogitsWarper, equal (A).
    In production: use it at 0.9 or 0.95 for stories; `top_p` is better known.
    """
    if not 0 < mass < 1:
        raise ValueError(f"typical_p must be in (0, 1), got {mass}")
    keep = _one_or_more(min_tokens_to_keep)
    log_p = logits.log_softmax(-1)
    entropy = -(log_p * log_p.exp()).nansum(-1, keepdim=True)  # 0 log 0 is NaN here and counts as 0
    distance, order = (-log_p - entropy).abs().sort(-1)
    reached = logits.gather(-1, order).softmax(-1).cumsum(-1)
    last = (reached < mass).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    drop = distance > distance.gather(-1, last)
    drop[..., :keep] = False
    return logits.masked_fill(drop.scatter(-1, order, drop), FILTERED)


def epsilon_cutoff(logits: Tensor, epsilon: float, *, min_tokens_to_keep: int = 1) -> Tensor:
    """Tokens of probability epsilon or more.

    Args:
        logits: shape (..., vocabulary).
        epsilon: smallest probability, in (0, 1).
        min_tokens_to_keep: the so many most likely stay whatever their probability, >= 1.

    Returns:
        Logits, -inf where they were left out.

    Raises:
        ValueError: if epsilon is not inside (0, 1), or min_tokens_to_keep is below 1.

    Cost: O(vocabulary) for a row.
    References: Hewitt et al. 2022, arXiv:2210.15191 (epsilon-sampling).
    Peer: transformers.EpsilonLogitsWarper, equal (A).
    In production: use it at 3e-4 to 9e-4; `eta_cutoff` spares flat distributions.
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"epsilon_cutoff must be in (0, 1), got {epsilon}")
    return _above(logits, epsilon, min_tokens_to_keep)


def eta_cutoff(logits: Tensor, epsilon: float, *, min_tokens_to_keep: int = 1) -> Tensor:
    """Tokens of probability eta or more, where eta = min(epsilon, sqrt(epsilon) exp(-H)) falls with the entropy H.

    Args:
        logits: shape (..., vocabulary).
        epsilon: in (0, 1).
        min_tokens_to_keep: the so many most likely stay whatever their probability, >= 1.

    Returns:
        Logits, -inf where they were left out.

    Raises:
        ValueError: if epsilon is not inside (0, 1), or min_tokens_to_keep is below 1.

    Cost: O(vocabulary) for a row.
    Deviations: sqrt(epsilon) stands for the paper's second parameter alpha, as the paper itself sets it.
    References: Hewitt et al. 2022, arXiv:2210.15191 (eta-sampling).
    Peer: transformers.EtaLogitsWarper, equal (A).
    In production: use it at 3e-4 to 4e-3.
    """
    if not 0 < epsilon < 1:
        raise ValueError(f"eta_cutoff must be in (0, 1), got {epsilon}")
    log_p = logits.log_softmax(-1)
    entropy = -(log_p * log_p.exp()).nansum(-1, keepdim=True)  # 0 log 0 is NaN here and counts as 0
    return _above(logits, (math.sqrt(epsilon) * (-entropy).exp()).clamp(max=epsilon), min_tokens_to_keep)


def _above(logits: Tensor, bound: Tensor | float, min_tokens_to_keep: int) -> Tensor:
    keep = min(_one_or_more(min_tokens_to_keep), logits.shape[-1])
    drop = (logits.softmax(-1) < bound) & (logits < logits.topk(keep).values[..., -1:])
    return logits.masked_fill(drop, FILTERED)


def _one_or_more(min_tokens_to_keep: int) -> int:
    if min_tokens_to_keep < 1:
        raise ValueError(f"min_tokens_to_keep must be >= 1, got {min_tokens_to_keep}")
    return min_tokens_to_keep
