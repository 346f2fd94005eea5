"""Porter's suffix stripping: English word forms that share a stem are counted as one term."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Mode = Literal["nltk", "martin", "original"]

# Rules by the last two letters of the word, longest suffix first: the first suffix that fits decides, whether or not
# its condition on the measure holds.
Rules = dict[str, tuple[tuple[str, str], ...]]

_STEP_2: Rules = {  # (m > 0)
    "al": (("ational", "ate"), ("tional", "tion")),
    "ci": (("enci", "ence"), ("anci", "ance")),
    "er": (("izer", "ize"),),
    "li": (("alli", "al"), ("entli", "ent"), ("eli", "e"), ("ousli", "ous")),
    "on": (("ization", "ize"), ("ation", "ate")),
    "or": (("ator", "ate"),),
    "sm": (("alism", "al"),),
    "ss": (("iveness", "ive"), ("fulness", "ful"), ("ousness", "ous")),
    "ti": (("aliti", "al"), ("iviti", "ive"), ("biliti", "ble")),
}
_STEP_3: Rules = {  # (m > 0)
    "te": (("icate", "ic"),),
    "ve": (("ative", ""),),
    "ze": (("alize", "al"),),
    "ti": (("iciti", "ic"),),
    "al": (("ical", "ic"),),
    "ul": (("ful", ""),),
    "ss": (("ness", ""),),
}
_STEP_4: Rules = {  # (m > 1)
    "al": (("al", ""),),
    "ce": (("ance", ""), ("ence", "")),
    "er": (("er", ""),),
    "ic": (("ic", ""),),
    "le": (("able", ""), ("ible", "")),
    "nt": (("ant", ""), ("ement", ""), ("ment", ""), ("ent", "")),
    "on": (("ion", ""),),  # and only after s or t
    "ou": (("ou", ""),),
    "sm": (("ism", ""),),
    "te": (("ate", ""),),
    "ti": (("iti", ""),),
    "us": (("ous", ""),),
    "ve": (("ive", ""),),
    "ze": (("ize", ""),),
}
_STEP_2_OF: dict[Mode, Rules] = {
    "original": {**_STEP_2, "li": (("abli", "able"), *_STEP_2["li"])},
    "martin": {**_STEP_2, "li": (("bli", "ble"), *_STEP_2["li"]), "gi": (("logi", "log"),)},
    "nltk": {**_STEP_2, "li": (("bli", "ble"), *_STEP_2["li"], ("fulli", "ful"))},  # logi: its measure counts the l
}
_IRREGULAR = {
    **{form: "sky" for form in ("sky", "skies")},
    **{form: "inning" for form in ("inning", "innings")},
    **{form: "outing" for form in ("outing", "outings")},
    **{form: "canning" for form in ("canning", "cannings")},
    **{form: form for form in ("news", "howe", "proceed", "exceed", "succeed")},
    **{"dying": "die", "lying": "lie", "tying": "tie"},
}


class _Letters(dict):
    """Code point -> "v", "c", or "y" where the letter before decides; whatever is no vowel is a consonant."""

    def __missing__(self, code: int) -> str:
        return "c"


_LETTERS = _Letters({**{ord(vowel): "v" for vowel in "aeiou"}, ord("y"): "y"})


class PorterStemmer:
    """Removes English suffixes in five steps, each allowed by the measure m of what is left: [C](VC)^m[V].

    Args:
        mode: "nltk" is Porter's program with the corrections that NLTK's contributors made (irregular words; `flies`
            and `dies` apart; y becomes i only after a consonant); "martin" is the program that Porter publishes;
            "original" is the paper of 1980, which he advises against except to reproduce older results.

    Raises:
        ValueError: if mode is none of these.

    Cost: O(length of the word), a few microseconds each; `stem_all` stems a repeated word once.
    Deviations:
        1. Step 1b reads the condition *d alone; NLTK's also takes a word that ends in the two characters "*d" to
           fulfil it.
        2. Letters other than a, e, i, o, u, y, accented vowels among them, are consonants, as in the paper and in NLTK.
    References: Porter 1980, An algorithm for suffix stripping, Program 14(3); extensions as in Porter's own ANSI C
        program of 2000, points marked DEPARTURE.
    Peer: nltk.stem.PorterStemmer, all three modes, identical (A).
    In production: use "nltk" to merge word forms before BM25 or tf-idf in English; stem queries and documents alike.

    Example:
        >>> PorterStemmer().stem("Relational")
        'relat'
    """

    def __init__(self, *, mode: Mode = "nltk"):
        if mode not in _STEP_2_OF:
            raise ValueError(f"mode must be one of {', '.join(map(repr, _STEP_2_OF))}, got {mode!r}")
        self.mode: Mode = mode
        self._step_2_rules = _STEP_2_OF[mode]

    def __repr__(self) -> str:
        return f"PorterStemmer(mode={self.mode!r})"

    def stem(self, word: str, *, lowercase: bool = True) -> str:
        """The stem of one word.

        Args:
            word: without spaces or punctuation; "" gives "".
            lowercase: turn it to lower case first; the rules know no capitals.
        """
        stem = word.lower() if lowercase else word
        if self.mode == "nltk" and stem in _IRREGULAR:
            return _IRREGULAR[stem]
        if self.mode != "original" and len(word) <= 2:
            return stem
        stem = self._step_1c(self._step_1b(self._step_1a(stem)))
        stem = _replace(self._step_2(stem), _STEP_3, 0)
        return _step_5b(self._step_5a(_step_4(stem)))

    def stem_all(self, words: Iterable[str], *, lowercase: bool = True) -> list[str]:
        """The stems of many words, in order; a word that occurs again is looked up.

        Args:
            words: of a text or a vocabulary.
            lowercase: as in `stem`.
        """
        known: dict[str, str] = {}
        stems = []
        for word in words:
            if word not in known:
                known[word] = self.stem(word, lowercase=lowercase)
            stems.append(known[word])
        return stems

    def _step_1a(self, word: str) -> str:
        if not word.endswith("s") or word.endswith("ss"):
            return word
        if word.endswith("ies") and self.mode == "nltk" and len(word) == 4:
            return word[:-1]  # dies -> die, and flies -> fli
        if word.endswith(("sses", "ies")):
            return word[:-2]
        return word[:-1]

    def _step_1b(self, word: str) -> str:
        if word.endswith("ed"):
            if self.mode == "nltk" and word.endswith("ied"):
                return word[:-1] if len(word) == 4 else word[:-2]
            if word.endswith("eed"):
                return word[:-1] if _measure(word[:-3]) > 0 else word
            stem = word[:-2]
        elif word.endswith("ing"):
            stem = word[:-3]
        else:
            return word
        form = _form(stem)
        if "v" not in form:
            return word
        if stem.endswith(("at", "bl", "iz")):
            return stem + "e"
        if form[-1] == "c" and stem[-2:-1] == stem[-1]:
            return stem if stem[-1] in "lsz" else stem[:-1]
        return stem + "e" if form.count("vc") == 1 and self._ends_short(stem, form) else stem

    def _step_1c(self, word: str) -> str:
        if not word.endswith("y"):
            return word
        form = _form(word[:-1])
        applies = len(form) > 1 and form[-1] == "c" if self.mode == "nltk" else "v" in form
        return word[:-1] + "i" if applies else word

    def _step_2(self, word: str) -> str:
        if self.mode == "nltk":
            if word.endswith("alli") and _measure(word[:-4]) > 0:
                return self._step_2(word[:-2])
            if word.endswith("logi"):
                return word[:-1] if _measure(word[:-3]) > 0 else word
        return _replace(word, self._step_2_rules, 0)

    def _step_5a(self, word: str) -> str:
        if not word.endswith("e"):
            return word
        form = _form(word[:-1])
        measure = form.count("vc")
        return word[:-1] if measure > 1 or (measure == 1 and not self._ends_short(word[:-1], form)) else word

    def _ends_short(self, stem: str, form: str) -> bool:
        """The condition *o: the stem ends consonant, vowel, consonant, the last of them not w, x or y."""
        if len(stem) == 2 and self.mode == "nltk":
            return form == "vc"
        return form[-3:] == "cvc" and stem[-1] not in "wxy"


def _form(stem: str) -> str:
    """The stem as consonants "c" and vowels "v": y is a vowel after a consonant."""
    form = stem.translate(_LETTERS)
    if "y" not in form:
        return form
    parts: list[str] = []
    for kind in form:
        parts.append(kind if kind != "y" else "v" if parts and parts[-1] == "c" else "c")
    return "".join(parts)


def _measure(stem: str) -> int:
    return _form(stem).count("vc")


def _replace(word: str, rules: Rules, least: int) -> str:
    """Replace the first suffix that fits if the measure of what precedes it is above `least`."""
    for suffix, replacement in rules.get(word[-2:], ()):
        if word.endswith(suffix):
            stem = word[: -len(suffix)]
            return stem + replacement if _measure(stem) > least else word
    return word


def _step_4(word: str) -> str:
    if word.endswith("ion") and not word.endswith(("sion", "tion")):
        return word
    return _replace(word, _STEP_4, 1)


def _step_5b(word: str) -> str:
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word
