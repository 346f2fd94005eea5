"""Synonyms from WordNet's own files, where the user has them: no corpus package, no download."""

from __future__ import annotations

import functools
import os
from pathlib import Path

_PARTS = ("noun", "verb", "adj", "adv")
_FILES = tuple(f"{kind}.{part}" for part in _PARTS for kind in ("index", "data")) + tuple(f"{p}.exc" for p in _PARTS)
# an inflected ending and what it stands for, of which each is tried by itself
_ENDINGS: dict[str, tuple[tuple[str, str], ...]] = {
    "noun": (
        ("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"),
        ("men", "man"), ("ies", "y"),
    ),
    "verb": (
        ("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""),
    ),
    "adj": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "adv": (),
}  # fmt: skip
_PLACES = (
    "/usr/share/wordnet",  # Debian and Ubuntu: wordnet-base
    "/usr/local/share/wordnet",
    "/usr/local/WordNet-3.0/dict",
    "/usr/share/wordnet/dict",
    "/opt/homebrew/opt/wordnet/dict",
    "~/nltk_data/corpora/wordnet",
    "/usr/share/nltk_data/corpora/wordnet",
)


class WordNet:
    """The words that share a meaning with a word, read from a folder of WordNet's database files.

    Args:
        path: the folder with index.noun, data.noun, noun.exc and those of verb, adj and adv.

    Raises:
        FileNotFoundError: if it lacks one of them; the message names those that are missing.

    Cost: about 0.2 s and 60 MB to open; a word's synonyms are looked up once, some 20 microseconds.
    Deviations: synonyms of more than one word are left out, as METEOR matches words.
    References: Miller 1995, "WordNet: a lexical database for English", CACM 38(11); wndb(5WN) for the files,
        morphy(7WN) for base forms.
    Peer: nltk.corpus.reader.WordNetCorpusReader on the same files, the same synonyms (A).
    In production: `load_wordnet()` finds the files and opens them once in a process.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        missing = [name for name in _FILES if not (self.path / name).is_file()]
        if missing:
            raise FileNotFoundError(f"{self.path} is no folder of WordNet's files; it lacks {', '.join(missing)}")
        self._index = {part: self._lines(f"index.{part}") for part in _PARTS}
        self._irregular = {part: self._lines(f"{part}.exc") for part in _PARTS}
        self._data = {part: (self.path / f"data.{part}").read_bytes() for part in _PARTS}
        self._known: dict[str, frozenset[str]] = {}

    def __repr__(self) -> str:
        return f"WordNet({str(self.path)!r})"

    def synonyms(self, word: str) -> frozenset[str]:
        """The word in lower case, and every single word of every set of synonyms that one of its base forms is in.

        Args:
            word: any string; names keep their capitals in the result. An unknown word has itself alone.
        """
        word = word.lower()
        if word not in self._known:
            found = {word}
            for part in _PARTS:
                for form in self._base_forms(word, part):
                    for offset in self._offsets(form, part):
                        found.update(name for name in self._names(offset, part) if "_" not in name)
            self._known[word] = frozenset(found)
        return self._known[word]

    __call__ = synonyms

    def _lines(self, name: str) -> dict[str, str]:
        """First word of each line -> the rest; lines that begin with a space are the licence."""
        with (self.path / name).open(encoding="utf-8") as file:
            entries = (line.partition(" ") for line in file if line[0] not in " \n")
            return {first.strip(): rest for first, _, rest in entries}

    def _base_forms(self, word: str, part: str) -> list[str]:
        irregular = self._irregular[part].get(word)
        if irregular is not None:
            forms = irregular.split()
        else:
            forms = [word[: -len(old)] + new for old, new in _ENDINGS[part] if word.endswith(old)]
        return [form for form in dict.fromkeys([word, *forms]) if form in self._index[part]]

    def _offsets(self, form: str, part: str) -> list[int]:
        fields = self._index[part][form].split()
        n_sets, n_pointers = int(fields[1]), int(fields[2])
        return [int(offset) for offset in fields[5 + n_pointers : 5 + n_pointers + n_sets]]

    def _names(self, offset: int, part: str) -> list[str]:
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode("utf-8").split()
        if fields[:1] != [f"{offset:08d}"]:
            raise ValueError(f"{self.path / f'data.{part}'} has no set of synonyms at {offset}; index and data differ")
        return [name.partition("(")[0] for name in fields[4 : 4 + 2 * int(fields[3], 16) : 2]]  # as in galore(ip)


def load_wordnet(path: str | os.PathLike[str] | None = None) -> WordNet:
    """WordNet from where it is, opened once in a process.

    Args:
        path: its folder; None looks at $BREADTH_WORDNET, then WordNet's own $WNSEARCHDIR and $WNHOME/dict, then where
            packages put it: /usr/share/wordnet and the like.

    Returns:
        WordNet, the same object for the same folder.

    Raises:
        FileNotFoundError: if it is in none of these places; the message says how to get it.

    Cost: as WordNet's, the first time.
    References: wndb(5WN) for the environment variables.
    Peer: the files are read as nltk's reader reads them (A).
    In production: set BREADTH_WORDNET where the files lie in a place of your own.
    """
    if path is None:
        path = _found()
    return _opened(str(Path(path).expanduser().resolve()))


def _found() -> Path:
    home = os.environ.get("WNHOME")
    named = (os.environ.get("BREADTH_WORDNET"), os.environ.get("WNSEARCHDIR"), f"{home}/dict" if home else None)
    if named[0]:
        return Path(named[0])  # whoever names a place wants that one, or an error
    for place in (*named[1:], *_PLACES):
        if place and (folder := Path(place).expanduser()).joinpath("index.noun").is_file():
            return folder
    raise FileNotFoundError(
        "WordNet's files were not found in $BREADTH_WORDNET, $WNSEARCHDIR, $WNHOME/dict or "
        f"{', '.join(_PLACES)}. Install them (Debian and Ubuntu: apt-get install wordnet-base), pass "
        "synonyms=WordNet(folder), or leave that stage out with synonyms=None"
    )


@functools.lru_cache(maxsize=4)
def _opened(path: str) -> WordNet:
    return WordNet(path)
