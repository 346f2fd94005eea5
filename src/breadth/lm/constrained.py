"""Choices: one of a list of texts, each with its exact probability."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from breadth.lm.draws import Uniforms, draw
from breadth.lm.session import Session, check_prompts


class Trie:
    """Token sequences with their common beginnings joined.

    Args:
        sequences: of ids, none of them empty, none twice.

    Attributes:
        children: of each node, which token leads to which node; node 0 is the root.
        ends: which sequence ends at a node, or None.

    Raises:
        ValueError: if there is no sequence, or one is empty or there twice.

    Cost: O(tokens) time and memory.
    References: Fredkin 1960, Commun. ACM 3(9).
    Peer: prefixes by comparing lists, exact (B).
    """

    def __init__(self, sequences: Iterable[Sequence[int]]) -> None:
        self.children: list[dict[int, int]] = [{}]
        self.ends: list[int | None] = [None]
        for number, sequence in enumerate(sequences):
            if len(sequence) == 0:
                raise ValueError(f"choices hold an empty one, number {number}")
            node = 0
            for token in sequence:
                if token not in self.children[node]:
                    self.children[node][token] = len(self.children)
                    self.children.append({})
                    self.ends.append(None)
                node = self.children[node][token]
            if self.ends[node] is not None:
                raise ValueError(f"choices {self.ends[node]} and {number} are the same tokens")
            self.ends[node] = number
        if len(self.children) == 1:
            raise ValueError("choices are empty")

    def find(self, ids: Sequence[int]) -> int | None:
        """The node that ids lead to, or None."""
        node: int | None = 0
        for token in ids:
            node = None if node is None else self.children[node].get(token)
        return node

    def allowed(self, end: int) -> Any:
        """A function for `generate(allowed=...)`: what may follow, and `end` where a sequence ends or was left.

        Args:
            end: token that ends a row, its eos_token_id.
        """

        def following(ids: list[int]) -> list[int]:
            node = self.find(ids)
            if node is None:
                return [end]
            return [*self.children[node], *([end] if self.ends[node] is not None else [])]

        return following


@dataclass(frozen=True)
class Choice:
    """One of several texts.

    Attributes:
        index: which.
        text: the choice as it was given.
        logprobs: log p(choice | prompt) of all, in nats, summed over their tokens, in the order given.
        probabilities: of each among the choices: softmax of logprobs.
    """

    index: int
    text: str | list[int]
    logprobs: list[float]
    probabilities: list[float]


def choose(
    model: Any,
    ids: Sequence[int] | Tensor | str,
    choices: Sequence[str] | Sequence[Sequence[int]],
    *,
    tokenizer: Any = None,
    eos_token_id: int | None = None,
    normalize: bool = False,
    do_sample: bool = False,
    seed: int | None = None,
) -> Choice:
    """The likeliest of a list of texts as the prompt's continuation, or one drawn by their probabilities.

    log p(c | x) = sum_i log p(c_i | x, c_<i), for every choice c and exactly: not by following the likeliest token,
    which may lead to an unlikely choice. Common beginnings are read once.

    Args:
        model: a `breadth.lm.LM`.
        ids: the prompt: ids, or a text.
        choices: texts or ids, none of them empty or there twice. Texts are encoded without special tokens; where words
            begin with a space, so must they.
        tokenizer: for texts.
        eos_token_id: added to each choice, so that "no" does not count what "nothing" is worth. None adds nothing:
            where one choice begins another, the shorter one's probability holds the longer one's.
        normalize: compare mean log-probabilities by token, and not sums.
        do_sample: draw in proportion to the probabilities.
        seed: of the draw; None takes one from torch's global generator.

    Returns:
        The choice, and the log-probabilities of all.

    Raises:
        ValueError: if choices or the prompt are empty, a choice is there twice, ids are outside the vocabulary, or
            prompt and choice exceed the context.

    Cost: a call of the model for the prompt and one for each place in the longest choice, on as many rows as distinct
        beginnings of that length go on.
    References: Brown et al. 2020, arXiv:2005.14165, section 2.4 (choices by likelihood; `normalize` by token).
    Peer: sums over the model's full forward, choice by choice in float64, 1e-12 (B).
    In production: use it for classification and multiple choice; `Trie.allowed` with sampling for many choices.
    """
    given = [
        tokenizer.encode(c, add_special_tokens=False) if isinstance(c, str) else list(c)
        for c in _texts(choices, tokenizer)
    ]
    if isinstance(ids, str):
        if tokenizer is None:
            raise ValueError("ids are text, and no tokenizer is given to encode it with")
        ids = tokenizer.encode(ids)
    prompt = torch.as_tensor(ids, dtype=torch.int64).reshape(-1)
    sequences = [[*c, eos_token_id] if eos_token_id is not None else c for c in given]
    trie = Trie(sequences)
    check_prompts([torch.tensor(c) for c in sequences], model.config.vocab_size, "choices")
    logprobs = _totals(model, prompt, trie, max(map(len, sequences)))
    weights = torch.tensor(logprobs, dtype=torch.float64)
    if normalize:
        weights = weights / torch.tensor([len(c) for c in sequences])
    if torch.isnan(weights).any():
        raise ValueError("logits hold NaN")
    if do_sample:
        seed = int(torch.randint(2**31, ())) if seed is None else seed
        index = int(draw(weights[None], Uniforms(seed, 1).row(0)))
    else:
        index = int(weights.argmax())
    chosen = choices[index]
    text = chosen if isinstance(chosen, str) else list(chosen)
    return Choice(index, text, logprobs, weights.softmax(0).tolist())


@torch.inference_mode()
def _totals(model: Any, prompt: Tensor, trie: Trie, longest: int) -> list[float]:
    """Log-probability of each sequence of a trie, its nodes read level by level."""
    session = Session(model, [prompt], room=longest)
    found: dict[int, float] = {}
    level = [(0, 0.0)]  # nodes that go on, one a row, and the log-probability of their tokens
    while level:
        log_p = session.read()[0].double().log_softmax(-1)  # (nodes, V)
        rows, tokens, following = [], [], []
        for row, (node, total) in enumerate(level):
            for token, child in trie.children[node].items():
                reached = total + float(log_p[row, token])
                end = trie.ends[child]
                if end is not None:
                    found[end] = reached
                if trie.children[child]:
                    rows.append(row)
                    tokens.append(token)
                    following.append((child, reached))
        level = following
        if level:
            session.reorder(torch.tensor(rows, device=session.ids.device))
            session.append(torch.tensor(tokens, device=session.ids.device))
    return [found[number] for number in range(len(found))]


def _texts(choices: Sequence[Any], tokenizer: Any) -> Sequence[Any]:
    if isinstance(choices, str):
        raise ValueError("choices must be a list of texts, got one text")
    if tokenizer is None and any(isinstance(c, str) for c in choices):
        raise ValueError("choices are texts, and no tokenizer is given to encode them with")
    return choices
