"""Pre-tokenising patterns as transducers: a state for each kind of piece, and where to cut when a character comes.

The patterns look ahead in four places only, and each becomes a cut that is made late: the last white character belongs
to the text behind it (a cut before the previous character); white space is cut behind its last newline, o200k's words
give capitals back, and an apostrophe joins the word before it only if a contraction follows (cuts at a mark).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from breadth.text.unicode_classes import (
    LETTER_OTHER,
    LOWER,
    MARK,
    NEWLINE,
    NUMBER,
    OTHER,
    SPACE,
    UPPER,
    class_table,
)

CUT_MARK, CUT_PREVIOUS, CUT_HERE, SET_BEFORE, SET_BEHIND = (1 << bit for bit in range(5))
STATE_SHIFT = 8  # of the next state in an entry, above what is to do
WIDTH = 32  # characters' kinds, rounded up: the length of a state's row

# kinds of characters; "s" stands for s, t, m and d, of which each is a contraction alone
_LOWER = ("s", "e", "r", "v", "l", "ſ", "lower")
_UPPER = ("S", "E", "R", "V", "L", "upper")
_KINDS = (*_LOWER, *_UPPER, "letter", "mark", "number", "space", "white", "newline", "'", "/", "other", "end")
END = _KINDS.index("end")
_WHITE = ("space", "white", "newline")

State = tuple[str | int | bool, ...]
Step = tuple[int, State]


@dataclass(frozen=True)
class Rules:
    r"""What a pattern asks for.

    Args:
        family: which pattern it is like.
        marks: `\p{M}` continues words and is not punctuation (Qwen 3.5).
        max_digits: numbers in a piece at the most; 0 for any number.
        final_run: white space at the end of the text is one piece, newlines or not.
        contractions: of o200k, whether words take the contraction behind them.
    """

    family: Literal["gpt2", "cl100k", "o200k"]
    marks: bool = False
    max_digits: int = 3
    final_run: bool = False
    contractions: bool = True

    @property
    def word(self) -> frozenset[str]:
        more = {"mark"} if self.marks or self.family == "o200k" else set()
        return frozenset({*_LOWER, *_UPPER, "letter", *more})

    @property
    def others(self) -> frozenset[str]:
        return frozenset({"'", "/", "other"} if self.marks else {"'", "/", "other", "mark"})

    def begin(self, cuts: int, kind: str) -> Step:
        """A piece begins with this character, after these cuts."""
        if kind in self.word:
            return self.into_word(cuts, kind)
        if kind == "number":
            return cuts, ("numbers", min(1, self.max_digits))
        if kind == "newline" and self.family != "gpt2":
            return cuts | SET_BEHIND, ("white", True, 0, False)
        if kind in _WHITE:
            return cuts, ("white", False, 1, kind == "space")
        if kind == "end":
            return cuts & ~CUT_HERE, ("start",)  # the text's end is a cut anyway
        return cuts, ("quote",) if kind == "'" and self.family != "o200k" else ("others", True)

    def into_word(self, cuts: int, kind: str) -> Step:
        """A character of a word's begins or joins what is there."""
        if self.family != "o200k" or kind in _LOWER:
            return cuts, ("letters",)
        if kind in _UPPER:
            return cuts, ("capitals", "none")
        return cuts | SET_BEHIND, ("capitals", "last")

    def step(self, state: State, kind: str) -> Step:
        """What to do when a character of this kind comes, and the state behind it."""
        match state:
            case ("numbers", int(n)) if kind == "number" and (n < self.max_digits or n == 0):
                return 0, ("numbers", n + 1 if n else 0)
            case ("others", single):
                if single and self.family != "gpt2" and kind in self.word:
                    return self.into_word(0, kind)
                if kind in self.others:
                    return 0, ("others", False)
                if kind == "newline" and self.family != "gpt2":
                    return 0, ("newlines",)
            case ("newlines",) if kind == "newline" or (kind == "/" and self.family == "o200k"):
                return 0, state
            case ("white", marked, int(run), _):
                return self._after_white(bool(marked), run, bool(state[3]), kind)
            case ("letters",) | ("capitals", _):
                return self._after_word(state, kind)
            case ("quote",) | ("suffix",):
                missed = CUT_MARK if state == ("suffix",) else 0
                if self._completes("", kind):
                    return 0, ("whole",)
                if kind.lower() in ("r", "v", "l") and (self.family != "gpt2" or kind in _LOWER):
                    return 0, (*state, kind)
                return self._also(missed, self.step(("others", True), kind))
            case ("quote", str(letter)):
                if self._completes(letter, kind):
                    return 0, ("whole",)
                return self._also(CUT_PREVIOUS if self.family == "gpt2" else 0, self.step(("letters",), kind))
            case ("suffix", str(letter)):
                if self._completes(letter, kind):
                    return 0, ("whole",)
                return self._also(CUT_MARK, self.step(self.into_word(0, letter)[1], kind))
            case ("start",):
                return self.begin(0, kind)
        return self.begin(CUT_HERE, kind)

    def _also(self, cuts: int, step: Step) -> Step:
        return cuts | step[0], step[1]

    def _completes(self, letter: str, kind: str) -> bool:
        """Whether an apostrophe, `letter` ("" for none) and this character are a contraction."""
        if self.family == "gpt2":
            return kind in {"": ("s",), "r": ("e",), "v": ("e",), "l": ("l",)}[letter]
        return kind in {"": ("s", "S", "ſ"), "r": ("e", "E"), "v": ("e", "E"), "l": ("l", "L")}[letter.lower()]

    def _after_white(self, marked: bool, run: int, space: bool, kind: str) -> Step:
        """White space of which `run` (2 for more) came behind the newline that is marked, the last of it a space."""
        if kind == "newline" and self.family != "gpt2":
            return SET_BEHIND, ("white", True, 0, False)
        if kind in _WHITE:
            return 0, ("white", marked, min(run + 1, 2), kind == "space")
        if run == 0:
            return self.begin(CUT_HERE, kind)
        cuts = CUT_MARK if marked else 0
        if kind == "end":
            return 0 if self.final_run else cuts, ("start",)
        if run == 2:
            cuts |= CUT_PREVIOUS
        if kind in self.word and (space or self.family != "gpt2"):
            return self.into_word(cuts, kind)
        if kind == "number" and space and self.family == "gpt2":
            return self.begin(cuts, kind)
        if kind in self.others and space:
            return cuts, ("others", False)
        return self.begin(cuts | CUT_HERE, kind)

    def _after_word(self, state: State, kind: str) -> Step:
        """A word in small letters, or one of capitals so far: with letters of no case not, last, or before the last."""
        if self.family != "o200k":
            return (0, state) if kind in self.word else self.begin(CUT_HERE, kind)
        capitals = state[0] == "capitals"
        if kind in _LOWER or (kind in self.word and kind not in _UPPER and not capitals):
            return 0, ("letters",)
        if capitals and kind in _UPPER:
            return 0, ("capitals", "none" if state[1] == "none" else "before")
        if capitals and kind in self.word:
            return SET_BEHIND, ("capitals", "last")
        if state == ("capitals", "before"):  # no small letter came: the word ends behind the letter of no case
            return self._also(CUT_MARK, self.step(("capitals", "none"), kind))
        if kind == "'" and self.contractions:
            return SET_BEFORE, ("suffix",)
        return self.begin(CUT_HERE, kind)


