"""Texts, tokens, vectors and sequences to compare on: what every machine has, and the user's files."""

from __future__ import annotations

import difflib
import sysconfig
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.problem import (
    Language,
    Prepared,
    from_documents,
    from_environment,
    from_lengths,
    from_sequences,
    from_tokens,
    from_vectors,
)

DOCUMENT = 4096  # characters from which a file's lines make a document
TEXTS = {
    "english": "documentation topics of Python",
    "code": "sources of Python's standard library",
}
VECTORS = {
    "lsa": "latent semantic analysis of paragraphs of the standard library, 64 dimensions, as they are",
    "lsa_unit": "the same, scaled to length 1",
    "clustered": "100 Gaussian clusters in 64 dimensions, unit spread around centres of unit spread",
}
COPIED = 32  # different tokens that are copied
COPIES = {
    "copies": "tokens copied from 6 places before, 9 times in 10",
    "far-copies": "tokens copied from a quarter of the text before, 9 times in 10",
}
FEWEST_TEXTS = 20
SEQUENCES = {
    "diffuse": "standard normal queries, keys and values: every key counts",
    "focused": "the same, queries and keys of standard deviation 2: a few keys count, anywhere",
    "local": "queries and keys that are waves of their position, and noise: near keys count",
}
LENGTH, HEADS, HEAD_DIM, N_SEQUENCES = 1024, 2, 64, 10
VOCABULARY, N_TEXTS, TEXT_BYTES = 512, 400, 500_000  # tokens; texts; bytes that tokens are learned from and texts of
N_LENGTHS = 20
SIZE = {"lsa": 12_000, "lsa_unit": 12_000, "clustered": 12_000}


def read_text(name: str, encoding: str = "utf-8") -> Prepared:
    """Documents by the name of a set, or from a text file.

    Args:
        name: "english", "code", or a file, whose lines are put together to documents of about 4,000 characters.
        encoding: of the file.

    Raises:
        ValueError: if there is neither such a set nor such a file, the file is empty or not in that encoding.
    """
    if name == "english":
        from pydoc_data.topics import topics

        return from_documents(name, [topics[key] for key in sorted(topics)], note=TEXTS[name])
    if name == "code":
        folder = Path(sysconfig.get_path("stdlib"))
        sources = (file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.py")))
        return from_documents(name, [text for text in sources if text], note=TEXTS[name])
    path = _file(name, TEXTS)
    try:
        text = path.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name}: byte {error.start} is not {encoding}; name the text's encoding with --encoding"
        ) from error
    documents, held = [], ""
    for line in text.splitlines(keepends=True):
        held += line
        if len(held) >= DOCUMENT:
            documents.append(held)
            held = ""
    documents += [held] * bool(held)
    if not documents:
        raise ValueError(f"{name}: the file is empty")
    return from_documents(path.stem, documents, note=f"file {path.name}")


