"""Sentences of Python's documentation, said in other words, and with small edits that change what they say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

SAME: Mapping[str, str] = {  # words: other words for the same thing, in a manual of a programming language
    "is called": "gets invoked",
    "are called": "get invoked",
    "must be": "has to be",
    "can be used": "is usable",
    "can be": "may be",
    "for example": "for instance",
    "such as": "like",
    "in order to": "to",
    "as well as": "and also",
    "because": "since",
    "therefore": "thus",
    "however": "though",
    "usually": "normally",
    "typically": "commonly",
    "automatically": "by itself",
    "immediately": "at once",
    "the same": "an identical",
    "returns": "gives back",
    "returned": "given back",
    "contains": "holds",
    "contain": "hold",
    "allows": "permits",
    "allow": "permit",
    "allowed": "permitted",
    "provides": "offers",
    "provide": "offer",
    "provided": "offered",
    "defined": "specified",
    "defines": "specifies",
    "created": "made",
    "creates": "makes",
    "raised": "thrown",
    "raises": "throws",
    "replaced": "substituted",
    "performed": "carried out",
    "executed": "run",
    "specified": "given",
    "omitted": "left out",
    "required": "needed",
    "requires": "needs",
    "argument": "parameter",
    "arguments": "parameters",
    "method": "member function",
    "methods": "member functions",
    "expression": "formula",
    "entire": "whole",
    "whether": "if",
    "several": "various",
    "this means that": "that is",
    "within": "inside",
    "begins": "starts",
    "ends": "finishes",
    "identical": "the same",
    "when": "whenever",
    "occurs": "happens",
    "occur": "happen",
    "if": "in case",
    "used": "employed",
    "using": "by means of",
    "note that": "mind that",
    "following": "subsequent",
    "current": "present",
    "changed": "altered",
    "additional": "further",
    "special": "particular",
    "error": "fault",
    "errors": "faults",
    "function": "routine",
    "functions": "routines",
    "statement": "instruction",
    "statements": "instructions",
    "determined": "found",
    "is not": "isn't",
    "are not": "aren't",
    "does not": "doesn't",
    "do not": "don't",
    "cannot": "can't",
    "should not": "shouldn't",
    "called": "invoked",
    "equivalent to": "the same as",
    "supported": "available",
    "supports": "offers",
    "support": "offer",
    "except": "apart from",
    "also": "moreover",
    "already": "by then",
    "possible": "feasible",
    "similar to": "much like",
    "different": "distinct",
    "most": "the majority of",
    "many": "a lot of",
    "enclosed": "put",
    "represents": "stands for",
    "represented": "shown",
    "indicates": "says",
    "ignored": "disregarded",
    "obtained": "got",
    "accessed": "reached",
    "modified": "altered",
    "attempt": "try",
    "result": "outcome",
    "behavior": "conduct",
}
OPPOSITE: Mapping[str, str] = {
    "before": "after",
    "after": "before",
    "first": "last",
    "last": "first",
    "true": "false",
    "false": "true",
    "left": "right",
    "right": "left",
    "always": "never",
    "never": "always",
    "all": "no",
    "no": "every",
    "any": "no",
    "both": "neither",
    "less": "more",
    "more": "less",
    "equal": "unequal",
    "optional": "mandatory",
    "mutable": "immutable",
    "immutable": "mutable",
    "positive": "negative",
    "negative": "positive",
    "inside": "outside",
    "with": "without",
    "without": "with",
    "empty": "full",
    "public": "private",
    "local": "global",
    "global": "local",
    "start": "end",
    "end": "start",
    "old": "new",
    "new": "old",
    "same": "opposite",
    "may": "must not",
    "must": "need not",
    "only": "not only",
}
AUXILIARIES = "is|are|was|were|can|could|may|might|must|should|will|would|does|do"


def sentences() -> list[str]:
    """Different sentences of 8 to 30 words, in the order of the documentation's topics."""
    from pydoc_data.topics import topics

    found: dict[str, None] = {}
    for topic in sorted(topics):
        for block in re.split(r"\n\s*\n", topics[topic]):
            text = " ".join(block.split())
            for sentence in re.split(r"(?<=[.]) (?=[A-Z])", text):
                if re.fullmatch(r"[A-Z][\w ,'\"()./;-]+\.", sentence) and 8 <= len(sentence.split()) <= 30:
                    found[sentence] = None
    return list(found)


def paraphrase(sentence: str) -> str | None:
    """The sentence with two or more of its wordings replaced by others that say the same; None where it has fewer."""
    changed, count = _replaced(sentence, SAME)
    return changed if count >= 2 else None


def negated(sentence: str, rng: np.random.Generator) -> str | None:
    """The sentence with a "not" taken from it, or put behind its first auxiliary verb; None where it has neither."""
    if re.search(r"\bnot\b", sentence):
        return re.sub(r"\bnot ", "", sentence, count=1)
    changed, count = re.subn(rf"\b({AUXILIARIES})\b", r"\1 not", sentence, count=1)
    return changed if count else None


def opposed(sentence: str, rng: np.random.Generator) -> str | None:
    """The sentence with one word replaced by its opposite; None where it has none."""
    changed, count = _replaced(sentence, OPPOSITE, most=1)
    return changed if count else None


def shuffled(sentence: str, rng: np.random.Generator) -> str | None:
    """The sentence's words in a random order, with its full stop at the end."""
    words = sentence[:-1].split()
    return " ".join(rng.permutation(words)) + "."


def cut(sentence: str, rng: np.random.Generator) -> str | None:
    """The first half of the sentence's words."""
    words = sentence.split()
    return " ".join(words[: len(words) // 2]).rstrip(",") + "."


EDITS: Mapping[str, Callable[[str, np.random.Generator], str | None]] = {
    "negation": negated,
    "opposite": opposed,
    "shuffling": shuffled,
    "cut": cut,
}


def _replaced(sentence: str, table: Mapping[str, str], most: int = 0) -> tuple[str, int]:
    """With the table's words replaced, all or at most so many, and how many were; quoted ones and parts stay."""
    longest_first = sorted(table, key=len, reverse=True)
    words = "|".join(map(re.escape, longest_first))
    pattern = re.compile(rf"(?<![\w\"'-])(an? )?({words})(?![\w\"'-])", re.IGNORECASE)

    def other(match: re.Match[str]) -> str:
        article, word = match[1], table[match[2].lower()]
        if article:
            return f"{article[0]}{'n' * (word[0] in 'aeiou')} {word}"
        return word[0].upper() + word[1:] if match[2][0].isupper() else word

    return pattern.subn(other, sentence, count=most)