@functools.cache
def transducer(rules: Rules) -> NDArray[np.int32]:
    """Entries (next row << STATE_SHIFT | what to do) by state and kind, WIDTH a state; the first state is the start."""
    states: list[State] = [("start",)]
    entries = []
    for state in states:  # grows on the way
        for name in _KINDS:
            todo, following = rules.step(state, name)
            if following not in states:
                states.append(following)
            entries.append(states.index(following) * WIDTH << STATE_SHIFT | todo)
        entries += [0] * (WIDTH - len(_KINDS))
    return np.array(entries, dtype=np.int32)


@functools.cache
def kind_table() -> NDArray[np.uint8]:
    """Kind of each code point, an index of a transducer's row; read-only, shape (2^21,)."""
    by_class = np.zeros(256, dtype=np.uint8)
    for bit, name in (
        (UPPER, "upper"), (LOWER, "lower"), (LETTER_OTHER, "letter"), (MARK, "mark"), (NUMBER, "number"),
        (SPACE, "white"), (NEWLINE, "newline"), (OTHER, "other"),
    ):  # fmt: skip
        by_class[bit] = _KINDS.index(name)
    table = by_class[class_table()]
    for char in "ervlERVL'/ſ":
        table[ord(char)] = _KINDS.index(char)
    for char in "stmd":
        table[ord(char)], table[ord(char.upper())] = _KINDS.index("s"), _KINDS.index("S")
    table[ord(" ")] = _KINDS.index("space")
    table.flags.writeable = False
    return table