def read_tokens(name: str, encoding: str = "utf-8", *, task: Language, length: int) -> Prepared:
    """Texts of one length in tokens, which are byte pairs learned from the whole.

    Args:
        name: as of `read_text`, or of COPIES, with `:length` for another length.
        encoding: of a file.
        task: what is asked of the texts.
        length: in tokens, where the name has none.

    Raises:
        ValueError: as `read_text` says; if the length is no number from 4 on, or there is too little text for 20.
    """
    kind, _, count = name.rpartition(":") if name.partition(":")[0] in (*TEXTS, *COPIES) else (name, "", "")
    kind = kind or name
    if kind != name and not (count.isdecimal() and int(count) >= 4):
        raise ValueError(f"--data {name}: {count!r} is no number of tokens from 4 on; write {kind}:{length}")
    length = int(count) if count else length
    if kind in COPIES:
        ids = _copies(length, 6 if kind == "copies" else length // 4)
        return from_tokens(name, ids, vocabulary=COPIED, task=task, note=COPIES[kind])
    prepared = read_text(kind, encoding)
    ids = np.concatenate(byte_pairs(prepared.X))
    n = len(ids) // length
    if n < FEWEST_TEXTS:
        raise ValueError(f"{name}: {len(ids)} tokens are too few for {FEWEST_TEXTS} texts of {length}; give more text")
    rows = ids[: n * length].reshape(n, length)
    return from_tokens(
        prepared.table.name + name.removeprefix(kind),
        rows[np.random.default_rng(0).permutation(n)[:N_TEXTS]],
        vocabulary=VOCABULARY,
        task=task,
        note=f"{prepared.table.note}; byte pairs",
    )


def byte_pairs(documents: NDArray) -> list[NDArray[np.int64]]:
    """Some of the documents as ids of at most VOCABULARY byte pairs, which are learned from them: TEXT_BYTES or so."""
    from breadth.text.bpe import BPE

    chosen, size = [], 0
    for text in documents[np.random.default_rng(0).permutation(len(documents))]:
        if size < TEXT_BYTES:
            chosen.append(text)
            size += len(text)
    tokenizer = BPE.train(chosen, vocab_size=VOCABULARY, pattern="gpt2")
    return [np.asarray(ids, np.int64) for ids in tokenizer.encode_batch(chosen, add_special_tokens=False)]


def read_vectors(name: str, encoding: str = "utf-8") -> Prepared:
    """Vectors by the name of a set, or from a .npy file; neighbours are by cosine.

    Args:
        name: "lsa", "lsa_unit" or "clustered", with `:n` for that many; or a file of NumPy's, shape (n, d).
        encoding: ignored.

    Raises:
        ValueError: if there is neither such a set nor such a file, or its vectors are no finite matrix.
    """
    kind, _, count = name.partition(":")
    if kind in VECTORS:
        if count and not (count.isdecimal() and int(count) > 0):
            raise ValueError(f"--data {name}: {count!r} is no number of vectors; write {kind}:{SIZE[kind]}")
        n = int(count) if count else SIZE[kind]
        vectors = _clustered(n) if kind == "clustered" else _lsa(n)
        if kind == "lsa_unit":
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return from_vectors(name, vectors, metric="cosine", note=VECTORS[kind])
    return from_vectors(Path(name).stem, _array(name, VECTORS), metric="cosine", note=f"file {Path(name).name}")


def read_sequences(name: str, encoding: str = "utf-8") -> Prepared:
    """Queries, keys and values by the name of a kind, or from a .npy file.

    Args:
        name: "diffuse", "focused" or "local", with `:length` for that many tokens; or a file of NumPy's, shape
            (n, 3, heads, length, head_dim): what your own model attends with.
        encoding: ignored.

    Raises:
        ValueError: if there is neither such a kind nor such a file, or the file holds something else.
    """
    kind, _, count = name.partition(":")
    if kind in SEQUENCES:
        if count and not (count.isdecimal() and int(count) > 0):
            raise ValueError(f"--data {name}: {count!r} is no number of tokens; write {kind}:{LENGTH}")
        return from_sequences(name, _sequences(kind, int(count) if count else LENGTH), note=SEQUENCES[kind])
    return from_sequences(Path(name).stem, _array(name, SEQUENCES), note=f"file {Path(name).name}")


def read_control(name: str, encoding: str = "utf-8") -> Prepared:
    """Starts of episodes in an environment.

    Args:
        name: a gymnasium id, such as "CartPole-v1", with `:n` for that many starts.
        encoding: ignored.

    Raises:
        ValueError: if there is no such environment, or n is no number of starts.
    """
    environment, _, count = name.partition(":")
    if count and not (count.isdecimal() and int(count) > 0):
        raise ValueError(f"--data {name}: {count!r} is no number of starts; write {environment}:50")
    return from_environment(environment, int(count) if count else 50)


def read_lengths(name: str, encoding: str = "utf-8") -> Prepared:
    """Lengths of texts, as many at each size, up to the one in a name.

    Args:
        name: "contexts:n" for 20 lengths in equal steps up to n tokens.
        encoding: not read; readers are called alike.

    Raises:
        ValueError: for another name, or if n is no number >= 20.
    """
    kind, _, count = name.partition(":")
    if kind != "contexts" or not count.isdecimal() or int(count) < N_LENGTHS:
        raise ValueError(
            f"--data {name}: lengths of texts are named contexts:TOKENS, with {N_LENGTHS} tokens or more, such as "
            "contexts:1024"
        )
    longest = int(count)
    steps = [longest * i // N_LENGTHS for i in range(1, N_LENGTHS + 1)]
    return from_lengths(name, steps, note=f"{N_LENGTHS} lengths in equal steps; exact figures, one text at a time")


def _array(name: str, known: dict[str, str]) -> NDArray:
    """What a .npy file of numbers holds."""
    path = _file(name, known)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{name}: not a .npy file of numbers ({error}); write one with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"{name}: holds no array of real numbers; write one with numpy.save")
    return array


def _sequences(kind: str, length: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    qkv = rng.normal(size=(N_SEQUENCES, 3, HEADS, length, HEAD_DIM)).astype(np.float32)
    if kind == "focused":
        qkv[:, :2] *= 2
    elif kind == "local":
        frequencies = np.geomspace(1e-3, 2, HEAD_DIM // 2)
        angles = np.arange(length)[:, None] * frequencies
        waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)  # q . k / sqrt(E) is largest at equal places
        qkv[:, :2] = 0.3 * qkv[:, :2] + np.sqrt(2) * waves.astype(np.float32)
    return qkv


def _file(name: str, known: dict[str, str]) -> Path:
    path = Path(name)
    if not path.is_file():
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"--data {name}: there is no such file, and the sets are {', '.join(known)}{hint}")
    return path


def _copies(length: int, behind: int) -> NDArray[np.int64]:
    """Texts whose tokens are that of so many places before, 9 times in 10, and else drawn at random."""
    rng = np.random.default_rng(0)
    ids = rng.integers(COPIED, size=(N_TEXTS, length))
    copied = rng.random((N_TEXTS, length)) < 0.9
    for t in range(behind, length):
        ids[copied[:, t], t] = ids[copied[:, t], t - behind]
    return ids


def _lsa(n: int) -> NDArray[np.float64]:
    from breadth.text.lsa import LatentSemanticAnalysis

    folder = Path(sysconfig.get_path("stdlib"))
    sources = [file.read_text(encoding="utf-8", errors="replace") for file in sorted(folder.rglob("*.py"))[:1500]]
    paragraphs = list(dict.fromkeys(p for text in sources for p in text.split("\n\n") if len(p) > 80))
    chosen = np.random.default_rng(0).permutation(len(paragraphs))[: n + n // 20]
    points = LatentSemanticAnalysis(64, random_state=0).fit_transform([paragraphs[i] for i in chosen])
    points = points[np.linalg.norm(points, axis=1) > 1e-6][:n]
    if len(points) < n:
        raise ValueError(f"there are only {len(points)} paragraphs to make vectors of, not {n}; ask for fewer")
    return points


def _clustered(n: int) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(100, 64))
    return centres[rng.integers(100, size=n)] + rng.normal(size=(n, 64))
